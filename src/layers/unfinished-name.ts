/**
 * Parses the name of an unfinished layer: a pageserver's temporary file or download.
 *
 *   delta     {start key}-XXX__{start LSN}-{end LSN}.{n}.___temp    n in hex digits
 *   image     {layer name}.{n}.___temp
 *   download  {layer name}.temp_download
 */
import { isStorageError } from '../errors.ts';
import { TEMPORARY_SUFFIX } from '../virtual-file/leftover-names.ts';
import { type Key, type KeyRange, parseKey } from './key.ts';
import { type LayerName, parseLayerName } from './layer-name.ts';
import { type Lsn, type LsnRange, parseLsn } from './lsn.ts';

/** A pageserver adds this to the name of a layer while it downloads it. */
export const DOWNLOAD_SUFFIX = '.temp_download';

/** What is known about a layer from the name of its file. */
export type NamedLayer =
  | {
      readonly kind: 'delta';
      /** Where its keys start. */
      readonly keyStart: Key;
      /** Undefined if the name does not contain the end of its keys. */
      readonly keyRange: KeyRange | undefined;
      readonly lsnRange: LsnRange;
    }
  | { readonly kind: 'image'; readonly keyRange: KeyRange; readonly lsn: Lsn };

const DELTA_STEM =
  /^(?<start>[0-9a-fA-F]{36})-XXX__(?<from>[0-9a-fA-F]{1,16})-(?<to>[0-9a-fA-F]{1,16})$/;
const TOKEN = /\.[0-9a-fA-F]+$/;

/** Parses the name of a layer's file, finished or not; undefined for any other name. */
export function namedLayer(name: string): NamedLayer | undefined {
  if (name.endsWith(DOWNLOAD_SUFFIX)) return layerOf(name.slice(0, -DOWNLOAD_SUFFIX.length));
  if (!name.endsWith(TEMPORARY_SUFFIX)) return layerOf(name);
  const stem = name.slice(0, -TEMPORARY_SUFFIX.length).replace(TOKEN, '');
  return unfinishedDelta(stem) ?? layerOf(stem);
}

function unfinishedDelta(stem: string): NamedLayer | undefined {
  const { start, from, to } = DELTA_STEM.exec(stem)?.groups ?? {};
  if (start === undefined || from === undefined || to === undefined) return undefined;
  const lsnRange = { start: parseLsn(from), end: parseLsn(to) };
  if (lsnRange.start >= lsnRange.end) return undefined;
  return { kind: 'delta', keyStart: parseKey(start), keyRange: undefined, lsnRange };
}

function layerOf(text: string): NamedLayer | undefined {
  let name: LayerName;
  try {
    name = parseLayerName(text);
  } catch (error) {
    if (isStorageError(error)) return undefined;
    throw error;
  }
  const { keyRange } = name;
  if (name.kind === 'delta') {
    return { kind: 'delta', keyStart: keyRange.start, keyRange, lsnRange: name.lsnRange };
  }
  return { kind: 'image', keyRange, lsn: name.lsn };
}

/** How a command opens a layer, looks up a key in it, and warns about a wrong name. */
import { isStorageError, StorageError } from '../errors.ts';
import type { DeltaLayerReader } from '../layers/delta-layer/reader.ts';
import type { ImageLayerReader } from '../layers/image-layer/reader.ts';
import { formatKey, type Key } from '../layers/key.ts';
import type { LayerEntry } from '../layers/layer-file/entry-batch.ts';
import { layerNameOf } from '../layers/layer-file/open-file.ts';
import { locateValueError } from '../layers/layer-file/salvage.ts';
import { SalvageReader } from '../layers/layer-file/salvage-reader.ts';
import { nameOfSummary } from '../layers/layer-file/summary.ts';
import type { LayerSummary } from '../layers/layer-file/summary-format.ts';
import { sameLayer } from '../layers/layer-name.ts';
import { formatLsn, type Lsn } from '../layers/lsn.ts';
import { openLayer } from '../layers/open-layer.ts';
import { type ValueView, viewValue } from '../layers/value-format.ts';
import type { Context } from './context.ts';
import { refuseInputAsOutput, STANDARD_OUTPUT } from './output-paths.ts';
import { layerInput, type RemoteOptions } from './remote-source.ts';
import { limitOptions, type ReadLimits } from './shared-options.ts';
import { shownPath } from './shown-path.ts';
import type { ValueFilter } from './value-record.ts';

export type AnyLayerReader = DeltaLayerReader | ImageLayerReader;

/**
 * Opens a layer under any name, even one that contradicts the file. Throws `usage` if standard
 * output is the layer itself.
 */
export async function openForReading(
  file: string,
  limits: ReadLimits & RemoteOptions & { readonly signal?: AbortSignal | undefined } = {},
): Promise<AnyLayerReader> {
  await refuseInputAsOutput(file, STANDARD_OUTPUT);
  return openLayer(await layerInput(file, limits), {
    nameCheck: 'ignore',
    ...limitOptions(limits),
  });
}

/** For commands that show what is left of a damaged file. Throws `usage` like `openForReading`. */
export async function openForSalvage(
  file: string,
  limits: ReadLimits & RemoteOptions & { readonly signal?: AbortSignal | undefined } = {},
): Promise<SalvageReader> {
  await refuseInputAsOutput(file, STANDARD_OUTPUT);
  return SalvageReader.open(await layerInput(file, limits), limitOptions(limits));
}

/** An entry, and its value if the layer is a delta layer. */
export interface ReadEntry {
  readonly entry: LayerEntry;
  /** Type of the value; an entry of an image layer is always an image. */
  readonly type: string;
  readonly value?: ValueView | undefined;
}

export interface KeyAtLsn {
  readonly key: Key;
  /** Undefined means the highest. */
  readonly lsn: Lsn | undefined;
  /** Only values that pass count. */
  readonly filter?: ValueFilter | undefined;
}

/**
 * Returns the newest entry of the key at or before the LSN that passes the filter, or undefined if there is certainly
 * none: damage on the way to the key throws.
 */
export async function readEntry(
  reader: AnyLayerReader,
  { key, lsn, filter }: KeyAtLsn,
): Promise<ReadEntry | undefined> {
  if (filter !== undefined) return await readFiltered(reader, { key, lsn, filter });
  const entry = await reader.get(key, lsn);
  return entry && typedEntry(reader, entry);
}

/** Reads versions, newest first, until one passes. */
async function readFiltered(
  reader: AnyLayerReader,
  { key, lsn, filter }: Required<KeyAtLsn>,
): Promise<ReadEntry | undefined> {
  const lsnRange = lsn === undefined ? undefined : { start: 0n, end: lsn + 1n };
  for await (const entry of reader.versions(key, lsnRange)) {
    const read = typedEntry(reader, entry);
    if (filter?.(read.type, entry.bytes)) return read;
  }
  return undefined;
}

function typedEntry(reader: AnyLayerReader, entry: LayerEntry): ReadEntry {
  if (reader.summary.kind === 'image') return { entry, type: 'image' };
  try {
    const value = viewValue(entry.bytes);
    return { entry, type: value.type, value };
  } catch (error) {
    throw isStorageError(error) ? locateValueError(error, entry, reader.path) : error;
  }
}

export function notFoundError(path: string, { key, lsn, filter }: KeyAtLsn): StorageError {
  const entry = filter === undefined ? 'no entry' : 'no such record';
  return new StorageError('not-found', {
    what: lsn === undefined ? entry : `${entry} at or before this LSN`,
    path,
    key: formatKey(key),
    lsn: lsn === undefined ? undefined : formatLsn(lsn),
  });
}

/** Compares kind, key range and LSNs by value; null if the file is not named like a layer. */
export function nameMatches(path: string, summary: LayerSummary): boolean | null {
  const name = layerNameOf(path);
  return name === undefined ? null : sameLayer(name, nameOfSummary(summary));
}

/**
 * For commands that continue although the name contradicts the file. Called after something has been read: if nothing
 * can be read, the error is enough.
 */
export function warnOfName(
  context: Context,
  { file, reader }: { file: string; reader: AnyLayerReader },
): void {
  warnOfSummary(context, file, reader.summary);
}

/** Like `warnOfName`, for a file whose summary may be unreadable; then there is no warning. */
export function warnOfSalvaged(
  context: Context,
  { file, reader }: { file: string; reader: SalvageReader },
): void {
  if (reader.claimedSummary !== undefined) warnOfSummary(context, file, reader.claimedSummary);
}

function warnOfSummary(context: Context, file: string, summary: LayerSummary): void {
  if (nameMatches(shownPath(file), summary) !== false) return;
  context.reporter.warning('the name of the file disagrees with its summary', file);
}

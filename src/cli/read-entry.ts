/** Looks a key up, and looks into what is found there. */
import { isStorageError, StorageError } from '../errors.ts';
import { formatKey, type Key } from '../layers/key.ts';
import type { LayerEntry } from '../layers/layer-file/entry-batch.ts';
import { locateValueError } from '../layers/layer-file/salvage.ts';
import { formatLsn, type Lsn } from '../layers/lsn.ts';
import { type ValueView, viewValue } from '../layers/value-format.ts';
import type { ReadEntry } from './entry-json.ts';
import type { AnyLayerReader } from './open-layer.ts';

export interface KeyAtLsn {
  readonly key: Key;
  /** The newest is wanted where undefined. */
  readonly lsn: Lsn | undefined;
}

/** Undefined only when the key is surely not there; damage on the way to it throws. */
export async function readEntry(
  reader: AnyLayerReader,
  { key, lsn }: KeyAtLsn,
): Promise<ReadEntry | undefined> {
  const entry = await reader.get(key, lsn);
  if (entry === undefined) return undefined;
  return reader.summary.kind === 'delta' ? { entry, value: decode(reader, entry) } : { entry };
}

export function notFoundError(path: string, { key, lsn }: KeyAtLsn): StorageError {
  return new StorageError('not-found', {
    what: lsn === undefined ? 'no entry' : 'no entry at or before this LSN',
    path,
    key: formatKey(key),
    lsn: lsn === undefined ? undefined : formatLsn(lsn),
  });
}

function decode(reader: AnyLayerReader, entry: LayerEntry): ValueView {
  try {
    return viewValue(entry.bytes);
  } catch (error) {
    throw isStorageError(error) ? locateValueError(error, entry, reader.path) : error;
  }
}

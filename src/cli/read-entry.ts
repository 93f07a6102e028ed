/** Looks a key up and decodes what is found there. */
import { isStorageError, StorageError } from '../errors.ts';
import { formatKey, type Key } from '../layers/key.ts';
import type { LayerEntry } from '../layers/layer-entry.ts';
import { formatLsn, type Lsn } from '../layers/lsn.ts';
import type { LayerReader } from '../layers/open-layer.ts';
import { decodeValue } from '../layers/value-format.ts';
import type { ReadEntry } from './entry-json.ts';

export interface KeyAtLsn {
  readonly key: Key;
  /** The newest is wanted where undefined. */
  readonly lsn: Lsn | undefined;
}

/** Undefined only when the key is surely not there; damage on the way to it throws. */
export async function readEntry(
  reader: LayerReader,
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

function decode(reader: LayerReader, entry: LayerEntry) {
  try {
    return decodeValue(entry.bytes);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    throw locate(error, { reader, entry });
  }
}

/** The value's own offsets count from its first byte; those of a file are what can be looked up. */
function locate(
  error: StorageError,
  { reader, entry }: { reader: LayerReader; entry: LayerEntry },
): StorageError {
  return error.with({
    path: reader.path,
    offset: entry.offset,
    key: formatKey(entry.key),
    lsn: formatLsn(entry.lsn),
  });
}

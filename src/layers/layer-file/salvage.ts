/** A salvaging scan, entry by entry, with decoded values, for a dump. */
import { isStorageError, type StorageError } from '../../errors.ts';
import { formatKey } from '../key.ts';
import { formatLsn } from '../lsn.ts';
import type { Value } from '../value-format.ts';
import { outlineOfValue } from '../value-outline.ts';
import type { LayerEntry } from './entry-batch.ts';
import type { DamagedBlock, DamagedEntry } from './entry-scan.ts';
import type { DamagedBlob, LooseBlob } from './loose-blobs.ts';
import type { SalvagedScanItem } from './salvage-scan.ts';

/** An item of a salvaging scan: an entry, or damage. */
export type SalvagedItem =
  | {
      readonly kind: 'entry';
      /** A copy, which stays valid. */
      readonly entry: LayerEntry;
      /** Delta layers only; its bytes are views of the entry's. The getter may throw `too-large`. */
      readonly value?: Value;
    }
  | DamagedEntry
  | DamagedBlock
  /** Blobs without keys, if no leaf is left. */
  | LooseBlob
  | DamagedBlob;

export interface SalvageOptions {
  /** Decodes a content; absent for image layers. */
  readonly decode: ((bytes: Uint8Array) => Value) | undefined;
  readonly path: string | undefined;
}

/** Throws: as the scan. Entries are copies. */
export async function* salvageLayer(
  items: AsyncIterable<SalvagedScanItem>,
  options: SalvageOptions,
): AsyncGenerator<SalvagedItem> {
  for await (const item of items) {
    if (item.kind !== 'batch') {
      yield item;
      continue;
    }
    for (let index = 0; index < item.batch.count; index += 1) {
      yield salvageEntry(item.batch.entry(index), options);
    }
  }
}

function salvageEntry(entry: LayerEntry, { decode, path }: SalvageOptions): SalvagedItem {
  if (decode === undefined) return { kind: 'entry', entry };
  try {
    outlineOfValue(entry.bytes);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    const { key, lsn, offset } = entry;
    return { kind: 'damaged-entry', key, lsn, offset, error: locateValueError(error, entry, path) };
  }
  let value: Value | undefined;
  return {
    kind: 'entry',
    entry,
    // Decoded on demand: a list takes many times its stored size.
    get value() {
      value ??= decode(entry.bytes);
      return value;
    },
  };
}

/** Turns the offset within a value into one in the file; for a compressed blob, into its start. */
export function locateValueError(
  error: StorageError,
  entry: Pick<LayerEntry, 'key' | 'lsn' | 'offset' | 'storedLength' | 'compressed'> & {
    readonly bytes: { readonly length: number };
  },
  path: string | undefined,
): StorageError {
  const contentOffset = entry.offset + entry.storedLength - entry.bytes.length;
  return error.with({
    path,
    offset: entry.compressed ? entry.offset : contentOffset + (error.offset ?? 0),
    key: formatKey(entry.key),
    lsn: formatLsn(entry.lsn),
  });
}

/**
 * The line of a dump, as pieces: built by hand because there may be millions, and with the bytes
 * apart because the digits of a large blob do not fit into one string.
 */
import { createHash } from 'node:crypto';
import type { StorageError } from '../errors.ts';
import { formatKey, type Key } from '../layers/key.ts';
import type { LayerEntry } from '../layers/layer-file/entry-batch.ts';
import { formatLsn, type Lsn } from '../layers/lsn.ts';
import type { Value } from '../layers/value-format.ts';
import { encodeJson, type JsonPieces } from './json.ts';
import { storageErrorJson } from './reporter.ts';
import { valuePieces } from './value-json.ts';

export const VALUES_MODES = ['none', 'hex', 'sha256', 'json'] as const;
export type ValuesMode = (typeof VALUES_MODES)[number];

/** An entry, and in a delta layer its value. */
export interface ReadEntry {
  readonly entry: LayerEntry;
  readonly value?: Value | undefined;
}

/** An image layer's entries have no record: each is an image. */
export function entryType({ value }: ReadEntry): string {
  return value?.type ?? 'image';
}

/** The object from its first field on; the caller adds the braces. */
export function entryPieces(read: ReadEntry, mode: ValuesMode): JsonPieces {
  const { entry, value } = read;
  const fields =
    `"key":"${formatKey(entry.key)}","lsn":"${formatLsn(entry.lsn)}"` +
    `,"will_init":${entry.willInit},"offset":${entry.offset}` +
    `,"stored_len":${entry.storedLength},"len":${entry.bytes.length}` +
    `,"compressed":${entry.compressed},"type":"${entryType(read)}"`;
  switch (mode) {
    case 'none':
      return [fields];
    case 'sha256':
      return [`${fields},"sha256":"${sha256(entry.bytes)}"`];
    case 'hex':
      return [`${fields},"hex":"`, entry.bytes, '"'];
    case 'json':
      return value === undefined
        ? [`${fields},"hex":"`, entry.bytes, '"']
        : [`${fields},"value":`, ...valuePieces(value)];
  }
}

/** What a dump says about an entry that cannot be read. */
export function damagedEntryText(item: {
  readonly key: Key;
  readonly lsn: Lsn;
  readonly offset: number;
  readonly error: StorageError;
}): string {
  const { key, lsn, offset, error } = item;
  return encodeJson({
    key: formatKey(key),
    lsn: formatLsn(lsn),
    offset,
    error: storageErrorJson(error),
  });
}

/** What a dump and an index listing say about a block that cannot be read. */
export function damagedBlockText(item: { block: number; error: StorageError }): string {
  return encodeJson({ block: item.block, error: storageErrorJson(item.error) });
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

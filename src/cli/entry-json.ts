/**
 * The line of a dump, as pieces: built by hand because there may be millions, and with the bytes
 * apart because the digits of a large blob do not fit into one string.
 */
import { createHash } from 'node:crypto';
import { assert } from '../assert.ts';
import type { StorageError } from '../errors.ts';
import { formatKey, type Key } from '../layers/key.ts';
import type { LayerEntry } from '../layers/layer-file/entry-batch.ts';
import { formatLsn, type Lsn } from '../layers/lsn.ts';
import type { ValueView } from '../layers/value-format.ts';
import { encodeJson, type JsonPieces } from './json.ts';
import { storageErrorJson } from './reporter.ts';
import { valuePieces } from './value-json.ts';
import type { ValuesMode } from './values-mode.ts';

/** An entry, and in a delta layer its value. */
export interface ReadEntry {
  readonly entry: LayerEntry;
  readonly value?: ValueView | undefined;
}

/** An entry as a dump shows it, with its content or, where that passed by in pieces, without. */
export interface ShownEntry {
  readonly entry: Omit<LayerEntry, 'bytes'>;
  readonly type: string;
  /** Of the content. */
  readonly length: number;
  readonly content:
    | { readonly kind: 'whole'; readonly bytes: Uint8Array; readonly value?: ValueView | undefined }
    | { readonly kind: 'streamed'; readonly sha256: string };
}

export function shownEntry(read: ReadEntry): ShownEntry {
  const { entry, value } = read;
  const { bytes } = entry;
  return {
    entry,
    type: entryType(read),
    length: bytes.length,
    content: { kind: 'whole', bytes, value },
  };
}

/** An image layer's entries have no record: each is an image. */
export function entryType({ value }: ReadEntry): string {
  return value?.type ?? 'image';
}

/** The object from its first field on; the caller adds the braces. */
export function entryPieces(shown: ShownEntry, mode: ValuesMode): JsonPieces {
  const { entry, type, length, content } = shown;
  const fields =
    `"key":"${formatKey(entry.key)}","lsn":"${formatLsn(entry.lsn)}"` +
    `,"will_init":${entry.willInit},"offset":${entry.offset}` +
    `,"stored_len":${entry.storedLength},"len":${length}` +
    `,"compressed":${entry.compressed},"type":"${type}"`;
  if (mode === 'none') return [fields];
  if (mode === 'sha256') return [`${fields},"sha256":"${digestOf(shown)}"`];
  assert(content.kind === 'whole', 'what is printed as a whole is not streamed');
  return mode === 'json' && content.value !== undefined
    ? [`${fields},"value":`, ...valuePieces(content.value)]
    : [`${fields},"hex":"`, content.bytes, '"'];
}

export function digestOf({ content }: ShownEntry): string {
  return content.kind === 'streamed' ? content.sha256 : sha256(content.bytes);
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

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

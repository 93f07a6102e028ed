/** The JSON of entries, blobs and damage in a dump, and of the entry of `get`. */
import { createHash } from 'node:crypto';
import { assert } from '../assert.ts';
import type { StorageError } from '../errors.ts';
import { formatKey, type Key } from '../layers/key.ts';
import type { LooseBlob } from '../layers/layer-file/loose-blobs.ts';
import { formatLsn, type Lsn } from '../layers/lsn.ts';
import { type ValueView, viewValue } from '../layers/value-format.ts';
import type { ValuesMode } from './context.ts';
import type { EntryFields } from './entry-fields.ts';
import { encodeJson, type JsonPieces } from './json.ts';
import { storageErrorJson } from './reporter.ts';
import { valuePieces } from './value-json.ts';
import type { RecordReading } from './value-record.ts';

export type ShownContent =
  | { readonly kind: 'whole'; readonly bytes: Uint8Array; readonly value?: ValueView | undefined }
  | { readonly kind: 'streamed'; readonly sha256: string };

/** An entry as a dump shows it, with its content or, if it was streamed, only its digest. */
export interface ShownEntry extends EntryFields {
  readonly content: ShownContent;
}

/** What follows the common fields: nothing, or the last fields. */
export function contentPieces(
  shown: ShownEntry,
  mode: ValuesMode,
  reading?: RecordReading,
): JsonPieces {
  if (mode === 'none') return [];
  if (mode === 'sha256') return [`,"sha256":"${digestOf(shown)}"`];
  const { content } = shown;
  assert(content.kind === 'whole', 'content that is printed is not streamed');
  const { value } = content;
  if (mode !== 'json' || value === undefined) return [',"hex":"', content.bytes, '"'];
  const pieces = [',"value":', ...valuePieces(value)];
  if (reading === undefined || value.type !== 'wal') return pieces;
  return [...pieces, `,"record":${encodeJson(reading.json(value.bytes))}`];
}

export function digestOf({ content }: ShownEntry): string {
  return content.kind === 'streamed' ? content.sha256 : sha256(content.bytes);
}

/** An entry that cannot be read. */
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

/** A block of the index that cannot be read. */
export function damagedBlockText(item: { block: number; error: StorageError }): string {
  return encodeJson({ block: item.block, error: storageErrorJson(item.error) });
}

/** A blob whose key is lost, with its digest if requested. */
export interface LooseItem {
  readonly layerKind: 'delta' | 'image';
  readonly blob: LooseBlob;
  readonly sha256: string | undefined;
}

/** A blob whose key is lost: the known fields of an entry. */
export function looseBlobPieces(item: LooseItem, mode: ValuesMode): JsonPieces {
  const { blob, layerKind, sha256: digest } = item;
  const { offset, storedLength, length, type, bytes } = blob;
  const fields = encodeJson({ offset, stored_len: storedLength, len: length, type });
  const opening = fields.slice(0, -1);
  if (mode === 'sha256') return [`${opening},"sha256":"${digest}"}`];
  if (bytes === undefined) return [fields];
  return mode === 'json' && layerKind === 'delta'
    ? [`${opening},"value":`, ...valuePieces(viewValue(bytes)), '}']
    : [`${opening},"hex":"`, bytes, '"}'];
}

export function damagedBlobText(item: { offset: number; error: StorageError }): string {
  return encodeJson({ offset: item.offset, error: storageErrorJson(item.error) });
}

/** A summary that cannot be read. */
export function damagedSummaryText(item: { error: StorageError }): string {
  return encodeJson({ error: storageErrorJson(item.error) });
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

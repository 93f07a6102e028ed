/**
 * A caller's own check of the values of a layer while it is verified, for something that is not part
 * of the format, such as the checksum of a Postgres page.
 */
import { isStorageError, StorageError } from '../errors.ts';
import { valueText } from '../printable.ts';
import type { Findings } from './findings.ts';
import type { Key } from './key.ts';
import type { EntryBatch } from './layer-file/entry-batch.ts';
import type { Lsn } from './lsn.ts';

/** A value that could be read; all views are valid only during the call. */
export interface InspectedValue {
  /** Kind of the layer. */
  readonly kind: 'delta' | 'image';
  /** A view. */
  readonly key: Key;
  /** LSN of the value. */
  readonly lsn: Lsn;
  /** Where the blob starts, in bytes from the start of the file. */
  readonly offset: number;
  /** A view, after decompression: the serialized value of a delta layer, the image of an image layer. */
  readonly bytes: Uint8Array;
}

/** Returns what is wrong with the value, which becomes an error of the report. */
export type InspectValue = (value: InspectedValue) => StorageError | undefined;

export function inspectBatch(
  batch: EntryBatch,
  kind: 'delta' | 'image',
  { inspect, findings }: { readonly inspect: InspectValue; readonly findings: Findings },
): void {
  for (let index = 0; index < batch.count; index += 1) {
    const offset = batch.offsets[index] as number;
    const [key, lsn, bytes] = [batch.key(index), batch.lsn(index), batch.bytes(index)];
    const error = inspect({ kind, key, lsn, offset, bytes });
    if (error === undefined) continue;
    if (!isStorageError(error)) throw noFinding(error);
    findings.add(error, offset);
  }
}

function noFinding(actual: unknown): StorageError {
  const expected = 'a StorageError or undefined';
  const what = 'result of inspectValue';
  return new StorageError('invalid-input', { what, expected, actual: valueText(actual) });
}

/** Many serialized values in parallel arrays, so that none costs an object. */
import { isBigUint64Array, isUint8Array, isUint32Array } from 'node:util/types';
import { StorageError } from '../../errors.ts';
import { KEY_SIZE } from '../key.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';

export interface ValueBatch {
  readonly count: number;
  /** `count` keys of 18 bytes. */
  readonly keys: Uint8Array;
  readonly lsns: BigUint64Array;
  /** 0 or 1. */
  readonly willInit: Uint8Array;
  /** Value i has `lengths[i]` bytes of `values` from `starts[i]` on. */
  readonly values: Uint8Array;
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
}

/** The same with key and LSN of each value in one: `count` entry keys of 26 bytes. */
export interface EntryKeyBatch extends Omit<ValueBatch, 'keys' | 'lsns'> {
  readonly entryKeys: Uint8Array;
}

/** Throws `invalid-input` unless every array is of its type, and has at least `count` rows. */
export function checkValueBatch(batch: ValueBatch): void {
  if (!(isUint8Array(batch.keys) && isBigUint64Array(batch.lsns))) throw wrongType();
  const rows = Math.min(batch.lsns.length, Math.floor(batch.keys.length / KEY_SIZE));
  checkRows(batch, rows);
}

/** As `checkValueBatch`. */
export function checkEntryKeyBatch(batch: EntryKeyBatch): void {
  if (!isUint8Array(batch.entryKeys)) throw wrongType();
  checkRows(batch, Math.floor(batch.entryKeys.length / DELTA_KEY_SIZE));
}

function checkRows(batch: Omit<ValueBatch, 'keys' | 'lsns'>, keyRows: number): void {
  const { count, starts, lengths, willInit, values } = batch;
  const hasTypes =
    isUint32Array(starts) &&
    isUint32Array(lengths) &&
    isUint8Array(willInit) &&
    isUint8Array(values);
  if (!hasTypes) throw wrongType();
  const rows = Math.min(keyRows, starts.length, lengths.length, willInit.length);
  if (Number.isSafeInteger(count) && count >= 0 && count <= rows) return;
  throw new StorageError('invalid-input', {
    what: 'batch of values',
    expected: `arrays of at least ${count} rows`,
    actual: `${rows}`,
  });
}

/** For callers whose types nobody checked: a place that is no u32 would be met on the way. */
function wrongType(): StorageError {
  return new StorageError('invalid-input', {
    what: 'batch of values',
    expected: 'typed arrays, each of its type',
  });
}

export function valueBeyondBatch(row: number, end: number, size: number): StorageError {
  return new StorageError('out-of-range', {
    what: `value ${row} of the batch`,
    expected: `an end at or before ${size}`,
    actual: `${end}`,
  });
}

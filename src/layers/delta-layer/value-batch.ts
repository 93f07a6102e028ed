/** Many serialized values in parallel arrays, so that none costs an object. */
import { StorageError } from '../../errors.ts';
import { KEY_SIZE } from '../key.ts';

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

/** Throws `invalid-input` unless every array has at least `count` rows. */
export function checkValueBatch(batch: ValueBatch): void {
  const { count, keys, lsns, starts, lengths, willInit } = batch;
  const rows = Math.min(lsns.length, starts.length, lengths.length, willInit.length);
  if (
    Number.isSafeInteger(count) &&
    count >= 0 &&
    count <= rows &&
    count * KEY_SIZE <= keys.length
  ) {
    return;
  }
  throw new StorageError('invalid-input', {
    what: 'batch of values',
    expected: `arrays of at least ${count} rows`,
    actual: `${Math.min(rows, Math.floor(keys.length / KEY_SIZE))}`,
  });
}

export function valueBeyondBatch(row: number, end: number, size: number): StorageError {
  return new StorageError('out-of-range', {
    what: `value ${row} of the batch`,
    expected: `an end at or before ${size}`,
    actual: `${end}`,
  });
}

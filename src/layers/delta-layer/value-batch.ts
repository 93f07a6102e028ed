/** Serialized values in parallel arrays, so that no value costs an object. */
import { isBigUint64Array, isUint32Array } from 'node:util/types';
import { checkCount, checkObject, isBytes } from '../../check-options.ts';
import { StorageError } from '../../errors.ts';
import { KEY_SIZE } from '../key.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';

/** Serialized values in parallel arrays. Each array has at least `count` rows. */
export interface ValueBatch {
  /** Number of values. */
  readonly count: number;
  /** `count` keys of 18 bytes. */
  readonly keys: Uint8Array;
  /** LSN of each value. */
  readonly lsns: BigUint64Array;
  /** 1 for a value that needs no older one, else 0. */
  readonly willInit: Uint8Array;
  /** Bytes of all values: value i is the `lengths[i]` bytes from `starts[i]` on. */
  readonly values: Uint8Array;
  /** Where each value starts in `values`. */
  readonly starts: Uint32Array;
  /** Bytes of each value. */
  readonly lengths: Uint32Array;
}

/** A `ValueBatch` whose keys and LSNs share one array. */
export interface EntryKeyBatch extends Omit<ValueBatch, 'keys' | 'lsns'> {
  /** `count` entry keys of 26 bytes: the key, then the LSN, big-endian. */
  readonly entryKeys: Uint8Array;
}

/** Throws `invalid-input` unless every array is of its type, and has at least `count` rows. */
export function checkValueBatch(batch: ValueBatch): void {
  checkObject('batch of values', batch);
  if (!(isBytes(batch.keys) && isBigUint64Array(batch.lsns))) throw wrongType();
  const rows = Math.min(batch.lsns.length, Math.floor(batch.keys.length / KEY_SIZE));
  checkRows(batch, rows);
}

/** As `checkValueBatch`. */
export function checkEntryKeyBatch(batch: EntryKeyBatch): void {
  checkObject('batch of values', batch);
  if (!isBytes(batch.entryKeys)) throw wrongType();
  checkRows(batch, Math.floor(batch.entryKeys.length / DELTA_KEY_SIZE));
}

function checkRows(batch: Omit<ValueBatch, 'keys' | 'lsns'>, keyRows: number): void {
  const { count, starts, lengths, willInit, values } = batch;
  const hasTypes =
    isUint32Array(starts) && isUint32Array(lengths) && isBytes(willInit) && isBytes(values);
  if (!hasTypes) throw wrongType();
  const rows = Math.min(keyRows, starts.length, lengths.length, willInit.length);
  checkCount('count of a batch', count);
  if (count <= rows) return;
  throw new StorageError('invalid-input', {
    what: 'batch of values',
    expected: `arrays of at least ${count} rows`,
    actual: `${rows}`,
  });
}

/** For callers without a type checker: a start that is not a u32 would fail halfway through. */
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

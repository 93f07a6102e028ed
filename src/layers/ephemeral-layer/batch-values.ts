/** The values of a batch, in as few bytes as it takes to append them in one piece. */
import type { ValueBatch } from '../delta-layer/value-batch.ts';

/** Values are copied in one piece if that has at most so many times their bytes. */
const MAXIMUM_SPREAD = 2;

/** Where the values of a batch lie in its bytes, and how many bytes they have together. */
export interface Spread {
  readonly first: number;
  readonly end: number;
  readonly size: number;
}

/**
 * The values as they are written: the part of the bytes that they lie in, or one behind the other
 * where that has much else in it. Starts count from `first` on.
 */
export function valuesOf(
  batch: ValueBatch,
  { first, end, size }: Spread,
): Pick<ValueBatch, 'values' | 'starts'> & { readonly first: number } {
  const { count, starts, lengths } = batch;
  if (end - first <= MAXIMUM_SPREAD * size) {
    return { values: batch.values.subarray(first, end), starts, first };
  }
  const values = new Uint8Array(size);
  const newStarts = new Uint32Array(count);
  let at = 0;
  for (let row = 0; row < count; row += 1) {
    const start = starts[row] as number;
    const length = lengths[row] as number;
    values.set(batch.values.subarray(start, start + length), at);
    newStarts[row] = at;
    at += length;
  }
  return { values, starts: newStarts, first: 0 };
}

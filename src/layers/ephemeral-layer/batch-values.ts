/** Prepares the values of a batch to be appended in one piece. */
import { ViewedBytes } from '../../byte-words.ts';
import type { ValueBatch } from '../delta-layer/value-batch.ts';
import { halvesOf } from '../lsn-halves.ts';

/**
 * The part of the bytes is appended unchanged if it is at most this many times as long as the values.
 */
const MAXIMUM_SPREAD = 2;

/** The part of a batch's bytes with its values, and the total length of the values. */
export interface Spread {
  readonly first: number;
  readonly end: number;
  readonly size: number;
}

/**
 * The bytes to append: the part of the batch's bytes with its values, or a copy of the values if much
 * of that part is unused. Starts are relative to `first`.
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

/** The keys and LSNs of a batch, as they are read. */
export interface BatchViews {
  readonly of: Uint8Array;
  readonly ofLsns: BigUint64Array;
  readonly keys: DataView;
  readonly lsnHalves: Uint32Array;
}

export function viewsOf(keys: Uint8Array, lsns: BigUint64Array): BatchViews {
  return { of: keys, ofLsns: lsns, keys: new ViewedBytes(keys).view, lsnHalves: halvesOf(lsns) };
}

/** The views before the first batch. */
export const NO_VIEWS = viewsOf(new Uint8Array(0), new BigUint64Array(0));

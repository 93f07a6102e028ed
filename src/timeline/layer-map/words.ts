/**
 * Large unsigned numbers as rows of 32-bit words, the most significant first, in one flat array.
 * A key has four words, an LSN two. Rows are replaced by their ranks among the distinct values, so
 * that everything else compares small integers.
 */
import { sortRows } from './sort-rows.ts';

/** Distinct rows in ascending order, and the rank of each original row among them. */
export interface Ranked {
  /** The distinct rows, ascending. */
  readonly words: Uint32Array;
  /** For each distinct row, the first original row that has its value. */
  readonly firstRow: Int32Array;
  /** For each original row, its rank: the index of its value among the distinct rows. */
  readonly ranks: Int32Array;
}

/** Ranks the rows of `width` words. */
export function rankRows(words: Uint32Array, width: number): Ranked {
  const count = words.length / width;
  const sorted = sortRows(words, width);
  const ranks = new Int32Array(count);
  const firstRow = new Int32Array(count);
  let distinct = 0;
  for (let at = 0; at < count; at += 1) {
    const row = sorted[at] ?? 0;
    const previous = firstRow[distinct - 1] ?? -1;
    if (previous < 0 || compareRows(words, previous, words, row, width) !== 0) {
      firstRow[distinct] = row;
      distinct += 1;
    }
    ranks[row] = distinct - 1;
  }
  const kept = new Uint32Array(distinct * width);
  for (let rank = 0; rank < distinct; rank += 1) {
    const from = (firstRow[rank] ?? 0) * width;
    for (let word = 0; word < width; word += 1) kept[rank * width + word] = words[from + word] ?? 0;
  }
  return { words: kept, firstRow: firstRow.slice(0, distinct), ranks };
}

/** How many of the ascending rows are below `value`, one row. */
export function rowsBelow(words: Uint32Array, value: Uint32Array): number {
  const width = value.length;
  let low = 0;
  let high = words.length / width;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareRows(words, middle, value, 0, width) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How many of the ascending rows are at or below `value`, one row. */
export function rowsUpTo(words: Uint32Array, value: Uint32Array): number {
  const below = rowsBelow(words, value);
  const isThere =
    below < words.length / value.length && compareRows(words, below, value, 0, value.length) === 0;
  return isThere ? below + 1 : below;
}

/** Compares two rows for sorting. */
export function compareRows(
  left: Uint32Array,
  leftRow: number,
  right: Uint32Array,
  rightRow: number,
  width: number,
): number {
  const leftAt = leftRow * width;
  const rightAt = rightRow * width;
  for (let word = 0; word < width; word += 1) {
    const difference = (left[leftAt + word] ?? 0) - (right[rightAt + word] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

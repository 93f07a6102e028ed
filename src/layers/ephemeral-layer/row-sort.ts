/**
 * Sorts rows by their entry keys: a stable radix sort from the last bytes to the first, over those
 * bytes alone that differ at all. Four bytes at a time become a number beside the row, so that the
 * passes read their input in order.
 */
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';

/** Where the entry keys of the rows lie. */
export interface SortSource {
  readonly bytesOf: (row: number) => Uint8Array;
  readonly placeOf: (row: number) => number;
}

export interface SortedRows {
  readonly rows: Uint32Array;
  /** Up to four leading bytes of what differs in the rows' keys; equal keys have equal words. */
  readonly words: Uint32Array;
}

const DIGIT_BITS = 11;
const DIGIT_COUNT = 1 << DIGIT_BITS;
const DIGIT_MASK = DIGIT_COUNT - 1;
const WORD_SIZE = 4;

/** The rows 0 to count - 1 in the order of their entry keys; equal ones in their own. */
export function sortRows(count: number, source: SortSource): SortedRows {
  let pairs = new Pairs(count);
  let spare = new Pairs(count);
  for (let row = 0; row < count; row += 1) pairs.rows[row] = row;
  const positions = varyingBytes(count, source);
  for (let end = positions.length; end > 0; end -= WORD_SIZE) {
    const word = positions.slice(Math.max(0, end - WORD_SIZE), end);
    const bits = loadWords(pairs, word, source);
    for (let shift = 0; shift < 8 * word.length; shift += DIGIT_BITS) {
      if (bits >>> shift === 0) break;
      sortByDigit(pairs, spare, shift);
      [pairs, spare] = [spare, pairs];
    }
  }
  return pairs;
}

/** Rows, and beside each the bytes that it is sorted by next. */
class Pairs {
  readonly rows: Uint32Array;
  readonly words: Uint32Array;

  constructor(count: number) {
    this.rows = new Uint32Array(count);
    this.words = new Uint32Array(count);
  }
}

/** Indices of the bytes in which not all entry keys agree. */
function varyingBytes(count: number, { bytesOf, placeOf }: SortSource): number[] {
  if (count === 0) return [];
  const firstBytes = bytesOf(0);
  const firstAt = placeOf(0);
  const differences = new Uint8Array(DELTA_KEY_SIZE);
  for (let row = 1; row < count; row += 1) {
    const bytes = bytesOf(row);
    const at = placeOf(row);
    for (let byte = 0; byte < DELTA_KEY_SIZE; byte += 1) {
      const difference = (bytes[at + byte] as number) ^ (firstBytes[firstAt + byte] as number);
      differences[byte] = (differences[byte] as number) | difference;
    }
  }
  return [...differences.keys()].filter((byte) => differences[byte] !== 0);
}

/** Puts the bytes of each row's key into its word, the first ones highest; returns all words or-ed. */
function loadWords(
  pairs: Pairs,
  word: readonly number[],
  { bytesOf, placeOf }: SortSource,
): number {
  const { rows, words } = pairs;
  let bits = 0;
  for (let index = 0; index < rows.length; index += 1) {
    const bytes = bytesOf(rows[index] as number);
    const at = placeOf(rows[index] as number);
    let value = 0;
    for (const byte of word) value = (value << 8) | (bytes[at + byte] as number);
    words[index] = value;
    bits |= value;
  }
  return bits >>> 0;
}

function sortByDigit(source: Pairs, target: Pairs, shift: number): void {
  const starts = new Uint32Array(DIGIT_COUNT);
  for (const word of source.words) {
    const digit = (word >>> shift) & DIGIT_MASK;
    starts[digit] = (starts[digit] as number) + 1;
  }
  let start = 0;
  for (let digit = 0; digit < DIGIT_COUNT; digit += 1) {
    const count = starts[digit] as number;
    starts[digit] = start;
    start += count;
  }
  for (let index = 0; index < source.words.length; index += 1) {
    const word = source.words[index] as number;
    const digit = (word >>> shift) & DIGIT_MASK;
    const at = starts[digit] as number;
    starts[digit] = at + 1;
    target.words[at] = word;
    target.rows[at] = source.rows[index] as number;
  }
}

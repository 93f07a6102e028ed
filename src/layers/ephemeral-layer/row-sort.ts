/**
 * Sorts rows by their entry keys: a stable radix sort from the last bytes to the first. It skips words
 * of four bytes that are equal in all keys, or already in order, as the LSNs of a log are. A word is
 * kept beside the number of its row, so that the passes read their input sequentially.
 */
import { KEY_SIZE } from '../key.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';
import { placeOf, type Rows } from './rows.ts';

export interface SortedRows {
  readonly numbers: Uint32Array;
  /** Four bytes of each row's key; equal keys have equal words. */
  readonly words: Uint32Array;
}

const DIGIT_BITS = 11;
const DIGIT_COUNT = 1 << DIGIT_BITS;
const DIGIT_MASK = DIGIT_COUNT - 1;
const WORD_BITS = 32;
const WORD_SIZE = 4;

/** The numbers of all rows in the order of their entry keys; equal keys in row order. */
export function sortRows(rows: Rows): SortedRows {
  let pairs = new Pairs(rows.count);
  let spare = new Pairs(rows.count);
  for (let row = 0; row < rows.count; row += 1) pairs.numbers[row] = row;
  for (const byte of wordsToSortBy(rows)) {
    const { isInOrder, differences } = loadWords(pairs, rows, byte);
    if (isInOrder) continue;
    for (let shift = 0; shift < WORD_BITS; shift += DIGIT_BITS) {
      if (((differences >>> shift) & DIGIT_MASK) === 0) continue;
      sortByDigit(pairs, spare, shift);
      [pairs, spare] = [spare, pairs];
    }
  }
  return pairs;
}

/** Numbers of rows, and beside each the word that it is sorted by next. */
class Pairs {
  readonly numbers: Uint32Array;
  readonly words: Uint32Array;

  constructor(count: number) {
    this.numbers = new Uint32Array(count);
    this.words = new Uint32Array(count);
  }
}

/** Offsets of the words that cover every byte in which entry keys differ; the last one first. */
function wordsToSortBy(rows: Rows): number[] {
  const differences = differingBytes(rows);
  const words: number[] = [];
  // The sort is stable, so rows in LSN order need not be sorted by LSN.
  const size = rows.areLsnsAscending ? KEY_SIZE : DELTA_KEY_SIZE;
  for (let byte = size - 1; byte >= 0; byte -= 1) {
    if (differences.getUint8(byte) === 0) continue;
    // The first two words may overlap; then their shared bytes are sorted twice.
    words.push(Math.max(0, byte - WORD_SIZE + 1));
    byte -= WORD_SIZE - 1;
  }
  return words;
}

/** An entry key whose bytes are 0 where all entry keys are equal. */
function differingBytes(rows: Rows): DataView {
  const differences = new DataView(new ArrayBuffer(DELTA_KEY_SIZE));
  if (rows.count === 0) return differences;
  const first = rows.view(0);
  // By words, the last of which overlaps the one before; one pass over all rows.
  let [a, b, c, d, e, f, g] = [0, 0, 0, 0, 0, 0, 0];
  for (let row = 1; row < rows.count; row += 1) {
    const view = rows.view(row);
    const at = placeOf(row);
    a |= view.getInt32(at) ^ first.getInt32(0);
    b |= view.getInt32(at + 4) ^ first.getInt32(4);
    c |= view.getInt32(at + 8) ^ first.getInt32(8);
    d |= view.getInt32(at + 12) ^ first.getInt32(12);
    e |= view.getInt32(at + 16) ^ first.getInt32(16);
    f |= view.getInt32(at + 20) ^ first.getInt32(20);
    g |= view.getInt32(at + 22) ^ first.getInt32(22);
  }
  for (const [word, bits] of [a, b, c, d, e, f].entries()) {
    differences.setInt32(word * WORD_SIZE, bits);
  }
  differences.setInt32(DELTA_KEY_SIZE - WORD_SIZE, g);
  return differences;
}

/** Loads four bytes of each row's key into its word; returns how the words differ. */
function loadWords(
  { numbers, words }: Pairs,
  rows: Rows,
  byte: number,
): { readonly isInOrder: boolean; readonly differences: number } {
  let isInOrder = true;
  let differences = 0;
  let last = 0;
  const first = rows.view(numbers[0] as number).getUint32(placeOf(numbers[0] as number) + byte);
  for (let at = 0; at < numbers.length; at += 1) {
    const row = numbers[at] as number;
    const word = rows.view(row).getUint32(placeOf(row) + byte);
    words[at] = word;
    differences |= word ^ first;
    if (word < last) isInOrder = false;
    last = word;
  }
  return { isInOrder, differences };
}

function sortByDigit(source: Pairs, target: Pairs, shift: number): void {
  const starts = new Uint32Array(DIGIT_COUNT);
  for (let at = 0; at < source.words.length; at += 1) {
    const digit = ((source.words[at] as number) >>> shift) & DIGIT_MASK;
    starts[digit] = (starts[digit] as number) + 1;
  }
  let start = 0;
  for (let digit = 0; digit < DIGIT_COUNT; digit += 1) {
    const count = starts[digit] as number;
    starts[digit] = start;
    start += count;
  }
  for (let from = 0; from < source.words.length; from += 1) {
    const word = source.words[from] as number;
    const digit = (word >>> shift) & DIGIT_MASK;
    const at = starts[digit] as number;
    starts[digit] = at + 1;
    target.words[at] = word;
    target.numbers[at] = source.numbers[from] as number;
  }
}

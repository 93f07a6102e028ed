/**
 * Sorts rows by their entry keys: a stable radix sort from the last bytes to the first. It skips words of four bytes
 * that are equal in all keys, or already in order, as the LSNs of a log are. A word is kept next to the number of its
 * row, so that the passes read their input sequentially.
 *
 * Rows are read one after the other only. In another order each of them would miss the caches; so the words
 * of one column are first copied side by side, where many of them share a line and a page.
 *
 * A database has few relations, so one pass sorts by their part of the key: by its rank among the distinct ones. If
 * there are too many, their bytes are sorted like the others.
 */
import { copyWords } from '../../byte-words.ts';
import { KEY_SIZE } from '../key.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';
import { placeOf, ROW_SIZE, type Rows, SEGMENT_ROWS } from './rows.ts';

const DIGIT_BITS = 11;
const DIGIT_COUNT = 1 << DIGIT_BITS;
const DIGIT_MASK = DIGIT_COUNT - 1;
const WORD_BITS = 32;
const WORD_SIZE = 4;
/** Of an entry key: the low half of its LSN. */
const LAST_WORD = DELTA_KEY_SIZE - WORD_SIZE;
/** Of a key: all but the number of the block. */
const RELATION_SIZE = KEY_SIZE - WORD_SIZE;
/** Slots; at most half of them are taken. */
const TABLE_SIZE = 2 * DIGIT_COUNT;
const NONE = -1;
const TOO_MANY = -1;

/** The numbers of all rows in the order of their entry keys; of equal keys only the last row. */
export function sortRows(rows: Rows): Uint32Array {
  let pairs = new Pairs(rows.count);
  let spare = new Pairs(rows.count);
  for (let row = 0; row < rows.count; row += 1) pairs.numbers[row] = row;
  /** Sorts by the column that lies in the spare words. */
  const sortByColumn = (): void => {
    const { isInOrder, differences } = loadWords(pairs, spare.words);
    if (isInOrder) return;
    for (let shift = 0; shift < WORD_BITS; shift += DIGIT_BITS) {
      if (((differences >>> shift) & DIGIT_MASK) === 0) continue;
      sortByDigit(pairs, spare, shift);
      [pairs, spare] = [spare, pairs];
    }
  };
  const relations = distinctRelations(rows);
  for (const byte of wordsToSortBy(rows, relations === undefined ? 0 : RELATION_SIZE)) {
    copyColumn(rows, byte, spare.words);
    sortByColumn();
  }
  if (relations !== undefined) {
    relations.copyRanks(rows, spare.words);
    sortByColumn();
  }
  return rows.areLsnsAscending ? pairs.numbers : withoutReplaced(pairs, rows, spare.words);
}

/**
 * Keeps the last one of equal rows, which is the newest, because the sort is stable. Changes the pairs and the
 * spare words.
 */
function withoutReplaced({ numbers, words }: Pairs, rows: Rows, spare: Uint32Array): Uint32Array {
  // The words alone distinguish nearly all rows, so that the rows themselves are seldom read.
  copyColumn(rows, LAST_WORD, spare);
  let count = 0;
  for (let at = 0; at < numbers.length; at += 1) {
    const row = numbers[at] as number;
    const next = numbers[at + 1] as number;
    const isReplaced =
      at + 1 < numbers.length &&
      words[at] === words[at + 1] &&
      spare[row] === spare[next] &&
      rows.compare(row, next) === 0;
    if (isReplaced) continue;
    numbers[count] = row;
    count += 1;
  }
  return numbers.subarray(0, count);
}

/** Numbers of rows, each with the word that it is sorted by; equal keys have equal words. */
class Pairs {
  readonly numbers: Uint32Array;
  readonly words: Uint32Array;

  constructor(count: number) {
    this.numbers = new Uint32Array(count);
    this.words = new Uint32Array(count);
  }
}

/** Offsets of the words that cover every byte from the first in which entry keys differ; the last one first. */
function wordsToSortBy(rows: Rows, first: number): number[] {
  const differences = differingBytes(rows);
  const words: number[] = [];
  // The sort is stable, so rows in LSN order need not be sorted by LSN.
  const size = rows.areLsnsAscending ? KEY_SIZE : DELTA_KEY_SIZE;
  for (let byte = size - 1; byte >= first; byte -= 1) {
    if (differences.getUint8(byte) === 0) continue;
    // The first two words may overlap; then their shared bytes are sorted twice.
    words.push(Math.max(first, byte - WORD_SIZE + 1));
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
  differences.setInt32(LAST_WORD, g);
  return differences;
}

/** Copies four bytes of each row's key, in row order. */
function copyColumn(rows: Rows, byte: number, column: Uint32Array): void {
  for (let row = 0; row < column.length; ) {
    const view = rows.view(row);
    const end = Math.min(column.length, row + SEGMENT_ROWS);
    for (let at = byte; row < end; row += 1, at += ROW_SIZE) column[row] = view.getUint32(at);
  }
}

/** Loads the word of each row from a column; returns how the words differ. */
function loadWords(
  { numbers, words }: Pairs,
  column: Uint32Array,
): { readonly isInOrder: boolean; readonly differences: number } {
  let isInOrder = true;
  let differences = 0;
  let last = 0;
  const first = column[0] as number;
  for (let at = 0; at < numbers.length; at += 1) {
    const word = column[numbers[at] as number] as number;
    words[at] = word;
    differences |= word ^ first;
    if (word < last) isInOrder = false;
    last = word;
  }
  return { isInOrder, differences };
}

/** The relations of all rows; undefined if there are more than one pass can sort by. */
function distinctRelations(rows: Rows): Relations | undefined {
  const relations = new Relations();
  for (let row = 0; row < rows.count; row += 1) {
    if (relations.add(rows.view(row), placeOf(row)) === TOO_MANY) return undefined;
  }
  return relations;
}

/** The different first parts of keys, up to as many as a digit has values; by a hash table. */
class Relations {
  #count = 0;
  readonly #table = new Int16Array(TABLE_SIZE).fill(NONE);
  readonly #bytes = new DataView(new ArrayBuffer(DIGIT_COUNT * RELATION_SIZE));

  /** Returns: the number of a relation, in the order in which they came; or TOO_MANY. */
  add(keys: DataView, at: number): number {
    const a = keys.getInt32(at);
    const b = keys.getInt32(at + 4);
    const c = keys.getInt32(at + 8);
    const d = keys.getInt16(at + 12);
    const bytes = this.#bytes;
    // Mixes all bits into the high ones, from which the slot is taken.
    const mixed = Math.imul(Math.imul(a ^ (b << 7) ^ c, 0x45d9f3b) ^ (b >>> 9) ^ d, 0x2c1b3c6d);
    let slot = (mixed ^ (mixed >>> 15)) & (TABLE_SIZE - 1);
    for (;;) {
      const number = this.#table[slot] as number;
      if (number === NONE) break;
      const own = number * RELATION_SIZE;
      if (
        bytes.getInt32(own + 8) === c &&
        bytes.getInt16(own + 12) === d &&
        bytes.getInt32(own + 4) === b &&
        bytes.getInt32(own) === a
      ) {
        return number;
      }
      slot = (slot + 1) & (TABLE_SIZE - 1);
    }
    const number = this.#count;
    if (number === DIGIT_COUNT) return TOO_MANY;
    this.#table[slot] = number;
    copyWords(keys, at, bytes, number * RELATION_SIZE, RELATION_SIZE);
    this.#count += 1;
    return number;
  }

  /** Copies the rank of each row's relation, in row order. Requires: all of them were added. */
  copyRanks(rows: Rows, column: Uint32Array): void {
    const ranks = this.#ranks();
    for (let row = 0; row < column.length; row += 1) {
      column[row] = ranks[this.add(rows.view(row), placeOf(row))] as number;
    }
  }

  #ranks(): Uint32Array {
    const partOf = (number: number): Uint8Array =>
      new Uint8Array(this.#bytes.buffer, number * RELATION_SIZE, RELATION_SIZE);
    const ranks = new Uint32Array(this.#count);
    const numbers = [...ranks.keys()].sort((one, other) =>
      Buffer.compare(partOf(one), partOf(other)),
    );
    for (const [rank, number] of numbers.entries()) ranks[number] = rank;
    return ranks;
  }
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

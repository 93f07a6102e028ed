/**
 * Index of an open layer, in memory: which (key, LSN) lies where in the scratch file.
 *
 * While each entry is above the one before, a binary search of the rows finds a key. After the first
 * entry that is not, reads need a hash table of the newest row of each key, and a chain to the older
 * ones; both are built on the first read and then kept up to date. A layer that is written out without
 * being read never pays for them. A second value of a key at the same LSN replaces the first.
 *
 * Memory: 34 bytes per row; for reads out of order 4 more, and 5 to 10 per key.
 */
import { compareBytes, ViewedBytes } from '../../byte-words.ts';
import { hashOfKey, KEY_SIZE, type Key } from '../key.ts';
import { deltaEntryKey } from '../layer-file/entry-layout.ts';
import type { Lsn } from '../lsn.ts';
import { sortRows } from './row-sort.ts';
import { type NewRows, placeOf, ROW_MASK, Rows, SEGMENT_BITS, SEGMENT_ROWS } from './rows.ts';

const NONE = -1;

/** Share of used slots above which the table doubles. */
const MAXIMUM_LOAD = 0.8;
const FIRST_TABLE_SIZE = 1024;

export class MemoryIndex {
  readonly rows: Rows;
  /** Rows below this one are in the table. */
  #indexedRows = 0;
  /** Newest row of each key, by the hash of the key. */
  #table = new Int32Array(0);
  #keyCount = 0;
  /** For each indexed row, the next older one of its key, or NONE; in segments. */
  readonly #older: Int32Array[] = [];
  #replacedRows = 0;

  constructor(rows = new Rows()) {
    this.rows = rows;
  }

  /** Distinct (key, LSN) pairs. */
  get entryCount(): number {
    if (!this.rows.isAscending) this.#indexNewRows();
    return this.rows.count - this.#replacedRows;
  }

  /** See `Rows.add`. */
  add(rows: NewRows, position: number): void {
    this.rows.add(rows, position);
  }

  /** Row of the newest entry of the key at or below the LSN; -1 if there is none. */
  find(key: Key, lsn: Lsn): number {
    if (this.rows.isAscending) return this.#findInOrder(key, lsn);
    this.#indexNewRows();
    if (this.#keyCount === 0) return NONE;
    let row = this.#table[this.#slotOf(new ViewedBytes(key).view, 0)] as number;
    while (row !== NONE && this.rows.lsn(row) > lsn) row = this.#olderIndexedRow(row);
    return row;
  }

  /** Row of the next older LSN of the same key; -1 if there is none. Requires: a row of `find`. */
  olderRow(row: number): number {
    const { rows } = this;
    if (!rows.isAscending) {
      this.#indexNewRows();
      return this.#olderIndexedRow(row);
    }
    return row > 0 && this.#haveSameKey(row - 1, row) ? row - 1 : NONE;
  }

  /** Row numbers in the order of (key, LSN), without replaced rows; the array belongs to the caller. */
  sortedRows(): Uint32Array {
    const { rows } = this;
    return rows.isAscending ? numbersUpTo(rows.count) : sortRows(rows);
  }

  /** The last row at or below (key, LSN) if it is of this key; else NONE. */
  #findInOrder(key: Key, lsn: Lsn): number {
    const { rows } = this;
    const { view: entryKey } = new ViewedBytes(deltaEntryKey(key, lsn));
    let low = 0;
    let high = rows.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(rows.view(middle), placeOf(middle), entryKey) <= 0) low = middle + 1;
      else high = middle;
    }
    const row = low - 1;
    return row >= 0 && haveSameKey(rows.view(row), placeOf(row), entryKey, 0) ? row : NONE;
  }

  #haveSameKey(left: number, right: number): boolean {
    const { rows } = this;
    return haveSameKey(rows.view(left), placeOf(left), rows.view(right), placeOf(right));
  }

  #indexNewRows(): void {
    for (; this.#indexedRows < this.rows.count; this.#indexedRows += 1) {
      if (this.#keyCount + 1 > this.#table.length * MAXIMUM_LOAD) this.#growTable();
      this.#indexRow(this.#indexedRows);
    }
  }

  /** Chains are in descending order of LSN. */
  #indexRow(row: number): void {
    if ((row & ROW_MASK) === 0) this.#older.push(new Int32Array(SEGMENT_ROWS));
    const slot = this.#slotOf(this.rows.view(row), placeOf(row));
    const newest = this.#table[slot] as number;
    let above = NONE;
    let next = newest;
    while (next !== NONE && this.rows.compare(next, row) > 0) {
      above = next;
      next = this.#olderIndexedRow(next);
    }
    if (next !== NONE && this.rows.compare(next, row) === 0) {
      next = this.#olderIndexedRow(next);
      this.#replacedRows += 1;
    }
    this.#setOlder(row, next);
    if (above === NONE) this.#table[slot] = row;
    else this.#setOlder(above, row);
    if (newest === NONE) this.#keyCount += 1;
  }

  #olderIndexedRow(row: number): number {
    return (this.#older[row >>> SEGMENT_BITS] as Int32Array)[row & ROW_MASK] as number;
  }

  #setOlder(row: number, older: number): void {
    (this.#older[row >>> SEGMENT_BITS] as Int32Array)[row & ROW_MASK] = older;
  }

  /** The slot of the key, or the free slot where it belongs. */
  #slotOf(keys: DataView, keyAt: number): number {
    const mask = this.#table.length - 1;
    let slot = hashOfKey(keys, keyAt) & mask;
    for (;;) {
      const row = this.#table[slot] as number;
      if (row === NONE || haveSameKey(this.rows.view(row), placeOf(row), keys, keyAt)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #growTable(): void {
    const old = this.#table;
    this.#table = new Int32Array(Math.max(FIRST_TABLE_SIZE, 2 * old.length)).fill(NONE);
    const mask = this.#table.length - 1;
    for (const row of old) {
      if (row === NONE) continue;
      // The keys in a table are all different: the first free slot is theirs.
      let slot = hashOfKey(this.rows.view(row), placeOf(row)) & mask;
      while (this.#table[slot] !== NONE) slot = (slot + 1) & mask;
      this.#table[slot] = row;
    }
  }
}

/** The last four bytes of a key overlap the word before by two. */
const LAST_WORD = KEY_SIZE - 4;

function numbersUpTo(count: number): Uint32Array {
  const numbers = new Uint32Array(count);
  for (let row = 0; row < count; row += 1) numbers[row] = row;
  return numbers;
}

function haveSameKey(left: DataView, leftAt: number, right: DataView, rightAt: number): boolean {
  // The last bytes differ most often.
  for (let byte = LAST_WORD; byte > 0; byte -= 4) {
    if (left.getInt32(leftAt + byte) !== right.getInt32(rightAt + byte)) return false;
  }
  return left.getInt32(leftAt) === right.getInt32(rightAt);
}

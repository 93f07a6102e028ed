/**
 * Index of an open layer, in memory: which (key, LSN) lies where in the scratch file.
 *
 * Entries are rows of bytes in segments, in the order in which they came, so that adding one costs no
 * object, growing copies nothing, and a row that is met out of order costs one line of the cache. What reads need, a hash table of the newest row of each
 * key and a chain to the older ones, is built when somebody reads, and then kept up to date; a layer
 * that is only written and written out never pays for it. A second value of one key at one LSN takes
 * the place of the first.
 *
 *   0   18  key
 *   18  8   LSN
 *   26  4   position in the scratch file, its low 32 bits
 *   30  4   3 high bits of the position, willInit, 28 bits of length
 *
 * All big-endian: 34 bytes a row; for reads 4 more, and 5 to 10 a key.
 */
import { StorageError } from '../../errors.ts';
import { KEY_SIZE, type Key } from '../key.ts';
import { DELTA_KEY_SIZE, lsnOfEntryKey } from '../layer-file/entry-layout.ts';
import type { Lsn } from '../lsn.ts';
import { type SortSource, sortRows } from './row-sort.ts';

const SEGMENT_BITS = 14;
const SEGMENT_ROWS = 1 << SEGMENT_BITS;
const ROW_MASK = SEGMENT_ROWS - 1;

/** Row numbers and their negatives must fit 31 bits. */
const MAXIMUM_ROWS = 0x7fff_ffff;

const ROW_SIZE = DELTA_KEY_SIZE + 8;
const POSITION_AT = DELTA_KEY_SIZE;
const DETAILS_AT = DELTA_KEY_SIZE + 4;

const MAXIMUM_POSITION = 2 ** 35 - 1;

const NONE = -1;

const LENGTH_MASK = 0x0fff_ffff;
const WILL_INIT_BIT = 28;
const POSITION_SHIFT = 29;

/** The table of row numbers doubles when it is fuller than that. */
const MAXIMUM_LOAD = 0.8;
const FIRST_TABLE_SIZE = 1024;

class Segment {
  readonly bytes = new Uint8Array(SEGMENT_ROWS * ROW_SIZE);
  readonly view = new DataView(this.bytes.buffer);
}

/** A row to add: the key at `keyAt`, the LSN in halves. */
export interface NewRow {
  readonly keys: Uint8Array;
  readonly keyAt: number;
  readonly lsnHigh: number;
  readonly lsnLow: number;
  /** Offset of the value in the scratch file, its length, and whether it needs nothing older. */
  readonly position: number;
  readonly length: number;
  readonly willInit: boolean;
}

export class MemoryIndex {
  readonly #segments: Segment[] = [];
  #rowCount = 0;
  /** Each row so far is above the one before. */
  #isAscending = true;
  #highestLsnHigh = 0;
  #highestLsnLow = 0;
  /** Rows below this one are in the table. */
  #indexedRows = 0;
  /** Newest row of each key, by the hash of the key. */
  #table = new Int32Array(0);
  #keyCount = 0;
  /** For each indexed row the next older one of its key, or NONE; in segments. */
  readonly #older: Int32Array[] = [];
  #replacedRows = 0;

  /** Rows added, replaced ones included. */
  get rowCount(): number {
    return this.#rowCount;
  }

  /** Distinct (key, LSN) pairs. */
  get entryCount(): number {
    if (!this.#isAscending) this.#indexNewRows();
    return this.#rowCount - this.#replacedRows;
  }

  /** Throws `too-large` where an index of this kind ends. */
  add(row: NewRow): void {
    if (row.position > MAXIMUM_POSITION || this.#rowCount === MAXIMUM_ROWS) throw tooLarge();
    if ((this.#rowCount & ROW_MASK) === 0) this.#segments.push(new Segment());
    const { bytes, view } = this.#segment(this.#rowCount);
    const at = placeOf(this.#rowCount);
    for (let byte = 0; byte < KEY_SIZE; byte += 1) {
      bytes[at + byte] = row.keys[row.keyAt + byte] as number;
    }
    view.setUint32(at + KEY_SIZE, row.lsnHigh);
    view.setUint32(at + KEY_SIZE + 4, row.lsnLow);
    const low = row.position >>> 0;
    const high = (row.position - low) / 0x1_0000_0000;
    view.setUint32(at + POSITION_AT, low);
    const willInit = row.willInit ? 1 << WILL_INIT_BIT : 0;
    view.setUint32(at + DETAILS_AT, (high << POSITION_SHIFT) | willInit | row.length);
    this.#noteLsn(row.lsnHigh, row.lsnLow);
    this.#isAscending &&=
      this.#rowCount === 0 || this.#compareRows(this.#rowCount - 1, this.#rowCount) < 0;
    this.#rowCount += 1;
  }

  /** Row of the newest entry of the key at or below the LSN; -1 if there is none. */
  find(key: Key, lsn: Lsn): number {
    this.#indexNewRows();
    if (this.#keyCount === 0) return NONE;
    let row = this.#table[this.#slotOf(key, 0)] as number;
    while (row !== NONE && this.lsn(row) > lsn) row = this.olderRow(row);
    return row;
  }

  /** Row of the next older LSN of the same key; -1 if there is none. Requires: a row of `find`. */
  olderRow(row: number): number {
    return (this.#older[row >>> SEGMENT_BITS] as Int32Array)[row & ROW_MASK] as number;
  }

  lsn(row: number): Lsn {
    return lsnOfEntryKey(this.#segment(row).bytes, placeOf(row));
  }

  position(row: number): number {
    const { view } = this.#segment(row);
    const at = placeOf(row);
    const high = view.getUint32(at + DETAILS_AT) >>> POSITION_SHIFT;
    return high * 0x1_0000_0000 + view.getUint32(at + POSITION_AT);
  }

  length(row: number): number {
    return this.#details(row) & LENGTH_MASK;
  }

  willInit(row: number): boolean {
    return ((this.#details(row) >>> WILL_INIT_BIT) & 1) === 1;
  }

  /** 0 without entries. */
  get highestLsn(): Lsn {
    return (BigInt(this.#highestLsnHigh) << 32n) | BigInt(this.#highestLsnLow);
  }

  /** The rows in the order of (key, LSN), without replaced ones; a fresh array. */
  sortedRows(): Uint32Array {
    if (this.#isAscending) return rowsUpTo(this.#rowCount);
    const { rows, words } = sortRows(this.#rowCount, this.#sortSource);
    let count = 0;
    for (let at = 0; at < rows.length; at += 1) {
      const row = rows[at] as number;
      // Equal ones stay in the order in which they came: the last one counts.
      const isReplaced =
        at + 1 < rows.length &&
        words[at] === words[at + 1] &&
        this.#compareRows(row, rows[at + 1] as number) === 0;
      if (isReplaced) continue;
      rows[count] = row;
      count += 1;
    }
    return rows.subarray(0, count);
  }

  /** Copies the 26 bytes of a row's entry key to `at`. */
  copyEntryKey(row: number, target: Uint8Array, at: number): void {
    const { bytes } = this.#segment(row);
    const from = placeOf(row);
    for (let byte = 0; byte < DELTA_KEY_SIZE; byte += 1) {
      target[at + byte] = bytes[from + byte] as number;
    }
  }

  readonly #sortSource: SortSource = {
    bytesOf: (row) => this.#segment(row).bytes,
    placeOf,
  };

  #details(row: number): number {
    return this.#segment(row).view.getUint32(placeOf(row) + DETAILS_AT);
  }

  #noteLsn(high: number, low: number): void {
    if (high < this.#highestLsnHigh) return;
    if (high === this.#highestLsnHigh && low <= this.#highestLsnLow) return;
    this.#highestLsnHigh = high;
    this.#highestLsnLow = low;
  }

  #indexNewRows(): void {
    for (; this.#indexedRows < this.#rowCount; this.#indexedRows += 1) {
      if (this.#keyCount + 1 > this.#table.length * MAXIMUM_LOAD) this.#growTable();
      this.#indexRow(this.#indexedRows);
    }
  }

  /** Chains are in descending order of LSN. */
  #indexRow(row: number): void {
    if ((row & ROW_MASK) === 0) this.#older.push(new Int32Array(SEGMENT_ROWS));
    const slot = this.#slotOf(this.#segment(row).bytes, placeOf(row));
    const newest = this.#table[slot] as number;
    let above = NONE;
    let next = newest;
    while (next !== NONE && this.#compareRows(next, row) > 0) {
      above = next;
      next = this.olderRow(next);
    }
    if (next !== NONE && this.#compareRows(next, row) === 0) {
      next = this.olderRow(next);
      this.#replacedRows += 1;
    }
    this.#setOlder(row, next);
    if (above === NONE) this.#table[slot] = row;
    else this.#setOlder(above, row);
    if (newest === NONE) this.#keyCount += 1;
  }

  #setOlder(row: number, older: number): void {
    (this.#older[row >>> SEGMENT_BITS] as Int32Array)[row & ROW_MASK] = older;
  }

  /** Compares key and LSN of two rows. */
  #compareRows(left: number, right: number): number {
    const { view: leftView } = this.#segment(left);
    const { view: rightView } = this.#segment(right);
    const leftAt = placeOf(left);
    const rightAt = placeOf(right);
    for (let byte = 0; byte < LAST_WORD; byte += 4) {
      const difference = leftView.getUint32(leftAt + byte) - rightView.getUint32(rightAt + byte);
      if (difference !== 0) return difference;
    }
    return leftView.getUint32(leftAt + LAST_WORD) - rightView.getUint32(rightAt + LAST_WORD);
  }

  #segment(row: number): Segment {
    return this.#segments[row >>> SEGMENT_BITS] as Segment;
  }

  /** The slot of the key, or the free one where it belongs. */
  #slotOf(keys: Uint8Array, keyAt: number): number {
    const mask = this.#table.length - 1;
    let slot = hashOf(keys, keyAt) & mask;
    for (;;) {
      const row = this.#table[slot] as number;
      if (row === NONE || this.#hasKey(row, keys, keyAt)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #hasKey(row: number, keys: Uint8Array, keyAt: number): boolean {
    const { bytes } = this.#segment(row);
    const from = placeOf(row);
    // The last bytes differ most often.
    for (let byte = KEY_SIZE - 1; byte >= 0; byte -= 1) {
      if (bytes[from + byte] !== keys[keyAt + byte]) return false;
    }
    return true;
  }

  #growTable(): void {
    const old = this.#table;
    this.#table = new Int32Array(Math.max(FIRST_TABLE_SIZE, 2 * old.length)).fill(NONE);
    const mask = this.#table.length - 1;
    for (const row of old) {
      if (row === NONE) continue;
      // The keys in a table are all different: the first free slot is theirs.
      let slot = hashOf(this.#segment(row).bytes, placeOf(row)) & mask;
      while (this.#table[slot] !== NONE) slot = (slot + 1) & mask;
      this.#table[slot] = row;
    }
  }
}

/** The last four bytes of an entry key overlap the word before by two. */
const LAST_WORD = DELTA_KEY_SIZE - 4;

/** Where a row lies in the bytes of its segment. */
function placeOf(row: number): number {
  return (row & ROW_MASK) * ROW_SIZE;
}

function rowsUpTo(count: number): Uint32Array {
  const rows = new Uint32Array(count);
  for (let row = 0; row < count; row += 1) rows[row] = row;
  return rows;
}

function tooLarge(): StorageError {
  return new StorageError('too-large', {
    what: 'ephemeral layer',
    expected: `at most ${MAXIMUM_ROWS} entries and ${MAXIMUM_POSITION} bytes`,
  });
}

/** Mixes the key in words of four bytes; the last two bytes go in twice. */
function hashOf(keys: Uint8Array, keyAt: number): number {
  let hash = 0;
  for (let byte = keyAt; byte < keyAt + 16; byte += 4) hash = mix(hash ^ wordAt(keys, byte));
  return mix(hash ^ wordAt(keys, keyAt + KEY_SIZE - 4)) >>> 0;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

/** Every bit of the word reaches most bits of the result. */
function mix(word: number): number {
  const product = Math.imul(word ^ (word >>> 16), 0x45d9f3b);
  return product ^ (product >>> 15);
}

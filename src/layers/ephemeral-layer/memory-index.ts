/**
 * Index of an open layer, in memory: for each key its LSNs and where their values lie in the scratch
 * file. Entries are rows of typed arrays, 38 bytes each, in segments, so that growing copies
 * nothing; a hash table of row numbers finds the newest row of a key, and each row names the next
 * older one. A second value of one key at one LSN takes the row of the first.
 */
import { assert } from '../../assert.ts';
import { StorageError } from '../../errors.ts';
import { KEY_SIZE, type Key } from '../key.ts';

const SEGMENT_BITS = 16;
const SEGMENT_ROWS = 1 << SEGMENT_BITS;
const ROW_MASK = SEGMENT_ROWS - 1;

/** Row numbers and their negatives must fit 31 bits. */
const MAXIMUM_ROWS = 0x7fff_ffff;

/** 32 bits in `#positions`, 3 more in the top of `details`. */
const MAXIMUM_POSITION = 2 ** 35 - 1;

const NONE = -1;

/** The table of row numbers grows this many times when it is fuller than that. */
const GROWTH = 2;
const MAXIMUM_LOAD = 0.75;

/** details: 3 high bits of the position, willInit, 28 bits of length. */
const LENGTH_MASK = 0x0fff_ffff;
const WILL_INIT_BIT = 28;
const POSITION_SHIFT = 29;

interface Segment {
  readonly keys: Uint8Array;
  readonly lsns: BigUint64Array;
  readonly positions: Uint32Array;
  readonly details: Uint32Array;
  /** Row of the next older LSN of the key, or NONE. */
  readonly older: Int32Array;
}

export class MemoryIndex {
  readonly #segments: Segment[] = [];
  #rowCount = 0;
  /** Rows by hash of their key; the newest of each key. */
  #table = new Int32Array(1024).fill(NONE);
  #keyCount = 0;
  #highestLsn = 0n;

  get entryCount(): number {
    return this.#rowCount;
  }

  get keyCount(): number {
    return this.#keyCount;
  }

  /** 0 while there are no entries. */
  get highestLsn(): bigint {
    return this.#highestLsn;
  }

  /** Throws `too-large` where an index of this kind ends. */
  put(
    keys: Uint8Array,
    keyAt: number,
    lsn: bigint,
    value: { readonly position: number; readonly length: number; readonly willInit: boolean },
  ): void {
    if (value.position > MAXIMUM_POSITION || this.#rowCount === MAXIMUM_ROWS) {
      throw new StorageError('too-large', {
        what: 'ephemeral layer',
        expected: `at most ${MAXIMUM_ROWS} entries and ${MAXIMUM_POSITION} bytes`,
      });
    }
    if (this.#keyCount + 1 > this.#table.length * MAXIMUM_LOAD) this.#growTable();
    const slot = this.#slotOf(keys, keyAt);
    const newest = this.#table[slot] as number;
    const above = this.#lastAbove(newest, lsn);
    const at = above === NONE ? newest : this.#older(above);
    const replaced = at !== NONE && this.lsn(at) === lsn;
    const row = replaced ? at : this.#addRow(keys, keyAt, lsn, at);
    this.#setValue(row, value);
    if (replaced) return;
    if (above === NONE) this.#table[slot] = row;
    else this.#segment(above).older[above & ROW_MASK] = row;
    if (newest === NONE) this.#keyCount += 1;
    if (lsn > this.#highestLsn) this.#highestLsn = lsn;
  }

  /** Row of the newest entry of the key at or below the LSN; -1 if there is none. */
  find(key: Key, lsn: bigint): number {
    let row = this.#table[this.#slotOf(key, 0)] as number;
    while (row !== NONE && this.lsn(row) > lsn) row = this.#older(row);
    return row;
  }

  /** Row of the next older LSN of the same key; -1 if there is none. */
  olderRow(row: number): number {
    return this.#older(row);
  }

  lsn(row: number): bigint {
    return this.#segment(row).lsns[row & ROW_MASK] as bigint;
  }

  position(row: number): number {
    const { positions, details } = this.#segment(row);
    const at = row & ROW_MASK;
    const high = (details[at] as number) >>> POSITION_SHIFT;
    return high * 0x1_0000_0000 + (positions[at] as number);
  }

  length(row: number): number {
    return (this.#segment(row).details[row & ROW_MASK] as number) & LENGTH_MASK;
  }

  willInit(row: number): boolean {
    return (((this.#segment(row).details[row & ROW_MASK] as number) >>> WILL_INIT_BIT) & 1) === 1;
  }

  copyKey(row: number, target: Uint8Array, at: number): void {
    const { keys } = this.#segment(row);
    const from = (row & ROW_MASK) * KEY_SIZE;
    for (let byte = 0; byte < KEY_SIZE; byte += 1) {
      target[at + byte] = keys[from + byte] as number;
    }
  }

  /** All rows in the order of (key, LSN); a fresh array. */
  sortedRows(): Uint32Array {
    const newestRows = this.#sortByKey(this.#newestRows());
    const rows = new Uint32Array(this.#rowCount);
    let end = 0;
    for (const newest of newestRows) {
      const start = end;
      for (let row = newest; row !== NONE; row = this.#older(row)) {
        rows[end] = row;
        end += 1;
      }
      if (end - start > 1) rows.subarray(start, end).reverse();
    }
    assert(end === this.#rowCount, 'every row has a key');
    return rows;
  }

  /** The newest row of each key, in the order in which the rows came. */
  #newestRows(): Uint32Array<ArrayBuffer> {
    const isOlder = new Uint8Array(this.#rowCount);
    for (let row = 0; row < this.#rowCount; row += 1) {
      const older = this.#older(row);
      if (older !== NONE) isOlder[older] = 1;
    }
    const rows = new Uint32Array(this.#keyCount);
    let count = 0;
    for (let row = 0; row < this.#rowCount; row += 1) {
      if (isOlder[row] === 1) continue;
      rows[count] = row;
      count += 1;
    }
    return rows;
  }

  /** Counting sorts from the last byte to the first, over the bytes that differ at all. */
  #sortByKey(rows: Uint32Array<ArrayBuffer>): Uint32Array {
    if (this.#isSorted(rows)) return rows;
    let source = rows;
    let target = new Uint32Array(rows.length);
    for (let byte = KEY_SIZE - 1; byte >= 0; byte -= 1) {
      const counts = this.#countBytes(source, byte);
      if (counts.includes(source.length)) continue;
      let start = 0;
      for (let value = 0; value < counts.length; value += 1) {
        const count = counts[value] as number;
        counts[value] = start;
        start += count;
      }
      for (const row of source) {
        const value = this.#keyByte(row, byte);
        const at = counts[value] as number;
        target[at] = row;
        counts[value] = at + 1;
      }
      [source, target] = [target, source];
    }
    return source;
  }

  #isSorted(rows: Uint32Array): boolean {
    for (let at = 1; at < rows.length; at += 1) {
      if (this.#compareKeys(rows[at - 1] as number, rows[at] as number) > 0) return false;
    }
    return true;
  }

  #countBytes(rows: Uint32Array, byte: number): Uint32Array {
    const counts = new Uint32Array(256);
    for (const row of rows) {
      const value = this.#keyByte(row, byte);
      counts[value] = (counts[value] as number) + 1;
    }
    return counts;
  }

  #keyByte(row: number, byte: number): number {
    return this.#segment(row).keys[(row & ROW_MASK) * KEY_SIZE + byte] as number;
  }

  #compareKeys(left: number, right: number): number {
    for (let byte = 0; byte < KEY_SIZE; byte += 1) {
      const difference = this.#keyByte(left, byte) - this.#keyByte(right, byte);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  /** The oldest row of the chain whose LSN is above `lsn`; NONE if none is. */
  #lastAbove(newest: number, lsn: bigint): number {
    let above = NONE;
    for (let row = newest; row !== NONE && this.lsn(row) > lsn; row = this.#older(row)) above = row;
    return above;
  }

  #older(row: number): number {
    return this.#segment(row).older[row & ROW_MASK] as number;
  }

  #segment(row: number): Segment {
    return this.#segments[row >>> SEGMENT_BITS] as Segment;
  }

  #addRow(keys: Uint8Array, keyAt: number, lsn: bigint, older: number): number {
    const row = this.#rowCount;
    const at = row & ROW_MASK;
    if (at === 0) this.#segments.push(newSegment());
    const segment = this.#segment(row);
    for (let byte = 0; byte < KEY_SIZE; byte += 1) {
      segment.keys[at * KEY_SIZE + byte] = keys[keyAt + byte] as number;
    }
    segment.lsns[at] = lsn;
    segment.older[at] = older;
    this.#rowCount += 1;
    return row;
  }

  #setValue(
    row: number,
    value: { readonly position: number; readonly length: number; readonly willInit: boolean },
  ): void {
    const { positions, details } = this.#segment(row);
    const low = value.position >>> 0;
    const high = (value.position - low) / 0x1_0000_0000;
    positions[row & ROW_MASK] = low;
    details[row & ROW_MASK] =
      (high << POSITION_SHIFT) | (value.willInit ? 1 << WILL_INIT_BIT : 0) | value.length;
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
    const segment = this.#segment(row);
    const from = (row & ROW_MASK) * KEY_SIZE;
    // The last bytes differ most often.
    for (let byte = KEY_SIZE - 1; byte >= 0; byte -= 1) {
      if (segment.keys[from + byte] !== keys[keyAt + byte]) return false;
    }
    return true;
  }

  #growTable(): void {
    const old = this.#table;
    this.#table = new Int32Array(old.length * GROWTH).fill(NONE);
    const mask = this.#table.length - 1;
    for (const row of old) {
      if (row === NONE) continue;
      // The keys in a table are all different: the first free slot is theirs.
      let slot = hashOf(this.#segment(row).keys, (row & ROW_MASK) * KEY_SIZE) & mask;
      while (this.#table[slot] !== NONE) slot = (slot + 1) & mask;
      this.#table[slot] = row;
    }
  }
}

function newSegment(): Segment {
  return {
    keys: new Uint8Array(SEGMENT_ROWS * KEY_SIZE),
    lsns: new BigUint64Array(SEGMENT_ROWS),
    positions: new Uint32Array(SEGMENT_ROWS),
    details: new Uint32Array(SEGMENT_ROWS),
    older: new Int32Array(SEGMENT_ROWS),
  };
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

/**
 * Rows: what an open layer knows of each value, in the order of the puts.
 *
 *   0   18  key
 *   18  8   LSN
 *   26  4   position in the scratch file, its low 32 bits
 *   30  4   3 high bits of the position, willInit, 28 bits of length
 *
 * All big-endian: 34 bytes per row, in segments, so that adding a row allocates no object, growing
 * copies nothing, and a random access touches one or two cache lines.
 */
import { assert } from '../../assert.ts';
import { copyWords, ViewedBytes } from '../../byte-words.ts';
import { StorageError } from '../../errors.ts';
import { KEY_SIZE, type Key } from '../key.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';
import type { Lsn } from '../lsn.ts';
import { highHalf, lowHalf } from '../lsn-halves.ts';

export const SEGMENT_BITS = 14;
export const SEGMENT_ROWS = 1 << SEGMENT_BITS;
export const ROW_MASK = SEGMENT_ROWS - 1;

export const ROW_SIZE = DELTA_KEY_SIZE + 8;
const SEGMENT_SIZE = SEGMENT_ROWS * ROW_SIZE;
const POSITION_AT = DELTA_KEY_SIZE;
export const DETAILS_AT = DELTA_KEY_SIZE + 4;

/** Row numbers and their negatives must fit 31 bits. */
const MAXIMUM_ROWS = 0x7fff_ffff;
const MAXIMUM_POSITION = 2 ** 35 - 1;

export const LENGTH_MASK = 0x0fff_ffff;
export const WILL_INIT_BIT = 28;
const POSITION_SHIFT = 29;

/** Moves the bits of a position above the low 32 to their place in the details. */
const HIGH_POSITION_DIVISOR = 0x1_0000_0000 / 0x2000_0000;

/** Rows to add, in parallel arrays. */
export interface NewRows {
  readonly count: number;
  /** 18 bytes each. */
  readonly keys: DataView;
  /** Two halves each; see `halvesOf`. */
  readonly lsnHalves: Uint32Array;
  /** Where each value starts, relative to the position. */
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
  /** 0 or 1. */
  readonly willInit: Uint8Array;
}

/** Rows that are complete, in memory that threads share. */
export interface SharedRows {
  readonly segments: readonly SharedArrayBuffer[];
  readonly count: number;
  readonly isAscending: boolean;
  readonly isInFileOrder: boolean;
  readonly areLsnsAscending: boolean;
  readonly areLsnsInOrder: boolean;
}

/**
 * Shared memory for the rows of several layers, one after the other. It is reused, because the garbage collectors of
 * two threads would have to find that a segment is free, and they hardly notice memory outside their heaps.
 */
export class RowMemory {
  readonly #free: SharedArrayBuffer[] = [];

  take(): SharedArrayBuffer {
    return this.#free.pop() ?? new SharedArrayBuffer(SEGMENT_SIZE);
  }

  /** Requires: no thread reads the segments any more. */
  release(segments: readonly SharedArrayBuffer[]): void {
    this.#free.push(...segments);
  }
}

export class Rows {
  /** Undefined if only this thread uses the rows. */
  readonly #memory: RowMemory | undefined;
  readonly #segments: DataView<ArrayBufferLike>[] = [];
  #count = 0;
  #isAscending = true;
  #isInFileOrder = true;
  #areLsnsAscending = true;
  #areLsnsInOrder = true;
  #highestLsnHigh = 0;
  #highestLsnLow = 0;
  #lastPosition = 0;

  constructor(memory?: RowMemory) {
    this.#memory = memory;
  }

  /** Rows of another thread, which no longer adds any. */
  static ofShared(shared: SharedRows): Rows {
    const rows = new Rows();
    for (const segment of shared.segments) rows.#segments.push(new DataView(segment));
    rows.#count = shared.count;
    rows.#isAscending = shared.isAscending;
    rows.#isInFileOrder = shared.isInFileOrder;
    rows.#areLsnsAscending = shared.areLsnsAscending;
    rows.#areLsnsInOrder = shared.areLsnsInOrder;
    return rows;
  }

  /** For `ofShared` on another thread; nothing is copied. Requires: shared memory, and no row is added any more. */
  share(): SharedRows {
    return {
      segments: this.#sharedSegments(),
      count: this.#count,
      isAscending: this.#isAscending,
      isInFileOrder: this.#isInFileOrder,
      areLsnsAscending: this.#areLsnsAscending,
      areLsnsInOrder: this.#areLsnsInOrder,
    };
  }

  /** Releases shared memory, and with it all rows. Requires: no other thread reads them. Idempotent. */
  release(): void {
    if (this.#memory === undefined) return;
    this.#memory.release(this.#sharedSegments());
    this.#segments.length = 0;
    this.#count = 0;
  }

  get count(): number {
    return this.#count;
  }

  /** True if the (key, LSN) of each row is above that of the row before. */
  get isAscending(): boolean {
    return this.#isAscending;
  }

  /** True if no value starts before that of the row before. */
  get isInFileOrder(): boolean {
    return this.#isInFileOrder;
  }

  /** True if each LSN is above that of the row before; then no row replaces another. */
  get areLsnsAscending(): boolean {
    return this.#areLsnsAscending;
  }

  /** True if no LSN is below that of the row before. */
  get areLsnsInOrder(): boolean {
    return this.#areLsnsInOrder;
  }

  /** 0 if there are no rows. */
  get highestLsn(): Lsn {
    return (BigInt(this.#highestLsnHigh) << 32n) | BigInt(this.#highestLsnLow);
  }

  /**
   * Adds rows whose values lie at `position` plus their `starts`.
   * Requires: `checkReach` accepts the end of each value.
   * Throws: `too-large` if there would be too many rows; then none is added.
   */
  add(rows: NewRows, position: number): void {
    const { count } = rows;
    if (this.#count + count > MAXIMUM_ROWS) throw tooManyRows();
    for (let at = 0; at < count; ) {
      const inSegment = this.#count & ROW_MASK;
      if (inSegment === 0) this.#addSegment();
      const end = Math.min(count, at + SEGMENT_ROWS - inSegment);
      this.#addToSegment(rows, position, at, end);
      at = end;
    }
  }

  /** Keeps running totals in variables, so that fields are written once instead of once per row. */
  #addToSegment(rows: NewRows, position: number, from: number, end: number): void {
    const { keys, lsnHalves, starts, lengths, willInit } = rows;
    const view = this.view(this.#count);
    let place = placeOf(this.#count);
    let row = this.#count;
    let highestHigh = this.#highestLsnHigh;
    let highestLow = this.#highestLsnLow;
    let lastPosition = this.#lastPosition;
    for (let at = from; at < end; at += 1) {
      copyKey(keys, at * KEY_SIZE, view, place);
      const high = highHalf(lsnHalves, at);
      const low = lowHalf(lsnHalves, at);
      view.setUint32(place + KEY_SIZE, high);
      view.setUint32(place + KEY_SIZE + 4, low);
      const start = position + (starts[at] as number);
      const startLow = start >>> 0;
      const details =
        ((start - startLow) / HIGH_POSITION_DIVISOR) |
        (willInit[at] === 0 ? 0 : 1 << WILL_INIT_BIT) |
        (lengths[at] as number);
      view.setUint32(place + POSITION_AT, startLow);
      view.setUint32(place + DETAILS_AT, details);
      if (high > highestHigh || (high === highestHigh && low > highestLow)) {
        highestHigh = high;
        highestLow = low;
      } else if (row > 0) {
        this.#areLsnsAscending = false;
        if (high !== highestHigh || low !== highestLow) this.#areLsnsInOrder = false;
      }
      if (start < lastPosition) this.#isInFileOrder = false;
      lastPosition = start;
      if (this.#isAscending && row > 0) this.#isAscending = this.compare(row - 1, row) < 0;
      row += 1;
      place += ROW_SIZE;
    }
    this.#count = row;
    this.#highestLsnHigh = highestHigh;
    this.#highestLsnLow = highestLow;
    this.#lastPosition = lastPosition;
  }

  /** The segment of a row, which lies at `placeOf(row)`. */
  view(row: number): DataView {
    return this.#segments[row >>> SEGMENT_BITS] as DataView;
  }

  lsn(row: number): Lsn {
    return this.view(row).getBigUint64(placeOf(row) + KEY_SIZE);
  }

  position(row: number): number {
    const view = this.view(row);
    const place = placeOf(row);
    const high = view.getUint32(place + DETAILS_AT) >>> POSITION_SHIFT;
    return high * 0x1_0000_0000 + view.getUint32(place + POSITION_AT);
  }

  length(row: number): number {
    return this.#details(row) & LENGTH_MASK;
  }

  willInit(row: number): number {
    return (this.#details(row) >>> WILL_INIT_BIT) & 1;
  }

  /** Copies the 26 bytes of a row's entry key to `at`. */
  copyEntryKey(row: number, target: DataView, at: number): void {
    copyWords(this.view(row), placeOf(row), target, at, DELTA_KEY_SIZE);
  }

  /** Reads a little of each row; the result keeps a compiler from removing the reads. */
  touch(numbers: Uint32Array): number {
    let touched = 0;
    for (let at = 0; at < numbers.length; at += 1) {
      const row = numbers[at] as number;
      const view = this.view(row);
      const place = placeOf(row);
      // Half of the rows straddle two cache lines.
      touched ^= view.getInt32(place) ^ view.getInt32(place + DETAILS_AT);
    }
    return touched;
  }

  /** Compares key and LSN of two rows. */
  compare(left: number, right: number): number {
    const leftView = this.view(left);
    const rightView = this.view(right);
    const leftAt = placeOf(left);
    const rightAt = placeOf(right);
    for (let byte = 0; byte < LAST_WORD; byte += 4) {
      const order = compareWords(leftView, leftAt + byte, rightView, rightAt + byte);
      if (order !== 0) return order;
    }
    return compareWords(leftView, leftAt + LAST_WORD, rightView, rightAt + LAST_WORD);
  }

  #details(row: number): number {
    return this.view(row).getUint32(placeOf(row) + DETAILS_AT);
  }

  #addSegment(): void {
    this.#segments.push(new DataView(this.#memory?.take() ?? new ArrayBuffer(SEGMENT_SIZE)));
  }

  #sharedSegments(): SharedArrayBuffer[] {
    assert(this.#memory !== undefined, 'the rows lie in shared memory');
    return this.#segments.map(({ buffer }) => buffer as SharedArrayBuffer);
  }
}

/** The last four bytes of an entry key overlap the word before by two. */
const LAST_WORD = DELTA_KEY_SIZE - 4;

assert(KEY_SIZE === 18, 'copyKey copies 18 bytes');

/** `copyWords` for one key, without loops: it is called for each row. */
function copyKey(source: DataView, from: number, target: DataView, at: number): void {
  target.setInt32(at, source.getInt32(from));
  target.setInt32(at + 4, source.getInt32(from + 4));
  target.setInt32(at + 8, source.getInt32(from + 8));
  target.setInt32(at + 12, source.getInt32(from + 12));
  target.setInt16(at + 16, source.getInt16(from + 16));
}

/** A difference of the two would not always fit a small integer. */
function compareWords(left: DataView, leftAt: number, right: DataView, rightAt: number): number {
  const one = left.getUint32(leftAt);
  const other = right.getUint32(rightAt);
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

/** Offset of a row in its view. */
export function placeOf(row: number): number {
  return (row & ROW_MASK) * ROW_SIZE;
}

/** One row in the form of `NewRows`; its arrays are reused for the next one. */
export class SingleRow implements NewRows {
  readonly count = 1;
  readonly #key = new ViewedBytes(new Uint8Array(KEY_SIZE));
  readonly #lsn = new BigUint64Array(1);
  readonly keys = this.#key.view;
  readonly lsnHalves = new Uint32Array(this.#lsn.buffer);
  readonly starts = new Uint32Array(1);
  readonly lengths = new Uint32Array(1);
  readonly willInit = new Uint8Array(1);

  set(row: { key: Key; lsn: Lsn; length: number; willInit: boolean }): this {
    this.#key.bytes.set(row.key);
    this.#lsn[0] = row.lsn;
    this.lengths[0] = row.length;
    this.willInit[0] = row.willInit ? 1 : 0;
    return this;
  }
}

/** Throws `too-large` for a value that ends beyond the last position. */
export function checkReach(end: number): void {
  if (end > MAXIMUM_POSITION) throw tooManyRows();
}

function tooManyRows(): StorageError {
  return new StorageError('too-large', {
    what: 'ephemeral layer',
    expected: `at most ${MAXIMUM_ROWS} entries and ${MAXIMUM_POSITION} bytes`,
  });
}

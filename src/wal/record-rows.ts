/**
 * Where records are: a row of 32 bytes for each, little-endian, in the memory of the records, so that WebAssembly
 * (`record-kernel.ts`) can write them, too:
 *
 *   0   u64  start LSN            20  u32  offset of the record in the memory
 *   8   u64  end LSN              24  u32  its size, without padding
 *   16  u32  timeline             28       unused
 */

import type { Lsn } from '../layers/lsn.ts';
import { halvesOf, highHalf, lowHalf, setHalves } from '../layers/lsn-halves.ts';

/** Offsets of the fields. */
export const ROW = { start: 0, end: 8, timeline: 16, offset: 20, size: 24 };
export const ROW_SIZE = 32;

const LONGS = ROW_SIZE / 8;
const WORDS = ROW_SIZE / 4;

/** A record to add; LSNs are in halves. */
export interface RecordRow {
  readonly startHigh: number;
  readonly startLow: number;
  readonly endHigh: number;
  readonly endLow: number;
  readonly timelineId: number;
  readonly offset: number;
  readonly size: number;
}

/** All methods require the number of an existing row. */
export class RecordRows {
  readonly #bytes: Uint8Array;
  readonly #longs: BigUint64Array;
  readonly #words: Uint32Array;
  readonly #halves: Uint32Array;

  /** Requires: room for `count` rows at the offset, which is a multiple of 8 in the memory of the array. */
  constructor({ buffer, byteOffset }: Uint8Array, offset: number, count: number) {
    const start = byteOffset + offset;
    this.#bytes = new Uint8Array(buffer, start, ROW_SIZE * count);
    this.#longs = new BigUint64Array(buffer, start, LONGS * count);
    this.#words = new Uint32Array(buffer, start, WORDS * count);
    this.#halves = halvesOf(this.#longs);
  }

  /** The bytes of the rows from one up to another; a view. */
  bytes(from: number, to: number): Uint8Array {
    return this.#bytes.subarray(ROW_SIZE * from, ROW_SIZE * to);
  }

  startLsn(index: number): Lsn {
    return this.#longs[LONGS * index + ROW.start / 8] as Lsn;
  }

  startHigh(index: number): number {
    return highHalf(this.#halves, LONGS * index + ROW.start / 8);
  }

  startLow(index: number): number {
    return lowHalf(this.#halves, LONGS * index + ROW.start / 8);
  }

  endLsn(index: number): Lsn {
    return this.#longs[LONGS * index + ROW.end / 8] as Lsn;
  }

  endHigh(index: number): number {
    return highHalf(this.#halves, LONGS * index + ROW.end / 8);
  }

  endLow(index: number): number {
    return lowHalf(this.#halves, LONGS * index + ROW.end / 8);
  }

  timelineId(index: number): number {
    return this.#words[WORDS * index + ROW.timeline / 4] as number;
  }

  offset(index: number): number {
    return this.#words[WORDS * index + ROW.offset / 4] as number;
  }

  size(index: number): number {
    return this.#words[WORDS * index + ROW.size / 4] as number;
  }

  set(index: number, row: RecordRow): void {
    setHalves(this.#halves, LONGS * index + ROW.start / 8, row.startHigh, row.startLow);
    setHalves(this.#halves, LONGS * index + ROW.end / 8, row.endHigh, row.endLow);
    this.#words[WORDS * index + ROW.timeline / 4] = row.timelineId;
    this.#words[WORDS * index + ROW.offset / 4] = row.offset;
    this.#words[WORDS * index + ROW.size / 4] = row.size;
  }
}

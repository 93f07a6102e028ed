/**
 * LSNs as two unsigned 32-bit halves, which are compared and copied without a bigint for each.
 *
 * A BigUint64Array is seen as pairs of words, in the byte order of the machine. Entry keys hold an LSN
 * as 8 big-endian bytes.
 */
import type { Lsn, LsnRange } from './lsn.ts';

/** Bytes of an LSN in an entry key. */
export const LSN_SIZE = 8;

/** Index of the low half in a pair: 0 on a little-endian machine. */
const LOW = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 0 : 1;
const HIGH = 1 - LOW;

/** A view of LSNs as halves, for the functions below. */
export function halvesOf(lsns: BigUint64Array): Uint32Array {
  return new Uint32Array(lsns.buffer, lsns.byteOffset, 2 * lsns.length);
}

export function highHalf(halves: Uint32Array, index: number): number {
  return halves[2 * index + HIGH] as number;
}

export function lowHalf(halves: Uint32Array, index: number): number {
  return halves[2 * index + LOW] as number;
}

export function setHalves(halves: Uint32Array, index: number, high: number, low: number): void {
  halves[2 * index + HIGH] = high;
  halves[2 * index + LOW] = low;
}

/** Splits and joins LSNs; valid within one call. */
const lsn = new BigUint64Array(1);
const halves = halvesOf(lsn);

export function joinHalves(high: number, low: number): Lsn {
  setHalves(halves, 0, high, low);
  return lsn[0] as bigint;
}

export function splitLsn(whole: Lsn): { readonly high: number; readonly low: number } {
  lsn[0] = whole;
  return { high: highHalf(halves, 0), low: lowHalf(halves, 0) };
}

/** An LSN range, for LSNs in halves. */
export class LsnBounds {
  readonly #startHigh: number;
  readonly #startLow: number;
  readonly #endHigh: number;
  readonly #endLow: number;

  /** The end may be that of `ALL_LSNS`, whose high half has 33 bits. */
  constructor({ start, end }: LsnRange) {
    ({ high: this.#startHigh, low: this.#startLow } = splitLsn(start));
    this.#endHigh = Number(end >> 32n);
    this.#endLow = Number(end & 0xffff_ffffn);
  }

  contains(high: number, low: number): boolean {
    return (
      (high > this.#startHigh || (high === this.#startHigh && low >= this.#startLow)) &&
      (high < this.#endHigh || (high === this.#endHigh && low < this.#endLow))
    );
  }
}

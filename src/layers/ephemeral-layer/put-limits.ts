/** Checks the keys, LSNs and lengths that an ephemeral layer accepts, before anything is changed. */
import { checkBlobLength } from '../../blob-writer/blob-format.ts';
import { StorageError } from '../../errors.ts';
import { type ValueBatch, valueBeyondBatch } from '../delta-layer/value-batch.ts';
import {
  fitsPageserver,
  formatKey,
  KEY_SIZE,
  type Key,
  maximumKey,
  unfitKeyError,
} from '../key.ts';
import { checkLsn, formatLsn, type Lsn, MAXIMUM_LSN } from '../lsn.ts';
import { highHalf, lowHalf, splitLsn } from '../lsn-halves.ts';
import type { Spread } from './batch-values.ts';

const LAST_KEY = maximumKey();

export class PutLimits {
  readonly #startLsn: Lsn;
  readonly #startHigh: number;
  readonly #startLow: number;

  constructor(startLsn: Lsn) {
    this.#startLsn = startLsn;
    ({ high: this.#startHigh, low: this.#startLow } = splitLsn(startLsn));
  }

  /** Throws: `out-of-range`, `invalid-input`. */
  checkPut(key: Key, lsn: Lsn): void {
    if (typeof lsn !== 'bigint') checkLsn(lsn);
    const isLsnInRange = lsn >= this.#startLsn && lsn <= MAXIMUM_LSN;
    if (!isLsnInRange || !fitsPageserver(key)) throw this.#refusal(key, 0, lsn);
  }

  /**
   * Checks every value; returns the part of `values` that they lie in, and their total length.
   * Requires: `halves` are those of the LSNs. Throws: as `checkPut`; `too-large`.
   */
  checkBatch(batch: ValueBatch, halves: Uint32Array): Spread {
    const { count, keys, lsns, values, starts, lengths } = batch;
    let first = count === 0 ? 0 : values.length;
    let end = 0;
    let size = 0;
    for (let at = 0; at < count; at += 1) {
      const start = starts[at] as number;
      const length = lengths[at] as number;
      const high = highHalf(halves, at);
      const isAbove =
        high > this.#startHigh ||
        (high === this.#startHigh && lowHalf(halves, at) >= this.#startLow);
      if (!isAbove || !fitsPageserver(keys, at * KEY_SIZE)) {
        throw this.#refusal(keys, at * KEY_SIZE, lsns[at] as bigint);
      }
      checkBlobLength(length);
      if (start + length > values.length) throw valueBeyondBatch(at, start + length, values.length);
      first = Math.min(first, start);
      end = Math.max(end, start + length);
      size += length;
    }
    return { first, end, size };
  }

  /** Requires: the LSN is outside, or the key does not fit a pageserver, as the last key of all. */
  #refusal(keys: Uint8Array, keyAt: number, lsn: Lsn): StorageError {
    const isLsnInRange = lsn >= this.#startLsn && lsn <= MAXIMUM_LSN;
    if (isLsnInRange && !isLastKey(keys, keyAt)) {
      return unfitKeyError(keys, keyAt, { lsn: formatLsn(lsn) });
    }
    return new StorageError('out-of-range', {
      what: 'put is outside the layer',
      key: formatKey(keys, keyAt),
      lsn: formatLsn(lsn),
      expected: `LSNs from ${formatLsn(this.#startLsn)}, keys below ${formatKey(LAST_KEY)}`,
    });
  }
}

/** True for the key that no half-open range can contain. */
function isLastKey(keys: Uint8Array, keyAt: number): boolean {
  for (let byte = 0; byte < KEY_SIZE; byte += 1) {
    if (keys[keyAt + byte] !== 0xff) return false;
  }
  return true;
}

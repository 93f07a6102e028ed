/**
 * The checkpoint of a timeline: the CheckPoint of Postgres, brought forward by records. It differs from the one of
 * the server: the next transaction is ahead, rounded up to 1,024, so that few records change it, and `redo` is the end
 * of a shutdown checkpoint, or 0.
 *
 * Transactions and multixacts are compared modulo 2^32: one is ahead if the difference, as i32, is positive.
 * Source: Neon libs/postgres_ffi/src/xlog_utils.rs.
 */
import { corrupt } from '../../errors.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { CHECKPOINT_OFFSETS, CHECKPOINT_SIZE } from '../../wal/main-data/checkpoint.ts';

/** The next transaction is a multiple of it, once a record has moved it. */
export const XID_INTERVAL = 1024;
const FIRST_NORMAL_XID = 3;

type Field = Exclude<keyof typeof CHECKPOINT_OFFSETS, 'redo' | 'nextXid'>;

export class CheckpointValue {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #nextXidLow: number;
  #nextXidHigh: number;
  #isChanged = false;

  /** `bytes` are copied; fields without a name here are kept. Throws `corrupt` unless there are 88. */
  constructor(bytes: Uint8Array) {
    if (bytes.length !== CHECKPOINT_SIZE) {
      throw corrupt('checkpoint', undefined, `${CHECKPOINT_SIZE} bytes`, `${bytes.length}`);
    }
    this.#bytes = Uint8Array.from(bytes);
    this.#view = new DataView(this.#bytes.buffer);
    this.#nextXidLow = this.#view.getUint32(CHECKPOINT_OFFSETS.nextXid, true);
    this.#nextXidHigh = this.#view.getUint32(CHECKPOINT_OFFSETS.nextXid + 4, true);
  }

  /** Whether a value must be put; false again until the next change. */
  takeChange(): boolean {
    const isChanged = this.#isChanged;
    this.#isChanged = false;
    return isChanged;
  }

  /** The 88 bytes; a copy. */
  bytes(): Uint8Array {
    return this.#bytes.slice();
  }

  /** Low 32 bits of the next transaction. */
  get nextXid(): number {
    return this.#nextXidLow;
  }

  /** The next transaction with its epoch. */
  get nextFullXid(): bigint {
    return fullXid(this.#nextXidHigh, this.#nextXidLow);
  }

  get(field: Field): number {
    return this.#view.getUint32(CHECKPOINT_OFFSETS[field], true);
  }

  /** The value is put even if it is the same. */
  set(field: Field, value: number): void {
    this.#view.setUint32(CHECKPOINT_OFFSETS[field], value, true);
    this.#isChanged = true;
  }

  setRedo(lsn: Lsn): void {
    this.#view.setBigUint64(CHECKPOINT_OFFSETS.redo, lsn, true);
    this.#isChanged = true;
  }

  /** Whether `noteXid` would change anything. */
  isAheadOf(xid: number): boolean {
    return ((roundedUp(xid) - this.#nextXidLow) | 0) <= 0;
  }

  /** Moves the next transaction ahead of one that a record names. */
  noteXid(xid: number): void {
    if (this.isAheadOf(xid)) return;
    const next = roundedUp(xid);
    if (next < this.#nextXidLow) this.#nextXidHigh = (this.#nextXidHigh + 1) >>> 0;
    this.#nextXidLow = next;
    this.#view.setUint32(CHECKPOINT_OFFSETS.nextXid, this.#nextXidLow, true);
    this.#view.setUint32(CHECKPOINT_OFFSETS.nextXid + 4, this.#nextXidHigh, true);
    this.#isChanged = true;
  }

  /** Sets a field if the value is ahead of it. */
  advance(field: Field, value: number): void {
    if (isAhead(value, this.get(field))) this.set(field, value);
  }

  /**
   * The transaction with its epoch, which is that of the next one or the one before.
   *
   * @throws `corrupt` if it were in the epoch before the first.
   */
  fullXidOf(xid: number): bigint {
    if (xid <= this.#nextXidLow) return fullXid(this.#nextXidHigh, xid);
    if (this.#nextXidHigh > 0) return fullXid(this.#nextXidHigh - 1, xid);
    throw corrupt('transaction', undefined, `at most ${this.#nextXidLow}`, `${xid}`);
  }
}

/** Whether one transaction or multixact is ahead of another, modulo 2^32. */
export function isAhead(left: number, right: number): boolean {
  return ((left - right) | 0) > 0;
}

function fullXid(epoch: number, xid: number): bigint {
  return (BigInt(epoch) << 32n) | BigInt(xid);
}

/** The next transaction after one, as far ahead as it is stored; 0 after the last ones of an epoch. */
function roundedUp(xid: number): number {
  const next = Math.max((xid + 1) >>> 0, FIRST_NORMAL_XID);
  return (((next + XID_INTERVAL - 1) >>> 0) & -XID_INTERVAL) >>> 0;
}

/**
 * bincode with fixed-size integers, big-endian: bool and Option are one byte, 0 or 1; byte strings
 * and lists start with a u64 count.
 */
import { isUtf8 } from 'node:buffer';
import { StorageError } from '../errors.ts';

/** Writes into an array that must be large enough. Throws `out-of-range`. */
export class BincodeEncoder {
  readonly #target: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(capacity: number) {
    this.#target = new Uint8Array(capacity);
    this.#view = new DataView(this.#target.buffer);
  }

  finish(): Uint8Array {
    return this.#target.subarray(0, this.#at);
  }

  u8(value: number): this {
    this.#view.setUint8(this.#at, checkUnsigned(value, 0xff));
    this.#at += 1;
    return this;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#at, checkUnsigned(value, 0xffff_ffff));
    this.#at += 4;
    return this;
  }

  u64(value: bigint): this {
    checkBigint(value, 0n, 0xffff_ffff_ffff_ffffn);
    this.#view.setBigUint64(this.#at, value);
    this.#at += 8;
    return this;
  }

  i64(value: bigint): this {
    checkBigint(value, -0x8000_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn);
    this.#view.setBigInt64(this.#at, value);
    this.#at += 8;
    return this;
  }

  count(value: number): this {
    return this.u64(BigInt(value));
  }

  optionalU32(value: number | null): this {
    return value === null ? this.u8(0) : this.u8(1).u32(value);
  }

  u32List(values: readonly number[]): this {
    this.count(values.length);
    for (const value of values) this.u32(value);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    this.count(bytes.length);
    this.#target.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }
}

type DecodeItem<T> = (view: DataView, at: number) => T;

/** A list that stays in its encoded form: an item is decoded when it is asked for. */
export class StoredList<T> {
  readonly length: number;
  readonly #view: DataView;
  readonly #start: number;
  readonly #itemSize: number;
  readonly #decodeItem: DecodeItem<T>;

  /** Requires: the items lie in the view. */
  constructor(
    view: DataView,
    list: { start: number; length: number; itemSize: number; decodeItem: DecodeItem<T> },
  ) {
    this.length = list.length;
    this.#view = view;
    this.#start = list.start;
    this.#itemSize = list.itemSize;
    this.#decodeItem = list.decodeItem;
  }

  /** Of the first item, in bytes from the start of the view. */
  get offset(): number {
    return this.#start;
  }

  slice(from: number, to: number): T[] {
    const start = this.#start + from * this.#itemSize;
    return Array.from({ length: Math.min(to, this.length) - from }, (_, index) =>
      this.#decodeItem(this.#view, start + index * this.#itemSize),
    );
  }
}

/** Checks every length against the bytes that are left before anything is allocated. */
export class BincodeDecoder {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #length: number;
  /** Where the bytes begin in the value. */
  readonly #start: number;
  #at: number;

  /**
   * For a part of a value: `length` is that of the complete value, and `start` is where the part
   * begins. Bytes after the part can be skipped but not decoded.
   */
  constructor(
    bytes: Uint8Array,
    { length = bytes.length, start = 0 }: { length?: number; start?: number } = {},
  ) {
    this.#bytes = bytes;
    this.#length = length;
    this.#start = start;
    this.#at = start;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Position in the value of the next field. */
  get offset(): number {
    return this.#at;
  }

  expectEnd(): void {
    if (this.#at === this.#length) return;
    throw this.corrupt('bytes after the value', 'none', `${this.#length - this.#at}`, 0);
  }

  u8(what: string): number {
    return this.#view.getUint8(this.#take(1, what));
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what));
  }

  u64(what: string): bigint {
    return this.#view.getBigUint64(this.#take(8, what));
  }

  i64(what: string): bigint {
    return this.#view.getBigInt64(this.#take(8, what));
  }

  bool(what: string): boolean {
    const flag = this.u8(what);
    if (flag > 1) throw this.corrupt(what, '0 or 1', `${flag}`, 1);
    return flag === 1;
  }

  optionalU32(what: string): number | null {
    return this.bool(what) ? this.u32(what) : null;
  }

  u32List(what: string): StoredList<number> {
    return this.list(what, 4, (view, at) => view.getUint32(at));
  }

  list<T>(what: string, itemSize: number, decodeItem: DecodeItem<T>): StoredList<T> {
    const length = this.#count(what, itemSize);
    const start = this.#take(length * itemSize, what);
    return new StoredList(this.#view, { start, length, itemSize, decodeItem });
  }

  /** Skips a byte string or a list. */
  skipList(what: string, itemSize: number): void {
    this.#take(this.#count(what, itemSize) * itemSize, what);
  }

  skip(what: string, size: number): void {
    this.#take(size, what);
  }

  bytes(what: string): Uint8Array {
    const length = this.#count(what, 1);
    const start = this.#take(length, what);
    return this.#bytes.subarray(start, start + length);
  }

  /** The bytes of a text; a view. Throws `corrupt` unless they are UTF-8. */
  utf8(what: string): Uint8Array {
    const bytes = this.bytes(what);
    if (isUtf8(bytes)) return bytes;
    throw new StorageError('corrupt', {
      what,
      offset: this.#at - bytes.length,
      expected: 'UTF-8',
    });
  }

  corrupt(what: string, expected: string, actual: string, back: number): StorageError {
    return new StorageError('corrupt', { what, offset: this.#at - back, expected, actual });
  }

  #count(what: string, itemSize: number): number {
    const count = this.u64(`length of ${what}`);
    const left = this.#length - this.#at;
    if (count > BigInt(Math.floor(left / itemSize))) {
      throw this.corrupt(`length of ${what}`, `at most ${left} bytes left`, `${count} items`, 8);
    }
    return Number(count);
  }

  /** Returns: the index of the first of them in the bytes. */
  #take(size: number, what: string): number {
    const start = this.#at;
    if (start + size > this.#length) {
      throw new StorageError('truncated', {
        what: `value is truncated in its ${what}`,
        offset: start,
        expected: `${size} more bytes`,
        actual: `${this.#length - start}`,
      });
    }
    this.#at = start + size;
    return start - this.#start;
  }
}

function checkUnsigned(value: number, maximum: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= maximum) return value;
  throw new StorageError('out-of-range', {
    what: 'field of a value',
    expected: `an integer from 0 to ${maximum}`,
    actual: String(value),
  });
}

function checkBigint(value: bigint, minimum: bigint, maximum: bigint): void {
  if (typeof value === 'bigint' && value >= minimum && value <= maximum) return;
  throw new StorageError('out-of-range', {
    what: 'field of a value',
    expected: `a bigint from ${minimum} to ${maximum}`,
    actual: String(value),
  });
}

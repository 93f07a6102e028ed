/**
 * bincode with fixed-size integers, in either byte order: bool and Option are one byte, 0 or 1; byte
 * strings and lists start with a u64 count.
 *
 * Neon stores values and timeline metadata big-endian, and directories of keys little-endian, which is
 * bincode's own default.
 */
import { isUtf8 } from 'node:buffer';
import { corrupt, StorageError } from './errors.ts';
import { I64_MAXIMUM, I64_MINIMUM, U8_MAXIMUM, U32_MAXIMUM, U64_MAXIMUM } from './integers.ts';
import { valueText } from './printable.ts';

/** Byte order of integers and counts. */
export type ByteOrder = 'big-endian' | 'little-endian';

/** Writes into an array that must be large enough. Throws `out-of-range`, with the name of the field if it is given. */
export class BincodeEncoder {
  readonly #target: Uint8Array;
  readonly #view: DataView;
  readonly #isLittle: boolean;
  #at = 0;

  constructor(capacity: number, byteOrder: ByteOrder = 'big-endian') {
    this.#target = new Uint8Array(capacity);
    this.#view = new DataView(this.#target.buffer);
    this.#isLittle = byteOrder === 'little-endian';
  }

  finish(): Uint8Array {
    return this.#target.subarray(0, this.#at);
  }

  u8(value: number, what?: string): this {
    this.#view.setUint8(this.#at, checkUnsigned(value, U8_MAXIMUM, what));
    this.#at += 1;
    return this;
  }

  u32(value: number, what?: string): this {
    this.#view.setUint32(this.#at, checkUnsigned(value, U32_MAXIMUM, what), this.#isLittle);
    this.#at += 4;
    return this;
  }

  u64(value: bigint, what?: string): this {
    checkBigint(value, 0n, U64_MAXIMUM, what);
    this.#view.setBigUint64(this.#at, value, this.#isLittle);
    this.#at += 8;
    return this;
  }

  i64(value: bigint, what?: string): this {
    checkBigint(value, I64_MINIMUM, I64_MAXIMUM, what);
    this.#view.setBigInt64(this.#at, value, this.#isLittle);
    this.#at += 8;
    return this;
  }

  count(value: number): this {
    return this.u64(BigInt(value));
  }

  optional<T>(value: T | null, encode: (value: T) => void): this {
    if (value === null) return this.u8(0);
    this.u8(1);
    encode(value);
    return this;
  }

  u32List(values: readonly number[], what?: string): this {
    this.count(values.length);
    for (const value of values) this.u32(value, what);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    return this.count(bytes.length).array(bytes);
  }

  /** Bytes whose number the format states, so that no count precedes them. */
  array(bytes: Uint8Array): this {
    this.#target.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }
}

type DecodeItem<T> = (view: DataView, at: number, isLittle: boolean) => T;

interface ListPlace<T> {
  readonly start: number;
  readonly length: number;
  readonly itemSize: number;
  readonly isLittle: boolean;
  readonly decodeItem: DecodeItem<T>;
}

/** A list that stays in its encoded form: an item is decoded on demand. */
export class StoredList<T> {
  readonly length: number;
  readonly #view: DataView;
  readonly #place: ListPlace<T>;

  /** Requires: the items lie in the view. */
  constructor(view: DataView, place: ListPlace<T>) {
    this.length = place.length;
    this.#view = view;
    this.#place = place;
  }

  /** Offset of the first item, in bytes from the start of the view. */
  get offset(): number {
    return this.#place.start;
  }

  slice(from: number, to: number): T[] {
    const { start, itemSize, isLittle, decodeItem } = this.#place;
    return Array.from({ length: Math.min(to, this.length) - from }, (_, index) =>
      decodeItem(this.#view, start + (from + index) * itemSize, isLittle),
    );
  }
}

/** How bytes are decoded. */
export interface DecoderOptions {
  /** Default: big-endian. */
  readonly byteOrder?: ByteOrder;
  /** Length of the complete value, if the bytes are a part of it. Default: that of the bytes. */
  readonly length?: number;
  /** Where the bytes begin in the value. Default: 0. */
  readonly start?: number;
  /**
   * The code of a value that ends within a field: `truncated`, the default, or `corrupt` where the length is known
   * to be that of a complete value.
   */
  readonly ifShort?: 'truncated' | 'corrupt';
}

/**
 * Checks every length against the bytes that are left before anything is allocated. Bytes beyond the given part can be
 * skipped but not decoded.
 */
export class BincodeDecoder {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #length: number;
  readonly #start: number;
  readonly #isLittle: boolean;
  readonly #ifShort: 'truncated' | 'corrupt';
  #at: number;

  constructor(
    bytes: Uint8Array,
    {
      byteOrder = 'big-endian',
      length = bytes.length,
      start = 0,
      ifShort = 'truncated',
    }: DecoderOptions = {},
  ) {
    this.#bytes = bytes;
    this.#length = length;
    this.#start = start;
    this.#isLittle = byteOrder === 'little-endian';
    this.#ifShort = ifShort;
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

  u16(what: string): number {
    return this.#view.getUint16(this.#take(2, what), this.#isLittle);
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), this.#isLittle);
  }

  u64(what: string): bigint {
    return this.#view.getBigUint64(this.#take(8, what), this.#isLittle);
  }

  i64(what: string): bigint {
    return this.#view.getBigInt64(this.#take(8, what), this.#isLittle);
  }

  bool(what: string): boolean {
    const flag = this.u8(what);
    if (flag > 1) throw this.corrupt(what, '0 or 1', `${flag}`, 1);
    return flag === 1;
  }

  optional<T>(what: string, decode: (what: string) => T): T | null {
    return this.bool(what) ? decode(what) : null;
  }

  u32List(what: string): StoredList<number> {
    return this.list(what, 4, (view, at, isLittle) => view.getUint32(at, isLittle));
  }

  list<T>(what: string, itemSize: number, decodeItem: DecodeItem<T>): StoredList<T> {
    return this.items(what, this.#count(what, itemSize), itemSize, decodeItem);
  }

  /** A list whose length the format states elsewhere. Throws if fewer items are left. */
  items<T>(
    what: string,
    length: number,
    itemSize: number,
    decodeItem: DecodeItem<T>,
  ): StoredList<T> {
    const start = this.#take(length * itemSize, what);
    const isLittle = this.#isLittle;
    return new StoredList(this.#view, { start, length, itemSize, isLittle, decodeItem });
  }

  /** Skips a byte string or a list. */
  skipList(what: string, itemSize: number): void {
    this.#take(this.#count(what, itemSize) * itemSize, what);
  }

  skip(what: string, size: number): void {
    this.#take(size, what);
  }

  bytes(what: string): Uint8Array {
    return this.array(what, this.#count(what, 1));
  }

  /** Bytes whose number the format states, so that no count precedes them; a view. */
  array(what: string, length: number): Uint8Array {
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
    return corrupt(what, this.#at - back, expected, actual);
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
      throw new StorageError(this.#ifShort, {
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

function checkUnsigned(value: number, maximum: number, what = 'field of a value'): number {
  if (Number.isInteger(value) && value >= 0 && value <= maximum) return value;
  throw new StorageError('out-of-range', {
    what,
    expected: `an integer from 0 to ${maximum}`,
    actual: valueText(value),
  });
}

function checkBigint(
  value: bigint,
  minimum: bigint,
  maximum: bigint,
  what = 'field of a value',
): void {
  if (typeof value === 'bigint' && value >= minimum && value <= maximum) return;
  throw new StorageError('out-of-range', {
    what,
    expected: `a bigint from ${minimum} to ${maximum}`,
    actual: valueText(value),
  });
}

/**
 * Walks MessagePack without creating any value, so that a hostile document is refused before a decoder
 * allocates memory for it: a decoder allocates an array by the length in its header, so that 1 MiB of
 * nested headers, each of which claims as many elements as there are bytes, costs hundreds of gigabytes.
 * A decoder's own limits are for one container, not for all of them, nor for the depth.
 *
 *   00-7f e0-ff  integer                c0 c2 c3   nil, false, true
 *   80-8f de df  map, 4/16/32 bits      ca cb      float, 32/64 bits
 *   90-9f dc dd  array, 4/16/32 bits    cc-cf      unsigned integer, 8 to 64 bits
 *   a0-bf d9-db  string, 5/8/16/32 bits d0-d3      signed integer, 8 to 64 bits
 *   c4-c6        bytes, 8/16/32 bits    c1 c7-c9 d4-d8   never used, extensions: refused
 *
 * Maps have strings as keys, none of which is `__proto__`.
 */
import { isUtf8 } from 'node:buffer';
import { StorageError, tooLarge } from '../errors.ts';

/** Limits of MessagePack. */
export interface MsgpackLimits {
  /** Levels of nested containers; the outermost counts as 1. */
  readonly maximumDepth: number;
  /** Values and keys together. */
  readonly maximumCount: number;
  /** Bytes of one string or byte string. */
  readonly maximumStringLength: number;
}

/**
 * Checks that the bytes are one complete value within the limits.
 *
 * Requires: `maximumDepth` is small enough for a recursion.
 * Throws, with the offset of the value: `too-large`, `truncated`, `corrupt`.
 */
export function checkMsgpack(bytes: Uint8Array, limits: MsgpackLimits): void {
  new Walk(bytes, limits).run();
}

/** Checks that the bytes are one complete value. */
class Walk {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #limits: MsgpackLimits;
  /** Values that are still to come in all open containers. Each takes at least one byte. */
  #promised = 1;
  #count = 0;
  #offset = 0;

  constructor(bytes: Uint8Array, limits: MsgpackLimits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#limits = limits;
  }

  run(): void {
    this.#value(1, 'value');
    const rest = this.#bytes.length - this.#offset;
    if (rest > 0) throw this.#error('corrupt', 'the end of the value', `${rest} more bytes`);
  }

  /** `depth` is that of the value, if it is a container. */
  #value(depth: number, role: 'key' | 'value'): void {
    const { maximumCount } = this.#limits;
    this.#count += 1;
    if (this.#count > maximumCount) throw this.#tooLarge(maximumCount, 'values');
    this.#checkLeft(1);
    const { type, lengthSize, length: ownLength } = this.#shape();
    this.#checkLeft(1 + lengthSize);
    if (role === 'key' && type !== 'string') throw this.#error('corrupt', 'a string as key', type);
    this.#promised -= 1;
    const length = lengthSize === 0 ? ownLength : this.#lengthField(lengthSize);
    if (type === 'array' || type === 'map') {
      this.#items(type, { depth, length, headSize: 1 + lengthSize });
      return;
    }
    this.#checkContent(type, { length, headSize: 1 + lengthSize, role });
    this.#offset += 1 + lengthSize + length;
  }

  #shape(): Shape {
    const tag = this.#view.getUint8(this.#offset);
    const shape = SHAPES[tag];
    if (shape !== undefined) return shape;
    throw this.#error('corrupt', 'a type without extensions', `0x${tag.toString(16)}`);
  }

  #lengthField(size: 1 | 2 | 4): number {
    const offset = this.#offset + 1;
    if (size === 1) return this.#view.getUint8(offset);
    return size === 2 ? this.#view.getUint16(offset) : this.#view.getUint32(offset);
  }

  #items(
    type: 'array' | 'map',
    { depth, length, headSize }: { depth: number; length: number; headSize: number },
  ): void {
    const { maximumDepth } = this.#limits;
    if (depth > maximumDepth) throw this.#tooLarge(maximumDepth, 'levels');
    const values = type === 'map' ? 2 * length : length;
    this.#checkLeft(headSize + values + this.#promised);
    this.#promised += values;
    this.#offset += headSize;
    for (let index = 0; index < values; index += 1) {
      this.#value(depth + 1, type === 'map' && index % 2 === 0 ? 'key' : 'value');
    }
  }

  #checkContent(
    type: Type,
    { length, headSize, role }: { length: number; headSize: number; role: 'key' | 'value' },
  ): void {
    const { maximumStringLength } = this.#limits;
    if (type !== 'scalar' && length > maximumStringLength) {
      throw this.#tooLarge(maximumStringLength, 'bytes', length);
    }
    this.#checkLeft(headSize + length);
    if (type !== 'string' || length === 0) return;
    const start = this.#offset + headSize;
    const text = this.#bytes.subarray(start, start + length);
    if (!isUtf8(text)) throw this.#error('corrupt', 'UTF-8', 'other bytes');
    if (role === 'key' && FORBIDDEN_KEY.equals(text)) {
      throw this.#error('corrupt', 'a key other than a prototype', '"__proto__"');
    }
  }

  #checkLeft(length: number): void {
    const left = this.#bytes.length - this.#offset;
    if (length > left) throw this.#error('truncated', `at least ${length} bytes`, `${left}`);
  }

  #error(code: 'corrupt' | 'truncated', expected: string, actual: string): StorageError {
    return new StorageError(code, { what: WHAT, offset: this.#offset, expected, actual });
  }

  #tooLarge(maximum: number, unit: string, actual?: number): StorageError {
    return tooLarge(WHAT, { maximum, unit, actual, offset: this.#offset });
  }
}

const WHAT = 'MessagePack';

/** Decoders treat it as the prototype of an object, or refuse it. */
const FORBIDDEN_KEY = Buffer.from('__proto__');

type Type = 'scalar' | 'string' | 'bytes' | 'array' | 'map';

/** The meaning of a first byte. */
interface Shape {
  readonly type: Type;
  /** Bytes of the length that follows; 0 if the first byte implies it. */
  readonly lengthSize: 0 | 1 | 2 | 4;
  /** Bytes of content, or elements, or pairs; only where `lengthSize` is 0. */
  readonly length: number;
}

/** First bytes whose length follows. */
const SIZED: readonly [firstTag: number, type: Type, lengthSizes: readonly (1 | 2 | 4)[]][] = [
  [0xc4, 'bytes', [1, 2, 4]],
  [0xd9, 'string', [1, 2, 4]],
  [0xdc, 'array', [2, 4]],
  [0xde, 'map', [2, 4]],
];

/** First bytes of scalars, by the size of what follows. */
const SCALARS: readonly [firstTag: number, sizes: readonly number[]][] = [
  [0xc0, [0]],
  [0xc2, [0, 0]],
  [0xca, [4, 8, 1, 2, 4, 8, 1, 2, 4, 8]],
];

/** By the first byte. */
const SHAPES: readonly (Shape | undefined)[] = allShapes();

function allShapes(): (Shape | undefined)[] {
  const shapes = Array.from({ length: 256 }, (_, tag): Shape | undefined => {
    if (tag <= 0x7f || tag >= 0xe0) return { type: 'scalar', lengthSize: 0, length: 0 };
    if (tag <= 0x8f) return { type: 'map', lengthSize: 0, length: tag & 0x0f };
    if (tag <= 0x9f) return { type: 'array', lengthSize: 0, length: tag & 0x0f };
    if (tag <= 0xbf) return { type: 'string', lengthSize: 0, length: tag & 0x1f };
    return undefined;
  });
  for (const [first, type, sizes] of SIZED) {
    for (const [index, lengthSize] of sizes.entries()) {
      shapes[first + index] = { type, lengthSize, length: 0 };
    }
  }
  for (const [first, sizes] of SCALARS) {
    for (const [index, length] of sizes.entries()) {
      shapes[first + index] = { type: 'scalar', lengthSize: 0, length };
    }
  }
  return shapes;
}

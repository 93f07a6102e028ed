/**
 * Walks MessagePack without creating any value, so that a hostile document is refused before a decoder
 * allocates memory for it: a few bytes of array headers can claim gigabytes.
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
import { StorageError, type StorageErrorCode } from '../errors.ts';

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
 * Throws, with the offset of the value: `too-large`, `truncated`, `corrupt`.
 */
export function checkMsgpack(bytes: Uint8Array, limits: MsgpackLimits): void {
  new Walk(bytes, limits).run();
}

type Type = 'scalar' | 'string' | 'bytes' | 'array' | 'map';

/** The meaning of a first byte. */
interface Shape {
  readonly type: Type;
  /** Bytes of the length that follows; 0 if the first byte contains it. */
  readonly lengthSize: 0 | 1 | 2 | 4;
  /** Bytes of content, or elements, or pairs; only where `lengthSize` is 0. */
  readonly length: number;
}

interface Container {
  type: 'array' | 'map';
  /** Remaining values, including keys: in a map, a key is next if this is even. */
  left: number;
}

/** Creates no object per value, since each byte may be a value. */
class Walk {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #limits: MsgpackLimits;
  /** The first `#depth` are open; the others are reused. */
  readonly #containers: Container[] = [];
  #depth = 0;
  /** Remaining values in all open containers. Each takes at least one byte. */
  #promised = 1;
  #count = 0;
  #offset = 0;

  constructor(bytes: Uint8Array, limits: MsgpackLimits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#limits = limits;
  }

  run(): void {
    while (this.#promised > 0) this.#value();
    const rest = this.#bytes.length - this.#offset;
    if (rest > 0) throw this.#error('corrupt', 'the end of the value', `${rest} more bytes`);
  }

  #value(): void {
    const { maximumCount } = this.#limits;
    this.#count += 1;
    if (this.#count > maximumCount) {
      throw this.#error('too-large', `at most ${maximumCount} values`, 'more');
    }
    const { type, length: ownLength, lengthSize } = this.#shape();
    const headSize = 1 + lengthSize;
    const length = lengthSize === 0 ? ownLength : this.#lengthField(lengthSize);
    const isKey = this.#takeFromContainer();
    if (isKey && type !== 'string') throw this.#error('corrupt', 'a string as key', type);
    if (type === 'array') this.#enter(type, length, headSize);
    else if (type === 'map') this.#enter(type, 2 * length, headSize);
    else this.#pass(type, headSize, length, isKey);
    while (this.#innermost?.left === 0) this.#depth -= 1;
  }

  /** The shape of the next value, whose head is known to be present. */
  #shape(): Shape {
    this.#checkLeft(1);
    const tag = this.#view.getUint8(this.#offset);
    const shape = SHAPES[tag];
    if (shape === undefined) {
      throw this.#error('corrupt', 'a type without extensions', `0x${tag.toString(16)}`);
    }
    this.#checkLeft(1 + shape.lengthSize);
    return shape;
  }

  #lengthField(size: 1 | 2 | 4): number {
    const offset = this.#offset + 1;
    if (size === 1) return this.#view.getUint8(offset);
    return size === 2 ? this.#view.getUint16(offset) : this.#view.getUint32(offset);
  }

  get #innermost(): Container | undefined {
    return this.#depth === 0 ? undefined : this.#containers[this.#depth - 1];
  }

  /** Counts the value in its container; true if it is a key. */
  #takeFromContainer(): boolean {
    this.#promised -= 1;
    const container = this.#innermost;
    if (container === undefined) return false;
    const isKey = container.type === 'map' && container.left % 2 === 0;
    container.left -= 1;
    return isKey;
  }

  #enter(type: 'array' | 'map', values: number, headSize: number): void {
    const { maximumDepth } = this.#limits;
    if (this.#depth >= maximumDepth) {
      throw this.#error('too-large', `at most ${maximumDepth} levels`, 'more');
    }
    this.#checkLeft(headSize + values + this.#promised);
    this.#promised += values;
    this.#depth += 1;
    const container = this.#innermost;
    if (container === undefined) {
      this.#containers.push({ type, left: values });
    } else {
      container.type = type;
      container.left = values;
    }
    this.#offset += headSize;
  }

  #pass(
    type: 'scalar' | 'string' | 'bytes',
    headSize: number,
    length: number,
    isKey: boolean,
  ): void {
    const { maximumStringLength } = this.#limits;
    if (type !== 'scalar' && length > maximumStringLength) {
      throw this.#error('too-large', `at most ${maximumStringLength} bytes`, `${length}`);
    }
    this.#checkLeft(headSize + length);
    if (type === 'string' && length > 0) this.#checkText(this.#offset + headSize, length, isKey);
    this.#offset += headSize + length;
  }

  #checkText(start: number, length: number, isKey: boolean): void {
    if (length < FORBIDDEN_KEY.length && this.#isAscii(start, length)) return;
    const content = this.#bytes.subarray(start, start + length);
    if (!isUtf8(content)) throw this.#error('corrupt', 'UTF-8', 'other bytes');
    if (isKey && FORBIDDEN_KEY.equals(content)) {
      throw this.#error('corrupt', 'a key other than a prototype', '"__proto__"');
    }
  }

  #isAscii(start: number, length: number): boolean {
    for (let offset = start; offset < start + length; offset += 1) {
      if (this.#view.getUint8(offset) >= 0x80) return false;
    }
    return true;
  }

  #checkLeft(length: number): void {
    const left = this.#bytes.length - this.#offset;
    if (length > left) throw this.#error('truncated', `at least ${length} bytes`, `${left}`);
  }

  #error(code: StorageErrorCode, expected: string, actual: string): StorageError {
    return new StorageError(code, { what: 'MessagePack', offset: this.#offset, expected, actual });
  }
}

/** Decoders treat it as the prototype of an object, or refuse it. */
const FORBIDDEN_KEY = Buffer.from('__proto__');

const OTHER_SHAPES = new Map<number, Shape>([
  [0xc0, fixed('scalar', 0)],
  [0xc2, fixed('scalar', 0)],
  [0xc3, fixed('scalar', 0)],
  [0xc4, sized('bytes', 1)],
  [0xc5, sized('bytes', 2)],
  [0xc6, sized('bytes', 4)],
  [0xca, fixed('scalar', 4)],
  [0xcb, fixed('scalar', 8)],
  [0xcc, fixed('scalar', 1)],
  [0xcd, fixed('scalar', 2)],
  [0xce, fixed('scalar', 4)],
  [0xcf, fixed('scalar', 8)],
  [0xd0, fixed('scalar', 1)],
  [0xd1, fixed('scalar', 2)],
  [0xd2, fixed('scalar', 4)],
  [0xd3, fixed('scalar', 8)],
  [0xd9, sized('string', 1)],
  [0xda, sized('string', 2)],
  [0xdb, sized('string', 4)],
  [0xdc, sized('array', 2)],
  [0xdd, sized('array', 4)],
  [0xde, sized('map', 2)],
  [0xdf, sized('map', 4)],
]);

/** By the first byte. */
const SHAPES: readonly (Shape | undefined)[] = Array.from({ length: 256 }, (_, tag) => {
  if (tag <= 0x7f || tag >= 0xe0) return fixed('scalar', 0);
  if (tag <= 0x8f) return fixed('map', tag & 0x0f);
  if (tag <= 0x9f) return fixed('array', tag & 0x0f);
  if (tag <= 0xbf) return fixed('string', tag & 0x1f);
  return OTHER_SHAPES.get(tag);
});

function fixed(type: Type, length: number): Shape {
  return { type, lengthSize: 0, length };
}

function sized(type: Type, lengthSize: 1 | 2 | 4): Shape {
  return { type, lengthSize, length: 0 };
}

/**
 * Value: what a delta blob holds. bincode with fixed-size integers, big-endian; enum tags are u32,
 * bool and Option one byte, 0 or 1; byte strings and lists have a u64 count in front. No bytes are
 * left over.
 *
 *   0     length u64, data                                 image
 *   1 0   willInit u8, length u64, data                    WAL record of Postgres, raw
 *   1 1   Option u32 new, Option u32 old, flags u8         clear visibility map flags
 *   1 2   n u64, n * u32 xid, timestamp i64                clog: committed
 *   1 3   n u64, n * u32 xid                               clog: aborted
 *   1 4   mid u32, moff u32                                multixact offset
 *   1 5   moff u32, n u64, n * (xid u32, status u32)       multixact members
 *   1 6   path (u64 length, UTF-8), Option content         auxiliary file
 *   1 7   truncByte u64, truncOffset u64                   truncate visibility map
 *
 * Source: Neon libs/pageserver_api/src/value.rs, record.rs.
 */
import { StorageError } from '../errors.ts';

export interface MultixactMember {
  readonly xid: number;
  readonly status: number;
}

export type Value =
  | { readonly type: 'image'; readonly bytes: Uint8Array }
  | { readonly type: 'wal'; readonly willInit: boolean; readonly bytes: Uint8Array }
  | {
      readonly type: 'clear_vm';
      readonly newHeapBlock: number | null;
      readonly oldHeapBlock: number | null;
      readonly flags: number;
    }
  | {
      readonly type: 'clog_set_committed';
      readonly xids: readonly number[];
      readonly timestamp: bigint;
    }
  | { readonly type: 'clog_set_aborted'; readonly xids: readonly number[] }
  | {
      readonly type: 'multixact_offset_create';
      readonly multixactId: number;
      readonly multixactOffset: number;
    }
  | {
      readonly type: 'multixact_members_create';
      readonly multixactOffset: number;
      readonly members: readonly MultixactMember[];
    }
  | { readonly type: 'aux_file'; readonly path: string; readonly content: Uint8Array | null }
  | { readonly type: 'truncate_vm'; readonly truncByte: bigint; readonly truncOffset: bigint };

export type ValueType = Value['type'];

const TAG_IMAGE = 0;
const TAG_RECORD = 1;

const RECORD_TYPES = [
  'wal',
  'clear_vm',
  'clog_set_committed',
  'clog_set_aborted',
  'multixact_offset_create',
  'multixact_members_create',
  'aux_file',
  'truncate_vm',
] as const satisfies readonly ValueType[];

/** Bytes in front of the data of an image: tag, length. */
export const IMAGE_HEADER_SIZE = 4 + 8;

/** True if nothing older than the value is needed to build the page from it. */
export function valueWillInit(value: Value): boolean {
  return value.type === 'image' || (value.type === 'wal' && value.willInit);
}

/** Returns: the serialized value; a fresh array. Throws `out-of-range`, `invalid-input`. */
export function encodeValue(value: Value): Uint8Array {
  const encoder = new Encoder(sizeOf(value));
  switch (value.type) {
    case 'image':
      encoder.u32(TAG_IMAGE).bytes(value.bytes);
      break;
    case 'wal':
      encoder
        .record(value.type)
        .u8(value.willInit ? 1 : 0)
        .bytes(value.bytes);
      break;
    case 'clear_vm':
      encoder.record(value.type);
      encoder.optionalU32(value.newHeapBlock).optionalU32(value.oldHeapBlock).u8(value.flags);
      break;
    case 'clog_set_committed':
      encoder.record(value.type).u32List(value.xids).i64(value.timestamp);
      break;
    case 'clog_set_aborted':
      encoder.record(value.type).u32List(value.xids);
      break;
    case 'multixact_offset_create':
      encoder.record(value.type).u32(value.multixactId).u32(value.multixactOffset);
      break;
    case 'multixact_members_create':
      encoder.record(value.type).u32(value.multixactOffset).count(value.members.length);
      for (const { xid, status } of value.members) encoder.u32(xid).u32(status);
      break;
    case 'aux_file':
      encoder.record(value.type).bytes(encodeText(value.path));
      encoder.u8(value.content === null ? 0 : 1);
      if (value.content !== null) encoder.bytes(value.content);
      break;
    case 'truncate_vm':
      encoder.record(value.type).u64(value.truncByte).u64(value.truncOffset);
      break;
  }
  return encoder.finish();
}

/**
 * Returns: the value; its byte strings are views of `bytes`.
 * Throws: `corrupt`, `truncated`; offsets count from the start of the bytes.
 */
export function decodeValue(bytes: Uint8Array): Value {
  const decoder = new Decoder(bytes);
  const value = decodeTagged(decoder);
  decoder.expectEnd();
  return value;
}

function decodeTagged(decoder: Decoder): Value {
  const tag = decoder.u32('value');
  if (tag === TAG_IMAGE) return { type: 'image', bytes: decoder.bytes('image') };
  if (tag !== TAG_RECORD) throw decoder.corrupt('value', 'variant 0 or 1', `${tag}`, 4);
  const recordTag = decoder.u32('record');
  const type = RECORD_TYPES[recordTag];
  if (type === undefined) throw decoder.corrupt('record', 'variant 0 to 7', `${recordTag}`, 4);
  return decodeRecord(decoder, type);
}

function decodeRecord(decoder: Decoder, type: (typeof RECORD_TYPES)[number]): Value {
  switch (type) {
    case 'wal':
      return { type, willInit: decoder.bool('willInit'), bytes: decoder.bytes('WAL record') };
    case 'clear_vm':
      return {
        type,
        newHeapBlock: decoder.optionalU32('newHeapBlock'),
        oldHeapBlock: decoder.optionalU32('oldHeapBlock'),
        flags: decoder.u8('flags'),
      };
    case 'clog_set_committed':
      return { type, xids: decoder.u32List('xids'), timestamp: decoder.i64('timestamp') };
    case 'clog_set_aborted':
      return { type, xids: decoder.u32List('xids') };
    case 'multixact_offset_create':
      return { type, multixactId: decoder.u32('mid'), multixactOffset: decoder.u32('moff') };
    case 'multixact_members_create':
      return {
        type,
        multixactOffset: decoder.u32('moff'),
        members: decoder.list('members', 8, () => ({
          xid: decoder.u32('xid'),
          status: decoder.u32('status'),
        })),
      };
    case 'aux_file':
      return {
        type,
        path: decoder.text('path'),
        content: decoder.bool('content') ? decoder.bytes('content') : null,
      };
    case 'truncate_vm':
      return { type, truncByte: decoder.u64('truncByte'), truncOffset: decoder.u64('truncOffset') };
  }
}

function sizeOf(value: Value): number {
  switch (value.type) {
    case 'image':
      return IMAGE_HEADER_SIZE + value.bytes.length;
    case 'wal':
      return 8 + 1 + 8 + value.bytes.length;
    case 'clear_vm':
      return 8 + 5 + 5 + 1;
    case 'clog_set_committed':
      return 8 + 8 + 4 * value.xids.length + 8;
    case 'clog_set_aborted':
      return 8 + 8 + 4 * value.xids.length;
    case 'multixact_offset_create':
      return 8 + 8;
    case 'multixact_members_create':
      return 8 + 4 + 8 + 8 * value.members.length;
    case 'aux_file':
      return 8 + 8 + 3 * value.path.length + 1 + 8 + (value.content?.length ?? 0);
    case 'truncate_vm':
      return 8 + 16;
    default:
      throw unknownType(value);
  }
}

/** For callers whose types nobody checked: an empty blob would be no value. */
function unknownType(value: never): StorageError {
  const { type }: { readonly type?: unknown } = value;
  return new StorageError('invalid-input', {
    what: 'type of the value',
    expected: `image, ${RECORD_TYPES.join(', ')}`,
    actual: String(type),
  });
}

class Encoder {
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

  record(type: (typeof RECORD_TYPES)[number]): this {
    return this.u32(TAG_RECORD).u32(RECORD_TYPES.indexOf(type));
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

/** Every length is checked against the bytes that are left before anything is allocated. */
class Decoder {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  expectEnd(): void {
    if (this.#at === this.#bytes.length) return;
    throw this.corrupt('bytes behind the value', 'none', `${this.#bytes.length - this.#at}`, 0);
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

  u32List(what: string): number[] {
    return this.list(what, 4, () => this.u32(what));
  }

  list<T>(what: string, itemSize: number, decodeItem: () => T): T[] {
    const count = this.#count(what, itemSize);
    return Array.from({ length: count }, decodeItem);
  }

  bytes(what: string): Uint8Array {
    const length = this.#count(what, 1);
    const start = this.#take(length, what);
    return this.#bytes.subarray(start, start + length);
  }

  text(what: string): string {
    const bytes = this.bytes(what);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (cause) {
      throw new StorageError('corrupt', {
        what,
        offset: this.#at - bytes.length,
        expected: 'UTF-8',
        cause,
      });
    }
  }

  corrupt(what: string, expected: string, actual: string, back: number): StorageError {
    return new StorageError('corrupt', { what, offset: this.#at - back, expected, actual });
  }

  #count(what: string, itemSize: number): number {
    const count = this.u64(`length of ${what}`);
    const left = this.#bytes.length - this.#at;
    if (count > BigInt(Math.floor(left / itemSize))) {
      throw this.corrupt(`length of ${what}`, `at most ${left} bytes left`, `${count} items`, 8);
    }
    return Number(count);
  }

  #take(size: number, what: string): number {
    const start = this.#at;
    if (start + size > this.#bytes.length) {
      throw new StorageError('truncated', {
        what: `value ends in ${what}`,
        offset: start,
        expected: `${size} bytes`,
        actual: `${this.#bytes.length - start}`,
      });
    }
    this.#at = start + size;
    return start;
  }
}

/** Throws `invalid-input` for a lone surrogate, which UTF-8 cannot hold. */
function encodeText(text: string): Uint8Array {
  if (/\p{Surrogate}/u.test(text)) {
    throw new StorageError('invalid-input', { what: 'path', expected: 'well-formed Unicode' });
  }
  return new TextEncoder().encode(text);
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

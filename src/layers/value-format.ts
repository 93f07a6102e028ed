/**
 * Value: what a delta blob holds. bincode with fixed-size integers, big-endian; enum tags are u32,
 * bool and Option one byte, 0 or 1; byte strings and lists start with a u64 count. No bytes follow.
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
import { constants } from 'node:buffer';
import { BincodeDecoder, BincodeEncoder, type StoredList } from '../bincode.ts';
import { checkBytes, checkLimit, checkObject, checkOptions } from '../check-options.ts';
import { StorageError, tooLarge } from '../errors.ts';

/** A member of a multixact. */
export interface MultixactMember {
  /** Transaction id, u32. */
  readonly xid: number;
  /** Status of the member, u32. */
  readonly status: number;
}

/**
 * A value of a delta layer: the image of a page, a WAL record (`willInit`: nothing older is needed),
 * or one of Neon's own records, with the fields that the table above has. Heap blocks are null where
 * there is none; a `content` of null deletes the auxiliary file.
 */
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

/** The kind of a value. */
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

const TAG_WAL = RECORD_TYPES.indexOf('wal');

/** Bytes before the data of an image: tag, length. */
export const IMAGE_HEADER_SIZE = 4 + 8;

/** Bytes before the path of an auxiliary file, and before the transactions of the commit log: tags, length. */
export const PATH_OFFSET = 4 + 4 + 8;
export const CLOG_XIDS_OFFSET = PATH_OFFSET;

/** Bytes before the data of a WAL record: tags, willInit, length. */
export const WAL_HEADER_SIZE = 4 + 4 + 1 + 8;

/** True if the page can be built from the value without an older one. */
export function valueWillInit(value: Value): boolean {
  checkObject('value', value);
  return value.type === 'image' || (value.type === 'wal' && value.willInit);
}

/**
 * Serializes a value.
 *
 * @returns The bytes; a new array.
 * @throws `out-of-range`, `invalid-input`.
 */
export function encodeValue(value: Value): Uint8Array {
  checkObject('value', value);
  checkValueBytes(value);
  const encoder = new BincodeEncoder(sizeOf(value));
  switch (value.type) {
    case 'image':
      encoder.u32(TAG_IMAGE).bytes(value.bytes);
      break;
    case 'wal':
      encodeRecordTag(encoder, value.type).u8(value.willInit ? 1 : 0);
      encoder.bytes(value.bytes);
      break;
    case 'clear_vm':
      encodeRecordTag(encoder, value.type);
      for (const block of [value.newHeapBlock, value.oldHeapBlock]) {
        encoder.optional(block, (number) => encoder.u32(number));
      }
      encoder.u8(value.flags);
      break;
    case 'clog_set_committed':
      encodeRecordTag(encoder, value.type).u32List(value.xids).i64(value.timestamp);
      break;
    case 'clog_set_aborted':
      encodeRecordTag(encoder, value.type).u32List(value.xids);
      break;
    case 'multixact_offset_create':
      encodeRecordTag(encoder, value.type).u32(value.multixactId).u32(value.multixactOffset);
      break;
    case 'multixact_members_create':
      encodeRecordTag(encoder, value.type).u32(value.multixactOffset).count(value.members.length);
      for (const { xid, status } of value.members) encoder.u32(xid).u32(status);
      break;
    case 'aux_file':
      encodeRecordTag(encoder, value.type).bytes(encodeText(value.path));
      encoder.u8(value.content === null ? 0 : 1);
      if (value.content !== null) encoder.bytes(value.content);
      break;
    case 'truncate_vm':
      encodeRecordTag(encoder, value.type).u64(value.truncByte).u64(value.truncOffset);
      break;
  }
  return encoder.finish();
}

/** Options of `decodeValue`. */
export interface DecodeValueOptions {
  /**
   * Maximum number of transactions or members in a list. Default 1,000,000: a member takes 8 bytes in
   * a value and up to 170 as an object, and Neon writes at most 32,768.
   */
  readonly maximumItems?: number | undefined;
}

const DECODE_OPTIONS: Record<keyof DecodeValueOptions, true> = { maximumItems: true };

const DEFAULT_MAXIMUM_ITEMS = 1_000_000;

/**
 * Decodes a serialized value.
 *
 * @param bytes Exactly one value.
 * @returns The value; its byte strings are views of `bytes`.
 * @throws `corrupt`, `truncated`, `too-large` (a list longer than the maximum, or a path longer than
 * a string can be), `invalid-input`. Offsets of errors count from the start of `bytes`.
 *
 * @example
 * const value = decodeValue(entry.bytes);
 * if (value.type === 'image') use(value.bytes);
 */
export function decodeValue(bytes: Uint8Array, options: DecodeValueOptions = {}): Value {
  checkBytes(bytes, 'serialized value');
  checkOptions(options, DECODE_OPTIONS);
  const { maximumItems = DEFAULT_MAXIMUM_ITEMS } = options;
  checkLimit('limit: items of a list', options.maximumItems);
  const value = viewValue(bytes);
  switch (value.type) {
    case 'clog_set_committed':
    case 'clog_set_aborted':
      return { ...value, xids: itemsOf('xids', value.xids, maximumItems) };
    case 'multixact_members_create':
      return { ...value, members: itemsOf('members', value.members, maximumItems) };
    case 'aux_file': {
      const { type, path, content } = value;
      return { type, path: decodeText(path), content };
    }
    default:
      return value;
  }
}

/** A value whose lists stay encoded: decoding allocates a few objects only, whatever the bytes are. */
export type ValueView =
  | Exclude<Value, { readonly type: ListType | 'aux_file' }>
  | {
      readonly type: 'clog_set_committed';
      readonly xids: StoredList<number>;
      readonly timestamp: bigint;
    }
  | { readonly type: 'clog_set_aborted'; readonly xids: StoredList<number> }
  | {
      readonly type: 'multixact_members_create';
      readonly multixactOffset: number;
      readonly members: StoredList<MultixactMember>;
    }
  /** The path in UTF-8. */
  | { readonly type: 'aux_file'; readonly path: Uint8Array; readonly content: Uint8Array | null };

type ListType = 'clog_set_committed' | 'clog_set_aborted' | 'multixact_members_create';

/** Like `decodeValue`, but without limits. */
export function viewValue(bytes: Uint8Array): ValueView {
  const decoder = new BincodeDecoder(bytes);
  const type = decodeType(decoder);
  const value: ValueView =
    type === 'image' ? { type, bytes: decoder.bytes('image') } : decodeRecord(decoder, type);
  decoder.expectEnd();
  return value;
}

/** The kind of a value, without its content. */
export interface ValueOutline {
  readonly type: ValueType;
  /** See `valueWillInit`. */
  readonly willInit: boolean;
}

/** Bytes that `outlineOfBegin` needs. */
export const VALUE_OUTLINE_SIZE = 32;

/** Checks a value by the rules of `decodeValue`, without decoding it. Throws the same. */
export function outlineOfValue(bytes: Uint8Array): ValueOutline {
  const outline = outlineOfBegin(bytes, bytes.length);
  if (outline !== undefined) return outline;
  const decoder = new BincodeDecoder(bytes);
  const type = decodeType(decoder);
  decoder.utf8('path');
  if (decoder.bool('content')) decoder.bytes('content');
  decoder.expectEnd();
  return { type, willInit: false };
}

/** Like `outlineOfValue`, for the `length` bytes at `start`. */
export function outlineOfValueAt(bytes: Uint8Array, start: number, length: number): ValueOutline {
  return (
    usualOutline(bytes, start, length) ?? outlineOfValue(bytes.subarray(start, start + length))
  );
}

const IMAGE_OUTLINE: ValueOutline = { type: 'image', willInit: true };
const FIRST_RECORD_OUTLINE: ValueOutline = { type: 'wal', willInit: true };
const RECORD_OUTLINE: ValueOutline = { type: 'wal', willInit: false };

/**
 * The outline of a valid image or WAL record, as nearly all values are, without allocating a decoder.
 * Undefined for anything else, which `outlineOfValue` must check.
 */
export function usualOutline(
  bytes: Uint8Array,
  start: number,
  length: number,
): ValueOutline | undefined {
  if (length < WAL_HEADER_SIZE) return undefined;
  const tag = readU32(bytes, start);
  if (tag === TAG_IMAGE) {
    return isCount(bytes, start + 4, length - IMAGE_HEADER_SIZE) ? IMAGE_OUTLINE : undefined;
  }
  const isRecord = tag === TAG_RECORD && readU32(bytes, start + 4) === TAG_WAL;
  if (!isRecord || !isCount(bytes, start + 9, length - WAL_HEADER_SIZE)) return undefined;
  const willInit = bytes[start + 8] as number;
  if (willInit > 1) return undefined;
  return willInit === 1 ? FIRST_RECORD_OUTLINE : RECORD_OUTLINE;
}

/** Whether the u64 equals `count`, which is below 2^32. */
function isCount(bytes: Uint8Array, at: number, count: number): boolean {
  return readU32(bytes, at) === 0 && readU32(bytes, at + 4) === count;
}

function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

/**
 * Like `outlineOfValue`, from the first bytes and the length of the complete value.
 *
 * Requires: `begin` has 32 bytes, or the complete value.
 * Returns: undefined if that is not enough, as for auxiliary files.
 */
export function outlineOfBegin(begin: Uint8Array, length: number): ValueOutline | undefined {
  const decoder = new BincodeDecoder(begin, { length });
  const type = decodeType(decoder);
  let willInit = false;
  switch (type) {
    case 'image':
      willInit = true;
      decoder.skipList('image', 1);
      break;
    case 'wal':
      willInit = decoder.bool('willInit');
      decoder.skipList('WAL record', 1);
      break;
    case 'clog_set_committed':
      decoder.skipList('xids', 4);
      decoder.skip('timestamp', 8);
      break;
    case 'clog_set_aborted':
      decoder.skipList('xids', 4);
      break;
    case 'multixact_members_create':
      decoder.u32('moff');
      decoder.skipList('members', 8);
      break;
    case 'aux_file':
      return undefined;
    default:
      decodeRecord(decoder, type);
  }
  decoder.expectEnd();
  return { type, willInit };
}

function itemsOf<T>(what: string, list: StoredList<T>, maximumItems: number): T[] {
  const { length, offset } = list;
  if (length <= maximumItems) return list.slice(0, length);
  throw tooLarge(what, { maximum: maximumItems, unit: 'items', actual: length, offset });
}

/** A blob can hold more bytes than a string can have characters. */
function decodeText(bytes: Uint8Array): string {
  const maximum = constants.MAX_STRING_LENGTH;
  if (bytes.length > maximum) {
    throw tooLarge('path', { maximum, actual: bytes.length, offset: PATH_OFFSET });
  }
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

function decodeType(decoder: BincodeDecoder): ValueType {
  const tag = decoder.u32('value tag');
  if (tag === TAG_IMAGE) return 'image';
  if (tag !== TAG_RECORD) throw decoder.corrupt('value tag', 'variant 0 or 1', `${tag}`, 4);
  const recordTag = decoder.u32('record tag');
  const type = RECORD_TYPES[recordTag];
  if (type === undefined) throw decoder.corrupt('record tag', 'variant 0 to 7', `${recordTag}`, 4);
  return type;
}

function decodeRecord(decoder: BincodeDecoder, type: (typeof RECORD_TYPES)[number]): ValueView {
  switch (type) {
    case 'wal':
      return { type, willInit: decoder.bool('willInit'), bytes: decoder.bytes('WAL record') };
    case 'clear_vm':
      return {
        type,
        newHeapBlock: decoder.optional('newHeapBlock', (what) => decoder.u32(what)),
        oldHeapBlock: decoder.optional('oldHeapBlock', (what) => decoder.u32(what)),
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
        members: decoder.list('members', 8, (view, at) => ({
          xid: view.getUint32(at),
          status: view.getUint32(at + 4),
        })),
      };
    case 'aux_file':
      return {
        type,
        path: decoder.utf8('path'),
        content: decoder.bool('content') ? decoder.bytes('content') : null,
      };
    case 'truncate_vm':
      return { type, truncByte: decoder.u64('truncByte'), truncOffset: decoder.u64('truncOffset') };
  }
}

/** A string, for example, would be copied as zeros. */
function checkValueBytes(value: Value): void {
  if (value.type === 'image' || value.type === 'wal') checkBytes(value.bytes, value.type);
  else if (value.type === 'aux_file' && value.content !== null)
    checkBytes(value.content, 'content');
}

function sizeOf(value: Value): number {
  switch (value.type) {
    case 'image':
      return IMAGE_HEADER_SIZE + value.bytes.length;
    case 'wal':
      return WAL_HEADER_SIZE + value.bytes.length;
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

/** For callers without a type checker: an empty blob is not a value. */
function unknownType(value: never): StorageError {
  const { type }: { readonly type?: unknown } = value;
  return new StorageError('invalid-input', {
    what: 'type of the value',
    expected: `image, ${RECORD_TYPES.join(', ')}`,
    actual: String(type),
  });
}

function encodeRecordTag(
  encoder: BincodeEncoder,
  type: (typeof RECORD_TYPES)[number],
): BincodeEncoder {
  return encoder.u32(TAG_RECORD).u32(RECORD_TYPES.indexOf(type));
}

/** Throws `invalid-input` for a lone surrogate, which UTF-8 cannot hold. */
function encodeText(text: string): Uint8Array {
  if (/\p{Surrogate}/u.test(text)) {
    throw new StorageError('invalid-input', { what: 'path', expected: 'well-formed Unicode' });
  }
  return new TextEncoder().encode(text);
}

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
import {
  checkArray,
  checkBoolean,
  checkBytes,
  checkLimit,
  checkObject,
  checkOptions,
  checkText,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError, tooLarge } from '../errors.ts';
import { valueText } from '../printable.ts';

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

export const TAG_IMAGE = 0;
export const TAG_RECORD = 1;

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

export const TAG_WAL = RECORD_TYPES.indexOf('wal');

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
      encoder.optional(value.newHeapBlock, (block) => encoder.u32(block, 'newHeapBlock'));
      encoder.optional(value.oldHeapBlock, (block) => encoder.u32(block, 'oldHeapBlock'));
      encoder.u8(value.flags, 'flags');
      break;
    case 'clog_set_committed':
      encodeRecordTag(encoder, value.type).u32List(value.xids, 'xids');
      encoder.i64(value.timestamp, 'timestamp');
      break;
    case 'clog_set_aborted':
      encodeRecordTag(encoder, value.type).u32List(value.xids, 'xids');
      break;
    case 'multixact_offset_create':
      encodeRecordTag(encoder, value.type).u32(value.multixactId, 'multixactId');
      encoder.u32(value.multixactOffset, 'multixactOffset');
      break;
    case 'multixact_members_create':
      encodeRecordTag(encoder, value.type).u32(value.multixactOffset, 'multixactOffset');
      encoder.count(value.members.length);
      for (const member of value.members) {
        checkObject('member', member);
        encoder.u32(member.xid, 'xid').u32(member.status, 'status');
      }
      break;
    case 'aux_file':
      encodeRecordTag(encoder, value.type).bytes(encodeText(value.path));
      encoder.u8(value.content === null ? 0 : 1);
      if (value.content !== null) encoder.bytes(value.content);
      break;
    case 'truncate_vm':
      encodeRecordTag(encoder, value.type).u64(value.truncByte, 'truncByte');
      encoder.u64(value.truncOffset, 'truncOffset');
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

const DECODE_OPTIONS: KnownOptions<DecodeValueOptions> = { maximumItems: true };

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

/** The kind of a value, from its tags. */
export function decodeType(decoder: BincodeDecoder): ValueType {
  const tag = decoder.u32('value tag');
  if (tag === TAG_IMAGE) return 'image';
  if (tag !== TAG_RECORD) throw decoder.corrupt('value tag', 'variant 0 or 1', `${tag}`, 4);
  const recordTag = decoder.u32('record tag');
  const type = RECORD_TYPES[recordTag];
  if (type === undefined) throw decoder.corrupt('record tag', 'variant 0 to 7', `${recordTag}`, 4);
  return type;
}

/** The rest of a record, after its tags. */
export function decodeRecord(
  decoder: BincodeDecoder,
  type: (typeof RECORD_TYPES)[number],
): ValueView {
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

/** Checks what has a length: a string in place of bytes, for example, would be copied as zeros. */
function sizeOf(value: Value): number {
  switch (value.type) {
    case 'image':
      return IMAGE_HEADER_SIZE + byteCount('image', value.bytes);
    case 'wal':
      checkBoolean('willInit', value.willInit);
      return WAL_HEADER_SIZE + byteCount('wal', value.bytes);
    case 'clear_vm':
      return 8 + 5 + 5 + 1;
    case 'clog_set_committed':
      return 8 + 8 + 4 * itemCount('xids', value.xids) + 8;
    case 'clog_set_aborted':
      return 8 + 8 + 4 * itemCount('xids', value.xids);
    case 'multixact_offset_create':
      return 8 + 8;
    case 'multixact_members_create':
      return 8 + 4 + 8 + 8 * itemCount('members', value.members);
    case 'aux_file': {
      const { path, content } = value;
      checkText('path', path);
      return (
        8 + 8 + 3 * path.length + 1 + 8 + (content === null ? 0 : byteCount('content', content))
      );
    }
    case 'truncate_vm':
      return 8 + 16;
    default:
      throw unknownType(value);
  }
}

function byteCount(what: string, bytes: Uint8Array): number {
  checkBytes(bytes, what);
  return bytes.length;
}

function itemCount(what: string, items: readonly unknown[]): number {
  checkArray(what, items);
  return items.length;
}

/** For callers without a type checker: an empty blob is not a value. */
function unknownType(value: never): StorageError {
  const { type }: { readonly type?: unknown } = value;
  return new StorageError('invalid-input', {
    what: 'type of the value',
    expected: `image, ${RECORD_TYPES.join(', ')}`,
    actual: valueText(type),
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

/** The kind of a value and whether it needs an older one, without decoding its content. */
import { BincodeDecoder } from '../bincode.ts';
import {
  decodeRecord,
  decodeType,
  IMAGE_HEADER_SIZE,
  TAG_IMAGE,
  TAG_RECORD,
  TAG_WAL,
  type ValueType,
  WAL_HEADER_SIZE,
} from './value-format.ts';

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

/**
 * Document: one MessagePack map in a big-endian frame, for small data without its own format.
 *
 *   0    4    magic 4C 46 44 43, "LFDC"
 *   4    4    CRC-32C of everything after it
 *   8    2    format version, 1
 *   10   2    zero
 *   12   4    length of the map in bytes
 *   16        map
 *
 * Nothing follows. Every version has this frame, so that an unknown version can be distinguished from
 * damage. Keys are strings, but never `__proto__`; there are no extension types. 64-bit integers
 * are bigint, all other numbers number.
 */

import { decode, encode } from '@msgpack/msgpack';
import {
  checkBytes,
  checkLimit,
  checkObject,
  checkOptions,
  type KnownOptions,
} from '../check-options.ts';
import { crc32cOf } from '../checksum.ts';
import { corrupt, isStorageError, StorageError, tooLarge } from '../errors.ts';
import { type ReadSmallFileOptions, readSmallFile } from '../virtual-file/small-file.ts';
import {
  checkDocument,
  type DocumentMap,
  describeValue,
  dropPrototypes,
  isDocumentMap,
} from './document-value.ts';
import { checkMsgpack, type MsgpackLimits } from './msgpack-limits.ts';
import { type OverwriteOptions, overwriteFile } from './overwrite.ts';

/** Limits of a document, checked before anything is decoded. */
export interface DocumentLimits extends MsgpackLimits {
  /** Bytes of frame and map together. */
  readonly maximumLength: number;
}

/** 1 MiB, 64 levels, 1,000,000 values, strings of 1 MiB. */
export const DEFAULT_DOCUMENT_LIMITS: DocumentLimits = {
  maximumLength: 1024 * 1024,
  maximumDepth: 64,
  maximumCount: 1_000_000,
  maximumStringLength: 1024 * 1024,
};

/** Options with limits. */
export interface DocumentLimitOptions {
  /** Default: `DEFAULT_DOCUMENT_LIMITS`, for each limit. `maximumDepth` is at most 1,000. */
  readonly limits?: { readonly [L in keyof DocumentLimits]?: number | undefined } | undefined;
}

const MAGIC = 0x4c46_4443;
const CHECKSUM_OFFSET = 4;
const VERSION_OFFSET = 8;
const RESERVED_OFFSET = 10;
const LENGTH_OFFSET = 12;
const HEADER_SIZE = 16;
const FORMAT_VERSION = 1;

/**
 * Encodes a document, under the same limits as decoding, so that the result can be decoded.
 *
 * @returns a new array
 * @throws StorageError `invalid-input` (a value that would not be decoded as itself, or an invalid limit),
 *   `too-large`
 */
export function encodeDocument(
  document: DocumentMap,
  options: DocumentLimitOptions = {},
): Uint8Array {
  checkObject('options', options);
  const limits = limitsOf(options);
  checkDocument(document, limits);
  const map = encode(document, { useBigInt64: true, maxDepth: limits.maximumDepth + 1 });
  checkLength(HEADER_SIZE + map.length, limits, undefined);
  checkMap(map, limits);
  const bytes = new Uint8Array(HEADER_SIZE + map.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint16(VERSION_OFFSET, FORMAT_VERSION);
  view.setUint32(LENGTH_OFFSET, map.length);
  bytes.set(map, HEADER_SIZE);
  view.setUint32(CHECKSUM_OFFSET, crc32cOf(bytes.subarray(VERSION_OFFSET)));
  return bytes;
}

/**
 * Decodes a document. The limits are checked before anything is decoded.
 *
 * @returns the map; byte strings in it are views of `bytes`
 * @throws StorageError, with an offset: `truncated`, `corrupt`, `unsupported-version`, `too-large`;
 *   without one: `invalid-input` for an invalid limit
 */
export function decodeDocument(bytes: Uint8Array, options: DocumentLimitOptions = {}): DocumentMap {
  checkBytes(bytes, 'document');
  checkObject('options', options);
  const limits = limitsOf(options);
  const map = decodeFrame(bytes, limits);
  checkMap(map, limits);
  const value = decode(map, { useBigInt64: true });
  dropPrototypes(value);
  if (isDocumentMap(value)) return value;
  throw corrupt('document', HEADER_SIZE, 'a map', describeValue(value));
}

/**
 * Reads and decodes a document.
 * @throws StorageError as `decodeDocument`, and `not-found`, `io`
 */
export async function readDocument(
  path: string,
  options: ReadSmallFileOptions & DocumentLimitOptions = {},
): Promise<DocumentMap> {
  checkObject('options', options);
  const { openFiles, limits } = options;
  const { maximumLength } = limitsOf(options);
  return readSmallFile(path, { openFiles, maximumLength }, (bytes) =>
    decodeDocument(bytes, { limits }),
  );
}

/**
 * Encodes a document and replaces the file with it; the file need not exist.
 *
 * Durability: a crash leaves the old or the new document; once it resolves, the new one.
 * @throws StorageError as `encodeDocument` and `overwriteFile`
 * @example
 * await writeDocument('state.lfdc', { position: 42n, names: ['a', 'b'] });
 */
export async function writeDocument(
  path: string,
  document: DocumentMap,
  options: OverwriteOptions & DocumentLimitOptions = {},
): Promise<void> {
  checkObject('options', options);
  const { limits, ...overwriting } = options;
  await overwriteFile(path, encodeDocument(document, { limits }), overwriting);
}

/** Encoding and decoding need a few stack frames for each level. */
const LARGEST_DEPTH = 1000;

/** Missing limits have their defaults. Throws `invalid-input`. */
const LIMIT_NAMES: KnownOptions<DocumentLimits> = {
  maximumLength: true,
  maximumCount: true,
  maximumDepth: true,
  maximumStringLength: true,
};

function limitsOf({ limits: given = {} }: DocumentLimitOptions): DocumentLimits {
  checkOptions(given, LIMIT_NAMES);
  const present = Object.entries(given).filter(([, limit]) => limit !== undefined);
  const limits = { ...DEFAULT_DOCUMENT_LIMITS, ...Object.fromEntries(present) };
  for (const [name, limit] of Object.entries(limits)) {
    const bounds = name === 'maximumDepth' ? { to: LARGEST_DEPTH } : {};
    checkLimit(`limit of a document: ${name}`, limit, bounds);
  }
  return limits;
}

/** Checks the frame; returns the bytes of the map. */
function decodeFrame(bytes: Uint8Array, limits: DocumentLimits): Uint8Array {
  if (bytes.length < HEADER_SIZE) throw truncated(bytes.length, HEADER_SIZE);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = view.getUint32(0);
  if (magic !== MAGIC) throw corrupt('document', 0, `magic ${hex(MAGIC)}`, hex(magic));
  const end = HEADER_SIZE + view.getUint32(LENGTH_OFFSET);
  checkLength(end, limits, LENGTH_OFFSET);
  if (end > bytes.length) throw truncated(bytes.length, end);
  const rest = bytes.length - end;
  if (end < bytes.length) throw corrupt('document', end, 'the end', `${rest} more bytes`);
  const checksum = view.getUint32(CHECKSUM_OFFSET);
  const actual = crc32cOf(bytes.subarray(VERSION_OFFSET));
  if (checksum !== actual) {
    throw corrupt('document', CHECKSUM_OFFSET, `CRC-32C ${hex(actual)}`, hex(checksum));
  }
  const version = view.getUint16(VERSION_OFFSET);
  if (version !== FORMAT_VERSION) {
    throw new StorageError('unsupported-version', {
      what: 'document',
      offset: VERSION_OFFSET,
      expected: `format version ${FORMAT_VERSION}`,
      actual: `${version}`,
    });
  }
  const reserved = view.getUint16(RESERVED_OFFSET);
  if (reserved !== 0) throw corrupt('document', RESERVED_OFFSET, 'zero', hex(reserved));
  return bytes.subarray(HEADER_SIZE);
}

/** Offsets in errors count from the start of the document. */
function checkMap(map: Uint8Array, limits: DocumentLimits): void {
  try {
    checkMsgpack(map, limits);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    throw error.with({ offset: HEADER_SIZE + (error.offset ?? 0) });
  }
}

function checkLength(length: number, limits: DocumentLimits, offset: number | undefined): void {
  if (length <= limits.maximumLength) return;
  throw tooLarge('document', { maximum: limits.maximumLength, actual: length, offset });
}

function truncated(length: number, expected: number): StorageError {
  return new StorageError('truncated', {
    what: 'document',
    offset: length,
    expected: `${expected} bytes`,
    actual: `${length}`,
  });
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

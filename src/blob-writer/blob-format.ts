/**
 * Blob: the unit of append. Not aligned: header and data may straddle blocks.
 *
 *   0LLLLLLL                               data    1-byte header
 *   1CCCLLLL LLLLLLLL LLLLLLLL LLLLLLLL    data    4-byte header, big-endian
 *
 *   L  stored length in bytes, after compression
 *   C  000 plain, 001 one zstd frame; anything else is corrupt
 *
 * Invariant: the 1-byte form holds plain data only. The writer chooses by the length before
 * compression (below 128), so a 4-byte header may state a length below 128.
 *
 * Source: Neon pageserver/src/tenant/blob_io.rs.
 */

import { checkBytes, checkCount } from '../check-options.ts';
import { StorageError, tooLarge } from '../errors.ts';

/** Largest blob, in bytes before compression. */
export const MAXIMUM_BLOB_LENGTH = 0x0fff_ffff;

/** Size of the longer header, in bytes. */
export const MAXIMUM_BLOB_HEADER_SIZE = 4;

/** Blobs below this length have the 1-byte header and are never compressed. */
export const SHORT_BLOB_LIMIT = 128;

export const LONG_HEADER_FLAG = 0x80;
const COMPRESSION_SHIFT = 4;
const COMPRESSION_NONE = 0b000;
const COMPRESSION_ZSTD = 0b001;

/** A decoded blob header. */
export interface BlobHeader {
  /** Bytes of the header itself: 1 or 4. */
  readonly headerSize: number;
  /** Bytes after the header, as stored. */
  readonly storedLength: number;
  /** Whether these bytes are a zstd frame. */
  readonly compressed: boolean;
}

/**
 * Gives the header size of a blob.
 *
 * @returns bytes, for a blob with `length` bytes before compression
 */
export function blobHeaderSize(length: number): number {
  // `append` asks this for each blob.
  if (typeof length !== 'number') checkCount('length of a blob', length);
  return length < SHORT_BLOB_LIMIT ? 1 : MAXIMUM_BLOB_HEADER_SIZE;
}

/** Returns: the size of the header that begins with this byte. */
export function blobHeaderSizeOfFirstByte(firstByte: number): number {
  return (firstByte & LONG_HEADER_FLAG) === 0 ? 1 : MAXIMUM_BLOB_HEADER_SIZE;
}

/**
 * Throws `invalid-input` unless it is a Uint8Array, `too-large` if a blob cannot hold it. JavaScript callers
 * may pass anything, and `set` would accept a string of digits.
 */
export function checkContent(content: Uint8Array): void {
  checkBytes(content, 'content of a blob');
  checkBlobLength(content.length);
}

/** Throws `too-large` for a length that no blob can have. */
export function checkBlobLength(length: number): void {
  if (length <= MAXIMUM_BLOB_LENGTH) return;
  throw tooLarge('blob', { maximum: MAXIMUM_BLOB_LENGTH, actual: length });
}

/**
 * Writes the header of a plain blob at index `at` of the target.
 *
 * @returns the size of the header in bytes
 * @throws `too-large` if the length exceeds `MAXIMUM_BLOB_LENGTH`; `invalid-input`, also if the target ends before
 *   the header does
 */
export function encodePlainBlobHeader(target: Uint8Array, at: number, length: number): number {
  checkBytes(target, 'target of a blob header');
  checkCount('length of a blob', length);
  checkBlobLength(length);
  checkIndex(at, target.length - blobHeaderSize(length));
  return writePlainHeader(target, at, length);
}

/** As `encodePlainBlobHeader`, for each blob of a file. Requires: room for the header. */
export function writePlainHeader(target: Uint8Array, at: number, length: number): number {
  if (length < SHORT_BLOB_LIMIT) {
    target[at] = length;
    return 1;
  }
  return encodeLongHeader(target, at, COMPRESSION_NONE, length);
}

function checkIndex(at: number, last: number): void {
  checkCount('index of a blob header', at, { to: last });
}

/**
 * Writes the header of a zstd blob at index `at` of the target.
 *
 * @param storedLength the length of the frame
 * @returns the size of the header, always 4 bytes
 * @throws as `encodePlainBlobHeader`
 */
export function encodeZstdBlobHeader(target: Uint8Array, at: number, storedLength: number): number {
  checkBytes(target, 'target of a blob header');
  checkCount('length of a blob', storedLength);
  checkBlobLength(storedLength);
  checkIndex(at, target.length - MAXIMUM_BLOB_HEADER_SIZE);
  return writeZstdHeader(target, at, storedLength);
}

/** As `encodeZstdBlobHeader`, for each blob of a file. Requires: room for the header. */
export function writeZstdHeader(target: Uint8Array, at: number, storedLength: number): number {
  return encodeLongHeader(target, at, COMPRESSION_ZSTD, storedLength);
}

/**
 * A header in one number, so that a scan makes no object for each blob. From the lowest bit: whether it is
 * long, whether the blob is compressed, and the stored length. Negative if there is no header.
 */
export type PackedHeader = number;

/** The bytes end before the header does. */
export const HEADER_IS_CUT: PackedHeader = -1;
export const UNKNOWN_COMPRESSION: PackedHeader = -2;

/** For a scan that begins in the interpreter, where calls are expensive; other callers use the functions below. */
export const IS_LONG = 1;
export const IS_COMPRESSED = 2;
export const LENGTH_SHIFT = 2;

/** The only decoder of headers: the one at `at`, which must end at or before `end`. */
export function packedHeader(bytes: Uint8Array, at: number, end: number): PackedHeader {
  const first = bytes[at];
  if (first === undefined || at >= end) return HEADER_IS_CUT;
  if (first < LONG_HEADER_FLAG) return first << LENGTH_SHIFT;
  if (at + MAXIMUM_BLOB_HEADER_SIZE > end) return HEADER_IS_CUT;
  const length =
    ((first & 0x0f) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number);
  const compression = compressionOf(first);
  if (compression === COMPRESSION_NONE) return (length << LENGTH_SHIFT) | IS_LONG;
  if (compression !== COMPRESSION_ZSTD) return UNKNOWN_COMPRESSION;
  return (length << LENGTH_SHIFT) | IS_COMPRESSED | IS_LONG;
}

export function headerSizeOf(header: PackedHeader): number {
  return (header & IS_LONG) === 0 ? 1 : MAXIMUM_BLOB_HEADER_SIZE;
}

/** Bytes after the header. */
export function storedLengthOf(header: PackedHeader): number {
  return header >>> LENGTH_SHIFT;
}

export function isCompressed(header: PackedHeader): boolean {
  return (header & IS_COMPRESSED) !== 0;
}

/**
 * Decodes the header at index `at` of the bytes.
 *
 * @param fileOffset becomes the `offset` of an error
 * @throws `corrupt` if the compression is unknown, `truncated` if the bytes end within the header
 */
export function decodeBlobHeader(bytes: Uint8Array, at: number, fileOffset: number): BlobHeader {
  checkBytes(bytes, 'blob header');
  if (at !== 0) checkCount('index of a blob header', at);
  const header = packedHeader(bytes, at, bytes.length);
  if (header === HEADER_IS_CUT) {
    throw new StorageError('truncated', { what: 'blob header', offset: fileOffset });
  }
  if (header === UNKNOWN_COMPRESSION) {
    throw unknownCompression(bytes[at] as number, { offset: fileOffset });
  }
  return {
    headerSize: headerSizeOf(header),
    storedLength: storedLengthOf(header),
    compressed: isCompressed(header),
  };
}

/** The error for a long header that begins with this byte. */
export function unknownCompression(
  firstByte: number,
  place: { readonly offset: number; readonly path?: string | undefined },
): StorageError {
  return new StorageError('corrupt', {
    what: 'blob header',
    ...place,
    expected: 'compression 000 or 001',
    actual: compressionOf(firstByte).toString(2).padStart(3, '0'),
  });
}

function compressionOf(firstByte: number): number {
  return (firstByte & ~LONG_HEADER_FLAG) >> COMPRESSION_SHIFT;
}

function encodeLongHeader(
  target: Uint8Array,
  at: number,
  compression: number,
  storedLength: number,
): number {
  checkBlobLength(storedLength);
  target[at] = LONG_HEADER_FLAG | (compression << COMPRESSION_SHIFT) | (storedLength >>> 24);
  target[at + 1] = (storedLength >>> 16) & 0xff;
  target[at + 2] = (storedLength >>> 8) & 0xff;
  target[at + 3] = storedLength & 0xff;
  return MAXIMUM_BLOB_HEADER_SIZE;
}

/**
 * Where a blob lies, whether it may lie there, and which of its bytes are missing. Single reads, reads of
 * many, scans and streams all use this file. Nothing in a file is trusted: a blob must lie within the region
 * of blobs, before the next blob, and below the length limit, before a byte is allocated for it.
 */

import { checkCount, checkObject } from '../check-options.ts';
import { StorageError, tooLarge } from '../errors.ts';
import { valueText } from '../printable.ts';
import {
  type BlobHeader,
  HEADER_IS_CUT,
  headerSizeOf,
  IS_LONG,
  isCompressed,
  LENGTH_SHIFT,
  MAXIMUM_BLOB_HEADER_SIZE,
  type PackedHeader,
  packedHeader,
  storedLengthOf,
  UNKNOWN_COMPRESSION,
  unknownCompression,
} from './blob-format.ts';
import type { ReadRange } from './read-range.ts';
import { NO_READS, type Reading } from './reading.ts';
import { newArray } from './slab.ts';

/** First read where the end of a blob is unknown: a page with its header fits. */
const FIRST_READ_SIZE = 8192 + 64;
/** The same for a source whose requests cost more than bytes. */
const LARGE_FIRST_READ_SIZE = 48 * 1024;
export const DEFAULT_MAXIMUM_READ_SIZE = 128 * 1024;

/** The part of a source that holds blobs. */
export interface BlobRegion {
  /** Offset in the source where the first blob may start. */
  readonly start: number;
  /** Offset in the source where the last blob must have ended. */
  readonly end: number;
}

/** What the blobs of a source must satisfy. */
export interface BlobBounds extends BlobRegion {
  /** Maximum length of plain content. The decompressor checks compressed content. */
  readonly maximumLength: number;
  /** Maximum length of the first read of a blob; default 128 KiB. */
  readonly wholeReadLength?: number | undefined;
  readonly path: string | undefined;
}

/** A blob to read. */
export interface BlobRequest {
  /** Offset in the source of the blob's header. */
  readonly offset: number;
  /** Hint at the end of the blob, which saves a second read. A wrong hint only costs time. */
  readonly end?: number | undefined;
  /** A blob that ends after this offset is refused as `corrupt` before it is read. */
  readonly limit?: number | undefined;
}

/** A blob that was read. */
export interface Blob {
  /** Offset in the source of the blob's header. */
  readonly offset: number;
  /** Length in the source in bytes, header included. */
  readonly storedLength: number;
  /** Whether it is stored as a zstd frame. */
  readonly compressed: boolean;
  /** The content, decompressed. */
  readonly bytes: Uint8Array;
}

/** A blob as it lies in the source, with its header checked. */
export interface StoredBlob {
  readonly offset: number;
  readonly header: BlobHeader;
  /** Stored bytes after the header; may be a view of an array that never changes. */
  readonly payload: Uint8Array;
}

/** A stretch of a source that is in memory. */
export class BlobWindow {
  bytes: Uint8Array = new Uint8Array(0);
  /** File offsets of the first byte, and after the last one. */
  start = 0;
  end = 0;
  /** From a file offset to an index of `bytes`. */
  shift = 0;

  /** Sets the window to the `length` bytes at index `at` of `bytes`, which lie at `start` in the source. */
  set(bytes: Uint8Array, at: number, start: number, length: number): void {
    this.bytes = bytes;
    this.start = start;
    this.end = start + length;
    this.shift = at - start;
  }

  /** Whether the window holds the complete blob. Requires: its header was located here. */
  holds(offset: number, header: PackedHeader): boolean {
    return offset + headerSizeOf(header) + storedLengthOf(header) <= this.end;
  }
}

/** The window does not hold the header. */
const NOT_IN_WINDOW: PackedHeader = -1;
/** No blob can be there; `blobError` returns the reason. */
export const DAMAGED: PackedHeader = -2;

/**
 * Returns: the header of the blob at `offset`, which must end at or before `limit`; or `NOT_IN_WINDOW`, or
 * `DAMAGED`. It neither throws nor allocates, because scans call it for each blob.
 */
export function locateBlob(
  window: BlobWindow,
  offset: number,
  limit: number,
  bounds: BlobBounds,
): PackedHeader {
  if (!(offset >= bounds.start && offset < bounds.end)) return DAMAGED;
  if (offset < window.start || offset >= window.end) return NOT_IN_WINDOW;
  const { bytes, shift } = window;
  const header = packedHeader(bytes, offset + shift, window.end + shift);
  if (header < 0) {
    const isLacking = header === HEADER_IS_CUT && Number.isSafeInteger(offset);
    return isLacking && offset + MAXIMUM_BLOB_HEADER_SIZE <= bounds.end ? NOT_IN_WINDOW : DAMAGED;
  }
  const length = header >>> LENGTH_SHIFT;
  const end = offset + ((header & IS_LONG) === 0 ? 1 : MAXIMUM_BLOB_HEADER_SIZE) + length;
  if (end > bounds.end || !(end <= limit)) return DAMAGED;
  return length > bounds.maximumLength && !isCompressed(header) ? DAMAGED : header;
}

/** The first read of a blob, nearly always the only one. Throws `out-of-range`. */
export function firstRead(request: BlobRequest, bounds: BlobBounds): ReadRange {
  checkRequest(request);
  const { offset } = request;
  const error = offsetError(offset, bounds);
  if (error !== undefined) throw error;
  return { target: newArray(firstLength(request, bounds)), offset };
}

/** Throws `invalid-input` for a request whose parts are not numbers; `offsetError` examines the offset. */
export function checkRequest(request: BlobRequest): void {
  checkObject('request', request);
  const { end, limit } = request;
  if (end !== undefined && typeof end !== 'number') checkCount('end of a blob', end);
  if (limit !== undefined && typeof limit !== 'number') checkCount('limit of a blob', limit);
}

/** Reads the rest of a blob after its first read. */
export class BlobReading implements Reading {
  readonly request: BlobRequest;
  readonly window = new BlobWindow();
  /** Valid once the window holds the complete blob. */
  header: PackedHeader = DAMAGED;
  readonly #bounds: BlobBounds;

  /** Requires: the first read holds at least the first byte of the blob. */
  constructor(request: BlobRequest, bounds: BlobBounds, { target, offset }: ReadRange) {
    this.request = request;
    this.window.set(target, 0, offset, target.length);
    this.#bounds = bounds;
  }

  proceed(): readonly ReadRange[] {
    const { request, window } = this;
    const { offset, limit = Number.POSITIVE_INFINITY } = request;
    const header = locateBlob(window, offset, limit, this.#bounds);
    if (header === DAMAGED) throw blobError(window, request, this.#bounds);
    if (header < 0) return this.#readUpTo(MAXIMUM_BLOB_HEADER_SIZE);
    if (!window.holds(offset, header)) return this.#readUpTo(blobSize(header));
    this.header = header;
    return NO_READS;
  }

  /** Requires: the complete blob lies within its bounds, so that no array is larger than the file. */
  #readUpTo(length: number): readonly ReadRange[] {
    const { offset } = this.request;
    const { bytes, end, shift } = this.window;
    const present = bytes.subarray(offset + shift, end + shift);
    const whole = new Uint8Array(length);
    whole.set(present);
    this.window.set(whole, 0, offset, length);
    return [{ target: whole.subarray(present.length), offset: end }];
  }
}

/** Returns: why no blob can be at `offset`. Requires: `locateBlob` returned `DAMAGED`. */
export function blobError(
  window: BlobWindow,
  { offset, limit = Number.POSITIVE_INFINITY }: BlobRequest,
  bounds: BlobBounds,
): StorageError {
  const outside = offsetError(offset, bounds);
  if (outside !== undefined) return outside;
  const at = offset + window.shift;
  const header = packedHeader(window.bytes, at, window.end + window.shift);
  const { path } = bounds;
  if (header === HEADER_IS_CUT) {
    const end = offset + MAXIMUM_BLOB_HEADER_SIZE;
    return reachesBeyond('blob header', { offset, end }, bounds);
  }
  if (header === UNKNOWN_COMPRESSION) {
    return unknownCompression(window.bytes[at] as number, { offset, path });
  }
  const length = storedLengthOf(header);
  const end = offset + headerSizeOf(header) + length;
  if (end > bounds.end) return reachesBeyond('blob', { offset, end }, bounds);
  if (length > bounds.maximumLength && !isCompressed(header)) {
    return tooLarge('blob', { maximum: bounds.maximumLength, actual: length, offset, path });
  }
  return new StorageError('corrupt', {
    what: 'blob overlaps the next one',
    path,
    offset,
    expected: `an end at or before ${limit}`,
    actual: `${end}`,
  });
}

/** `out-of-range` unless a blob may start there. */
export function offsetError(
  offset: number,
  { start, end, path }: BlobBounds,
): StorageError | undefined {
  if (Number.isSafeInteger(offset) && offset >= start && offset < end) return undefined;
  return new StorageError('out-of-range', {
    what: 'blob offset outside the values',
    path,
    offset: typeof offset === 'number' ? offset : undefined,
    expected: `${start} to ${end}`,
    actual: valueText(offset),
  });
}

function reachesBeyond(
  what: string,
  { offset, end }: { readonly offset: number; readonly end: number },
  bounds: BlobBounds,
): StorageError {
  return new StorageError('truncated', {
    what: `${what} reaches beyond the values`,
    path: bounds.path,
    offset,
    expected: `an end at or before ${bounds.end}`,
    actual: `${end}`,
  });
}

/** Length of the first read, before the header is known. Requires: a blob may start at the offset. */
export function firstLength(request: BlobRequest, { end, wholeReadLength }: BlobBounds): number {
  return Math.min(estimatedEnd(request, wholeReadLength), end) - request.offset;
}

/** Length in the source in bytes, header included. */
export function blobSize(header: PackedHeader): number {
  return headerSizeOf(header) + storedLengthOf(header);
}

/** Returns: the bytes after the header, a view. Requires: the window holds the complete blob. */
export function payloadOf(window: BlobWindow, offset: number, header: PackedHeader): Uint8Array {
  const { bytes, shift } = window;
  const start = bytes.byteOffset + offset + shift + headerSizeOf(header);
  return new Uint8Array(bytes.buffer, start, storedLengthOf(header));
}

/** Returns: the blob as it is stored, a view. Requires: the window holds the complete blob. */
export function storedBlob(window: BlobWindow, offset: number, header: PackedHeader): StoredBlob {
  return {
    offset,
    header: {
      headerSize: headerSizeOf(header),
      storedLength: storedLengthOf(header),
      compressed: isCompressed(header),
    },
    payload: payloadOf(window, offset, header),
  };
}

/** At least a header; at most the default first read, unless the end is known. */
export function estimatedEnd({ offset, end }: BlobRequest, wholeReadLength?: number): number {
  if (end !== undefined && end > offset) {
    return Math.min(Math.ceil(end), offset + (wholeReadLength ?? DEFAULT_MAXIMUM_READ_SIZE));
  }
  if (wholeReadLength === undefined) return offset + FIRST_READ_SIZE;
  return offset + Math.min(wholeReadLength, LARGE_FIRST_READ_SIZE);
}

/** Blobs that were read, and how a plain one is found in bytes that are at hand: without a step. */
import { type BlobHeader, blobHeaderSizeOfFirstByte, plainBlobLength } from './blob-format.ts';
import type { BlobRequest } from './blob-runs.ts';
import { copyOfBytes } from './slab.ts';
import type { CachedSource } from './value-cache.ts';

export interface Blob {
  readonly offset: number;
  /** Bytes in the source, header included. */
  readonly storedLength: number;
  readonly compressed: boolean;
  /** Content after decompression. */
  readonly bytes: Uint8Array;
}

/** A blob as it lies in the source, with its header checked. */
export interface StoredBlob {
  readonly offset: number;
  readonly header: BlobHeader;
  /** Stored bytes behind the header; may be a view of an array that nobody changes. */
  readonly payload: Uint8Array;
}

/** Where to look for the blob of a request, and how long it may be. */
export interface PlainSearch {
  readonly request: BlobRequest;
  /** Bytes from the offset on that are at hand and lie where blobs may. */
  readonly present: number;
  readonly maximumLength: number;
}

/** The blob, its content a view, if all of it is there, it is plain, and nothing is wrong with it. */
export function plainBlobIn(bytes: Uint8Array, search: PlainSearch): Blob | undefined {
  const size = blobHeaderSizeOfFirstByte(bytes[0] as number);
  const length = soundLength(bytes, 0, search);
  if (length < 0) return undefined;
  const content = new Uint8Array(bytes.buffer, bytes.byteOffset + size, length);
  return plainBlob(search.request.offset, size + length, content);
}

/** The same out of a cache, its content a copy. Requires: the offset is one where a blob may start. */
export function cachedPlainBlob(source: CachedSource, search: PlainSearch): Blob | undefined {
  const { offset } = search.request;
  const found = source.find(offset, search.present);
  if (found === undefined) return undefined;
  const at = source.foundAt;
  const length = soundLength(found.bytes, at, search);
  if (length < 0) return undefined;
  const size = blobHeaderSizeOfFirstByte(found.bytes[at] as number);
  return plainBlob(offset, size + length, copyOfBytes(found, at + size, length));
}

export function plainBlob(offset: number, storedLength: number, bytes: Uint8Array): Blob {
  return { offset, storedLength, compressed: false, bytes };
}

/** Length of the content; -1 for what is not such a blob: whoever decodes its header tells why. */
function soundLength(
  bytes: Uint8Array,
  at: number,
  { request: { offset, limit }, present, maximumLength }: PlainSearch,
): number {
  const length = plainBlobLength(bytes, at);
  if (length < 0 || length > maximumLength) return -1;
  const end = blobHeaderSizeOfFirstByte(bytes[at] as number) + length;
  if (end > present || (limit !== undefined && offset + end > limit)) return -1;
  return length;
}

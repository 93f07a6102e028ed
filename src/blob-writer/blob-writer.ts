/**
 * Appends blobs back to back through a BufferedWriter.
 *
 * One writer at a time: the offset of a blob is the value of `offset` right before it is appended, even
 * while earlier appends wait for the disk.
 */
import { assert } from '../assert.ts';
import { copyBytes, ViewedBytes } from '../byte-words.ts';
import { checkBytes, checkMethod } from '../check-options.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { scanZstdFrame } from '../zstd/frame.ts';
import {
  blobHeaderSize,
  blobHeaderSizeOfFirstByte,
  checkContent,
  decodeBlobHeader,
  MAXIMUM_BLOB_LENGTH,
  writePlainHeader,
} from './blob-format.ts';
import type { BufferedWriter } from './buffered-writer.ts';

/** Many contents: content i is the `lengths[i]` bytes of `values` from index `starts[i]`. */
export interface BlobParts {
  readonly values: ViewedBytes;
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
  /** `blobs`: the headers are included, and the blobs are back to back. Default: `contents`. */
  readonly form?: 'contents' | 'blobs' | undefined;
}

/**
 * Appends blobs to a file. A blob is found again by its offset.
 *
 * @example
 * const out = new BufferedWriter(file);
 * const blobs = new BlobWriter(out);
 * const { offset } = blobs;
 * await blobs.append(content);
 * await out.finish();
 * await file.sync();
 */
export class BlobWriter {
  readonly #out: BufferedWriter;

  /** @param out may also be used directly, for example for padding; the caller finishes it */
  constructor(out: BufferedWriter) {
    checkMethod('buffered writer', out, 'claim');
    this.#out = out;
  }

  /** File offset of the next blob, in bytes. */
  get offset(): number {
    return this.#out.offset;
  }

  /**
   * Appends a plain blob.
   *
   * Durability: none, as for `BufferedWriter.append`.
   *
   * @param bytes must not change until a returned promise settles
   * @returns nothing if there was room, otherwise a promise that resolves once the bytes are buffered
   * @throws `too-large`, and as `BufferedWriter.append`
   */
  append(bytes: Uint8Array): void | Promise<void> {
    checkContent(bytes);
    const { length } = bytes;
    const headerSize = blobHeaderSize(length);
    const at = this.#out.claim(headerSize + length);
    if (at < 0) return this.#appendAcross(bytes);
    const buffer = this.#out.buffer.bytes;
    writePlainHeader(buffer, at, length);
    buffer.set(bytes, at + headerSize);
  }

  /**
   * Blobs that end at most this many bytes after `offset` are appended without a promise.
   *
   * @internal
   */
  get room(): number {
    return Math.min(this.#out.room, MAXIMUM_BLOB_LENGTH);
  }

  /**
   * Appends the parts from `first` to `end`, which take `size` bytes with their headers.
   * Requires: they fit into `room`, and lie inside the values.
   *
   * @internal
   */
  appendParts(parts: BlobParts, first: number, end: number, size: number): void {
    const at = this.#out.claim(size);
    assert(at >= 0, 'the parts fit into the buffer');
    if (parts.form === 'blobs') copyBlobs(parts, first, size, { target: this.#out.buffer, at });
    else encodeParts(parts, first, end, this.#out.buffer, at);
  }

  /**
   * As `appendParts`, for parts that may not fit into `room`: they are copied and wait.
   * Requires: they lie inside the values. Returns, throws: as `append`.
   *
   * @internal
   */
  appendCopies(parts: BlobParts, first: number, end: number, size: number): void | Promise<void> {
    const copies = new ViewedBytes(new Uint8Array(size));
    if (parts.form === 'blobs') copyBlobs(parts, first, size, { target: copies, at: 0 });
    else encodeParts(parts, first, end, copies, 0);
    return this.#out.append(copies.bytes);
  }

  /**
   * Appends a blob that is encoded already, header included, such as one read from another layer.
   *
   * @returns as `append`
   * @throws `corrupt` or `truncated` unless the bytes are exactly one blob; and as `append`
   */
  appendEncoded(blob: Uint8Array): void | Promise<void> {
    checkEncodedBlob(blob);
    return this.#out.append(blob);
  }

  /**
   * Appends consecutive blobs that this library has encoded.
   * Returns, throws: as `append`.
   *
   * @internal
   */
  appendAllEncoded(blobs: Uint8Array): void | Promise<void> {
    return this.#out.append(blobs);
  }

  #appendAcross(bytes: Uint8Array): void | Promise<void> {
    const header = new Uint8Array(blobHeaderSize(bytes.length));
    writePlainHeader(header, 0, bytes.length);
    return this.#out.appendPair(header, bytes);
  }
}

/** Writes the parts from `first` to `end`, each after its header, at index `at` of the target. */
function encodeParts(
  { values, starts, lengths }: BlobParts,
  first: number,
  end: number,
  target: ViewedBytes,
  at: number,
): void {
  let to = at;
  for (let part = first; part < end; part += 1) {
    const length = lengths[part] as number;
    to += writePlainHeader(target.bytes, to, length);
    copyBytes(values, starts[part] as number, target, to, length);
    to += length;
  }
}

function copyBlobs(
  { values, starts, lengths }: BlobParts,
  first: number,
  size: number,
  { target, at }: { readonly target: ViewedBytes; readonly at: number },
): void {
  const from = (starts[first] as number) - blobHeaderSize(lengths[first] as number);
  copyBytes(values, from, target, at, size);
}

/** Throws `corrupt`, `truncated`, `invalid-input` unless it is exactly one blob, header included. */
export function checkEncodedBlob(blob: Uint8Array): void {
  checkBytes(blob, 'encoded blob');
  const [first] = blob;
  if (first === undefined || blob.length < blobHeaderSizeOfFirstByte(first)) {
    throw new StorageError('truncated', { what: 'header of the encoded blob', offset: 0 });
  }
  const { headerSize, storedLength, compressed } = decodeBlobHeader(blob, 0, 0);
  if (blob.length !== headerSize + storedLength) {
    throw new StorageError(blob.length < headerSize + storedLength ? 'truncated' : 'corrupt', {
      what: 'encoded blob',
      offset: 0,
      expected: `${headerSize + storedLength} bytes, as its header says`,
      actual: `${blob.length}`,
    });
  }
  if (compressed) scanFrameAfterHeader(blob, headerSize);
}

/** Offsets of its errors count from the start of the blob. */
function scanFrameAfterHeader(blob: Uint8Array, headerSize: number): void {
  try {
    scanZstdFrame(blob.subarray(headerSize));
  } catch (error) {
    if (!isStorageError(error)) throw error;
    throw error.with({ offset: headerSize + (error.offset ?? 0) });
  }
}

/**
 * A batch of blobs to compress, in one ArrayBuffer, so that it can be transferred between threads.
 *
 *   count    u32
 *   sizes    u32 for each of up to 256 blobs: bytes of its content; top bit: it is encoded already
 *   blobs    back to back: room for a header and a content, or an encoded blob
 *
 * Compression is in place, blob by blob. An encoded blob is never longer than its content and the room
 * before it, so that it never overwrites a later blob. Afterwards all blobs are encoded, and the sizes are
 * those of the encoded blobs. Integers have the byte order of the machine.
 */
import { assert } from '../assert.ts';
import {
  MAXIMUM_BLOB_HEADER_SIZE,
  MAXIMUM_BLOB_LENGTH,
  SHORT_BLOB_LIMIT,
  writePlainHeader,
  writeZstdHeader,
} from './blob-format.ts';

export const MAXIMUM_BATCH_COUNT = 256;

const ENCODED_FLAG = 0x8000_0000;
const SIZE_MASK = 0x7fff_ffff;
const TABLE_SIZE = 4 * (1 + MAXIMUM_BATCH_COUNT);
const HEADER_SIZE = MAXIMUM_BLOB_HEADER_SIZE;

assert(HEADER_SIZE + MAXIMUM_BLOB_LENGTH <= SIZE_MASK, 'a size leaves the flag free');

/** Maximum number of bytes that a batch needs for a blob. */
export function batchRoomFor(length: number): number {
  return HEADER_SIZE + length;
}

export class CompressionBatch {
  readonly buffer: ArrayBuffer;
  readonly #table: Uint32Array;
  readonly #blobs: Uint8Array;
  /** Where the last added blob ends. */
  #end = 0;

  /** Makes an empty batch with room for `capacity` bytes of blobs. */
  static create(capacity: number): CompressionBatch {
    return new CompressionBatch(new ArrayBuffer(TABLE_SIZE + capacity));
  }

  /** Wraps a buffer from another thread. */
  constructor(buffer: ArrayBuffer) {
    this.buffer = buffer;
    this.#table = new Uint32Array(buffer, 0, 1 + MAXIMUM_BATCH_COUNT);
    this.#blobs = new Uint8Array(buffer, TABLE_SIZE);
  }

  get capacity(): number {
    return this.#blobs.length;
  }

  get count(): number {
    return this.#table[0] as number;
  }

  /** Bytes added so far. */
  get length(): number {
    return this.#end;
  }

  clear(): void {
    this.#table[0] = 0;
    this.#end = 0;
  }

  hasRoomFor(length: number): boolean {
    return this.count < MAXIMUM_BATCH_COUNT && this.#end + batchRoomFor(length) <= this.capacity;
  }

  /** Copies a content, which is compressed later unless it is short. Requires: room. */
  add(content: Uint8Array): void {
    if (content.length < SHORT_BLOB_LIMIT) {
      const headerSize = writePlainHeader(this.#blobs, this.#end, content.length);
      this.#blobs.set(content, this.#end + headerSize);
      this.#note(headerSize + content.length, ENCODED_FLAG);
    } else {
      this.#blobs.set(content, this.#end + HEADER_SIZE);
      this.#note(content.length, 0);
      this.#end += HEADER_SIZE;
    }
  }

  /** Copies an encoded blob, header included. Requires: room. */
  addEncoded(blob: Uint8Array): void {
    this.#blobs.set(blob, this.#end);
    this.#note(blob.length, ENCODED_FLAG);
  }

  /** Bytes of an encoded blob, header included. */
  encodedSize(index: number): number {
    return (this.#table[1 + index] as number) & SIZE_MASK;
  }

  /** All blobs back to back, a view. Requires: the compression is complete. */
  get encoded(): Uint8Array {
    let length = 0;
    for (let index = 0; index < this.count; index += 1) length += this.encodedSize(index);
    return this.#blobs.subarray(0, length);
  }

  /** Begins the compression of the added blobs. */
  compression(): BatchCompression {
    return new BatchCompression(this.#table, this.#blobs);
  }

  #note(size: number, flag: number): void {
    const { count } = this;
    this.#table[1 + count] = size | flag;
    this.#table[0] = count + 1;
    this.#end += size;
  }
}

/** One pass over the blobs: asks for the frame of each content, and moves encoded blobs up. */
export class BatchCompression {
  readonly #sizes: Uint32Array;
  readonly #blobs: Uint8Array;
  #index = 0;
  /** Where the next blob is, and where its encoded form goes. */
  #from = 0;
  #to = 0;

  constructor(table: Uint32Array, blobs: Uint8Array) {
    this.#sizes = table.subarray(1, 1 + (table[0] as number));
    this.#blobs = blobs;
  }

  /** Returns: the next content, a view that is valid until `store`; undefined once all blobs are encoded. */
  next(): Uint8Array | undefined {
    for (; this.#index < this.#sizes.length; this.#index += 1) {
      const entry = this.#sizes[this.#index] as number;
      const size = entry & SIZE_MASK;
      if ((entry & ENCODED_FLAG) === 0) {
        const start = this.#from + HEADER_SIZE;
        return this.#blobs.subarray(start, start + size);
      }
      this.#blobs.copyWithin(this.#to, this.#from, this.#from + size);
      this.#sizes[this.#index] = size;
      this.#from += size;
      this.#to += size;
    }
    return undefined;
  }

  /** Stores the frame of the content that `next` returned, or the content itself if that is not longer. */
  store(frame: Uint8Array): void {
    const length = this.#sizes[this.#index] as number;
    const start = this.#from + HEADER_SIZE;
    const isSmaller = frame.length < length;
    const storedLength = isSmaller ? frame.length : length;
    if (isSmaller) {
      writeZstdHeader(this.#blobs, this.#to, storedLength);
      this.#blobs.set(frame, this.#to + HEADER_SIZE);
    } else {
      writePlainHeader(this.#blobs, this.#to, storedLength);
      this.#blobs.copyWithin(this.#to + HEADER_SIZE, start, start + length);
    }
    this.#sizes[this.#index] = HEADER_SIZE + storedLength;
    this.#index += 1;
    this.#from = start + length;
    this.#to += HEADER_SIZE + storedLength;
  }
}

/**
 * Reads the content of one blob in pieces, so that a blob of any size takes as much memory as a
 * small one: neither its stored bytes nor its content are held whole.
 */

import {
  type DecompressionLimits,
  Decompressor,
  type FrameSource,
  type OnPiece,
} from '../zstd/decompression.ts';
import type { BlobHeader } from './blob-format.ts';
import { type ByteSource, readExactly } from './byte-source.ts';

/** Read at once; more than a zstd block with its header. */
const WINDOW_SIZE = 256 * 1024;

export interface BlobContentPlace {
  readonly source: ByteSource;
  /** Of the blob; checked to lie within the values, with its header and stored bytes. */
  readonly offset: number;
  readonly header: BlobHeader;
}

/**
 * Hands the content over in pieces of at most 256 KiB, each a view that is valid until the function
 * returns.
 *
 * Returns: the length of the content.
 * Throws: `corrupt`, `truncated`, `too-large`, `io`; pieces may have been handed over before.
 */
export async function streamBlobContent(
  { source, offset, header }: BlobContentPlace,
  limits: DecompressionLimits,
  onPiece: OnPiece,
): Promise<number> {
  const start = offset + header.headerSize;
  const bytes = new SourceWindow(source, start, header.storedLength);
  if (header.compressed) {
    const decompressor = await Decompressor.load();
    return decompressor.decompressFrom(bytes, limits, onPiece);
  }
  for (let done = 0; done < bytes.length; done += WINDOW_SIZE) {
    onPiece(await bytes.bytes(done, Math.min(WINDOW_SIZE, bytes.length - done)));
  }
  return bytes.length;
}

/** A stretch of a source, read forward through one window. */
class SourceWindow implements FrameSource {
  readonly length: number;
  readonly #source: ByteSource;
  readonly #offset: number;
  readonly #window: Uint8Array;
  /** The window holds the bytes from `#start` to `#end`, counted from the start of the stretch. */
  #start = 0;
  #end = 0;

  constructor(source: ByteSource, offset: number, length: number) {
    this.#source = source;
    this.#offset = offset;
    this.length = length;
    this.#window = new Uint8Array(Math.min(length, WINDOW_SIZE));
  }

  bytes(offset: number, length: number): Uint8Array | Promise<Uint8Array> {
    if (offset >= this.#start && offset + length <= this.#end) return this.#view(offset, length);
    return this.#load(offset, length);
  }

  async #load(offset: number, length: number): Promise<Uint8Array> {
    const windowLength = Math.min(this.#window.length, this.length - offset);
    // Nothing is there if the read fails.
    this.#end = this.#start;
    await readExactly(this.#source, this.#window.subarray(0, windowLength), this.#offset + offset);
    this.#start = offset;
    this.#end = offset + windowLength;
    return this.#view(offset, length);
  }

  #view(offset: number, length: number): Uint8Array {
    return this.#window.subarray(offset - this.#start, offset - this.#start + length);
  }
}

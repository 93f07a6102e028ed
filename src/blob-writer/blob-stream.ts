/**
 * Reads the content of one blob in pieces: neither its stored bytes nor its content are ever in memory
 * completely, so that a blob of any size takes as much memory as a small one.
 */

import {
  type DecompressionLimits,
  Decompressor,
  type FrameSource,
  type OnPiece,
} from '../zstd/decompression.ts';
import type { BlobHeader } from './blob-format.ts';
import { type ByteSource, readExactly } from './byte-source.ts';

/** Length of one read; more than a zstd block with its header. */
const WINDOW_SIZE = 256 * 1024;

export interface BlobContentPlace {
  readonly source: ByteSource;
  /** Offset of the blob; the complete blob is known to lie within the values. */
  readonly offset: number;
  readonly header: BlobHeader;
}

/**
 * Passes the content to `onPiece` in pieces of at most 256 KiB, each a view that is valid until `onPiece`
 * returns.
 *
 * Returns: the length of the content.
 * Throws: `corrupt`, `truncated`, `too-large`, `io`; `onPiece` may have been called before.
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
    // If the read fails, the window is empty.
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

/**
 * Reads blobs in ascending order of their offsets, in large pieces, the next ones while the last one
 * is used. `locate` finds a blob without a copy, a promise or an allocation as long as it lies
 * in the piece at hand.
 *
 *   buffer:  | slack | piece                      |
 *                ^ the begun blob at the end of the piece before is copied in front of the next
 */
import { withPath } from '../errors.ts';
import {
  type BlobHeader,
  blobHeaderSizeOfFirstByte,
  decodeBlobHeader,
  plainBlobLength,
} from './blob-format.ts';
import type { BlobReader } from './blob-reader.ts';
import { readExactly } from './byte-source.ts';
import { PiecesAhead } from './pieces-ahead.ts';

const DEFAULT_PIECE_SIZE = 1024 * 1024;

/** Blobs with more stored bytes than this may be left where they are. */
const LARGE_BLOB = 1024 * 1024;

/** Largest beginning of a blob that is copied in front of the next piece. */
const SLACK_SIZE = 64 * 1024;

/** Pieces in flight beside the one at hand, once a scan has gone from one to the next as often. */
const MAXIMUM_PIECES_AHEAD = 3;

/** In flight before it is known where the first blob of a scan lies. */
const FIRST_PIECES = 2;

/** Where blobs were found, in parallel arrays with one place for each. */
export interface BlobPlaces {
  /** In the scanner's `bytes`. */
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
  /** Bytes in the file, header included. */
  readonly storedLengths: Uint32Array;
}

/** Blobs that should lie one behind the other. */
export interface BlobRow {
  /** File offsets, one more than there are blobs: the last is what the last blob must end before. */
  readonly offsets: Float64Array;
  readonly from: number;
  readonly to: number;
  /** Where the one before the first ends. */
  readonly previousEnd: number;
}

export class BlobScanner {
  readonly #reader: BlobReader;
  readonly #slackSize: number;
  readonly #largeBlobs: 'load' | 'leave';
  /** The window: bytes of the file from `#start` to `#end`, at `#at` in `#buffer`. */
  #buffer: Uint8Array = new Uint8Array(0);
  #at = 0;
  #start = 0;
  #end = 0;
  readonly #ahead: PiecesAhead;
  /** How many to read ahead: whoever leaps about throws them away. */
  #piecesAhead = 1;

  /** Where the located blob's payload is: views of `bytes` are valid until the next `load`. */
  bytes: Uint8Array = this.#buffer;
  payloadStart = 0;
  headerSize = 0;
  payloadLength = 0;
  compressed = false;
  /** False for a large blob that was left: only its header is at hand. */
  isWhole = true;

  /** Large blobs (above 1 MiB) are loaded as a whole, or left to be streamed. */
  constructor(
    reader: BlobReader,
    pieceSize = DEFAULT_PIECE_SIZE,
    largeBlobs: 'load' | 'leave' = 'load',
  ) {
    const { start, end } = reader.region;
    const length = Math.max(0, end - start);
    this.#reader = reader;
    // What fits into one piece needs no more room than it takes.
    this.#slackSize = length > pieceSize ? SLACK_SIZE : 0;
    this.#ahead = new PiecesAhead(reader.source, {
      pieceSize: Math.min(pieceSize, length),
      slackSize: this.#slackSize,
      end,
    });
    this.#largeBlobs = largeBlobs;
  }

  /**
   * Finds the blob at `offset` in the bytes at hand.
   *
   * Returns: false when `load` must be called first.
   * Throws: `out-of-range`, `corrupt`, `truncated`, `too-large`, with path and offset.
   */
  locate(offset: number): boolean {
    this.#reader.checkOffset(offset);
    if (offset < this.#start || offset >= this.#end) return false;
    const at = this.#at + (offset - this.#start);
    const size = blobHeaderSizeOfFirstByte(this.#buffer[at] as number);
    if (offset + size > this.#end) return false;
    const header = this.#header(at, offset);
    this.#reader.checkExtent(offset, header);
    const isWhole = !this.#isLeft(header);
    if (isWhole && offset + size + header.storedLength > this.#end) return false;
    this.isWhole = isWhole;
    this.bytes = this.#buffer;
    this.payloadStart = at + size;
    this.headerSize = size;
    this.payloadLength = header.storedLength;
    this.compressed = header.compressed;
    return true;
  }

  /**
   * Finds plain blobs, from the first of the row on, as long as each lies in the bytes at hand as a
   * whole, behind the one before it, in front of the next, and within all limits. Of the one after
   * them `locate` tells what it is: there need be nothing wrong with it.
   *
   * Returns: how many were found; their places are set from `at` on.
   */
  locateRow({ offsets, from, to, previousEnd }: BlobRow, places: BlobPlaces, at: number): number {
    const { starts, lengths, storedLengths } = places;
    const buffer = this.#buffer;
    const end = this.#end;
    // From file offsets to places in the buffer.
    const shift = this.#at - this.#start;
    const longest = Math.min(LARGE_BLOB, this.#reader.maximumLength);
    let behind = Math.max(previousEnd, this.#start, this.#reader.region.start);
    let index = from;
    for (; index < to; index += 1) {
      const offset = offsets[index] as number;
      if (offset < behind || offset >= end) break;
      const headerAt = offset + shift;
      const length = plainBlobLength(buffer, headerAt);
      if (length < 0 || length > longest) break;
      const contentAt = headerAt + blobHeaderSizeOfFirstByte(buffer[headerAt] as number);
      behind = contentAt + length - shift;
      if (behind > end || behind > (offsets[index + 1] as number)) break;
      const place = at + index - from;
      starts[place] = contentAt;
      lengths[place] = length;
      storedLengths[place] = behind - offset;
    }
    this.bytes = buffer;
    return index - from;
  }

  /**
   * Brings the blob at `offset` to hand; `locate` then finds it. Views of earlier blobs are void.
   * Throws: as `locate`, and `io`.
   */
  async load(offset: number): Promise<void> {
    this.#reader.checkOffset(offset);
    const isInWindow = offset >= this.#start && offset <= this.#end;
    const isCarried = isInWindow && this.#end - offset <= this.#slackSize;
    if (isCarried && this.#ahead.beginsAt(this.#end)) await this.#moveOn(offset);
    else await this.#jump(offset);
    await this.#completeBlob(offset);
    this.#ahead.readFrom(this.#end, this.#piecesAhead);
  }

  /**
   * Begins to read the first pieces, for a scan of all blobs that does not know yet where the first
   * one lies. Requires: nothing was loaded.
   */
  begin(): void {
    const { start } = this.#reader.region;
    this.#setWindow(this.#buffer, 0, start, 0);
    this.#piecesAhead = FIRST_PIECES;
    this.#ahead.readFrom(start, FIRST_PIECES);
  }

  /** Waits for the reads in flight, so that their file may be closed. */
  async close(): Promise<void> {
    await this.#ahead.drop();
  }

  /** To the piece that was read ahead, with the begun blob in front of it. */
  async #moveOn(offset: number): Promise<void> {
    const { buffer, offset: pieceOffset, length } = await this.#ahead.take();
    const begun = pieceOffset - offset;
    const from = this.#at + (offset - this.#start);
    buffer.set(this.#buffer.subarray(from, from + begun), this.#slackSize - begun);
    this.#ahead.giveBack(this.#buffer);
    this.#setWindow(buffer, this.#slackSize - begun, offset, begun + length);
    this.#piecesAhead = Math.min(this.#piecesAhead + 1, MAXIMUM_PIECES_AHEAD);
  }

  /** The buffers at hand are used again: whoever jumps often must not leave one behind each time. */
  async #jump(offset: number): Promise<void> {
    this.#piecesAhead = 1;
    await this.#ahead.drop();
    this.#ahead.giveBack(this.#buffer);
    // Nothing is in the window if the read fails.
    this.#setWindow(new Uint8Array(0), 0, offset, 0);
    const { buffer, length } = await this.#ahead.read(offset);
    this.#setWindow(buffer, this.#slackSize, offset, length);
  }

  /** What of the blob lies beyond the window: its header first, then all of it. */
  async #completeBlob(offset: number): Promise<void> {
    const size = blobHeaderSizeOfFirstByte(this.#buffer[this.#at] ?? 0);
    this.#reader.checkHeaderExtent(offset, size);
    await this.#extendWindow(offset, size);
    const header = this.#header(this.#at, offset);
    this.#reader.checkExtent(offset, header);
    if (this.#isLeft(header)) return;
    await this.#extendWindow(offset, size + header.storedLength);
  }

  #isLeft({ storedLength }: BlobHeader): boolean {
    return this.#largeBlobs === 'leave' && storedLength > LARGE_BLOB;
  }

  /** Where the window is too small, the blob that begins it gets an array of its own. */
  async #extendWindow(offset: number, length: number): Promise<void> {
    const present = this.#end - offset;
    if (length <= present) return;
    // It reaches into them.
    this.#piecesAhead = 1;
    await this.#ahead.drop();
    const whole = new Uint8Array(length);
    whole.set(this.#buffer.subarray(this.#at, this.#at + present));
    await readExactly(this.#reader.source, whole.subarray(present), offset + present);
    this.#setWindow(whole, 0, offset, length);
  }

  #header(at: number, offset: number): BlobHeader {
    try {
      return decodeBlobHeader(this.#buffer, at, offset);
    } catch (error) {
      throw withPath(error, this.#reader.source.path);
    }
  }

  #setWindow(buffer: Uint8Array, at: number, start: number, length: number): void {
    this.#buffer = buffer;
    this.#at = at;
    this.#start = start;
    this.#end = start + length;
  }
}

/**
 * Reads blobs in ascending order of their offsets, in large pieces, the next ones while the last one
 * is used. `locate` finds a blob without a copy, a promise or an allocation as long as it lies
 * in the piece at hand.
 *
 *   buffer:  | slack | piece                      |
 *                ^ the begun blob at the end of the piece before is copied in front of the next
 */
import {
  headerSizeOf,
  IS_COMPRESSED,
  IS_LONG,
  isCompressed,
  LENGTH_SHIFT,
  MAXIMUM_BLOB_HEADER_SIZE,
  type PackedHeader,
  storedLengthOf,
} from './blob-format.ts';
import {
  BlobWindow,
  blobError,
  blobSize,
  DAMAGED,
  locateBlob,
  offsetError,
} from './blob-location.ts';
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

export interface BlobScannerOptions {
  /** Bytes that are read together; default 1 MiB. */
  readonly pieceSize?: number | undefined;
  /** Blobs above 1 MiB are loaded as a whole, the default, or left to be streamed. */
  readonly largeBlobs?: 'load' | 'leave' | undefined;
  /** Told to the source; the scanner itself does not look at it. */
  readonly signal?: AbortSignal | undefined;
}

export class BlobScanner {
  readonly #reader: BlobReader;
  readonly #slackSize: number;
  readonly #options: BlobScannerOptions;
  readonly #window = new BlobWindow();
  readonly #ahead: PiecesAhead;
  /** How many to read ahead: whoever leaps about throws them away. */
  #piecesAhead = 1;

  /** Where the located blob's payload is: views of `bytes` are valid until the next `load`. */
  bytes: Uint8Array = this.#window.bytes;
  payloadStart = 0;
  headerSize = 0;
  payloadLength = 0;
  compressed = false;
  /** False for a large blob that was left: only its header is at hand. */
  isWhole = true;

  constructor(reader: BlobReader, options: BlobScannerOptions = {}) {
    const { pieceSize = DEFAULT_PIECE_SIZE, signal } = options;
    const { start, end } = reader.bounds;
    const length = Math.max(0, end - start);
    this.#reader = reader;
    this.#options = options;
    // What fits into one piece needs no more room than it takes.
    this.#slackSize = length > pieceSize ? SLACK_SIZE : 0;
    this.#ahead = new PiecesAhead(reader.source, {
      pieceSize: Math.min(pieceSize, length),
      slackSize: this.#slackSize,
      end,
      signal,
    });
  }

  /**
   * Finds the blob at `offset` in the bytes at hand.
   *
   * Returns: false when `load` must be called first.
   * Throws: `out-of-range`, `corrupt`, `truncated`, `too-large`, with path and offset.
   */
  locate(offset: number): boolean {
    const window = this.#window;
    const header = this.#headerAt(offset);
    if (header < 0) return false;
    const isWhole = !this.#isLeft(header);
    if (isWhole && !window.holds(offset, header)) return false;
    this.isWhole = isWhole;
    this.bytes = window.bytes;
    this.headerSize = headerSizeOf(header);
    this.payloadStart = offset + window.shift + this.headerSize;
    this.payloadLength = storedLengthOf(header);
    this.compressed = isCompressed(header);
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
    const { bounds } = this.#reader;
    const window = this.#window;
    const { end, shift } = window;
    let behind = previousEnd;
    let index = from;
    for (; index < to; index += 1) {
      const offset = offsets[index] as number;
      if (offset < behind) break;
      const header = locateBlob(window, offset, offsets[index + 1] as number, bounds);
      if (header < 0 || (header & IS_COMPRESSED) !== 0) break;
      const length = header >>> LENGTH_SHIFT;
      const contentStart = offset + ((header & IS_LONG) === 0 ? 1 : MAXIMUM_BLOB_HEADER_SIZE);
      behind = contentStart + length;
      if (behind > end || length > LARGE_BLOB) break;
      const place = at + index - from;
      starts[place] = contentStart + shift;
      lengths[place] = length;
      storedLengths[place] = behind - offset;
    }
    this.bytes = window.bytes;
    return index - from;
  }

  /**
   * Brings the blob at `offset` to hand; `locate` then finds it. Views of earlier blobs are void.
   * Throws: as `locate`, and `io`.
   */
  async load(offset: number): Promise<void> {
    const error = offsetError(offset, this.#reader.bounds);
    if (error !== undefined) throw error;
    const { start, end } = this.#window;
    const isInWindow = offset >= start && offset <= end;
    const isCarried = isInWindow && end - offset <= this.#slackSize;
    if (isCarried && this.#ahead.beginsAt(end)) await this.#moveOn(offset);
    else await this.#jump(offset);
    await this.#completeBlob(offset);
    this.#ahead.readFrom(this.#window.end, this.#piecesAhead);
  }

  /**
   * Begins to read the first pieces, for a scan of all blobs that does not know yet where the first
   * one lies. Requires: nothing was loaded.
   */
  begin(): void {
    const { start } = this.#reader.bounds;
    this.#window.set(this.#window.bytes, 0, start, 0);
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
    const { bytes, shift } = this.#window;
    const begun = pieceOffset - offset;
    const from = offset + shift;
    buffer.set(bytes.subarray(from, from + begun), this.#slackSize - begun);
    this.#ahead.giveBack(bytes);
    this.#window.set(buffer, this.#slackSize - begun, offset, begun + length);
    this.#piecesAhead = Math.min(this.#piecesAhead + 1, MAXIMUM_PIECES_AHEAD);
  }

  /** The buffers at hand are used again: whoever jumps often must not leave one behind each time. */
  async #jump(offset: number): Promise<void> {
    this.#piecesAhead = 1;
    await this.#ahead.drop();
    this.#ahead.giveBack(this.#window.bytes);
    // Nothing is in the window if the read fails.
    this.#window.set(new Uint8Array(0), 0, offset, 0);
    const { buffer, length } = await this.#ahead.read(offset);
    this.#window.set(buffer, this.#slackSize, offset, length);
  }

  /** What of the blob lies beyond the window: its header first, then all of it. */
  async #completeBlob(offset: number): Promise<void> {
    let header = this.#headerAt(offset);
    if (header < 0) {
      await this.#extendWindow(offset, MAXIMUM_BLOB_HEADER_SIZE);
      header = this.#headerAt(offset);
    }
    if (!this.#isLeft(header)) await this.#extendWindow(offset, blobSize(header));
  }

  #isLeft(header: PackedHeader): boolean {
    return this.#options.largeBlobs === 'leave' && storedLengthOf(header) > LARGE_BLOB;
  }

  /** Where the window is too small, the blob that begins it gets an array of its own. */
  async #extendWindow(offset: number, length: number): Promise<void> {
    const { bytes, end, shift } = this.#window;
    const present = end - offset;
    if (length <= present) return;
    // It reaches into them.
    this.#piecesAhead = 1;
    await this.#ahead.drop();
    const whole = new Uint8Array(length);
    whole.set(bytes.subarray(offset + shift, end + shift));
    await readExactly(this.#reader.source, whole.subarray(present), end, this.#options);
    this.#window.set(whole, 0, offset, length);
  }

  /** Negative where it does not lie in the window. Throws: as `locate`. */
  #headerAt(offset: number): PackedHeader {
    const { bounds } = this.#reader;
    const header = locateBlob(this.#window, offset, Number.POSITIVE_INFINITY, bounds);
    if (header === DAMAGED) throw blobError(this.#window, { offset }, bounds);
    return header;
  }
}

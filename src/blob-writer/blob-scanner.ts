/**
 * Reads blobs in ascending order of their offsets, in large pieces with read-ahead. `locate` finds a blob
 * without a copy, a promise or an allocation as long as it lies in the current piece.
 *
 *   buffer:  | slack | piece                      |
 *                ^ the beginning of a blob that the previous piece ends within is copied here
 */
import {
  checkChoice,
  checkCount,
  checkObject,
  checkOptions,
  type KnownOptions,
} from '../check-options.ts';
import {
  headerSizeOf,
  IS_COMPRESSED,
  IS_LONG,
  isCompressed,
  LENGTH_SHIFT,
  MAXIMUM_BLOB_HEADER_SIZE,
  type PackedHeader,
  packedHeader,
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

/** Blobs with more stored bytes than this may be left unloaded. */
const LARGE_BLOB = 1024 * 1024;

/** Largest beginning of a blob that is copied in front of the next piece. */
const SLACK_SIZE = 64 * 1024;

/** Maximum number of pieces in flight, reached step by step as a scan goes from piece to piece. */
const MAXIMUM_PIECES_AHEAD = 3;

/** Pieces in flight before the scan knows the offset of its first blob. */
const FIRST_PIECES = 2;

/** Places of blobs that were found, in parallel arrays. */
export interface BlobPlaces {
  /** Indexes of the contents in the scanner's `bytes`. */
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
  /** Bytes in the file, header included. */
  readonly storedLengths: Uint32Array;
}

/** Blobs that should follow each other. */
export interface BlobRow {
  /** File offsets, one more than there are blobs: the last one limits the end of the last blob. */
  readonly offsets: Float64Array;
  readonly from: number;
  readonly to: number;
  /** Where the blob before the first one ends. */
  readonly previousEnd: number;
}

/** Options of `BlobScanner`. */
export interface BlobScannerOptions {
  /** Bytes of one read; default 1 MiB. */
  readonly pieceSize?: number | undefined;
  /** Whether blobs above 1 MiB are loaded completely, the default, or only located, for streaming. */
  readonly largeBlobs?: 'load' | 'leave' | undefined;
  /** Passed to the source, which may end its reads. The scanner itself does not check it. */
  readonly signal?: AbortSignal | undefined;
}

const OPTIONS: KnownOptions<BlobScannerOptions> = {
  pieceSize: true,
  largeBlobs: true,
  signal: true,
};

/**
 * Scans blobs front to back without a promise or an array for each of them. For one blob at a time: call
 * `locate`, and `load` first if it returns false; then the properties describe the blob.
 *
 * @example
 * const scanner = new BlobScanner(reader);
 * for (const offset of ascendingOffsets) {
 *   if (!scanner.locate(offset)) {
 *     await scanner.load(offset);
 *     scanner.locate(offset);
 *   }
 *   const { bytes, payloadStart, payloadLength } = scanner;
 *   use(bytes.subarray(payloadStart, payloadStart + payloadLength));
 * }
 * await scanner.close();
 */
export class BlobScanner {
  readonly #reader: BlobReader;
  readonly #slackSize: number;
  readonly #options: BlobScannerOptions;
  readonly #window = new BlobWindow();
  readonly #ahead: PiecesAhead;
  /** How many pieces to read ahead; reset by a jump, which discards them. */
  #piecesAhead = 1;

  /** The memory of the located blob; views of it are valid until the next `load`. */
  bytes: Uint8Array = this.#window.bytes;
  /** Index in `bytes` of the payload of the located blob. */
  payloadStart = 0;
  /** Bytes of the header of the located blob. */
  headerSize = 0;
  /** Stored bytes after the header of the located blob. */
  payloadLength = 0;
  /** Whether the payload of the located blob is a zstd frame. */
  compressed = false;
  /** False for a large blob that was left: only its header is in memory. */
  isWhole = true;

  /**
   * @param reader gives the source, the region and the limits
   * @throws `invalid-input` for an option out of range
   */
  constructor(reader: BlobReader, options: BlobScannerOptions = {}) {
    checkObject('reader', reader);
    checkObject('reader', reader.bounds);
    checkOptions(options, OPTIONS);
    const { pieceSize = DEFAULT_PIECE_SIZE, signal } = options;
    checkCount('bytes of one read', pieceSize, { from: 1 });
    checkChoice('largeBlobs', options.largeBlobs, ['load', 'leave']);
    const { start, end } = reader.bounds;
    const length = Math.max(0, end - start);
    this.#reader = reader;
    this.#options = options;
    // Values that fit into one piece need no slack.
    this.#slackSize = length > pieceSize ? SLACK_SIZE : 0;
    this.#ahead = new PiecesAhead(reader.source, {
      pieceSize: Math.min(pieceSize, length),
      slackSize: this.#slackSize,
      end,
      signal,
    });
  }

  /**
   * Finds the blob at `offset` in the bytes in memory.
   *
   * @returns false if `load` must be called first
   * @throws `out-of-range`, `corrupt`, `truncated`, `too-large`, with path and offset
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
   * Where the blob at `offset` ends, according to its header; undefined if that is not in memory.
   *
   * @internal
   * @throws as `locate`
   */
  endAt(offset: number): number | undefined {
    const header = this.#headerAt(offset);
    return header < 0 ? undefined : offset + blobSize(header);
  }

  /**
   * Finds plain blobs from the first of the row on, as long as each lies completely in memory, after the
   * previous one, before the next, and within all limits. The blob after them is not necessarily damaged:
   * `locate` decides.
   *
   * @internal
   * @returns the number of blobs found; their places are set from index `at` on
   */
  locateRow({ offsets, from, to, previousEnd }: BlobRow, places: BlobPlaces, at: number): number {
    const { starts, lengths, storedLengths } = places;
    // The window lies within the bounds. Looked up once: calls and fields are expensive until the loop is compiled.
    const { bytes, start, end, shift } = this.#window;
    const maximumLength = Math.min(LARGE_BLOB, this.#reader.bounds.maximumLength);
    let reached = Math.max(previousEnd, start);
    let index = from;
    for (; index < to; index += 1) {
      const offset = offsets[index] as number;
      if (!(offset >= reached) || offset >= end) break;
      const header = packedHeader(bytes, offset + shift, end + shift);
      if (header < 0 || (header & IS_COMPRESSED) !== 0) break;
      const length = header >>> LENGTH_SHIFT;
      const contentStart = offset + ((header & IS_LONG) === 0 ? 1 : MAXIMUM_BLOB_HEADER_SIZE);
      reached = contentStart + length;
      if (reached > end || length > maximumLength) break;
      if (!(reached <= (offsets[index + 1] as number))) break;
      const place = at + index - from;
      starts[place] = contentStart + shift;
      lengths[place] = length;
      storedLengths[place] = reached - offset;
    }
    this.bytes = bytes;
    return index - from;
  }

  /**
   * Loads the blob at `offset`, so that `locate` finds it. Views of earlier blobs become invalid.
   *
   * @throws as `locate`, and `io`
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
   * Starts to read the first pieces, for a scan of all blobs that does not know its first offset yet.
   * Requires: nothing was loaded.
   *
   * @internal
   */
  begin(): void {
    const { start } = this.#reader.bounds;
    this.#window.set(this.#window.bytes, 0, start, 0);
    this.#piecesAhead = FIRST_PIECES;
    this.#ahead.readFrom(start, FIRST_PIECES);
  }

  /** Waits for the reads in flight, so that their file can be closed. Never rejects. */
  async close(): Promise<void> {
    await this.#ahead.drop();
  }

  /** Goes to the next piece, and copies the beginning of the blob in front of it. */
  async #moveOn(offset: number): Promise<void> {
    const { buffer, offset: pieceOffset, length } = await this.#ahead.take();
    const { bytes, shift } = this.#window;
    const begun = pieceOffset - offset;
    const from = offset + shift;
    buffer.set(bytes.subarray(from, from + begun), this.#slackSize - begun);
    this.#ahead.release(bytes);
    this.#window.set(buffer, this.#slackSize - begun, offset, begun + length);
    this.#piecesAhead = Math.min(this.#piecesAhead + 1, MAXIMUM_PIECES_AHEAD);
  }

  /** Restarts at `offset`. Reuses the buffers, so that frequent jumps allocate nothing. */
  async #jump(offset: number): Promise<void> {
    this.#piecesAhead = 1;
    await this.#ahead.drop();
    this.#ahead.release(this.#window.bytes);
    // If the read fails, the window is empty.
    this.#window.set(new Uint8Array(0), 0, offset, 0);
    const { buffer, length } = await this.#ahead.read(offset);
    this.#window.set(buffer, this.#slackSize, offset, length);
  }

  /** Reads the part of the blob after the window: first its header, then the rest. */
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

  /** Copies the blob into a separate array if the window ends within it. */
  async #extendWindow(offset: number, length: number): Promise<void> {
    const { bytes, end, shift } = this.#window;
    const present = end - offset;
    if (length <= present) return;
    // The blob covers some of their bytes.
    this.#piecesAhead = 1;
    await this.#ahead.drop();
    const whole = new Uint8Array(length);
    whole.set(bytes.subarray(offset + shift, end + shift));
    await readExactly(this.#reader.source, whole.subarray(present), end, this.#options);
    this.#window.set(whole, 0, offset, length);
  }

  /** Returns: negative if the window does not hold the header. Throws: as `locate`. */
  #headerAt(offset: number): PackedHeader {
    // Comparing an object would run its code.
    if (typeof offset !== 'number') checkCount('offset of a blob', offset);
    const { bounds } = this.#reader;
    const header = locateBlob(this.#window, offset, Number.POSITIVE_INFINITY, bounds);
    if (header === DAMAGED) throw blobError(this.#window, { offset }, bounds);
    return header;
  }
}

/**
 * Read-ahead for a scan from front to back: several pieces are in flight at a time, so that one slow read
 * does not delay the scan. Buffers are reused.
 *
 *   buffer:  | slack | piece                      |
 */
import { assert } from '../assert.ts';
import { type ByteSource, newBufferOf, readExactly } from './byte-source.ts';

export interface Piece {
  readonly buffer: Uint8Array;
  /** File offset of the first byte after the slack. */
  readonly offset: number;
  readonly length: number;
}

export interface PieceSizes {
  readonly pieceSize: number;
  /** Free bytes in front of each piece, for its user. */
  readonly slackSize: number;
  /** Where the last piece ends. */
  readonly end: number;
  /** Passed to the source. */
  readonly signal?: AbortSignal | undefined;
}

export class PiecesAhead {
  readonly #source: ByteSource;
  readonly #sizes: PieceSizes;
  /** Consecutive pieces in flight. */
  readonly #pieces: Promise<Piece>[] = [];
  /** File offsets of the first piece in flight, and of the end of the last. */
  #first = 0;
  #end = 0;
  readonly #spares: Uint8Array[] = [];

  constructor(source: ByteSource, sizes: PieceSizes) {
    this.#source = source;
    this.#sizes = sizes;
  }

  /** True if the next piece begins at `offset`. */
  beginsAt(offset: number): boolean {
    return this.#pieces.length > 0 && this.#first === offset;
  }

  /** Starts reads until `count` pieces from `offset` on are in flight, or the last one is. */
  readFrom(offset: number, count: number): void {
    if (this.#pieces.length === 0) this.#first = this.#end = offset;
    assert(this.#first === offset, 'pieces in flight are dropped before others are read');
    while (this.#pieces.length < count && this.#end < this.#sizes.end) {
      const reading = this.read(this.#end);
      // `take` and `drop` report the error.
      reading.catch(() => {});
      this.#pieces.push(reading);
      this.#end += this.#lengthAt(this.#end);
    }
  }

  /** Returns: the next piece; rejects with the error of its read. Requires: one is in flight. */
  take(): Promise<Piece> {
    const piece = this.#pieces.shift();
    assert(piece !== undefined, 'a piece is in flight');
    this.#first += this.#lengthAt(this.#first);
    return piece;
  }

  /** Reads the piece at `offset`, which is not in flight. */
  async read(offset: number): Promise<Piece> {
    const { slackSize } = this.#sizes;
    const buffer = this.#newBuffer();
    const length = this.#lengthAt(offset);
    const target = buffer.subarray(slackSize, slackSize + length);
    await readExactly(this.#source, target, offset, this.#sizes);
    return { buffer, offset, length };
  }

  /** Takes back the buffer of a piece for reuse; ignores other arrays. */
  release(buffer: Uint8Array): void {
    const { slackSize, pieceSize } = this.#sizes;
    if (buffer.length === slackSize + pieceSize) this.#spares.push(buffer);
  }

  /** Waits for the reads in flight and discards their pieces and errors. */
  async drop(): Promise<void> {
    for (const outcome of await Promise.allSettled(this.#pieces.splice(0))) {
      if (outcome.status === 'fulfilled') this.release(outcome.value.buffer);
    }
  }

  #lengthAt(offset: number): number {
    return Math.min(this.#sizes.pieceSize, this.#sizes.end - offset);
  }

  #newBuffer(): Uint8Array {
    const size = this.#sizes.slackSize + this.#sizes.pieceSize;
    return this.#spares.pop() ?? newBufferOf(this.#source, size);
  }
}

/**
 * Pieces of a source that are read ahead of whoever goes through it from front to back: several are
 * in flight at once, so that one read that takes its time does not hold up the scan. Their buffers
 * are used again for ever.
 *
 *   buffer:  | slack | piece                      |
 */
import { assert } from '../assert.ts';
import { type ByteSource, newBufferOf, readExactly } from './byte-source.ts';

export interface Piece {
  readonly buffer: Uint8Array;
  /** File offset of the first byte behind the slack. */
  readonly offset: number;
  readonly length: number;
}

export interface PieceSizes {
  readonly pieceSize: number;
  /** Bytes in front of each piece, for who takes it. */
  readonly slackSize: number;
  /** Where the last piece ends. */
  readonly end: number;
  /** Told to the source. */
  readonly signal?: AbortSignal | undefined;
}

export class PiecesAhead {
  readonly #source: ByteSource;
  readonly #sizes: PieceSizes;
  /** In flight, each behind the one before. */
  readonly #pieces: Promise<Piece>[] = [];
  /** File offsets of the first piece in flight, and behind the last. */
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

  /** Sees to it that so many pieces from `offset` on are in flight, as far as there are any. */
  readFrom(offset: number, count: number): void {
    if (this.#pieces.length === 0) this.#first = this.#end = offset;
    assert(this.#first === offset, 'pieces in flight are dropped before others are read');
    while (this.#pieces.length < count && this.#end < this.#sizes.end) {
      const reading = this.read(this.#end);
      // Whoever takes it, or drops it, hears of an error.
      reading.catch(() => {});
      this.#pieces.push(reading);
      this.#end += this.#lengthAt(this.#end);
    }
  }

  /** The next piece; rejects with what kept it from being read. Requires: one is in flight. */
  take(): Promise<Piece> {
    const piece = this.#pieces.shift();
    assert(piece !== undefined, 'a piece is in flight');
    this.#first += this.#lengthAt(this.#first);
    return piece;
  }

  /** The piece at `offset`, which is not in flight. */
  async read(offset: number): Promise<Piece> {
    const { slackSize } = this.#sizes;
    const buffer = this.#newBuffer();
    const length = this.#lengthAt(offset);
    const target = buffer.subarray(slackSize, slackSize + length);
    await readExactly(this.#source, target, offset, this.#sizes);
    return { buffer, offset, length };
  }

  /** Takes a buffer of a piece back that nobody looks at any more; others are left. */
  giveBack(buffer: Uint8Array): void {
    const { slackSize, pieceSize } = this.#sizes;
    if (buffer.length === slackSize + pieceSize) this.#spares.push(buffer);
  }

  /** Waits until nothing is in flight; what came is forgotten, and what failed. */
  async drop(): Promise<void> {
    for (const outcome of await Promise.allSettled(this.#pieces.splice(0))) {
      if (outcome.status === 'fulfilled') this.giveBack(outcome.value.buffer);
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

/**
 * Writes a sequence of entries into one delta layer after another. The caller decides where a layer ends, based on what
 * has been written so far; only then is its name known.
 */
import { assert } from '../assert.ts';
import { tooLarge } from '../errors.ts';
import { DeltaLayerWriter, type DeltaWriteOptions } from '../layers/delta-layer/writer.ts';
import { type KeyRange, maximumKey, minimumKey } from '../layers/key.ts';
import { DELTA_KEY_SIZE } from '../layers/layer-file/entry-layout.ts';
import type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';
import type { LsnRange } from '../layers/lsn.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';
import { FinishedPieces, type OnLayer } from './finished-pieces.ts';
import type { MergedRows } from './merged-rows.ts';
import { RowBuffer } from './row-buffer.ts';

/** Where pieces go. */
export interface DeltaPieceOptions extends Omit<DeltaWriteOptions, 'keyRange'> {
  readonly onLayer?: OnLayer | undefined;
}

/** A pageserver cannot upload larger files, and therefore never finishes one. */
export const LARGEST_LAYER = 4_500_000_000;

/** Entries of a full leaf before it is compressed for the first time. */
const LEAF_ENTRIES = Math.floor((BLOCK_SIZE - 6) / (DELTA_KEY_SIZE + 5));
/** As many as the writer puts into its index in one call. */
const PUT_ROWS = 512;
/** Leaf that is open, and a node on each level above. */
const MORE_BLOCKS = 5;

export class DeltaPieces {
  readonly #options: Omit<DeltaWriteOptions, 'keyRange'>;
  readonly #pieces: FinishedPieces;
  /** Entries of the open piece that have not been written yet. */
  readonly rows = new RowBuffer();
  #writer: DeltaLayerWriter | undefined;

  constructor({ onLayer, ...options }: DeltaPieceOptions) {
    this.#options = options;
    this.#pieces = new FinishedPieces(onLayer);
  }

  /** Whether a piece has begun, and not ended. */
  get isOpen(): boolean {
    return this.#writer !== undefined;
  }

  /** Begins a piece. Requires: none is open. */
  async begin(): Promise<void> {
    assert(this.#writer === undefined, 'the piece before has ended');
    // The range is known at the end; keys ascend, and a bound below all is the fastest to check.
    const keyRange = { start: minimumKey(), end: maximumKey() };
    this.#writer = await DeltaLayerWriter.createUnnamed({ ...this.#options, keyRange });
  }

  /**
   * Makes room for a value of this length in `rows`, which the caller then adds. Requires: a piece
   * is open. Returns: a promise if rows must be written first.
   */
  roomFor(length: number): void | Promise<void> {
    if (!this.rows.hasRoom(length)) return this.#flush();
  }

  /** Puts entries after those of `rows`. Requires: a piece is open. */
  async put(merged: MergedRows, from: number, to: number): Promise<void> {
    if (this.rows.count > 0) await this.#flush();
    // Entries that do not fit into the writer's buffer are examined twice: only a few of many.
    for (let row = from; row < to; row += PUT_ROWS) {
      const room = this.#open.putBlobEntries(merged.slice(row, Math.min(row + PUT_ROWS, to)));
      if (room !== undefined) await room;
    }
  }

  /**
   * Whether the values and the finished index blocks of the open piece, and `more` bytes, are above a limit.
   * The number of index blocks is only known once rows are written, which is done only near the limit.
   */
  exceeds(more: number, limit: number): boolean | Promise<boolean> {
    if (this.#leastSize + more > limit) return true;
    return this.fits(more, limit) ? false : this.#exceedsNow(more, limit);
  }

  /**
   * Whether `exceeds` is false for this many bytes, even after `rows` more entries. May be false too early, since
   * nothing is written.
   */
  fits(more: number, limit: number, rows = 0): boolean {
    const leaves = Math.ceil((this.rows.count + rows) / LEAF_ENTRIES);
    const blocks = leaves + Math.ceil(leaves / LEAF_ENTRIES) + MORE_BLOCKS;
    return this.#leastSize + more + blocks * BLOCK_SIZE <= limit;
  }

  /** Ends the piece, which becomes durable while the next one is written. */
  async end(keyRange: KeyRange, lsnRange: LsnRange): Promise<void> {
    await this.#flush();
    const writer = this.#open;
    if (writer.writtenSize > LARGEST_LAYER) {
      throw tooLarge('layer', { maximum: LARGEST_LAYER, actual: writer.writtenSize });
    }
    await this.#pieces.begin(() => {
      this.#writer = undefined;
      return writer.finishAs({ keyRange, lsnRange });
    });
  }

  /** Waits for all pieces. Requires: none is open. Returns: the layers in order, all durable. */
  async finish(): Promise<readonly FinishedLayer[]> {
    assert(this.#writer === undefined, 'the last piece has ended');
    return this.#pieces.all();
  }

  /** Deletes the open piece. Those that have ended stay. */
  async abandon(): Promise<void> {
    await this.#writer?.abandon();
    await this.#pieces.settle();
  }

  get #leastSize(): number {
    return this.#open.writtenSize + this.rows.storedSize;
  }

  get #open(): DeltaLayerWriter {
    assert(this.#writer !== undefined, 'a piece is open');
    return this.#writer;
  }

  async #exceedsNow(more: number, limit: number): Promise<boolean> {
    await this.#flush();
    return this.#open.writtenSize + more > limit;
  }

  async #flush(): Promise<void> {
    const room = this.#open.putBlobEntries(this.rows);
    if (room !== undefined) await room;
    this.rows.clear();
  }
}

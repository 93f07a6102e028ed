/** Entries in the order of a merge, as arrays in one buffer, which is passed between threads. */
import { blobHeaderSize } from '../blob-writer/blob-format.ts';
import { sharedBytes, ViewedBytes } from '../byte-words.ts';
import type { EntryKeyBatch } from '../layers/delta-layer/value-batch.ts';
import { KEY_SIZE, type Key } from '../layers/key.ts';
import { DELTA_KEY_SIZE, lsnOfEntryKey } from '../layers/layer-file/entry-layout.ts';
import type { Lsn } from '../layers/lsn.ts';

/** Bytes between the blob of a row and the next blob of its layer or the index; nearly always 0. */
export interface RowGap {
  readonly row: number;
  readonly size: number;
}

/** Layout of the arrays: numbers first, since they must be aligned. */
const NUMBERS_SIZE = 2 * Uint32Array.BYTES_PER_ELEMENT;
const ROW_SIZE = NUMBERS_SIZE + DELTA_KEY_SIZE + 1;

/** Memory for `count` entries, with blobs of `blobsSize` bytes; `memory` is used if it is large enough. */
interface RowMemory {
  readonly count: number;
  readonly blobsSize: number;
  readonly memory: ArrayBuffer | undefined;
  readonly gaps?: RowGap[] | undefined;
}

/** In `values`, each entry has its blob header before its value, and there is no gap. */
export class MergedRows implements EntryKeyBatch {
  readonly memory: ArrayBuffer;
  readonly count: number;
  /** Bytes of `values`. */
  readonly blobsSize: number;
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
  readonly gaps: RowGap[];
  readonly willInit: Uint8Array;
  readonly #keys: ViewedBytes;
  readonly #values: ViewedBytes;

  constructor({ count, blobsSize, memory, gaps = [] }: RowMemory) {
    const size = count * ROW_SIZE + blobsSize;
    const isEnough = memory !== undefined && memory.byteLength >= size;
    this.memory = isEnough ? memory : new ArrayBuffer(size + Math.floor(size / 8));
    this.count = count;
    this.blobsSize = blobsSize;
    this.gaps = gaps;
    this.starts = new Uint32Array(this.memory, 0, count);
    this.lengths = new Uint32Array(this.memory, this.starts.byteLength, count);
    const keysAt = count * NUMBERS_SIZE;
    const willInitAt = keysAt + count * DELTA_KEY_SIZE;
    this.#keys = new ViewedBytes(new Uint8Array(this.memory, keysAt, count * DELTA_KEY_SIZE));
    this.willInit = new Uint8Array(this.memory, willInitAt, count);
    this.#values = new ViewedBytes(new Uint8Array(this.memory, willInitAt + count, blobsSize));
  }

  get entryKeys(): Uint8Array {
    return this.#keys.bytes;
  }

  get values(): Uint8Array {
    return this.#values.bytes;
  }

  /** A view of the keys; that of a row begins at `row * DELTA_KEY_SIZE`. */
  get keys(): DataView {
    return this.#keys.view;
  }

  /** As `values`, with a view. */
  get blobs(): ViewedBytes {
    return this.#values;
  }

  /** Key of a row; a new array. */
  key(row: number): Key {
    return this.entryKeys.slice(row * DELTA_KEY_SIZE, row * DELTA_KEY_SIZE + KEY_SIZE);
  }

  /** LSN of a row. */
  lsn(row: number): Lsn {
    return lsnOfEntryKey(this.entryKeys, row * DELTA_KEY_SIZE);
  }

  /** The rows from `from` to `to`, exclusive, as a view. */
  slice(from: number, to: number): EntryKeyBatch {
    return {
      count: to - from,
      entryKeys: this.entryKeys.subarray(from * DELTA_KEY_SIZE, to * DELTA_KEY_SIZE),
      starts: this.starts.subarray(from, to),
      lengths: this.lengths.subarray(from, to),
      willInit: this.willInit.subarray(from, to),
      values: this.values,
    };
  }

  /** Bytes from the blobs of the rows from `from` to `to`, exclusive, to the next ones in their layers. */
  extent(from: number, to: number): number {
    let total = this.#blobStart(to) - this.#blobStart(from);
    for (const { row, size } of this.gaps) if (row >= from && row < to) total += size;
    return total;
  }

  /** The first row of a key, near the middle between two rows; undefined if they have one key. */
  middle(from: number, to: number): number | undefined {
    const half = (from + to) >> 1;
    for (let row = half; row > from; row -= 1) if (!this.#isKeyOfRowBefore(row)) return row;
    for (let row = half + 1; row < to; row += 1) if (!this.#isKeyOfRowBefore(row)) return row;
    return undefined;
  }

  #blobStart(row: number): number {
    if (row === this.count) return this.blobsSize;
    return (this.starts[row] as number) - blobHeaderSize(this.lengths[row] as number);
  }

  #isKeyOfRowBefore(row: number): boolean {
    const at = row * DELTA_KEY_SIZE;
    return sharedBytes(this.keys, at - DELTA_KEY_SIZE, this.keys, at, KEY_SIZE) === KEY_SIZE;
  }
}

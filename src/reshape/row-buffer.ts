/**
 * Entries of many layers, copied together, in the form that a delta writer accepts: parallel
 * arrays, so that an entry does not need an object. Values are held as blobs, with their headers, which the
 * writer copies together. Reused once the writer has taken them.
 */
import { blobHeaderSize, writePlainHeader } from '../blob-writer/blob-format.ts';
import { copyBytes, copyWords, ViewedBytes } from '../byte-words.ts';
import type { EntryKeyBatch } from '../layers/delta-layer/value-batch.ts';
import { KEY_SIZE, type Key } from '../layers/key.ts';
import type { EntryBatch } from '../layers/layer-file/entry-batch.ts';
import { DELTA_KEY_SIZE } from '../layers/layer-file/entry-layout.ts';
import { type Lsn, MAXIMUM_LSN } from '../layers/lsn.ts';

/** An entry of a batch of a scan. */
export interface ScannedRow {
  readonly batch: EntryBatch;
  readonly row: number;
  /** The keys of the batch. */
  readonly keys: ViewedBytes;
  /** The memory of its plain contents. */
  readonly buffer: ViewedBytes;
  readonly lsnHigh: number;
  readonly lsnLow: number;
}

/** As many keys as a writer puts into its index in one call. */
const ROWS = 512;
/** A value that does not fit is held separately, in its own array. */
const VALUES_SIZE = 256 * 1024;

export class RowBuffer implements EntryKeyBatch {
  count = 0;
  readonly #keys = new ViewedBytes(new Uint8Array(ROWS * DELTA_KEY_SIZE));
  readonly entryKeys: Uint8Array = this.#keys.bytes;
  readonly starts = new Uint32Array(ROWS);
  readonly lengths = new Uint32Array(ROWS);
  readonly willInit = new Uint8Array(ROWS);
  readonly #usual = new ViewedBytes(new Uint8Array(VALUES_SIZE));
  #values = this.#usual;
  #used = 0;

  get values(): Uint8Array {
    return this.#values.bytes;
  }

  /** Bytes of the rows in a layer, with their blob headers. */
  get storedSize(): number {
    return this.#used;
  }

  /** Whether a value of this length can be added. An empty buffer has room for any. */
  hasRoom(length: number): boolean {
    if (this.count === 0) return true;
    const end = this.#used + blobHeaderSize(length) + length;
    return this.count < ROWS && end <= this.#values.bytes.length;
  }

  /** Copies an entry of a scan, after decompression. Requires: room. */
  addEntryOf(entry: ScannedRow, willInit = entry.batch.willInit[entry.row] as number): void {
    const { batch, row, keys } = entry;
    const at = this.count * DELTA_KEY_SIZE;
    const { view } = this.#keys;
    copyWords(keys.view, row * KEY_SIZE, view, at, KEY_SIZE);
    view.setUint32(at + KEY_SIZE, entry.lsnHigh);
    view.setUint32(at + KEY_SIZE + 4, entry.lsnLow);
    const isPlain = batch.compressed[row] === 0;
    const source = isPlain ? entry.buffer : new ViewedBytes(batch.bytes(row));
    const length = isPlain ? (batch.lengths[row] as number) : source.bytes.length;
    const from = isPlain ? (batch.starts[row] as number) : 0;
    this.#addValue(source, from, length, willInit);
  }

  /** Copies an entry. Requires: room; a key of 18 bytes, and a valid LSN. */
  add(key: Key, lsn: Lsn, bytes: Uint8Array, willInit: boolean): void {
    const at = this.count * DELTA_KEY_SIZE;
    this.entryKeys.set(key, at);
    this.#keys.view.setBigUint64(at + KEY_SIZE, lsn & MAXIMUM_LSN);
    this.#addValue(new ViewedBytes(bytes), 0, bytes.length, willInit ? 1 : 0);
  }

  clear(): void {
    this.count = 0;
    this.#used = 0;
    this.#values = this.#usual;
  }

  #addValue(source: ViewedBytes, from: number, length: number, willInit: number): void {
    const { count } = this;
    const size = blobHeaderSize(length) + length;
    if (size > VALUES_SIZE) this.#values = new ViewedBytes(new Uint8Array(size));
    const values = this.#values;
    const at = this.#used + writePlainHeader(values.bytes, this.#used, length);
    copyBytes(source, from, values, at, length);
    this.starts[count] = at;
    this.lengths[count] = length;
    this.willInit[count] = willInit;
    this.#used += size;
    this.count = count + 1;
  }
}

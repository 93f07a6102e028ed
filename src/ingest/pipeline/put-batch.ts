/**
 * The values of records on their way into an open layer: typed arrays that one `putBatch` takes. A value is copied
 * once, and costs no object.
 *
 * A batch grows while one record puts values, up to a limit, and the values of a record can be removed again, so that a
 * record that fails halfway leaves nothing. Between records, a batch that `isFull` is put into the layer.
 */
import { copyBytes, copyWords, ViewedBytes } from '../../byte-words.ts';
import { tooLarge } from '../../errors.ts';
import type { ValueBatch } from '../../layers/delta-layer/value-batch.ts';
import { KEY_SIZE } from '../../layers/key.ts';
import { halvesOf, setHalves } from '../../layers/lsn-halves.ts';
import { encodeValue } from '../../layers/value-format.ts';

/** Values after which a batch is put into the layer. */
const FULL_ROWS = 4096;
/** Bytes of values after which a batch is put into the layer. */
const FULL_BYTES = 1024 * 1024;
/** The largest record has less than 1 GiB, and each of its blocks repeats it. */
const MAXIMUM_BYTES = 2 ** 31 - 1;

/** A WAL record's value without the record; its last four bytes are the low half of the record's length. */
const HEADERS = [false, true].map(
  (willInit) => new ViewedBytes(encodeValue({ type: 'wal', willInit, bytes: new Uint8Array(0) })),
) as [ViewedBytes, ViewedBytes];
const HEADER_SIZE = HEADERS[0].bytes.length;

export class PutBatch implements ValueBatch {
  count = 0;
  lsns = new BigUint64Array(FULL_ROWS);
  willInit = new Uint8Array(FULL_ROWS);
  starts = new Uint32Array(FULL_ROWS);
  lengths = new Uint32Array(FULL_ROWS);
  #keys = new ViewedBytes(new Uint8Array(FULL_ROWS * KEY_SIZE));
  #lsnHalves = halvesOf(this.lsns);
  #values = new ViewedBytes(new Uint8Array(2 * FULL_BYTES));
  /** LSN of the rows that are added, in halves. */
  #lsnHigh = 0;
  #lsnLow = 0;
  /** Bytes of values. */
  #size = 0;

  get keys(): Uint8Array {
    return this.#keys.bytes;
  }

  get values(): Uint8Array {
    return this.#values.bytes;
  }

  /** Bytes of values. */
  get size(): number {
    return this.#size;
  }

  get isFull(): boolean {
    return this.count >= FULL_ROWS || this.#size >= FULL_BYTES;
  }

  /** Sets the LSN of the rows that are added from now on. */
  setLsn(high: number, low: number): void {
    this.#lsnHigh = high;
    this.#lsnLow = low;
  }

  /** Adds a serialized value, which is copied. Throws: `too-large`. */
  put(key: ViewedBytes, willInit: boolean, value: ViewedBytes): void {
    const { length } = value.bytes;
    const at = this.#claim(key, willInit, length);
    copyBytes(value, 0, this.#values, at, length);
  }

  /** As `put`, without a view of the value. */
  putBytes(key: ViewedBytes, willInit: boolean, value: Uint8Array): void {
    const at = this.#claim(key, willInit, value.length);
    this.#values.bytes.set(value, at);
  }

  /**
   * Adds the WAL record of `size` bytes at `offset` of the memory, as the value that holds it. It is copied.
   * Throws: `too-large`.
   */
  putRecord(
    key: ViewedBytes,
    willInit: boolean,
    memory: ViewedBytes,
    offset: number,
    size: number,
  ): void {
    const at = this.#claim(key, willInit, HEADER_SIZE + size);
    const values = this.#values;
    copyWords(HEADERS[willInit ? 1 : 0].view, 0, values.view, at, HEADER_SIZE);
    values.view.setUint32(at + HEADER_SIZE - 4, size);
    copyBytes(memory, offset, values, at + HEADER_SIZE, size);
  }

  /** Removes the values after the first `count`, which have `size` bytes. */
  cut(count: number, size: number): void {
    this.count = count;
    this.#size = size;
  }

  /** Empties the batch. Memory that one record needed is released. */
  clear(): void {
    this.count = 0;
    this.#size = 0;
    if (this.#values.bytes.length > 2 * FULL_BYTES) {
      this.#values = new ViewedBytes(new Uint8Array(2 * FULL_BYTES));
    }
  }

  /** Claims a row, and room for its value. Returns: where the value starts. */
  #claim(key: ViewedBytes, willInit: boolean, length: number): number {
    const row = this.count;
    const start = this.#size;
    if (row === this.lsns.length) this.#addRows();
    if (start + length > this.#values.bytes.length) this.#addRoom(start + length);
    copyWords(key.view, 0, this.#keys.view, row * KEY_SIZE, KEY_SIZE);
    setHalves(this.#lsnHalves, row, this.#lsnHigh, this.#lsnLow);
    this.willInit[row] = willInit ? 1 : 0;
    this.starts[row] = start;
    this.lengths[row] = length;
    this.count = row + 1;
    this.#size = start + length;
    return start;
  }

  #addRows(): void {
    const rows = 2 * this.lsns.length;
    this.#keys = new ViewedBytes(enlarged(this.keys, new Uint8Array(rows * KEY_SIZE)));
    this.lsns = enlarged(this.lsns, new BigUint64Array(rows));
    this.#lsnHalves = halvesOf(this.lsns);
    this.willInit = enlarged(this.willInit, new Uint8Array(rows));
    this.starts = enlarged(this.starts, new Uint32Array(rows));
    this.lengths = enlarged(this.lengths, new Uint32Array(rows));
  }

  #addRoom(needed: number): void {
    if (needed > MAXIMUM_BYTES) {
      throw tooLarge('values of one record', { maximum: MAXIMUM_BYTES, actual: needed });
    }
    const size = Math.min(MAXIMUM_BYTES, Math.max(needed, 2 * this.#values.bytes.length));
    this.#values = new ViewedBytes(enlarged(this.#values.bytes, new Uint8Array(size)));
  }
}

function enlarged<T extends { set(values: T): void }>(old: T, larger: T): T {
  larger.set(old);
  return larger;
}

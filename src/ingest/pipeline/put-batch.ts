/**
 * The values of records on their way into an open layer: typed arrays that one `putBatch` takes. A value is copied
 * once, and costs no object.
 *
 * A batch grows while one record puts values, up to a limit, and the values of a record can be removed again, so that a
 * record that fails halfway leaves nothing. A batch that `isFull` is put into the layer as soon as nothing in it may have
 * to be removed. A batch in the memory of a kernel also takes plain records from it.
 */
import { copyBytes, copyWords, ViewedBytes } from '../../byte-words.ts';
import { tooLarge } from '../../errors.ts';
import type { ValueBatch } from '../../layers/delta-layer/value-batch.ts';
import { KEY_SIZE } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { halvesOf, setHalves, splitLsn } from '../../layers/lsn-halves.ts';
import { encodeValue, WAL_HEADER_SIZE } from '../../layers/value-format.ts';
import type { BatchArea, KernelBatch } from '../wal/plain-kernel.ts';
import { FULL_BYTES, FULL_ROWS } from '../wal/plain-kernel-code.ts';

/** The largest record has less than 1 GiB, and each of its blocks repeats it. */
const MAXIMUM_BYTES = 2 ** 31 - 1;

/** A WAL record's value without the record, `WAL_HEADER_SIZE` bytes; its last four bytes are the low half of the record's length. */
const HEADERS = [false, true].map(
  (willInit) => new ViewedBytes(encodeValue({ type: 'wal', willInit, bytes: new Uint8Array(0) })),
) as [ViewedBytes, ViewedBytes];

/** The arrays of a batch, and views of them. */
interface BatchArrays {
  readonly keys: ViewedBytes;
  readonly lsns: BigUint64Array;
  readonly lsnHalves: Uint32Array;
  readonly willInit: Uint8Array;
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
  readonly values: ViewedBytes;
}

export class PutBatch implements ValueBatch, KernelBatch {
  count = 0;
  /** Bytes of values. */
  size = 0;
  /** Undefined if it is not in the memory of a kernel. */
  readonly area: BatchArea | undefined;
  /** The arrays of the batch until a record needs larger ones. */
  readonly #first: BatchArrays;
  #arrays: BatchArrays;
  /** LSN of the rows that are added, in halves. */
  #lsnHigh = 0;
  #lsnLow = 0;

  constructor(area?: BatchArea) {
    this.area = area;
    this.#first = area === undefined ? newArrays() : arraysOf(area);
    this.#arrays = this.#first;
  }

  get keys(): Uint8Array {
    return this.#arrays.keys.bytes;
  }

  get lsns(): BigUint64Array {
    return this.#arrays.lsns;
  }

  get willInit(): Uint8Array {
    return this.#arrays.willInit;
  }

  get starts(): Uint32Array {
    return this.#arrays.starts;
  }

  get lengths(): Uint32Array {
    return this.#arrays.lengths;
  }

  get values(): Uint8Array {
    return this.#arrays.values.bytes;
  }

  get isFull(): boolean {
    return this.count >= FULL_ROWS || this.size >= FULL_BYTES;
  }

  /** The batch for a kernel; undefined while it is elsewhere. */
  get ofKernel(): KernelBatch | undefined {
    return this.area !== undefined && this.#arrays === this.#first ? this : undefined;
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
    copyBytes(value, 0, this.#arrays.values, at, length);
  }

  /** As `put`, without a view of the value. */
  putBytes(key: ViewedBytes, willInit: boolean, value: Uint8Array): void {
    const at = this.#claim(key, willInit, value.length);
    this.values.set(value, at);
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
    const at = this.#claim(key, willInit, WAL_HEADER_SIZE + size);
    const { values } = this.#arrays;
    copyWords(HEADERS[willInit ? 1 : 0].view, 0, values.view, at, WAL_HEADER_SIZE);
    values.view.setUint32(at + WAL_HEADER_SIZE - 4, size);
    copyBytes(memory, offset, values, at + WAL_HEADER_SIZE, size);
  }

  /** Adds rows of another batch, from one up to another. */
  putRows(batch: PutBatch, from: number, to: number): void {
    const { keys, lsns, willInit, starts, lengths, values } = batch;
    for (let row = from; row < to; row += 1) {
      const { high, low } = splitLsn(lsns[row] as Lsn);
      this.setLsn(high, low);
      const key = keys.subarray(row * KEY_SIZE, (row + 1) * KEY_SIZE);
      const start = starts[row] as number;
      const value = values.subarray(start, start + (lengths[row] as number));
      this.putBytes(new ViewedBytes(key), willInit[row] === 1, value);
    }
  }

  /** Removes the values after the first `count`, which have `size` bytes. */
  cut(count: number, size: number): void {
    this.count = count;
    this.size = size;
  }

  /** Empties the batch. Memory that one record needed is released. */
  clear(): void {
    this.count = 0;
    this.size = 0;
    this.#arrays = this.#first;
  }

  /** Claims a row, and room for its value. Returns: where the value starts. */
  #claim(key: ViewedBytes, willInit: boolean, length: number): number {
    const row = this.count;
    const start = this.size;
    if (row === this.lsns.length) this.#enlarge(2 * row, this.values.length);
    if (start + length > this.values.length) this.#addRoom(start + length);
    const arrays = this.#arrays;
    copyWords(key.view, 0, arrays.keys.view, row * KEY_SIZE, KEY_SIZE);
    setHalves(arrays.lsnHalves, row, this.#lsnHigh, this.#lsnLow);
    arrays.willInit[row] = willInit ? 1 : 0;
    arrays.starts[row] = start;
    arrays.lengths[row] = length;
    this.count = row + 1;
    this.size = start + length;
    return start;
  }

  #addRoom(needed: number): void {
    if (needed > MAXIMUM_BYTES) {
      throw tooLarge('values of one record', { maximum: MAXIMUM_BYTES, actual: needed });
    }
    const size = Math.min(MAXIMUM_BYTES, Math.max(needed, 2 * this.values.length));
    this.#enlarge(this.lsns.length, size);
  }

  /** Moves the values to larger arrays. */
  #enlarge(rows: number, size: number): void {
    const { count } = this;
    const larger = newArrays(rows, size);
    larger.keys.bytes.set(this.keys.subarray(0, count * KEY_SIZE));
    larger.lsns.set(this.lsns.subarray(0, count));
    larger.willInit.set(this.willInit.subarray(0, count));
    larger.starts.set(this.starts.subarray(0, count));
    larger.lengths.set(this.lengths.subarray(0, count));
    larger.values.bytes.set(this.values.subarray(0, this.size));
    this.#arrays = larger;
  }
}

function newArrays(rows = FULL_ROWS, size = 2 * FULL_BYTES): BatchArrays {
  return arraysOf({
    keys: new Uint8Array(rows * KEY_SIZE),
    lsns: new BigUint64Array(rows),
    willInit: new Uint8Array(rows),
    starts: new Uint32Array(rows),
    lengths: new Uint32Array(rows),
    values: new Uint8Array(size),
  });
}

function arraysOf({ keys, values, ...rest }: Omit<BatchArea, 'offset'>): BatchArrays {
  const { lsns, willInit, starts, lengths } = rest;
  return {
    ...{ keys: new ViewedBytes(keys), values: new ViewedBytes(values) },
    ...{ lsns, willInit, starts, lengths },
    lsnHalves: halvesOf(lsns),
  };
}

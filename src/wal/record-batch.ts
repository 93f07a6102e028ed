/**
 * Records in memory. A chunk is a piece of WAL with room after it:
 *
 *   | WAL from a page border on: capacity | a record that began before: capacity
 *   | records that cross pages: capacity | rows | counts
 *
 * A record inside a page stays where it was read. Only one that crosses a page border is copied, without the page
 * headers, so that its bytes are contiguous: into the second part, if it began in an earlier chunk and is not longer
 * than the capacity; into the third, if it begins in this one. There each record is at the same distance from its
 * start, so the room suffices, and no two records overlap. A longer record has its own memory. The rows say where the
 * records are.
 */

import { ViewedBytes } from '../byte-words.ts';
import { ChecksummedBytes } from '../checksum.ts';
import { StorageError } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';
import { valueText } from '../printable.ts';
import { KERNEL_COUNTS_LENGTH, RECORD_FUNCTIONS, RecordKernel } from './record-kernel.ts';
import { type RecordRow, RecordRows, ROW_SIZE } from './record-rows.ts';
import type { WalSkip } from './wal-end.ts';

/** A piece of WAL in memory. */
export class WalChunk {
  readonly memory: ChecksummedBytes;
  /** Maximum length, a multiple of the page size. */
  readonly capacity: number;
  /** LSN of the first byte, at a page border. */
  lsn: Lsn = 0n;
  /** Bytes of WAL. */
  length = 0;
  /** Room for as many as records can end in the chunk. */
  readonly rows: RecordRows;
  /** Undefined without WebAssembly. */
  readonly kernel: RecordKernel | undefined;

  /** Where the bytes of a record that began in an earlier chunk are put. */
  get carried(): number {
    return this.capacity;
  }

  /** Distance from the start of a record that crosses pages to the place where it is assembled. */
  get crossing(): number {
    return 2 * this.capacity;
  }

  constructor(capacity: number) {
    const rowCount = Math.floor(capacity / SHORTEST_RECORD) + 2;
    const rows = 3 * capacity;
    const counts = rows + ROW_SIZE * rowCount;
    this.capacity = capacity;
    this.memory = ChecksummedBytes.allocate(counts + KERNEL_COUNTS_LENGTH, RECORD_FUNCTIONS);
    this.rows = new RecordRows(this.memory.bytes, rows, rowCount);
    this.kernel = RecordKernel.of(this.memory, { rows, counts, crossing: this.crossing });
  }
}

/** The shortest record, so that the number of records in a chunk is bounded. */
const SHORTEST_RECORD = 24;

/**
 * Consecutive records, in the order of the WAL. Everything in it is valid until the next batch.
 */
export class WalRecordBatch {
  /** Major version of Postgres that wrote the records, 14 to 17. */
  readonly majorVersion: number;
  /** Number of records; 0 only in a batch that reports what was skipped. */
  length = 0;
  /** The WAL that was skipped between the previous batch and this one. */
  skipped: WalSkip | undefined;
  #memory: ViewedBytes;
  #rows: RecordRows;
  #kernel: RecordKernel | undefined;
  #roomOffset = 0;
  /** The row of a record in separate memory. */
  readonly #rowApart = new RecordRows(new Uint8Array(ROW_SIZE), 0, 1);

  /** @internal */
  constructor(majorVersion: number) {
    this.majorVersion = majorVersion;
    this.#memory = new ViewedBytes(new Uint8Array(0));
    this.#rows = this.#rowApart;
  }

  /** The memory that holds all records of the batch, for readers of many; a view. */
  get memory(): ViewedBytes {
    return this.#memory;
  }

  /** LSN of the record's first byte. Throws `out-of-range`. */
  startLsn(index: number): Lsn {
    this.#check(index);
    return this.#rows.startLsn(index);
  }

  /**
   * LSN after the record and its padding, at a page border that border itself; after a segment switch, the
   * start of the next segment. It is the LSN of pages and layer entries. Throws `out-of-range`.
   */
  endLsn(index: number): Lsn {
    this.#check(index);
    return this.#rows.endLsn(index);
  }

  /** High half of `endLsn`. Throws `out-of-range`. @internal */
  endHigh(index: number): number {
    this.#check(index);
    return this.#rows.endHigh(index);
  }

  /** Low half of `endLsn`. Throws `out-of-range`. @internal */
  endLow(index: number): number {
    this.#check(index);
    return this.#rows.endLow(index);
  }

  /** Timeline that wrote the record. Throws `out-of-range`. */
  timelineId(index: number): number {
    this.#check(index);
    return this.#rows.timelineId(index);
  }

  /** Offset of the record in the memory. Throws `out-of-range`. */
  offset(index: number): number {
    this.#check(index);
    return this.#rows.offset(index);
  }

  /** Bytes of the record, without padding. Throws `out-of-range`. */
  size(index: number): number {
    this.#check(index);
    return this.#rows.size(index);
  }

  /** The record, without padding: a view, valid until the next batch. Throws `out-of-range`. */
  bytes(index: number): Uint8Array {
    const offset = this.offset(index);
    return this.#memory.bytes.subarray(offset, offset + this.size(index));
  }

  /** Where the records are. @internal */
  get rows(): RecordRows {
    return this.#rows;
  }

  /** The loops in WebAssembly over the rows; undefined where there are none. @internal */
  get kernel(): RecordKernel | undefined {
    return this.#kernel;
  }

  /** Records from this offset on crossed a page border; their offsets ascend, as do those before it. @internal */
  get roomOffset(): number {
    return this.#roomOffset;
  }

  /** Adds a record. @internal */
  add(row: RecordRow): void {
    this.#rows.set(this.length, row);
    this.length += 1;
  }

  /** Empties the batch, for records in this chunk. @internal */
  reset(chunk: WalChunk): void {
    this.#memory = chunk.memory;
    this.#rows = chunk.rows;
    this.#kernel = chunk.kernel;
    this.#roomOffset = chunk.capacity;
    this.length = 0;
    this.skipped = undefined;
  }

  /** Empties the batch, for one record in separate memory. @internal */
  resetApart(memory: ViewedBytes): void {
    this.#memory = memory;
    this.#rows = this.#rowApart;
    this.#kernel = undefined;
    this.length = 0;
    this.skipped = undefined;
  }

  #check(index: number): void {
    if (Number.isInteger(index) && index >= 0 && index < this.length) return;
    throw new StorageError('out-of-range', {
      what: 'number of a record in the batch',
      expected: `below ${this.length}`,
      actual: valueText(index),
    });
  }
}

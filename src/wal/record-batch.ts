/**
 * Records as they lie in memory. A chunk is a piece of WAL with room after it:
 *
 *   | WAL from a page border on: capacity | records that cross pages, without page headers: 2 * capacity |
 *
 * A record inside a page stays where it was read; only one that crosses a page border is copied, so that
 * its bytes are together. The room suffices: what is copied comes from this chunk, or is the start of one
 * record that began before it and is no longer than the capacity. A longer record has memory of its own.
 */
import { ViewedBytes } from '../byte-words.ts';
import { ChecksummedBytes } from '../checksum.ts';
import { StorageError } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';
import { halvesOf, setHalves } from '../layers/lsn-halves.ts';
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

  constructor(capacity: number) {
    this.capacity = capacity;
    this.memory = ChecksummedBytes.allocate(3 * capacity);
  }
}

/** The shortest record, so that the number of records in a chunk is bounded. */
const SHORTEST_RECORD = 24;

/**
 * Records that follow each other, in the order of the WAL. Everything in it is valid until the next batch.
 */
export class WalRecordBatch {
  /** Major version of Postgres that wrote the records, 14 to 17. */
  readonly majorVersion: number;
  /** Number of records; 0 only in a batch that reports what was skipped. */
  length = 0;
  /** What was passed over between the batch before and this one. */
  skipped: WalSkip | undefined;
  #memory: ViewedBytes;
  readonly #starts: BigUint64Array;
  readonly #ends: BigUint64Array;
  readonly #startHalves: Uint32Array;
  readonly #endHalves: Uint32Array;
  readonly #timelines: Uint32Array;
  readonly #offsets: Uint32Array;
  readonly #sizes: Uint32Array;

  /** Requires: no more than `capacity` bytes of WAL are added at a time. @internal */
  constructor(majorVersion: number, capacity: number) {
    const count = Math.floor(capacity / SHORTEST_RECORD) + 2;
    this.majorVersion = majorVersion;
    this.#memory = new ViewedBytes(new Uint8Array(0));
    this.#starts = new BigUint64Array(count);
    this.#ends = new BigUint64Array(count);
    this.#startHalves = halvesOf(this.#starts);
    this.#endHalves = halvesOf(this.#ends);
    this.#timelines = new Uint32Array(count);
    this.#offsets = new Uint32Array(count);
    this.#sizes = new Uint32Array(count);
  }

  /** The memory that holds all records of the batch, for readers of many; a view. */
  get memory(): ViewedBytes {
    return this.#memory;
  }

  /** LSN of the record's first byte. Throws `out-of-range`. */
  startLsn(index: number): Lsn {
    this.#check(index);
    return this.#starts[index] as Lsn;
  }

  /**
   * LSN after the record and its padding, at a page border that border itself; after a segment switch, the
   * start of the next segment. It is the LSN of pages and layer entries. Throws `out-of-range`.
   */
  endLsn(index: number): Lsn {
    this.#check(index);
    return this.#ends[index] as Lsn;
  }

  /** Timeline that wrote the record. Throws `out-of-range`. */
  timelineId(index: number): number {
    this.#check(index);
    return this.#timelines[index] as number;
  }

  /** Offset of the record in the memory. Throws `out-of-range`. */
  offset(index: number): number {
    this.#check(index);
    return this.#offsets[index] as number;
  }

  /** Bytes of the record, without padding. Throws `out-of-range`. */
  size(index: number): number {
    this.#check(index);
    return this.#sizes[index] as number;
  }

  /** The record, without padding: a view, valid until the next batch. Throws `out-of-range`. */
  bytes(index: number): Uint8Array {
    const offset = this.offset(index);
    return this.#memory.bytes.subarray(offset, offset + this.size(index));
  }

  /** Adds a record; LSNs are halves. @internal */
  add(record: {
    readonly startHigh: number;
    readonly startLow: number;
    readonly endHigh: number;
    readonly endLow: number;
    readonly timelineId: number;
    readonly offset: number;
    readonly size: number;
  }): void {
    const index = this.length;
    setHalves(this.#startHalves, index, record.startHigh, record.startLow);
    setHalves(this.#endHalves, index, record.endHigh, record.endLow);
    this.#timelines[index] = record.timelineId;
    this.#offsets[index] = record.offset;
    this.#sizes[index] = record.size;
    this.length = index + 1;
  }

  /** Empties the batch, for records in this memory. @internal */
  reset(memory: ViewedBytes): void {
    this.#memory = memory;
    this.length = 0;
    this.skipped = undefined;
  }

  #check(index: number): void {
    if (index >= 0 && index < this.length && Number.isInteger(index)) return;
    throw new StorageError('out-of-range', {
      what: 'number of a record in the batch',
      expected: `below ${this.length}`,
      actual: `${index}`,
    });
  }
}

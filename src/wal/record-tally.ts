/** Counts the records of each kind and their lengths, as pg_waldump does. */
import type { Lsn } from '../layers/lsn.ts';
import type { WalRecordBatch } from './record-batch.ts';
import { RecordScanner } from './record-scanner.ts';
import { type RecordFilter, type RecordSelection, recordFilter } from './record-selection.ts';
import { KIND_COUNT, kindIndexOf } from './resource-managers.ts';

/** For a transaction, the bit means that more information follows: pg_waldump counts both forms as one. */
const TRANSACTION = 1;
const TRANSACTION_OPERATION = 0x70;
const ALL_OPERATIONS = 0xf0;

/** Counts that can be sent between threads; arrays by the number of the kind. */
export interface RecordCounts {
  readonly records: Float64Array;
  /** Bytes of the records without their page images. */
  readonly recordBytes: Float64Array;
  /** Bytes of the page images as stored. */
  readonly imageBytes: Float64Array;
  /** Where the records begin and end; undefined if there are none. */
  readonly range: { readonly start: Lsn; readonly end: Lsn } | undefined;
}

/** Which records of a batch to count. */
export interface CountedRange {
  /** Number of the first record; default 0. */
  readonly from?: number;
  /** Number after that of the last record; default: all. */
  readonly to?: number;
  /** Maximum number of selected records; default: all. */
  readonly maximum?: number;
  /** Called for records that cannot be scanned. They only count towards the maximum and the range. */
  readonly onDamage: (index: number, error: unknown) => void;
}

export class RecordTally implements RecordCounts {
  readonly records = new Float64Array(KIND_COUNT);
  readonly recordBytes = new Float64Array(KIND_COUNT);
  readonly imageBytes = new Float64Array(KIND_COUNT);
  readonly #scanner: RecordScanner;
  readonly #filter: RecordFilter | undefined;
  #range: { start: Lsn; end: Lsn } | undefined;

  constructor(majorVersion: number, selection: RecordSelection) {
    this.#scanner = new RecordScanner(majorVersion);
    this.#filter = recordFilter(selection);
  }

  get range(): { readonly start: Lsn; readonly end: Lsn } | undefined {
    return this.#range;
  }

  /**
   * Counts the selected records of a batch, in one loop without a promise, an object or an LSN for each.
   *
   * @returns how many were selected
   */
  add(
    batch: WalRecordBatch,
    { from = 0, to = batch.length, maximum, onDamage }: CountedRange,
  ): number {
    const scanner = this.#scanner;
    const filter = this.#filter;
    const kernel = filter === undefined ? batch.kernel : undefined;
    const { view } = batch.memory;
    const limit = maximum ?? batch.length;
    let selected = 0;
    let first = -1;
    let last = -1;
    for (let index = from; index < to && selected < limit; index += 1) {
      const most = Math.min(to, index + limit - selected);
      const plain = kernel?.countRows(index, most, batch.majorVersion) ?? index;
      if (plain > index) {
        if (first < 0) first = index;
        last = plain - 1;
        selected += plain - index;
        // The record after them is scanned in its own turn.
        index = last;
        continue;
      }
      const size = batch.size(index);
      try {
        scanner.scanWithin(view, batch.offset(index), size);
        if (filter !== undefined && !filter(scanner)) continue;
        this.#count(size);
      } catch (error) {
        onDamage(index, error);
      }
      selected += 1;
      if (first < 0) first = index;
      last = index;
    }
    kernel?.takeCounts(this);
    if (first >= 0) this.#cover(batch.startLsn(first), batch.endLsn(last));
    return selected;
  }

  /** The counts so far, as plain data. */
  counts(): RecordCounts {
    const { records, recordBytes, imageBytes, range } = this;
    return { records, recordBytes, imageBytes, range };
  }

  /** Adds the counts of records after those counted so far. */
  merge({ records, recordBytes, imageBytes, range }: RecordCounts): void {
    for (let kind = 0; kind < KIND_COUNT; kind += 1) {
      this.#increase(kind, {
        records: records[kind] as number,
        recordBytes: recordBytes[kind] as number,
        imageBytes: imageBytes[kind] as number,
      });
    }
    if (range !== undefined) this.#cover(range.start, range.end);
  }

  /** The record that was scanned last. */
  #count(size: number): void {
    const { resourceManager, info, blockCount, imageLengths } = this.#scanner;
    let imageBytes = 0;
    for (let at = 0; at < blockCount; at += 1) imageBytes += imageLengths[at] as number;
    const mask = resourceManager === TRANSACTION ? TRANSACTION_OPERATION : ALL_OPERATIONS;
    const kind = kindIndexOf(resourceManager, info & mask);
    this.#increase(kind, { records: 1, recordBytes: size - imageBytes, imageBytes });
  }

  #increase(
    kind: number,
    by: { readonly records: number; readonly recordBytes: number; readonly imageBytes: number },
  ): void {
    this.records[kind] = (this.records[kind] as number) + by.records;
    this.recordBytes[kind] = (this.recordBytes[kind] as number) + by.recordBytes;
    this.imageBytes[kind] = (this.imageBytes[kind] as number) + by.imageBytes;
  }

  #cover(start: Lsn, end: Lsn): void {
    this.#range = { start: this.#range?.start ?? start, end };
  }
}

/** Checks that bytes are the next record: its length, its resource manager, its link and its CRC. */
import type { ChecksummedBytes } from '../checksum.ts';
import type { StorageError } from '../errors.ts';
import { formatPgLsn, type Lsn } from '../layers/lsn.ts';
import { joinHalves } from '../layers/lsn-halves.ts';
import { type ChunkCursor, recordAligned } from './chunk-cursor.ts';
import type { WalGeometry } from './page-check.ts';
import type { WalPageHeader } from './page-format.ts';
import type { WalRecordBatch } from './record-batch.ts';
import { checksumText, recordChecksumIn } from './record-checksum.ts';
import type { RecordKernel } from './record-kernel.ts';
import { WAL_RECORD_HEADER_SIZE } from './record-scanner.ts';
import { badWal, lsnText } from './wal-end.ts';

/**
 * Highest number of a resource manager that every version has; numbers from 128 on are for extensions, in version 15
 * and later.
 */
const LAST_BUILT_IN_MANAGER = 21;
const FIRST_CUSTOM_MANAGER = 128;
const FIRST_VERSION_WITH_CUSTOM_MANAGERS = 15;

const XLOG_MANAGER = 0;
const SWITCH_OPERATION = 0x40;
const OVERWRITE_OPERATION = 0xd0;
/** Main data of OVERWRITE_CONTRECORD: u64 start of the aborted record, i64 time. */
const OVERWRITE_DATA_SIZE = 16;
/** After the header of the record: id and length of its main data. */
const OVERWRITE_SIZE = WAL_RECORD_HEADER_SIZE + 2 + OVERWRITE_DATA_SIZE;

/** Consecutive records. */
export interface RecordRun {
  /** At the first one; moved past the last one. Gives their LSNs and their timeline. */
  readonly place: ChunkCursor;
  /** Offset that the last one ends before, its padding included; and the same for those in the page of the first one. */
  readonly limit: number;
  readonly pageLimit: number;
  /** What the pages begin with. */
  readonly magic: number;
  readonly batch: WalRecordBatch;
}

export class RecordCheck {
  /** Start of the record that is being checked, in halves. */
  startHigh = 0;
  startLow = 0;
  /** Whether the record whose header was checked last is a segment switch. */
  isSwitch = false;
  readonly #maximumLength: number;
  readonly #allowsCustomManagers: boolean;
  /** Whether the preceding record is known, to which the next one must link. */
  knowsPrevious = false;
  #previousHigh = 0;
  #previousLow = 0;
  /**
   * The aborted record that the next record must name, if any; its start is undefined if it is before everything that
   * was read.
   */
  #overwritten: { readonly lsn: Lsn | undefined } | undefined;

  constructor(options: {
    readonly maximumRecordLength: number;
    readonly geometry: WalGeometry;
  }) {
    this.#maximumLength = options.maximumRecordLength;
    this.#allowsCustomManagers =
      options.geometry.majorVersion >= FIRST_VERSION_WITH_CUSTOM_MANAGERS;
  }

  /** Sets the start of the record to check. */
  locate(high: number, low: number): void {
    this.startHigh = high;
    this.startLow = low;
  }

  get startLsn(): Lsn {
    return joinHalves(this.startHigh, this.startLow);
  }

  lengthFault(length: number): StorageError | undefined {
    if (length >= WAL_RECORD_HEADER_SIZE && length <= this.#maximumLength) return undefined;
    const expected = `${WAL_RECORD_HEADER_SIZE} to ${this.#maximumLength}`;
    return badWal('length of the WAL record', expected, `${length}`);
  }

  /** On a page where a record was not continued, the first record must name the aborted one. */
  enterPage(
    { overwritesRecord }: WalPageHeader,
    { size, startLsn }: { readonly size: number; readonly startLsn: Lsn },
  ): void {
    if (overwritesRecord) this.#overwritten = { lsn: size > 0 ? startLsn : undefined };
  }

  /** Requires: the 24 bytes at `offset` are available. */
  headerFault(view: DataView, offset: number): StorageError | undefined {
    const manager = view.getUint8(offset + 17);
    const operation = view.getUint8(offset + 16) & 0xf0;
    this.isSwitch = manager === XLOG_MANAGER && operation === SWITCH_OPERATION;
    if (manager > LAST_BUILT_IN_MANAGER) {
      if (manager < FIRST_CUSTOM_MANAGER || !this.#allowsCustomManagers) {
        return badWal('resource manager of the WAL record', this.#managers, `${manager}`);
      }
    }
    if (this.#overwritten !== undefined && !isOverwrite(manager, operation)) {
      const actual = `operation ${operation} of resource manager ${manager}`;
      return badWal('WAL record after an incomplete one', 'OVERWRITE_CONTRECORD', actual);
    }
    const low = view.getUint32(offset + 8, true);
    const high = view.getUint32(offset + 12, true);
    if (this.knowsPrevious) {
      if (low === this.#previousLow && high === this.#previousHigh) return undefined;
      const expected = lsnText(this.#previousHigh, this.#previousLow);
      return badWal('link to the record before', expected, lsnText(high, low));
    }
    if (high < this.startHigh || (high === this.startHigh && low < this.startLow)) return undefined;
    const expected = `below ${lsnText(this.startHigh, this.startLow)}`;
    return badWal('link to the record before', expected, lsnText(high, low));
  }

  /** Requires: the whole record is available. */
  checksumFault(
    memory: ChecksummedBytes,
    offset: number,
    length: number,
  ): StorageError | undefined {
    const stored = memory.view.getUint32(offset + 20, true);
    const computed = recordChecksumIn(memory, offset, length);
    if (stored !== computed) {
      return badWal('checksum of the WAL record', checksumText(computed), checksumText(stored));
    }
    return this.#overwritten === undefined
      ? undefined
      : overwriteFault(memory.view.getBigUint64(offset + length - OVERWRITE_DATA_SIZE, true), {
          length,
          lsn: this.#overwritten.lsn,
        });
  }

  /**
   * Adds to the batch the records that end before the limit, as long as they are valid and not segment switches: nearly
   * all of the WAL, in one loop. The first other record ends the run, and is handled elsewhere. Without WebAssembly, a
   * record that crosses pages also ends it.
   *
   * Returns: whether there are any.
   */
  acceptRun(memory: ChecksummedBytes, run: RecordRun): boolean {
    if (!this.knowsPrevious || this.#overwritten !== undefined) return false;
    const { place, batch, pageLimit } = run;
    const { kernel } = batch;
    const isInHalf = (limit: number): boolean => place.highAt(limit) === place.highAt(place.at);
    if (kernel !== undefined && isInHalf(run.limit)) return this.#acceptFound(kernel, run);
    if (kernel !== undefined && isInHalf(pageLimit)) {
      return this.#acceptFound(kernel, { ...run, limit: pageLimit });
    }
    const limit = pageLimit;
    const { view } = memory;
    const from = place.at;
    const last = limit - WAL_RECORD_HEADER_SIZE;
    let previousLow = this.#previousLow;
    let previousHigh = this.#previousHigh;
    let at = from;
    while (at < last) {
      const size = view.getUint32(at, true);
      const end = at + size;
      const next = recordAligned(end);
      if (size < WAL_RECORD_HEADER_SIZE || size > this.#maximumLength || next >= limit) break;
      if (view.getUint32(at + 8, true) !== previousLow) break;
      if (view.getUint32(at + 12, true) !== previousHigh) break;
      const manager = view.getUint8(at + 17);
      if (manager > LAST_BUILT_IN_MANAGER) break;
      if (manager === XLOG_MANAGER && (view.getUint8(at + 16) & 0xf0) === SWITCH_OPERATION) break;
      if (view.getUint32(at + 20, true) !== recordChecksumIn(memory, at, size)) break;
      previousLow = place.lowAt(at);
      previousHigh = place.highAt(at);
      batch.add({
        startHigh: previousHigh,
        startLow: previousLow,
        endHigh: place.highAt(next),
        endLow: place.lowAt(next),
        timelineId: place.timelineId,
        offset: at,
        size,
      });
      at = next;
    }
    this.#previousLow = previousLow;
    this.#previousHigh = previousHigh;
    place.at = at;
    return at > from;
  }

  /** As `acceptRun`, with the loop in WebAssembly. Requires: the LSNs of all records have the same high half. */
  #acceptFound(kernel: RecordKernel, { place, limit, magic, batch }: RecordRun): boolean {
    const { rows, length } = batch;
    batch.length = kernel.findRecords(length, {
      at: place.at,
      limit,
      previousHigh: this.#previousHigh,
      previousLow: this.#previousLow,
      high: place.highAt(place.at),
      low: place.lowAt(0),
      timelineId: place.timelineId,
      maximumLength: this.#maximumLength,
      magic,
    });
    if (batch.length === length) return false;
    const last = batch.length - 1;
    this.#previousHigh = rows.startHigh(last);
    this.#previousLow = rows.startLow(last);
    place.at = (rows.endLow(last) - place.lowAt(0)) >>> 0;
    return true;
  }

  /** The error if the first record shows that another one between the start and it was missed. */
  missingBefore(view: DataView, offset: number, start: Lsn): StorageError | undefined {
    const before = view.getBigUint64(offset + 8, true);
    if (before < start) return undefined;
    const [expected, actual] = [before, this.startLsn].map(formatPgLsn);
    return badWal('WAL', `a record at ${expected}`, `the first one at ${actual}`);
  }

  /**
   * Whether a valid record, which ends before `limit`, is at `offset` and links to the one that is being checked. So that
   * one ends there, although it is damaged.
   */
  isFollowedBy(memory: ChecksummedBytes, offset: number, limit: number): boolean {
    const { view } = memory;
    if (offset + WAL_RECORD_HEADER_SIZE > limit) return false;
    const size = view.getUint32(offset, true);
    if (this.lengthFault(size) !== undefined || offset + size > limit) return false;
    if (view.getUint32(offset + 8, true) !== this.startLow) return false;
    if (view.getUint32(offset + 12, true) !== this.startHigh) return false;
    return view.getUint32(offset + 20, true) === recordChecksumIn(memory, offset, size);
  }

  /** The record is valid, or its end is known; the next one must link to it. */
  accept(): void {
    this.knowsPrevious = true;
    this.#overwritten = undefined;
    this.#previousHigh = this.startHigh;
    this.#previousLow = this.startLow;
  }

  /** The next record may link to any before it. */
  forget(): void {
    this.knowsPrevious = false;
    this.#overwritten = undefined;
  }

  get #managers(): string {
    const builtIn = `0 to ${LAST_BUILT_IN_MANAGER}`;
    return this.#allowsCustomManagers ? `${builtIn}, or ${FIRST_CUSTOM_MANAGER} to 255` : builtIn;
  }
}

function isOverwrite(manager: number, operation: number): boolean {
  return manager === XLOG_MANAGER && operation === OVERWRITE_OPERATION;
}

/** The error of an OVERWRITE_CONTRECORD that must name a record. */
function overwriteFault(
  named: Lsn,
  { length, lsn }: { readonly length: number; readonly lsn: Lsn | undefined },
): StorageError | undefined {
  if (length !== OVERWRITE_SIZE) {
    return badWal('length of OVERWRITE_CONTRECORD', `${OVERWRITE_SIZE}`, `${length}`);
  }
  if (lsn === undefined || lsn === named) return undefined;
  return badWal('record that was given up', formatPgLsn(lsn), formatPgLsn(named));
}

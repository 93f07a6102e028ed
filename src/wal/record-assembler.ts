/**
 * Finds the records in WAL, page by page, without I/O: chunks go in, batches of records come out.
 *
 * A record that cannot be read is damage only if valid WAL follows; otherwise the WAL ends there, as it does where a
 * server stopped. So after a fault the next record decides, if it can be found, or else the search for a valid page.
 *
 * Each record is checked: length, resource manager, link to the record before it, CRC. The link detects old records on
 * a recycled page, whose CRC is correct. Source: Postgres src/backend/access/transam/xlogreader.c.
 */
import { assert } from '../assert.ts';
import { isStorageError, type StorageError } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';
import { splitLsn } from '../layers/lsn-halves.ts';
import type { AssemblerOptions, Progress, State } from './assembler-state.ts';
import { ChunkCursor, recordAligned, startsWithoutHeader } from './chunk-cursor.ts';
import { continuationFault, PageCheck, startFault } from './page-check.ts';
import {
  LONG_PAGE_HEADER_SIZE,
  SHORT_PAGE_HEADER_SIZE,
  WAL_PAGE_SIZE,
  type WalPageHeader,
} from './page-format.ts';
import { type WalChunk, WalRecordBatch } from './record-batch.ts';
import { RecordCheck } from './record-check.ts';
import { RecordGathering } from './record-gathering.ts';
import { WAL_RECORD_HEADER_SIZE } from './record-scanner.ts';
import type { TimelinePath } from './timeline-history.ts';
import { type WalEnd, type WalFault, WalOutcome } from './wal-end.ts';

export class RecordAssembler {
  readonly #options: AssemblerOptions;
  readonly #pages: PageCheck;
  readonly #records: RecordCheck;
  readonly #gathering: RecordGathering;
  readonly #batch: WalRecordBatch;
  readonly #cursor: ChunkCursor;
  readonly #outcome: WalOutcome;
  #state: State = 'searching';
  #chunk: WalChunk | undefined;
  /** Records before it are not returned; undefined once a record has been reached. */
  #start: Lsn | undefined;
  /** Where the search for the first record begins. */
  #searchFrom: Lsn;
  /** Bytes that are left of a record that is skipped. */
  #rest = 0;
  /** Offset in the chunk of the end of the range. */
  #endAt = 0;
  /** Where the segment begins that follows a switch; where to return to. */
  #target: Lsn = 0n;

  constructor(options: AssemblerOptions) {
    const { geometry, path, start, capacity } = options;
    this.#options = options;
    this.#pages = new PageCheck(geometry, path);
    this.#records = new RecordCheck(options);
    this.#gathering = new RecordGathering(capacity);
    this.#batch = new WalRecordBatch(geometry.majorVersion);
    this.#cursor = new ChunkCursor(geometry.segmentSize, path);
    this.#outcome = new WalOutcome(options);
    this.#start = start;
    this.#searchFrom = start;
  }

  /** How the WAL ended; undefined before the end. */
  get end(): WalEnd | undefined {
    return this.#outcome.end;
  }

  /** Start of the next record, or of the rest of it. */
  get position(): Lsn {
    const { fault } = this.#outcome;
    if (fault !== undefined) return fault.lsn;
    if (this.#state === 'gathering') return this.#gathering.startLsn;
    if (this.#state === 'switched' || this.#state === 'returning') return this.#target;
    return this.#state === 'searching' ? this.#searchFrom : this.#cursor.lsn;
  }

  /** The LSN from which the next chunk should be, at a page border. */
  get wanted(): Lsn {
    const chunk = this.#chunk;
    const lsn = chunk === undefined ? this.position : chunk.lsn + BigInt(chunk.length);
    return lsn - (lsn % BigInt(WAL_PAGE_SIZE));
  }

  /** Notes the first page of the segment in which reading starts: its other pages do not name their cluster. */
  noteSegment(page: Uint8Array, lsn: Lsn): void {
    this.#pages.check(page, lsn);
  }

  /**
   * Accepts the next piece of WAL; the memory of the previous one becomes free.
   *
   * Requires: `next` has returned undefined; the chunk follows the previous one, except in a search.
   */
  accept(chunk: WalChunk): void {
    const isAnywhere = this.#state === 'searching' || this.#state === 'switched';
    assert(isAnywhere || chunk.lsn === this.wanted, 'chunks follow each other');
    assert(chunk.lsn % BigInt(WAL_PAGE_SIZE) === 0n, 'a chunk begins at a page border');
    const isFirst = this.#chunk === undefined && this.#state === 'searching';
    if (this.#state === 'gathering') this.#gathering.moveTo(chunk);
    else this.#gathering.useRoomOf(chunk);
    this.#chunk = chunk;
    this.#cursor.enter(chunk);
    this.#endAt = Number(this.#options.end - chunk.lsn);
    if (this.#endAt <= 0) this.finishRange();
    else if (isFirst && startsWithoutHeader(chunk, this.#searchFrom)) {
      this.#cursor.at = Number(this.#searchFrom - chunk.lsn);
      this.#state = 'records';
      this.#cursor.updateTimeline(this.#pages.timelineId);
    }
  }

  /** Returns: the next records, valid until the next call; undefined once a chunk is needed or the WAL has ended. */
  next(): WalRecordBatch | undefined {
    const chunk = this.#chunk;
    if (chunk === undefined || this.#state === 'ended') return undefined;
    const batch = this.#batch;
    for (;;) {
      batch.reset(chunk);
      batch.skipped = this.#outcome.takeSkip();
      while (this.#step(chunk) === 'continue');
      if (batch.length > 0 || batch.skipped !== undefined) return batch;
      if (this.#outcome.skip === undefined) return undefined;
    }
  }

  /** Called if WAL is missing after the last chunk. Later WAL, if any, decides what that means. */
  interrupt(kind: 'gap' | 'truncated', error: StorageError): void {
    if (this.#state === 'ended' || this.#outcome.fault !== undefined) return;
    const isBetween = this.#state === 'searching' || this.#state === 'switched';
    if (isBetween && kind === 'truncated') return;
    const isPartLeft = this.#cursor.at < (this.#chunk?.length ?? 0);
    const isAmidRecord = this.#state === 'gathering' || this.#rest > 0 || isPartLeft;
    const isCertain = kind === 'truncated' && isAmidRecord;
    this.#fail({ kind, lsn: this.position, error, isCertain });
  }

  /** Called when no more WAL will come; `error` says why. */
  finish(error: StorageError): void {
    if (this.#state !== 'ended') this.#outcome.finish(this.position, error);
    this.#state = 'ended';
  }

  /** After an end: goes back to the record that was incomplete, as more of it may exist now, on the given path. */
  resume(path: TimelinePath): void {
    this.#pages.path = path;
    this.#cursor.path = path;
    const { end } = this.#outcome;
    assert(end !== undefined && end.kind !== 'end-of-range', 'there is something to go back to');
    this.#outcome.reset();
    this.#chunk = undefined;
    if (this.#records.knowsPrevious) {
      this.#state = 'returning';
      this.#target = end.lsn;
    } else {
      this.#state = 'searching';
      this.#searchFrom = end.lsn;
      this.#start ??= end.lsn;
    }
  }

  /** Called when no more WAL is wanted. */
  finishRange(): void {
    if (this.#state !== 'ended') this.#endRange(this.position);
  }

  #step(chunk: WalChunk): Progress {
    if (this.#state === 'records') return this.#readRecords(chunk);
    if (this.#state === 'gathering') return this.#gather(chunk);
    if (this.#state === 'skipping') return this.#skipRest(chunk);
    if (this.#state === 'switched') return this.#passZeros(chunk);
    if (this.#state === 'searching') return this.#search(chunk);
    return this.#state === 'returning' ? this.#return(chunk) : 'pause';
  }

  #readRecords(chunk: WalChunk): Progress {
    const { length, memory } = chunk;
    while (this.#cursor.at < length) {
      const at = this.#cursor.at;
      if (at % WAL_PAGE_SIZE === 0) {
        const header = this.#readPageHeader(chunk);
        if (header === undefined) return this.#pauseOrContinue();
        const startingFault = startFault(header);
        if (startingFault !== undefined) return this.#damaged(startingFault);
        this.#enterPage(header);
        continue;
      }
      const pageEnd = Math.min(this.#cursor.pageEnd, length);
      if (this.#start === undefined && this.#acceptRun(chunk, pageEnd)) continue;
      if (pageEnd - at < 4) return 'pause';
      const size = memory.view.getUint32(at, true);
      const sizeFault = this.#records.lengthFault(size);
      if (sizeFault !== undefined) return this.#damaged(sizeFault);
      if (at + size > pageEnd) return this.#beginGathering(chunk, size);
      this.#records.locate(this.#cursor.highAt(at), this.#cursor.lowAt(at));
      const fault =
        this.#records.headerFault(memory.view, at) ?? this.#records.checksumFault(memory, at, size);
      if (fault !== undefined) return this.#damagedRecord(fault, chunk, at + size);
      if (at >= this.#cursor.switchAt) this.#cursor.updateTimeline(this.#pages.timelineId);
      if (this.#add(at, size, recordAligned(at + size)) === 'pause') return 'continue';
    }
    return 'pause';
  }

  /** Adds the records of this page and of the following ones, up to anything unusual. */
  #acceptRun({ memory, length }: WalChunk, pageEnd: number): boolean {
    const place = this.#cursor;
    const farthest = Math.min(this.#endAt, place.switchAt);
    const pageLimit = Math.min(pageEnd + 1, farthest);
    const { magic } = this.#pages;
    const end = this.#pages.areAlike(place) ? Math.min(place.segmentEnd, length) : pageEnd;
    const limit = Math.min(end + 1, farthest);
    return this.#records.acceptRun(memory, { place, pageLimit, limit, magic, batch: this.#batch });
  }

  /** Adds a checked record, which ends before `next` in the chunk. Returns: `pause` if the state has changed. */
  #add(offset: number, size: number, next: number): Progress {
    const records = this.#records;
    const { startHigh, startLow, isSwitch } = records;
    if (isSwitch) this.#target = this.#cursor.segmentEndAt(next);
    if (next > this.#endAt || (isSwitch && this.#target > this.#options.end)) {
      this.#endRange(records.startLsn);
      return 'pause';
    }
    records.accept();
    this.#cursor.at = next;
    if (isSwitch) this.#state = 'switched';
    if (this.#start !== undefined) {
      if (this.#records.startLsn < this.#start) return isSwitch ? 'pause' : 'continue';
      if (this.#missesRecords(this.#start, offset)) return 'pause';
      this.#start = undefined;
    }
    const timelineId = this.#cursor.timelineId;
    const target = isSwitch ? splitLsn(this.#target) : undefined;
    const endHigh = target?.high ?? this.#cursor.highAt(next);
    const endLow = target?.low ?? this.#cursor.lowAt(next);
    this.#batch.add({ startHigh, startLow, endHigh, endLow, timelineId, offset, size });
    if (next >= this.#endAt) this.#endRange(this.#cursor.lsn);
    return this.#state === 'records' ? 'continue' : 'pause';
  }

  /** Whether the first record shows that another one between the start and it was missed. */
  #missesRecords(start: Lsn, offset: number): boolean {
    const error = this.#records.missingBefore(this.#batch.memory.view, offset, start);
    if (error === undefined) return false;
    this.#outcome.fail({ kind: 'corrupt', lsn: this.#searchFrom, error });
    if (this.#outcome.continueAt(this.#records.startLsn) === 'end') {
      this.#records.forget();
      this.#state = 'ended';
      return true;
    }
    this.#batch.skipped ??= this.#outcome.takeSkip();
    return false;
  }

  #beginGathering(chunk: WalChunk, size: number): Progress {
    const at = this.#cursor.at;
    if (at >= this.#cursor.switchAt) this.#cursor.updateTimeline(this.#pages.timelineId);
    this.#records.locate(this.#cursor.highAt(at), this.#cursor.lowAt(at));
    this.#gathering.begin({ lsn: this.#cursor.lsnAt(at), at, size });
    this.#state = 'gathering';
    return this.#gatherUpTo(chunk, Math.min(this.#cursor.pageEnd, chunk.length));
  }

  #gather(chunk: WalChunk): Progress {
    if (this.#cursor.at >= chunk.length) return 'pause';
    if (this.#pages.continuesRecord(chunk, this.#cursor, this.#gathering.missing)) {
      this.#cursor.at += SHORT_PAGE_HEADER_SIZE;
      return this.#gatherUpTo(chunk, Math.min(this.#cursor.pageEnd, chunk.length));
    }
    const header = this.#readPageHeader(chunk);
    if (header === undefined) return this.#pauseOrContinue();
    if (header.overwritesRecord) {
      this.#enterPage(header);
      this.#gathering.end();
      this.#state = 'records';
      return 'continue';
    }
    const fault = continuationFault(header, this.#gathering.missing);
    if (fault !== undefined) return this.#damaged(fault, this.#gathering.startLsn);
    const timelineId = this.#cursor.timelineId;
    this.#enterPage(header);
    this.#cursor.timelineId = timelineId;
    return this.#gatherUpTo(chunk, Math.min(this.#cursor.pageEnd, chunk.length));
  }

  /** Takes the bytes of the record up to its end, or the end of the page. */
  #gatherUpTo(chunk: WalChunk, end: number): Progress {
    const gathering = this.#gathering;
    const records = this.#records;
    const length = Math.min(gathering.missing, end - this.#cursor.at);
    const hadHeader = gathering.length >= WAL_RECORD_HEADER_SIZE;
    gathering.add(chunk.memory, this.#cursor.at, length);
    this.#cursor.at += length;
    const { memory, offset, size } = gathering;
    if (!hadHeader && gathering.length >= WAL_RECORD_HEADER_SIZE) {
      // Before more is gathered, so that garbage does not claim the rest of the WAL.
      const fault = records.headerFault(memory.view, offset);
      if (fault !== undefined) return this.#damaged(fault, gathering.startLsn);
    }
    if (gathering.missing > 0) return this.#cursor.at === chunk.length ? 'pause' : 'continue';
    const fault = records.checksumFault(memory, offset, size);
    if (fault !== undefined) return this.#damagedRecord(fault, chunk, this.#cursor.at);
    this.#state = 'records';
    const isApart = memory !== chunk.memory;
    if (isApart) this.#batch.resetApart(memory);
    this.#add(offset, size, recordAligned(this.#cursor.at));
    gathering.end();
    this.#cursor.updateTimeline(this.#pages.timelineId);
    if (isApart && this.#batch.length > 0) return 'pause';
    if (isApart) this.#batch.reset(chunk);
    return 'continue';
  }

  #skipRest(chunk: WalChunk): Progress {
    const { length } = chunk;
    if (this.#cursor.at >= length) return 'pause';
    if (this.#cursor.isAtPageBorder) {
      const header = this.#readPageHeader(chunk);
      if (header === undefined) return this.#pauseOrContinue();
      const fault = header.overwritesRecord ? undefined : continuationFault(header, this.#rest);
      if (fault !== undefined) return this.#damaged(fault);
      if (header.overwritesRecord) this.#rest = 0;
      this.#enterPage(header);
    }
    const skipped = Math.min(this.#rest, Math.min(this.#cursor.pageEnd, length) - this.#cursor.at);
    this.#rest -= skipped;
    this.#cursor.at += skipped;
    if (this.#rest > 0) return 'continue';
    this.#cursor.at = recordAligned(this.#cursor.at);
    this.#state = 'records';
    return 'continue';
  }

  /** After a switch there are zeros, without page headers, up to the next segment. */
  #passZeros(chunk: WalChunk): Progress {
    this.#cursor.at = Math.min(Math.max(0, Number(this.#target - chunk.lsn)), chunk.length);
    if (this.#cursor.at === chunk.length) return 'pause';
    this.#state = 'records';
    return 'continue';
  }

  #search(chunk: WalChunk): Progress {
    const { memory, length } = chunk;
    const cursor = this.#cursor;
    if (!cursor.isAtPageBorder) cursor.at = cursor.pageEnd;
    for (; cursor.at + cursor.headerSizeAt(cursor.at) <= length; cursor.at += WAL_PAGE_SIZE) {
      const hasFault = this.#outcome.fault !== undefined;
      const magic = memory.view.getUint16(cursor.at, true);
      // At the start there may be zeros, before the WAL begins or after a switch.
      if (magic !== this.#pages.magic && (hasFault || magic === 0)) continue;
      const header = this.#pages.check(memory.bytes.subarray(cursor.at, length), cursor.lsn);
      if (!isStorageError(header)) return this.#found(header);
      if (!hasFault) this.#damaged(header, this.#searchFrom);
    }
    cursor.at = length;
    return 'pause';
  }

  /** A valid page: everything before it was damage, unless reading begins here. */
  #found(header: WalPageHeader): Progress {
    const consequence = this.#outcome.continueAt(this.#cursor.lsn);
    if (consequence === 'end') {
      this.#state = 'ended';
      return 'pause';
    }
    // It has been reported that records are missing.
    if (consequence === 'skip') this.#start = undefined;
    this.#records.forget();
    this.#rest = header.continuesRecord ? header.remainingLength : 0;
    this.#state = this.#rest > 0 ? 'skipping' : 'records';
    this.#enterPage(header);
    return consequence === 'skip' ? 'pause' : 'continue';
  }

  /** Back at a page that has been read before, with more on it. */
  #return(chunk: WalChunk): Progress {
    const offset = Number(this.#target - chunk.lsn);
    if (offset > 0) {
      const header = this.#readPageHeader(chunk);
      if (header === undefined) return this.#pauseOrContinue();
      this.#enterPage(header);
    }
    if (offset > chunk.length) return 'pause';
    this.#cursor.at = offset;
    this.#state = 'records';
    return 'continue';
  }

  /** Returns: the header of the page at `#at`; undefined if it is not available yet, or damaged. */
  #readPageHeader({ memory, length }: WalChunk): WalPageHeader | undefined {
    const at = this.#cursor.at;
    if (at + this.#cursor.headerSizeAt(at) > length) return undefined;
    const page = memory.bytes.subarray(at, Math.min(length, at + LONG_PAGE_HEADER_SIZE));
    const header = this.#pages.check(page, this.#cursor.lsnAt(at));
    if (!isStorageError(header)) return header;
    this.#damaged(header, this.position);
    this.#cursor.at += 1;
    return undefined;
  }

  #pauseOrContinue(): Progress {
    return this.#state === 'searching' ? 'continue' : 'pause';
  }

  #enterPage(header: WalPageHeader): void {
    const at = this.#cursor.at;
    this.#pages.accept(header);
    if (this.#state !== 'returning') this.#records.enterPage(header, this.#gathering);
    this.#cursor.updateTimeline(this.#pages.timelineId);
    this.#cursor.at = at + this.#cursor.headerSizeAt(at);
  }

  /** Nothing valid can be read at `lsn`; the WAL after the page decides whether that is damage. */
  #damaged(error: StorageError, lsn: Lsn = this.#cursor.lsn): Progress {
    const isCertain = this.#pages.isForeign(this.#cursor.lsn);
    return this.#fail({ kind: 'corrupt', lsn, error, isCertain });
  }

  /** The record that was checked last is damaged. So it is if a valid record follows where it ends in the chunk. */
  #damagedRecord(error: StorageError, { memory, length }: WalChunk, end: number): Progress {
    const { startLsn: lsn } = this.#records;
    const next = recordAligned(end);
    const limit = Math.min(length, this.#cursor.pageEnd);
    const isFollowed = this.#records.isFollowedBy(memory, next, limit);
    this.#fail({ kind: 'corrupt', lsn, error }, lsn);
    if (!isFollowed) return 'continue';
    this.#state =
      this.#outcome.continueAt(this.#cursor.lsnAt(next)) === 'end' ? 'ended' : 'records';
    if (this.#state === 'ended') return 'pause';
    this.#records.accept();
    this.#cursor.at = next;
    this.#start = undefined;
    return 'pause';
  }

  #fail(fault: WalFault, seenAt = this.#cursor.lsn): Progress {
    this.#outcome.fail(fault, seenAt);
    this.#gathering.end();
    this.#state = 'searching';
    return 'continue';
  }

  #endRange(lsn: Lsn): void {
    this.#outcome.finishRange(lsn);
    this.#state = 'ended';
  }
}

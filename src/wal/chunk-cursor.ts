/** A position in a chunk of WAL, and the timeline that wrote it. */
import { type Lsn, MAXIMUM_LSN } from '../layers/lsn.ts';
import { splitLsn } from '../layers/lsn-halves.ts';
import { LONG_PAGE_HEADER_SIZE, SHORT_PAGE_HEADER_SIZE, WAL_PAGE_SIZE } from './page-format.ts';
import type { WalChunk } from './record-batch.ts';
import { WAL_RECORD_HEADER_SIZE } from './record-scanner.ts';
import type { TimelinePath } from './timeline-history.ts';

/** Records begin at multiples of this. */
const ALIGNMENT = 8;

/** The offset, rounded up to where a record may begin. */
export function recordAligned(offset: number): number {
  return offset + ((ALIGNMENT - (offset % ALIGNMENT)) % ALIGNMENT);
}

export class ChunkCursor {
  /** Offset in the chunk of the next byte. */
  at = 0;
  /** Timeline of what is at `at`, if that is below `switchAt`. */
  timelineId: number;
  /** Offset from which the timeline must be looked up again. */
  switchAt = Number.POSITIVE_INFINITY;
  readonly #segmentSize: number;
  /** Returns the timeline of an LSN. */
  path: TimelinePath;
  #lsn: Lsn = 0n;
  #high = 0;
  #low = 0;

  constructor(segmentSize: number, path: TimelinePath) {
    this.#segmentSize = segmentSize;
    this.path = path;
    this.timelineId = path.timelineId;
  }

  /** Goes to the first byte of a chunk. */
  enter({ lsn }: WalChunk): void {
    this.at = 0;
    this.switchAt = Number.POSITIVE_INFINITY;
    this.#lsn = lsn;
    ({ high: this.#high, low: this.#low } = splitLsn(lsn));
  }

  get lsn(): Lsn {
    return this.#lsn + BigInt(this.at);
  }

  get isAtPageBorder(): boolean {
    return this.at % WAL_PAGE_SIZE === 0;
  }

  /** Offset of the next page border after `at`. */
  get pageEnd(): number {
    return this.at - (this.at % WAL_PAGE_SIZE) + WAL_PAGE_SIZE;
  }

  /** Offset of the next segment after `at`. */
  get segmentEnd(): number {
    const size = this.#segmentSize;
    return this.at - (this.lowAt(this.at) % size) + size;
  }

  lsnAt(offset: number): Lsn {
    return this.#lsn + BigInt(offset);
  }

  /** High half of an LSN in the chunk, or of its end. */
  highAt(offset: number): number {
    return this.#low + offset < 2 ** 32 ? this.#high : this.#high + 1;
  }

  lowAt(offset: number): number {
    return (this.#low + offset) >>> 0;
  }

  /** The end of the segment that holds the byte before an offset. */
  segmentEndAt(offset: number): Lsn {
    const size = BigInt(this.#segmentSize);
    const lsn = this.lsnAt(offset);
    return lsn + ((size - (lsn % size)) % size);
  }

  /** Bytes of the header of the page at an offset. */
  headerSizeAt(offset: number): number {
    const isSegmentStart = this.lowAt(offset) % this.#segmentSize === 0;
    return isSegmentStart ? LONG_PAGE_HEADER_SIZE : SHORT_PAGE_HEADER_SIZE;
  }

  /**
   * Looks up the timeline. Without a history, it is that of the page.
   *
   * @param ofPage 0 if unknown.
   */
  updateTimeline(ofPage: number): void {
    const { path } = this;
    if (path.ancestors.length === 0) {
      this.timelineId = ofPage === 0 ? path.timelineId : ofPage;
      return;
    }
    this.timelineId = path.timelineAt(this.lsn);
    const next = path.endOf(this.timelineId);
    const isNear = next !== MAXIMUM_LSN && next - this.lsn < BigInt(2 * WAL_PAGE_SIZE);
    this.switchAt = isNear ? this.at + Number(next - this.lsn) : Number.POSITIVE_INFINITY;
  }
}

/**
 * Whether the first record is at `start`, on a page without a header. Neon's safekeepers write from
 * where a timeline begins, and leave zeros before it. Requires: the chunk begins with the page.
 */
export function startsWithoutHeader({ memory, length, lsn }: WalChunk, start: Lsn): boolean {
  const offset = Number(start - lsn);
  if (offset < SHORT_PAGE_HEADER_SIZE || offset >= WAL_PAGE_SIZE) return false;
  if (offset + 4 > length || offset !== recordAligned(offset)) return false;
  const isZero = memory.bytes.subarray(0, offset).every((byte) => byte === 0);
  return isZero && memory.view.getUint32(offset, true) >= WAL_RECORD_HEADER_SIZE;
}

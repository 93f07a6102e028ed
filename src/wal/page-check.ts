/** Checks that a page is the one expected at its place in the WAL of a cluster. */
import { isStorageError, type StorageError } from '../errors.ts';
import { formatPgLsn, type Lsn } from '../layers/lsn.ts';
import type { ChunkCursor } from './chunk-cursor.ts';
import { u16In } from './main-data/layout.ts';
import {
  decodeWalPageHeader,
  fourHexDigits,
  magicOfVersion,
  PAGE_CONTINUES_RECORD,
  PAGE_MAY_BE_REMOVED,
  SHORT_PAGE_HEADER_SIZE,
  WAL_PAGE_SIZE,
  type WalPageHeader,
} from './page-format.ts';
import type { WalChunk } from './record-batch.ts';
import type { TimelinePath } from './timeline-history.ts';
import { badWal } from './wal-end.ts';

/** Properties common to all segments of a cluster's WAL. */
export interface WalGeometry {
  /** Major version of Postgres, 14 to 17. */
  readonly majorVersion: number;
  /** Bytes of a segment. */
  readonly segmentSize: number;
  /** Identifier of the cluster; undefined until a segment header has been read. */
  readonly systemIdentifier: bigint | undefined;
}

/** Checks pages in the order of the WAL. */
export class PageCheck {
  readonly #geometry: WalGeometry;
  /** The timelines that pages may belong to. */
  path: TimelinePath;
  /** Of the page that was accepted last; 0 before the first one. */
  #timelineId = 0;
  /** The magic of pages of this version. */
  readonly magic: number;
  #systemIdentifier: bigint | undefined;
  /** Of a segment of another cluster, none of whose pages is valid: its first LSN, and the error of its first page. */
  #foreign: { readonly start: Lsn; readonly fault: StorageError } | undefined;

  constructor(geometry: WalGeometry, path: TimelinePath) {
    this.#geometry = geometry;
    this.magic = magicOfVersion(geometry.majorVersion);
    this.path = path;
    this.#systemIdentifier = geometry.systemIdentifier;
  }

  /** The timeline of the page that was accepted last. */
  get timelineId(): number {
    return this.#timelineId;
  }

  /**
   * Checks the page that should be at `lsn`.
   *
   * Requires: `bytes` contain its header, unless the WAL ends within it.
   * Returns: its header, or an error. The error names the page, since the record that cannot be read may begin on an
   * earlier one.
   */
  check(bytes: Uint8Array, lsn: Lsn): WalPageHeader | StorageError {
    const header = this.#decoded(bytes);
    if (isStorageError(header)) return atPage(header, lsn);
    const fault = this.#fault(header, lsn);
    return fault === undefined ? header : atPage(fault, lsn);
  }

  /**
   * Whether the page at the cursor is valid and begins with the last `missing` bytes of a record, inside a segment and
   * on the timeline of the page before. Nearly all pages do, and this creates no object. Any other page is left to
   * `check`.
   */
  continuesRecord({ memory, length }: WalChunk, cursor: ChunkCursor, missing: number): boolean {
    const { at } = cursor;
    const { view } = memory;
    return (
      at + SHORT_PAGE_HEADER_SIZE <= length &&
      cursor.headerSizeAt(at) === SHORT_PAGE_HEADER_SIZE &&
      view.getUint16(at, true) === this.magic &&
      (view.getUint16(at + 2, true) & ~PAGE_MAY_BE_REMOVED) === PAGE_CONTINUES_RECORD &&
      view.getUint32(at + 4, true) === this.#timelineId &&
      view.getUint32(at + 8, true) === cursor.lowAt(at) &&
      view.getUint32(at + 12, true) === cursor.highAt(at) &&
      view.getUint32(at + 16, true) === missing &&
      this.#allowSameTimeline
    );
  }

  /**
   * Whether the page at an LSN is in a segment of another cluster. It is at its address, so the WAL does not end there.
   */
  isForeign(lsn: Lsn): boolean {
    return this.#foreign?.start === this.#startOfSegment(lsn);
  }

  #startOfSegment(lsn: Lsn): Lsn {
    return lsn - (lsn % BigInt(this.#geometry.segmentSize));
  }

  /** Whether the following pages of the segment are valid if they have the timeline at the cursor. */
  areAlike(cursor: ChunkCursor): boolean {
    return cursor.timelineId === this.#timelineId && this.#allowSameTimeline;
  }

  /** Whether a page may have the timeline of the previous page at any LSN. */
  get #allowSameTimeline(): boolean {
    const { path } = this;
    const timelineId = this.#timelineId;
    return timelineId > 0 && timelineId <= path.timelineId && path.ancestors.length === 0;
  }

  /** Remembers what a valid page implies for the pages after it. */
  accept({ timelineId, segment }: WalPageHeader): void {
    this.#timelineId = timelineId;
    this.#systemIdentifier ??= segment?.systemIdentifier;
  }

  #decoded(bytes: Uint8Array): WalPageHeader | StorageError {
    try {
      return decodeWalPageHeader(bytes.subarray(0, WAL_PAGE_SIZE));
    } catch (error) {
      if (!isStorageError(error)) throw error;
      // The version is known: another magic is damage, not a version that we cannot read.
      const magic = u16In(bytes, 0);
      if (magic === this.magic) return error;
      return badWal('magic of the WAL page', fourHexDigits(this.magic), fourHexDigits(magic));
    }
  }

  #fault(header: WalPageHeader, lsn: Lsn): StorageError | undefined {
    const { majorVersion } = this.#geometry;
    if (header.majorVersion !== majorVersion) {
      return badWal('version of the WAL page', `${majorVersion}`, `${header.majorVersion}`);
    }
    if (header.lsn !== lsn) {
      return badWal('address of the WAL page', formatPgLsn(lsn), formatPgLsn(header.lsn));
    }
    if (header.overwritesRecord && header.continuesRecord) {
      return badWal('WAL page', 'the rest of a record, or none', 'both');
    }
    const start = this.#startOfSegment(lsn);
    if (this.#foreign?.start === start && lsn !== start) return this.#foreign.fault;
    const isFirst = lsn === start;
    if (isFirst !== (header.segment !== undefined)) {
      const expected = isFirst ? 'long' : 'short';
      return badWal('header of the WAL page', expected, isFirst ? 'short' : 'long');
    }
    return this.#segmentFault(header, start) ?? this.#timelineFault(header, lsn);
  }

  #segmentFault({ segment }: WalPageHeader, start: Lsn): StorageError | undefined {
    if (segment === undefined) return undefined;
    this.#foreign = undefined;
    const { segmentSize } = this.#geometry;
    if (segment.segmentSize !== segmentSize) {
      return badWal('segment size of the WAL page', `${segmentSize}`, `${segment.segmentSize}`);
    }
    const known = this.#systemIdentifier;
    if (known === undefined || segment.systemIdentifier === known) return undefined;
    const what = 'system identifier of the WAL page';
    const fault = badWal(what, `${known}`, `${segment.systemIdentifier}`);
    this.#foreign = { start, fault };
    return fault;
  }

  /** A known history says which timeline wrote a page; otherwise, timelines must not decrease. */
  #timelineFault({ timelineId }: WalPageHeader, lsn: Lsn): StorageError | undefined {
    const isKnown = this.path.ancestors.length > 0;
    const highest = isKnown ? this.path.timelineAt(lsn) : this.path.timelineId;
    const lowest = isKnown ? highest : Math.max(1, this.#timelineId);
    if (timelineId >= lowest && timelineId <= highest) return undefined;
    const expected = lowest === highest ? `${lowest}` : `${lowest} to ${highest}`;
    return badWal('timeline of the WAL page', expected, `${timelineId}`);
  }
}

/** The error of a page on which the last `missing` bytes of a record should begin. */
export function continuationFault(
  { continuesRecord, remainingLength, lsn }: WalPageHeader,
  missing: number,
): StorageError | undefined {
  if (!continuesRecord) {
    return atPage(badWal('WAL page', 'the rest of a record', 'the start of one'), lsn);
  }
  if (remainingLength === missing) return undefined;
  const what = 'rest of the record on the WAL page';
  return atPage(badWal(what, `${missing} bytes`, `${remainingLength}`), lsn);
}

/** The error of a page on which a record should start; undefined if it is valid. */
export function startFault({ continuesRecord, lsn }: WalPageHeader): StorageError | undefined {
  if (!continuesRecord) return undefined;
  return atPage(badWal('WAL page', 'the start of a record', 'the rest of one'), lsn);
}

/** `system identifier of the WAL page at 0/A00000`. An offset in the page says less. */
function atPage(fault: StorageError, lsn: Lsn): StorageError {
  const { what } = fault.toPlain().details;
  return fault.with({ what: `${what} at ${formatPgLsn(lsn)}`, offset: undefined });
}

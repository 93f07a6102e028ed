/**
 * WAL page: 8,192 bytes that begin with a header; all numbers are little-endian.
 *
 *   0   u16  magic: D10D is version 14, D110 15, D113 16, D116 17; the only field with the version
 *   2   u16  flags: 1 the page begins with the rest of a record, 2 long header, 4 its images may be
 *            removed, 8 the record that would continue here was given up
 *   4   u32  timeline                16  u32  bytes left of the continued record, also on later pages
 *   8   u64  LSN of the page         20  4    padding; a short header ends
 *   24  u64  system identifier       32  u32  segment size       36  u32  page size; a long header ends
 *
 * The first page of each segment, and no other, has a long header. A record begins at a multiple of 8,
 * and continues after the header of the next page. Timelines never decrease from page to page.
 * Source: Postgres src/include/access/xlog_internal.h.
 */
import { checkBytes, checkCount } from '../check-options.ts';
import { corrupt, StorageError, truncated } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';

/** Bytes of a WAL page. */
export const WAL_PAGE_SIZE = 8192;

/** Bytes of the header of most pages. */
export const SHORT_PAGE_HEADER_SIZE = 24;

/** Bytes of the header of a segment's first page. */
export const LONG_PAGE_HEADER_SIZE = 40;

/** Bits of a page's flags. */
export const PAGE_CONTINUES_RECORD = 0x01;
const PAGE_HAS_LONG_HEADER = 0x02;
/** No page before it is needed for a backup. */
export const PAGE_MAY_BE_REMOVED = 0x04;
const PAGE_OVERWRITES_RECORD = 0x08;
const ALL_PAGE_FLAGS = 0x0f;

/** Major versions of Postgres by the magic of their pages. */
export const VERSION_OF_MAGIC: ReadonlyMap<number, number> = new Map([
  [0xd10d, 14],
  [0xd110, 15],
  [0xd113, 16],
  [0xd116, 17],
]);

/** The magic of a version's pages. Throws `invalid-input` for an unknown version. */
export function magicOfVersion(majorVersion: number): number {
  for (const [magic, version] of VERSION_OF_MAGIC) if (version === majorVersion) return magic;
  throw new StorageError('invalid-input', {
    what: 'major version of Postgres',
    expected: '14 to 17',
    actual: `${majorVersion}`,
  });
}

/** A magic or flags, as shown in messages. */
export function fourHexDigits(magic: number): string {
  return magic.toString(16).toUpperCase().padStart(4, '0');
}

/** The header of a WAL page. */
export interface WalPageHeader {
  /** Major version of Postgres, 14 to 17. */
  readonly majorVersion: number;
  /** True if the page begins with the rest of a record. */
  readonly continuesRecord: boolean;
  /** True if the record that would continue here was given up. */
  readonly overwritesRecord: boolean;
  /** Timeline that wrote the page. */
  readonly timelineId: number;
  /** LSN of the page's first byte. */
  readonly lsn: Lsn;
  /** Bytes that are left of the continued record, on this page and later ones. */
  readonly remainingLength: number;
  /** What only the first page of a segment has. */
  readonly segment: WalSegmentHeader | undefined;
}

/** What the first page of a segment adds. */
export interface WalSegmentHeader {
  /** Identifies the cluster. */
  readonly systemIdentifier: bigint;
  /** Bytes of a segment. */
  readonly segmentSize: number;
}

/**
 * Encodes the header of a page: 40 bytes if it has the fields of a segment's first page, otherwise 24.
 *
 * @throws `invalid-input` for a version without a magic.
 */
export function encodeWalPageHeader(header: WalPageHeader): Uint8Array {
  const { segment } = header;
  const bytes = new Uint8Array(segment ? LONG_PAGE_HEADER_SIZE : SHORT_PAGE_HEADER_SIZE);
  const view = new DataView(bytes.buffer);
  const flags =
    (header.continuesRecord ? PAGE_CONTINUES_RECORD : 0) |
    (segment ? PAGE_HAS_LONG_HEADER : 0) |
    (header.overwritesRecord ? PAGE_OVERWRITES_RECORD : 0);
  view.setUint16(0, magicOfVersion(header.majorVersion), true);
  view.setUint16(2, flags, true);
  view.setUint32(4, header.timelineId, true);
  view.setBigUint64(8, header.lsn, true);
  view.setUint32(16, header.remainingLength, true);
  if (segment !== undefined) {
    view.setBigUint64(24, segment.systemIdentifier, true);
    view.setUint32(32, segment.segmentSize, true);
    view.setUint32(36, WAL_PAGE_SIZE, true);
  }
  return bytes;
}

/** Segments have a power of two of bytes between these. */
const MINIMUM_SEGMENT_SIZE = 1024 * 1024;
export const MAXIMUM_SEGMENT_SIZE = 1024 * 1024 * 1024;

/**
 * Decodes the header of a page, without checking its address.
 *
 * @param bytes The page, or its available part.
 * @throws `truncated`, `unsupported-version` (magic of another version), `corrupt`, `invalid-input`. Offsets count from
 * the start of the page.
 */
export function decodeWalPageHeader(bytes: Uint8Array): WalPageHeader {
  checkBytes(bytes, 'WAL page');
  requireBytes(bytes, SHORT_PAGE_HEADER_SIZE);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = view.getUint16(0, true);
  const majorVersion = VERSION_OF_MAGIC.get(magic);
  if (majorVersion === undefined) throw unknownMagic(magic);
  const flags = view.getUint16(2, true);
  if ((flags & ~ALL_PAGE_FLAGS) !== 0) {
    throw corrupt('flags of the WAL page', 2, 'bits 1, 2, 4 and 8', fourHexDigits(flags));
  }
  const isLong = (flags & PAGE_HAS_LONG_HEADER) !== 0;
  if (isLong) requireBytes(bytes, LONG_PAGE_HEADER_SIZE);
  return {
    majorVersion,
    continuesRecord: (flags & PAGE_CONTINUES_RECORD) !== 0,
    overwritesRecord: (flags & PAGE_OVERWRITES_RECORD) !== 0,
    timelineId: view.getUint32(4, true),
    lsn: view.getBigUint64(8, true),
    remainingLength: view.getUint32(16, true),
    segment: isLong ? decodeSegmentHeader(view) : undefined,
  };
}

function decodeSegmentHeader(view: DataView): WalSegmentHeader {
  const segmentSize = view.getUint32(32, true);
  if (!isSegmentSize(segmentSize)) {
    throw corrupt(
      'segment size of the WAL page',
      32,
      'a power of two from 1 MiB to 1 GiB',
      `${segmentSize}`,
    );
  }
  const pageSize = view.getUint32(36, true);
  if (pageSize !== WAL_PAGE_SIZE) {
    throw corrupt('size of the WAL page', 36, `${WAL_PAGE_SIZE}`, `${pageSize}`);
  }
  return { systemIdentifier: view.getBigUint64(24, true), segmentSize };
}

/** Whether a segment may have this size. */
export function isSegmentSize(size: number): boolean {
  const isInRange = size >= MINIMUM_SEGMENT_SIZE && size <= MAXIMUM_SEGMENT_SIZE;
  return isInRange && (size & (size - 1)) === 0;
}

/** Throws `invalid-input` unless the value is a valid segment size. */
export function checkSegmentSize(size: number): void {
  checkCount('segment size', size, { from: MINIMUM_SEGMENT_SIZE, to: MAXIMUM_SEGMENT_SIZE });
  if (isSegmentSize(size)) return;
  throw new StorageError('invalid-input', {
    what: 'segment size',
    expected: 'a power of two',
    actual: `${size}`,
  });
}

function requireBytes(bytes: Uint8Array, size: number): void {
  if (bytes.length >= size) return;
  throw truncated('header of the WAL page is truncated', bytes.length, size - bytes.length);
}

/** High bytes of the magic in every version since 8.0. */
const HIGH_BYTES_OF_MAGIC = [0xd0, 0xd1];

function unknownMagic(magic: number): StorageError {
  const isOfPostgres = HIGH_BYTES_OF_MAGIC.includes(magic >>> 8);
  return new StorageError(isOfPostgres ? 'unsupported-version' : 'corrupt', {
    what: 'magic of the WAL page',
    offset: 0,
    expected: 'D10D, D110, D113 or D116',
    actual: fourHexDigits(magic),
  });
}

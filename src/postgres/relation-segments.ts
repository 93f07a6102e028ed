/**
 * Segments: a fork is cut into files of equal size, `16384`, `16384.1`, `16384.2`. Every file but
 * the last is full. Empty ones may follow: Postgres shortens what it truncates and leaves the file
 * there.
 *
 * Postgres silently ignores part of a page at the end of the last segment (after a full disk), and
 * segments without the first one (of a relation that was dropped). They are left out with a
 * warning. It also ignores segments after a missing one, or after one that is not full, but these
 * held pages of the relation: that is damage.
 *
 * Source: Postgres src/backend/storage/smgr/md.c.
 */
import { StorageError, tooLarge } from '../errors.ts';
import { MAXIMUM_BLOCK_NUMBER } from './key-mapping.ts';
import type { LeftOutFile } from './left-out.ts';
import type { Objections } from './objections.ts';
import { PAGE_SIZE } from './page.ts';

/** One file of a relation fork. */
export interface RelationSegment {
  /** From 0. */
  readonly segmentNumber: number;
  /** Path of the segment. */
  readonly path: string;
  /** Bytes of complete pages. */
  readonly size: number;
  /** Bytes of the file: more than `size` if it ends within a page. */
  readonly fileSize: number;
  /** See `FileStat`. */
  readonly identity: string;
  /** See `FileStat`. */
  readonly modificationTime?: bigint | undefined;
}

export interface ArrangedSegments {
  /** Those that hold pages, in order. */
  readonly segments: RelationSegment[];
  readonly leftOut: LeftOutFile[];
  /** False if there is no first segment, and so no fork. */
  readonly isFork: boolean;
}

/**
 * Determines the segments of a fork; an empty fork has none.
 *
 * Requires: at least one segment, each number once.
 * Throws: `corrupt` (longer than a segment can be), `too-large`; unless damage is allowed,
 * `not-found` (a segment is missing), `truncated` (one that is not full); each with the path.
 */
export function arrangeSegments(
  segments: readonly RelationSegment[],
  segmentPageCount: number,
  objections: Objections,
): ArrangedSegments {
  const fullSize = segmentPageCount * PAGE_SIZE;
  const ordered = [...segments].sort((left, right) => left.segmentNumber - right.segmentNumber);
  for (const segment of ordered) checkSize(segment, fullSize);
  const count = countConnected(ordered, fullSize, objections);
  const connected = ordered.slice(0, count);
  const leftOut: LeftOutFile[] = ordered
    .slice(count)
    .map(({ path }) => ({ path, reason: 'stray segment' }));
  for (const { path, size, fileSize } of connected) {
    if (fileSize === size) continue;
    objections.warn(endsWithinPage(path, fileSize));
    leftOut.push({ path, reason: 'partial page' });
  }
  const withPages = connected.filter(({ size }) => size > 0);
  checkPageCount(withPages);
  return { segments: withPages, leftOut, isFork: count > 0 };
}

export function countPages(segments: readonly RelationSegment[]): number {
  return segments.reduce((sum, segment) => sum + segment.size / PAGE_SIZE, 0);
}

/** Counts the consecutive segments from the first one on, including empty ones. */
function countConnected(
  ordered: readonly RelationSegment[],
  fullSize: number,
  objections: Objections,
): number {
  for (const [index, segment] of ordered.entries()) {
    if (segment.segmentNumber !== index) {
      const error = missingSegment(segment, index);
      if (index === 0) objections.warn(error);
      else objections.raise('damaged', error);
      return index;
    }
    const previous = ordered[index - 1];
    if (segment.fileSize > 0 && previous !== undefined && previous.fileSize < fullSize) {
      objections.raise('damaged', notFull(previous, segment, fullSize));
      return index;
    }
  }
  return ordered.length;
}

function checkSize({ path, fileSize }: RelationSegment, fullSize: number): void {
  if (fileSize <= fullSize) return;
  throw new StorageError('corrupt', {
    what: 'size of a relation segment',
    path,
    expected: `at most ${fullSize} bytes`,
    actual: `${fileSize}`,
  });
}

function endsWithinPage(path: string, fileSize: number): StorageError {
  return new StorageError('truncated', {
    what: 'size of a relation file, whose last, partial page is left out',
    path,
    offset: fileSize - (fileSize % PAGE_SIZE),
    expected: `a multiple of ${PAGE_SIZE} bytes`,
    actual: `${fileSize}`,
  });
}

function missingSegment(segment: RelationSegment, expectedNumber: number): StorageError {
  return new StorageError('not-found', {
    what: `segment ${expectedNumber} of a relation is missing before segment ${segment.segmentNumber}`,
    path: segment.path,
  });
}

function notFull(segment: RelationSegment, next: RelationSegment, fullSize: number): StorageError {
  return new StorageError('truncated', {
    what: `size of the relation segment before segment ${next.segmentNumber}`,
    path: segment.path,
    offset: segment.fileSize,
    expected: `${fullSize} bytes`,
    actual: `${segment.fileSize}`,
  });
}

/** The number above the last page is the key of the size. */
function checkPageCount(segments: readonly RelationSegment[]): void {
  const pageCount = countPages(segments);
  if (pageCount <= MAXIMUM_BLOCK_NUMBER + 1) return;
  const maximum = MAXIMUM_BLOCK_NUMBER + 1;
  const path = segments[0]?.path;
  throw tooLarge('relation', { maximum, unit: 'pages', actual: pageCount, path });
}

/**
 * Segments: a fork is cut into files of equal size, `16384`, `16384.1`, `16384.2`. Every file but
 * the last is full. Empty ones may follow: Postgres shortens what it truncates and leaves the file
 * there.
 *
 * Two things Postgres passes over without a word: part of a page at the end of the last segment
 * (a disk was full once), and segments without the first one (of a relation that was dropped).
 * They are left out with a warning. Segments after a missing one, or after one that is not full,
 * it ignores as well, but they held pages of the relation once: that is damage.
 *
 * Source: Postgres src/backend/storage/smgr/md.c.
 */
import { StorageError } from '../errors.ts';
import { MAXIMUM_BLOCK_NUMBER } from './key-mapping.ts';
import type { LeftOutFile } from './left-out.ts';
import type { Objections } from './objections.ts';
import { PAGE_SIZE } from './page.ts';

export interface RelationSegment {
  readonly segmentNumber: number;
  readonly path: string;
  /** Bytes of whole pages. */
  readonly size: number;
  /** Bytes of the file: more than `size` where it ends within a page. */
  readonly fileSize: number;
  /** See `FileStat`. */
  readonly identity: string;
  readonly modificationTime?: bigint | undefined;
}

export interface ArrangedSegments {
  /** Those that hold pages, in order. */
  readonly segments: RelationSegment[];
  readonly leftOut: LeftOutFile[];
  /** False where there is no first segment, and so no fork. */
  readonly isFork: boolean;
}

/**
 * Tells which segments make up the fork; of an empty fork none.
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

/** How many segments from the first on follow each other as they should, empty ones included. */
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
    what: 'relation file ends within a page; that part is left out',
    path,
    offset: fileSize - (fileSize % PAGE_SIZE),
    expected: `a multiple of ${PAGE_SIZE} bytes`,
    actual: `${fileSize}`,
  });
}

function missingSegment(segment: RelationSegment, expectedNumber: number): StorageError {
  return new StorageError('not-found', {
    what: `segment ${expectedNumber} of a relation`,
    path: segment.path,
    expected: `it, before segment ${segment.segmentNumber}`,
    actual: 'no such file',
  });
}

function notFull(segment: RelationSegment, next: RelationSegment, fullSize: number): StorageError {
  return new StorageError('truncated', {
    what: `relation segment before segment ${next.segmentNumber}`,
    path: segment.path,
    offset: segment.fileSize,
    expected: `${fullSize} bytes`,
    actual: `${segment.fileSize}`,
  });
}

/** The number above the last page stands for the size. */
function checkPageCount(segments: readonly RelationSegment[]): void {
  const pageCount = countPages(segments);
  if (pageCount <= MAXIMUM_BLOCK_NUMBER + 1) return;
  throw new StorageError('too-large', {
    what: 'relation',
    path: segments[0]?.path,
    expected: `at most ${MAXIMUM_BLOCK_NUMBER + 1} pages`,
    actual: `${pageCount}`,
  });
}

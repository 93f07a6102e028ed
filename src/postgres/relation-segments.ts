/**
 * Segments: a fork is cut into files of equal size, `16384`, `16384.1`, `16384.2`. Every file but
 * the last is full. Behind the last there may be empty ones: Postgres shortens what it truncates
 * and leaves the file there.
 *
 * Source: Postgres src/backend/storage/smgr/md.c.
 */
import { StorageError } from '../errors.ts';
import { MAXIMUM_BLOCK_NUMBER } from './key-mapping.ts';
import { PAGE_SIZE } from './page.ts';

export interface RelationSegment {
  readonly segmentNumber: number;
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * The segments that hold pages, in order, without the empty ones behind; those of an empty fork
 * are none.
 *
 * Requires: at least one segment, each number once.
 * Throws: `truncated` (a page that is cut, a segment that is not full), `not-found` (a segment
 * is missing), `corrupt` (longer than a segment can be), `too-large`; each with the path.
 */
export function arrangeSegments(
  segments: readonly RelationSegment[],
  segmentPageCount: number,
): RelationSegment[] {
  const fullSize = segmentPageCount * PAGE_SIZE;
  const ordered = [...segments].sort((left, right) => left.segmentNumber - right.segmentNumber);
  const withPages: RelationSegment[] = [];
  let previous: RelationSegment | undefined;
  for (const [index, segment] of ordered.entries()) {
    checkSize(segment, fullSize);
    if (segment.segmentNumber !== index) throw missingSegment(segment, index);
    if (segment.size > 0) {
      if (previous !== undefined && previous.size < fullSize) {
        throw notFull(previous, segment, fullSize);
      }
      withPages.push(segment);
    }
    previous = segment;
  }
  checkPageCount(withPages);
  return withPages;
}

export function countPages(segments: readonly RelationSegment[]): number {
  return segments.reduce((sum, segment) => sum + segment.size / PAGE_SIZE, 0);
}

function checkSize({ path, size }: RelationSegment, fullSize: number): void {
  if (size > fullSize) {
    throw new StorageError('corrupt', {
      what: 'size of a relation segment',
      path,
      expected: `at most ${fullSize} bytes`,
      actual: `${size}`,
    });
  }
  if (size % PAGE_SIZE !== 0) {
    throw new StorageError('truncated', {
      what: 'relation file ends within a page',
      path,
      offset: size - (size % PAGE_SIZE),
      expected: `a multiple of ${PAGE_SIZE} bytes`,
      actual: `${size}`,
    });
  }
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
    offset: segment.size,
    expected: `${fullSize} bytes`,
    actual: `${segment.size}`,
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

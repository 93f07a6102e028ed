/**
 * Computes where a WAL record ends and where the next one starts, from the position and the length of the record.
 * Positions are LSNs below 2^53.
 */
import { LONG_PAGE_HEADER_SIZE, SHORT_PAGE_HEADER_SIZE, WAL_PAGE_SIZE } from './page-format.ts';

/** Segment size of every cluster in Neon. */
const USUAL_SEGMENT_SIZE = 16 * 1024 * 1024;
const ALIGNMENT = 8;

/**
 * The end of a record of `length` bytes: the LSN under which a pageserver stores it.
 * Requires: a record can start at `start`.
 */
export function endOfRecord(
  start: number,
  length: number,
  segmentSize = USUAL_SEGMENT_SIZE,
): number {
  let at = start;
  let left = length;
  for (;;) {
    const room = WAL_PAGE_SIZE - (at % WAL_PAGE_SIZE);
    if (left <= room) return aligned(at + left);
    left -= room;
    at += room;
    at += pageHeaderSize(at, segmentSize);
  }
}

/** Where the record after one that ends at `end` starts. */
export function startAfter(end: number, segmentSize = USUAL_SEGMENT_SIZE): number {
  return end % WAL_PAGE_SIZE === 0 ? end + pageHeaderSize(end, segmentSize) : end;
}

function pageHeaderSize(page: number, segmentSize: number): number {
  return page % segmentSize === 0 ? LONG_PAGE_HEADER_SIZE : SHORT_PAGE_HEADER_SIZE;
}

function aligned(position: number): number {
  return Math.ceil(position / ALIGNMENT) * ALIGNMENT;
}

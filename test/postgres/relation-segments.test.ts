import { expect, it } from 'vitest';
import { arrangeSegments, countPages } from '../../src/postgres/relation-segments.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const SEGMENT_PAGE_COUNT = 131072;
const FULL_SIZE = SEGMENT_PAGE_COUNT * 8192;

it('a relation of 32 TiB less one page is the largest', () => {
  const largest = segmentsOf(2 ** 32 - 1);
  expect(countPages(arrangeSegments(largest, SEGMENT_PAGE_COUNT))).toBe(2 ** 32 - 1);
  const tooLarge = segmentsOf(2 ** 32);
  expect(storageErrorThrownBy(() => arrangeSegments(tooLarge, SEGMENT_PAGE_COUNT)).code).toBe(
    'too-large',
  );
});

function segmentsOf(pageCount: number) {
  const size = pageCount * 8192;
  return Array.from({ length: Math.ceil(size / FULL_SIZE) }, (_, segmentNumber) => ({
    segmentNumber,
    path: `16384.${segmentNumber}`,
    size: Math.min(FULL_SIZE, size - segmentNumber * FULL_SIZE),
  }));
}

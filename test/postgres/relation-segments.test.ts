import { expect, it } from 'vitest';
import { Objections } from '../../src/postgres/objections.ts';
import { arrangeSegments, countPages } from '../../src/postgres/relation-segments.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const SEGMENT_PAGE_COUNT = 131072;
const FULL_SIZE = SEGMENT_PAGE_COUNT * 8192;

it('a relation of 32 TiB less one page is the largest', () => {
  const largest = segmentsOf(2 ** 32 - 1);
  const arrange = (segments: typeof largest) =>
    arrangeSegments(segments, SEGMENT_PAGE_COUNT, new Objections([]));
  expect(countPages(arrange(largest).segments)).toBe(2 ** 32 - 1);
  const tooLarge = segmentsOf(2 ** 32);
  expect(storageErrorThrownBy(() => arrange(tooLarge)).code).toBe('too-large');
});

function segmentsOf(pageCount: number) {
  const size = pageCount * 8192;
  return Array.from({ length: Math.ceil(size / FULL_SIZE) }, (_, segmentNumber) => {
    const ofSegment = Math.min(FULL_SIZE, size - segmentNumber * FULL_SIZE);
    const path = `16384.${segmentNumber}`;
    return { segmentNumber, path, size: ofSegment, fileSize: ofSegment, identity: path };
  });
}

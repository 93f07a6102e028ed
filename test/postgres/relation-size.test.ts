import { expect, test } from 'vitest';
import { decodeRelationSize, encodeRelationSize } from '../../src/postgres/relation-size.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

test.each([0, 1, 0xffff_ffff])('a size of %i pages comes back', (pageCount) => {
  expect(decodeRelationSize(encodeRelationSize(pageCount))).toBe(pageCount);
});

test.each([-1, 0.5, 2 ** 32])('a size of %d pages is out-of-range', (pageCount) => {
  expect(storageErrorThrownBy(() => encodeRelationSize(pageCount)).code).toBe('out-of-range');
});

test.each([3, 5])('a size of %i bytes is corrupt', (length) => {
  expect(storageErrorThrownBy(() => decodeRelationSize(new Uint8Array(length))).code).toBe(
    'corrupt',
  );
});

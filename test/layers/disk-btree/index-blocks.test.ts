import { expect, test } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { IndexBlocks } from '../../../src/layers/disk-btree/index-blocks.ts';
import { storageErrorThrownBy } from '../../support/storage-errors.ts';

const BLOCK = 8192;

function indexOf(fileSize: number, location: { startBlock: number; rootBlock: number }) {
  return new IndexBlocks(bytesSource(new Uint8Array(fileSize), '/layer'), location);
}

test('an index that ends with the file is complete', () => {
  const index = indexOf(5 * BLOCK, { startBlock: 2, rootBlock: 2 });
  expect(() => index.checkLocation()).not.toThrow();
  expect(index.fileOffset(2)).toBe(4 * BLOCK);
});

test('a file that ends within its index is truncated, with what it should have', () => {
  const index = indexOf(5 * BLOCK - 1, { startBlock: 2, rootBlock: 2 });
  const error = storageErrorThrownBy(() => index.checkLocation());
  expect(error).toMatchObject({
    code: 'truncated',
    path: '/layer',
    offset: 5 * BLOCK - 1,
    expected: `root block 2 to end at ${5 * BLOCK}`,
    actual: `${5 * BLOCK - 1} bytes`,
  });
});

test.each([0, 1])('an index from block %d on leaves no room for values', (startBlock) => {
  const index = indexOf(5 * BLOCK, { startBlock, rootBlock: 0 });
  const error = storageErrorThrownBy(() => index.checkLocation());
  expect(error).toMatchObject({ code: 'out-of-range', path: '/layer', expected: 'at least 2' });
});

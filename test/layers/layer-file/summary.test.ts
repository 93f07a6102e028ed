import { expect, test } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { readSummaryBlock } from '../../../src/layers/layer-file/summary.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';

test.each([0, 1, 8191])(
  'a file of %i bytes is too short, and nothing of it is read',
  async (size) => {
    const source = {
      ...bytesSource(new Uint8Array(size), '/layer'),
      read: () => Promise.reject(new Error('nothing is to be read')),
    };
    const error = await storageErrorOf(readSummaryBlock(source));
    expect(error).toMatchObject({
      code: 'truncated',
      path: '/layer',
      offset: size,
      actual: `${size}`,
    });
    expect(error.message).toContain('file is too short for a layer');
  },
);

test('a file of one block is long enough to be looked at', async () => {
  const bytes = new Uint8Array(8192).fill(7);
  expect(await readSummaryBlock(bytesSource(bytes))).toEqual(bytes);
});

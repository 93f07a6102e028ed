import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';

import { readSummaryBlock } from '../../../src/layers/layer-file/summary.ts';
import { decodeSummary, encodeSummary } from '../../../src/layers/layer-file/summary-format.ts';
import { blockKey, IDS, KEY_RANGE, LSN_RANGE } from '../../support/layers.ts';
import { storageErrorOf, storageErrorThrownBy } from '../../support/storage-errors.ts';

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

test('a file of one block is long enough to be read', async () => {
  const bytes = new Uint8Array(8192).fill(7);
  expect(await readSummaryBlock(bytesSource(bytes))).toEqual(bytes);
});

describe('a delta layer', () => {
  const summary = {
    kind: 'delta' as const,
    formatVersion: 3,
    ...IDS,
    keyRange: KEY_RANGE,
    lsnRange: LSN_RANGE,
    indexStartBlock: 2,
    indexRootBlock: 0,
  };

  test('a layer has the ranges that its summary says', () => {
    expect(decodeSummary(encodeSummary(summary))).toEqual(summary);
  });

  test.each([
    ['no LSN', { lsnRange: { start: 0x10n, end: 0x10n } }, 72, 'LSN range of the summary'],
    [
      'LSNs that go back',
      { lsnRange: { start: 0x11n, end: 0x10n } },
      72,
      'LSN range of the summary',
    ],
    [
      'no key',
      { keyRange: { start: blockKey(7), end: blockKey(7) } },
      36,
      'key range of the summary',
    ],
    [
      'keys that go back',
      { keyRange: { start: blockKey(8), end: blockKey(7) } },
      36,
      'key range of the summary',
    ],
  ])('the summary of a delta layer for %s is corrupt', (_, range, offset, what) => {
    const block = encodeSummary({ ...summary, ...range });
    const error = storageErrorThrownBy(() => decodeSummary(block, '/layer'));
    expect(error).toMatchObject({
      code: 'corrupt',
      path: '/layer',
      offset,
      expected: 'start below end',
    });
    expect(error.message).toContain(what);
  });
});

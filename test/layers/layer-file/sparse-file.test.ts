/** A file that claims terabytes of index and stores next to nothing. */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ByteSource } from '../../../src/blob-writer/byte-source.ts';
import { ZeroAllowance } from '../../../src/layers/disk-btree/zero-allowance.ts';
import { fileLayout } from '../../../src/layers/layer-file/file-layout.ts';
import type { IndexBlock } from '../../../src/layers/layer-file/index-listing.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { encodeValue } from '../../../src/layers/value-format.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import {
  BLOCK,
  deltaKey,
  layerBytes,
  nodeBlock,
  offsetsOf,
  shortBlob,
} from '../../support/hand-made.ts';
import { blockKey, drain } from '../../support/layers.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const TERABYTE = 2 ** 40;
const HOLES_READ_BLOCKS = (64 * 1024 * 1024) / BLOCK;

const BLOBS = [1, 2].map((page) =>
  shortBlob(encodeValue({ type: 'image', bytes: new Uint8Array(8).fill(page) })),
);
const KEYS = [blockKey(1), blockKey(2), blockKey(3)].map((key) => deltaKey(key, 0x1008n));

function leaf(index: number): Uint8Array {
  const value = (offsetsOf(BLOBS)[Math.min(index, 1)] ?? 0) * 2 + 1;
  return nodeBlock({ keys: [KEYS[index] ?? new Uint8Array()], values: [value] });
}

/**
 * The start of a layer of two leaves whose root is block `rootBlock` of the index, and the end of it:
 * a leaf that nothing leads to, and the root.
 */
function ends(rootBlock: number): { start: Uint8Array; end: Uint8Array; size: number } {
  const start = layerBytes({
    kind: 'delta',
    blobs: BLOBS,
    blocks: [leaf(0), leaf(1)],
    indexStartBlock: 2,
    indexRootBlock: rootBlock,
  });
  const root = nodeBlock({ keys: KEYS.slice(0, 2), children: [0, 1] });
  return { start, end: Buffer.concat([leaf(2), root]), size: (2 + rootBlock + 1) * BLOCK };
}

/** Four terabytes, of which some KiB are stored. */
function sparseFile(hasRoot: boolean): { path: string; rootBlock: number } {
  const rootBlock = (4 * TERABYTE) / BLOCK - 3;
  const { start, end, size } = ends(rootBlock);
  const path = join(temporaryDirectory(), 'layer');
  fs.writeFileSync(path, start);
  fs.truncateSync(path, size);
  if (hasRoot) {
    const file = fs.openSync(path, 'r+');
    fs.writeSync(file, end, 0, end.length, size - end.length);
    fs.closeSync(file);
  }
  return { path, rootBlock };
}

/** The same layer without a file; `allocatedSize` is what its source says. */
function source(rootBlock: number, allocatedSize: number | undefined): ByteSource {
  const { start, end, size } = ends(rootBlock);
  const tailAt = size - end.length;
  return {
    size,
    allocatedSize,
    read: async (target, offset) => {
      const length = Math.min(target.length, size - offset);
      target.fill(0, 0, length);
      if (offset < start.length) target.set(start.subarray(offset, offset + length));
      if (offset + length > tailAt) {
        const from = Math.max(offset, tailAt);
        target.set(end.subarray(from - tailAt, offset + length - tailAt), from - offset);
      }
      return length;
    },
  };
}

/** Blocks of zeros one by one are left out. */
function summaryOf(blocks: readonly IndexBlock[]): (string | number)[] {
  const listed: (string | number)[] = [];
  for (const block of blocks) {
    if (block.kind === 'node') listed.push(block.block);
    else if (block.blockCount !== undefined) listed.push(`${block.blockCount} from ${block.block}`);
  }
  return listed;
}

describe('an index of four terabytes, nearly all of it a hole', { timeout: 60_000 }, () => {
  test('an index of four terabytes that is nearly all a hole is verified within seconds: every entry, and a finding for what was not read', async () => {
    const { path } = sparseFile(true);
    const report = await verifyLayer(path, { maximumFindings: 5 });
    expect(report).toMatchObject({ ok: false, entries: 2, errors: 1, codes: ['corrupt'] });
    expect(report.findings[0]).toMatchObject({
      severity: 'error',
      code: 'corrupt',
      message: expect.stringContaining('index has more zeros than the file stores'),
    });
  });

  test('an index of four terabytes that is nearly all a hole is listed: its first blocks, and the last ones that have something', async () => {
    const { path, rootBlock } = sparseFile(true);
    await using reader = await openLayer(path);
    const listed = summaryOf(await drain(reader.indexBlocks()));
    expect(listed).toEqual([
      0,
      1,
      expect.stringMatching(/^\d+ from \d+$/),
      rootBlock - 1,
      rootBlock,
    ]);
    const [count, from] = String(listed[2]).split(' from ').map(Number);
    expect((from ?? 0) + (count ?? 0)).toBe(rootBlock - 1);
    expect(from).toBeGreaterThanOrEqual(2 + HOLES_READ_BLOCKS);
    expect(from).toBeLessThanOrEqual(2 + HOLES_READ_BLOCKS + 16);
  });

  test('an index of four terabytes that is nearly all a hole is laid out within seconds: the zeros that are read are one range, the others another', async () => {
    const { path, rootBlock } = sparseFile(true);
    const ranges = await drain(fileLayout(path));
    const index = ranges.filter(({ part }) => part === 'index');
    const damaged = index.filter(({ error }) => error !== undefined);
    expect(damaged.map(({ block, what }) => [block, what])).toEqual([
      [2, 'damaged index blocks'],
      [expect.any(Number), 'blocks that are not examined'],
    ]);
    const [zeros, skipped] = damaged.map(({ length }) => length / BLOCK);
    expect(zeros).toBeGreaterThanOrEqual(HOLES_READ_BLOCKS);
    expect((zeros ?? 0) + (skipped ?? 0)).toBe(rootBlock - 3);
    expect(index.map(({ block }) => block)).toEqual(expect.arrayContaining([0, 1, rootBlock]));
    const { size } = fs.statSync(path);
    expect(ranges.reduce((end, { length }) => end + length, 0)).toBe(size);
  });

  test('an index of four terabytes that is nearly all a hole without a root, is verified and listed within seconds, too', async () => {
    const { path, rootBlock } = sparseFile(false);
    const report = await verifyLayer(path, { maximumFindings: 5 });
    expect(report).toMatchObject({ ok: false, entries: 2, codes: ['corrupt', 'too-large'] });
    await using reader = await openLayer(path);
    const blocks = await drain(reader.indexBlocks());
    expect(summaryOf(blocks).slice(0, 2)).toEqual([0, 1]);
    expect(blocks.at(-1)).toMatchObject({ kind: 'damaged', block: rootBlock });
    const items = await drain(reader.salvageBatches());
    expect(items.map(({ kind }) => kind)).toContain('batch');
    expect(items.flatMap((item) => ('error' in item ? [item.error.code] : []))).toEqual(
      expect.arrayContaining(['corrupt', 'too-large']),
    );
  });
});

describe('a run of zeros in the middle of an index', { timeout: 60_000 }, () => {
  test('a run of zeros in the middle of an index that may be stored, for all that is known, is read to its end, however long it is', async () => {
    const rootBlock = HOLES_READ_BLOCKS + 100;
    await using reader = await openLayer(source(rootBlock, undefined));
    const blocks = await drain(reader.indexBlocks());
    expect(blocks).toHaveLength(rootBlock + 1);
    expect(summaryOf(blocks)).toEqual([0, 1, rootBlock - 1, rootBlock]);
  });

  test.each([
    ['as long as may be is read whole', 0, ['none']],
    ['one block longer is read but for that block', 1, ['1 from 8194']],
  ])('a run of zeros in an index that is a hole %s', async (_, more, skipped) => {
    // Two leaves before the zeros, a leaf and the root after them.
    const rootBlock = 2 + HOLES_READ_BLOCKS + more + 1;
    await using reader = await openLayer(source(rootBlock, 0));
    const listed = summaryOf(await drain(reader.indexBlocks()));
    const runs = listed.filter((one) => typeof one === 'string');
    expect(runs.length === 0 ? ['none'] : runs).toEqual(skipped);
    expect(listed.filter((one) => typeof one === 'number')).toEqual([
      0,
      1,
      rootBlock - 1,
      rootBlock,
    ]);
  });
});

test('as many blocks of zeros are admitted as the file stores, plus the allowance for holes', () => {
  const zeros = new Uint8Array(BLOCK);
  const data = Uint8Array.from(zeros);
  data[BLOCK - 1] = 1;
  const allowance = new ZeroAllowance(3 * BLOCK);
  let admitted = 0;
  while (allowance.admits(data) && allowance.admits(zeros)) admitted += 1;
  expect(admitted).toBe(HOLES_READ_BLOCKS + 3);
  expect(allowance.admits(data)).toBe(true);
});

import { describe, expect, test } from 'vitest';
import { type ByteSource, bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { IndexBlocks } from '../../../src/layers/disk-btree/index-blocks.ts';
import { IndexScan } from '../../../src/layers/disk-btree/index-scan.ts';
import { type CountingSource, countingSource, failingSource } from '../../support/blobs.ts';
import { gate, idle, isPending } from '../../support/gate.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';

const BLOCK = 8192;
const START_BLOCK = 2;

/** Each block is full of its number. */
function indexFile(blockCount: number): Uint8Array {
  const file = new Uint8Array((START_BLOCK + blockCount) * BLOCK);
  for (let block = 0; block < blockCount; block += 1) {
    file.fill(block, (START_BLOCK + block) * BLOCK, (START_BLOCK + block + 1) * BLOCK);
  }
  return file;
}

function scanOf(source: ByteSource, blockCount: number): IndexScan {
  const location = { startBlock: START_BLOCK, rootBlock: blockCount - 1 };
  return new IndexScan(new IndexBlocks(source, location));
}

async function numberOf(scan: IndexScan, block: number): Promise<number> {
  const bytes = scan.find(block) ?? (await scan.load(block));
  expect(bytes).toHaveLength(BLOCK);
  expect(bytes.every((byte) => byte === bytes[0])).toBe(true);
  return bytes[0] ?? -1;
}

/** First block and number of blocks of each read. */
function runs(source: CountingSource): [number, number][] {
  return source.reads.map(({ offset, length }) => [offset / BLOCK - START_BLOCK, length / BLOCK]);
}

describe('blocks in order', () => {
  test('blocks in order are read once each, more of them at a time, and none after the root', async () => {
    const source = countingSource(indexFile(200));
    const scan = scanOf(source, 200);
    for (let block = 0; block < 200; block += 1) expect(await numberOf(scan, block)).toBe(block);
    await scan.close();
    expect(runs(source)).toEqual([[0, 1], [1, 2], [3, 4], [7, 8], [15, 16], [31, 32], [63, 64], [127, 64], [191, 9]]); // biome-ignore format: one line
  });

  test('blocks in order are read ahead from the second read on, while others are used', async () => {
    const source = countingSource(indexFile(60));
    const scan = scanOf(source, 60);
    await scan.load(0);
    await idle();
    expect(runs(source)).toEqual([[0, 1]]);
    await scan.load(1);
    await idle();
    expect(runs(source)).toEqual([[0, 1], [1, 2], [3, 4]]); // biome-ignore format: one line
    await scan.load(3);
    expect(scan.find(6)).toBeDefined();
    expect(scan.find(7)).toBeUndefined();
    await scan.close();
  });

  test('blocks of which one or two are left out are still read ahead', async () => {
    const source = countingSource(indexFile(60));
    const scan = scanOf(source, 60);
    for (const block of [0, 1, 2, 4, 5, 6, 9, 10, 20, 32]) {
      expect(await numberOf(scan, block)).toBe(block);
    }
    await scan.close();
    expect(runs(source)).toEqual([[0, 1], [1, 2], [3, 4], [7, 8], [15, 16], [31, 29]]); // biome-ignore format: one line
  });
});

test('blocks here and there are read one by one', async () => {
  const source = countingSource(indexFile(60));
  const scan = scanOf(source, 60);
  for (const block of [50, 3, 40, 3, 20]) expect(await numberOf(scan, block)).toBe(block);
  await scan.close();
  expect(runs(source)).toEqual([[50, 1], [3, 1], [40, 1], [3, 1], [20, 1]]); // biome-ignore format: one line
});

test('a block that is not among the leaves is returned in a new array, and disturbs no run', async () => {
  const source = countingSource(indexFile(60));
  const scan = scanOf(source, 60);
  for (const block of [0, 1, 2]) await numberOf(scan, block);
  const far = await scan.read(58);
  const near = await scan.read(2);
  for (let block = 3; block < 50; block += 1) expect(await numberOf(scan, block)).toBe(block);
  await scan.close();
  expect(far.every((byte) => byte === 58)).toBe(true);
  expect(near.every((byte) => byte === 2)).toBe(true);
  expect(runs(source)).toContainEqual([58, 1]);
  expect(runs(source)).toHaveLength(7);
});

test('a failed read ahead is an error only for the caller that needs it', async () => {
  const source = failingSource(indexFile(60));
  const scan = scanOf(source, 60);
  await scan.load(0);
  await scan.load(1);
  source.fails = true;
  await scan.load(3);
  await idle();
  expect(scan.find(5)).toBeDefined();
  expect(await storageErrorOf(scan.load(7))).toMatchObject({ code: 'io', errno: 'EIO' });
  expect(scan.find(5)).toBeUndefined();
  source.fails = false;
  for (const block of [5, 7, 8, 30]) expect(await numberOf(scan, block)).toBe(block);
  await scan.close();
});

test('an index that ends early is truncated', async () => {
  const file = indexFile(10).subarray(0, (START_BLOCK + 4) * BLOCK + 100);
  const source = { ...bytesSource(file, 'name'), size: (START_BLOCK + 10) * BLOCK };
  const scan = scanOf(source, 10);
  for (const block of [0, 1, 2]) await numberOf(scan, block);
  expect(await storageErrorOf(scan.load(3))).toMatchObject({
    code: 'truncated',
    path: 'name',
    offset: file.length,
  });
  expect(await numberOf(scan, 3)).toBe(3);
  await scan.close();
});

test('closing waits for the read ahead', async () => {
  const { opened, open } = gate();
  const inner = bytesSource(indexFile(20), 'name');
  let reads = 0;
  const source: ByteSource = {
    ...inner,
    read: async (target, offset) => {
      reads += 1;
      if (reads === 3) await opened;
      return inner.read(target, offset);
    },
  };
  const scan = scanOf(source, 20);
  await scan.load(0);
  await scan.load(1);
  const closing = scan.close();
  expect(await isPending(closing)).toBe(true);
  open();
  await closing;
  await scan.close();
});

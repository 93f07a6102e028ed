import { describe, expect, test } from 'vitest';
import { blockName, HEAP, HEAP2, ingestAll, NEON, namesOf } from '../../support/ingest-records.ts';
import { smallCluster } from '../../support/ingested-values.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { type HandMadeRecord, u32 } from '../../support/wal-records.ts';

describe('visibility map', () => {
  const insertion = (flags: number, blkno: number): HandMadeRecord => ({
    resourceManager: HEAP,
    info: 0x00,
    blocks: [{ blkno }],
    mainData: Uint8Array.of(1, 0, flags),
  });
  const update = (flags: number, blocks: HandMadeRecord['blocks']): HandMadeRecord => ({
    resourceManager: HEAP,
    info: 0x20,
    blocks: blocks ?? [],
    mainData: Uint8Array.of(...u32(800), 1, 0, 0, flags, ...u32(0), 2, 0),
  });
  const forks = { '16384.0': 70_000, '16384.2': 2 };

  test.each([
    [32_671, 0],
    [32_672, 1],
  ])('heap block %d is on page %d of the map', async (blkno, page) => {
    const values = smallCluster({ forks });
    const put = await ingestAll(values, [insertion(1, blkno)]);
    expect(namesOf(values)).toEqual([blockName(page, 'vm'), blockName(blkno)]);
    expect(put.get(blockName(page, 'vm'))).toEqual({
      type: 'clear_vm',
      newHeapBlock: blkno,
      oldHeapBlock: null,
      flags: 3,
    });
  });

  test('a map that does not reach the block, or does not exist, stays as it is', async () => {
    const values = smallCluster({ forks: { '16384.0': 70_000, '16384.2': 1, '16385.0': 9 } });
    const other = {
      ...insertion(1, 0),
      blocks: [{ relation: [1663, 5, 16385] as const, blkno: 0 }],
    };
    await ingestAll(values, [insertion(1, 32_672), other]);
    expect(namesOf(values)).toEqual([blockName(32_672), blockName(0, 'main', 16385)]);
  });

  test('an update within a page of the map is one value, with both blocks', async () => {
    const values = smallCluster({ forks });
    const put = await ingestAll(values, [update(3, [{ blkno: 8 }, { blkno: 9 }])]);
    expect(put.get(blockName(0, 'vm'))).toMatchObject({
      newHeapBlock: 8,
      oldHeapBlock: 9,
      flags: 3,
    });
  });

  test('an update with one block has it as its old one, too', async () => {
    const values = smallCluster({ forks });
    const put = await ingestAll(values, [update(1, [{ blkno: 8 }])]);
    expect(put.get(blockName(0, 'vm'))).toMatchObject({ newHeapBlock: null, oldHeapBlock: 8 });
  });

  test('an update over two pages of the map is two values, the new one first', async () => {
    const values = smallCluster({ forks });
    const put = await ingestAll(values, [update(3, [{ blkno: 40_000 }, { blkno: 9 }])]);
    expect(namesOf(values).slice(0, 2)).toEqual([blockName(1, 'vm'), blockName(0, 'vm')]);
    expect(put.get(blockName(1, 'vm'))).toMatchObject({ newHeapBlock: 40_000, oldHeapBlock: null });
    expect(put.get(blockName(0, 'vm'))).toMatchObject({ newHeapBlock: null, oldHeapBlock: 9 });
  });

  test.each([
    ['LOCK of 17', 17, 0x60, HEAP, [...u32(800), 1, 0, 0, 1]],
    ['LOCK_UPDATED', 17, 0x60, HEAP2, [...u32(800), 1, 0, 0, 1]],
    ['LOCK of Neon 15', 15, 0x60, HEAP, [...u32(800), 1, 0, 0, 0, ...u32(9), 0, 1]],
    ['LOCK of neon', 16, 0x40, NEON, [...u32(800), ...u32(9), 1, 0, 0, 1]],
  ])('%s clears the all-frozen bit of its block only', async (...args) => {
    const [, majorVersion, info, resourceManager, mainData] = args;
    const values = smallCluster({ forks, majorVersion });
    const record = { resourceManager, info, blocks: [{ blkno: 5 }], majorVersion };
    const put = await ingestAll(values, [{ ...record, mainData: Uint8Array.from(mainData) }], {
      majorVersion,
    });
    expect(put.get(blockName(0, 'vm'))).toEqual({
      type: 'clear_vm',
      newHeapBlock: null,
      oldHeapBlock: 5,
      flags: 2,
    });
  });

  test.each([
    ['DELETE of 17', 17, 0x10, HEAP, [...u32(800), 1, 0, 0, 1], true],
    ['DELETE of vanilla 14', 14, 0x10, HEAP, [...u32(800), 1, 0, 0, 1], true],
    ['DELETE of Neon 14', 14, 0x10, HEAP, [...u32(800), 1, 0, 0, 0, ...u32(9), 0, 1], true],
    // The command id has a byte where a vanilla record has its flags.
    ['DELETE of Neon 14', 14, 0x10, HEAP, [...u32(800), 1, 0, 0, 1, ...u32(1), 0, 0], false],
    ['DELETE of neon', 16, 0x10, NEON, [...u32(800), 1, 0, 0, 1, ...u32(9)], true],
    ['MULTI_INSERT', 16, 0x50, HEAP2, [1, 0, 1, 0, 7, 0], true],
    ['MULTI_INSERT of neon', 16, 0x50, NEON, [1, 0, 1, 0, ...u32(9), 7, 0], true],
    ['MULTI_INSERT+INIT', 16, 0xd0, HEAP2, [1, 0, 9, 0], true],
  ] as const)('%s is read by its layout', async (...args) => {
    const [, majorVersion, info, resourceManager, mainData, clears] = args;
    const values = smallCluster({ forks, majorVersion });
    const record = { resourceManager, info, blocks: [{ blkno: 5 }], majorVersion };
    const put = await ingestAll(values, [{ ...record, mainData: Uint8Array.from(mainData) }], {
      majorVersion,
    });
    const expected = { type: 'clear_vm', newHeapBlock: 5, oldHeapBlock: null, flags: 3 };
    expect(put.get(blockName(0, 'vm'))).toEqual(clears ? expected : undefined);
  });

  test('a record that contradicts the given dialect ends the ingest', async () => {
    const values = smallCluster({ forks, majorVersion: 15 });
    const mainData = Uint8Array.of(...u32(800), 1, 0, 0, 1);
    const record = { resourceManager: HEAP, info: 0x10, blocks: [{ blkno: 5 }], mainData };
    const error = await storageErrorOf(
      ingestAll(values, [record], { majorVersion: 15, dialect: 'neon' }),
    );
    expect(error).toMatchObject({ code: 'corrupt', lsn: '0000000000000200' });
  });

  test.each([
    ['an insertion with a byte more', HEAP, 0x00, [1, 0, 1, 0]],
    ['a multi-insertion with fewer offsets', HEAP2, 0x50, [1, 0, 2, 0, 7, 0]],
    ['a deletion without flags', HEAP, 0x10, [...u32(800), 1, 0]],
    ['an operation that neon does not have', NEON, 0x70, [0]],
  ])('%s is corrupt', async (_, resourceManager, info, mainData) => {
    const values = smallCluster({ forks });
    const record = { resourceManager, info, blocks: [{ blkno: 5 }] };
    const error = await storageErrorOf(
      ingestAll(values, [{ ...record, mainData: Uint8Array.from(mainData) }]),
    );
    expect(error.code).toBe('corrupt');
  });

  test('an insertion that names no block is corrupt', async () => {
    const values = smallCluster({ forks });
    const error = await storageErrorOf(ingestAll(values, [{ ...insertion(1, 0), blocks: [] }]));
    expect(error.code).toBe('corrupt');
  });
});

/** Records on forks whose sizes are known: what takes the short way, and what must not. */
import { describe, expect, test } from 'vitest';
import { formatKey } from '../../../src/layers/key.ts';
import { checkpointKey } from '../../../src/postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../../src/postgres/page.ts';
import {
  blockName,
  btreeOn,
  checkpointOf,
  HEAP,
  HEAP2,
  ingestAll,
  namesOf,
  open,
  sizeName,
  sizeOf,
  XLOG,
} from '../../support/ingest-records.ts';
import { smallCluster, valuesOf } from '../../support/ingested-values.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { type HandMadeRecord, u32, walRecord } from '../../support/wal-records.ts';

const FIRST = btreeOn({ blkno: 0 });
const forks = { '16384.0': 10 };

test('the block at the end makes the fork longer', async () => {
  const put = await ingestAll(smallCluster({ forks }), [FIRST, btreeOn({ blkno: 10 })]);
  expect(sizeOf(put.get(sizeName()))).toBe(11);
});

test('a transaction that is not below the next one moves the checkpoint', async () => {
  const put = await ingestAll(smallCluster({ forks, nextXid: 1024n }), [
    FIRST,
    { ...btreeOn({ blkno: 1 }), xid: 1023 },
    { ...btreeOn({ blkno: 2 }), xid: 1024 },
  ]);
  expect(put.has(formatKey(checkpointKey()))).toBe(true);
  expect(checkpointOf(put).nextXid).toBe(2048n);
});

test('an image for a consistency check only stays in its record', async () => {
  const values = smallCluster({ forks });
  const image = { page: new Uint8Array(PAGE_SIZE), apply: false };
  const record = { resourceManager: XLOG, info: 0xb0, blocks: [{ blkno: 1, image }] };
  const put = await ingestAll(values, [FIRST, record]);
  expect(put.get(blockName(1))).toMatchObject({ type: 'wal', willInit: false });
});

/** Of the manager of heaps, unless it names another one. */
type OfHeap = Omit<HandMadeRecord, 'resourceManager'> & Partial<HandMadeRecord>;

describe('a heap record that clears bits of the visibility map', () => {
  const lock = (flags: number) => Uint8Array.of(...u32(800), 1, 0, 0, flags);
  const update = (flags: number) => Uint8Array.of(...lock(flags), ...u32(0), 2, 0);
  /** The map has one page, for heap blocks up to 32,671. */
  const mapped = { '16384.0': 70_000, '16384.2': 1, '16385.0': 9 };
  const BLOCKS = [{ blkno: 8 }, { blkno: 9 }];

  const RECORDS: [what: string, majorVersion: number, record: OfHeap][] = [
    ['INSERT', 17, { info: 0x00, blocks: [{ blkno: 8 }], mainData: Uint8Array.of(1, 0, 1) }],
    [
      'INSERT beyond the map',
      17,
      { info: 0, blocks: [{ blkno: 32_672 }], mainData: Uint8Array.of(1, 0, 1) },
    ],
    ['DELETE', 16, { info: 0x10, blocks: [{ blkno: 8 }], mainData: lock(1) }],
    ['DELETE of 14', 14, { info: 0x10, blocks: [{ blkno: 8 }], mainData: lock(1) }],
    ['UPDATE of both pages', 17, { info: 0x20, blocks: BLOCKS, mainData: update(3) }],
    ['UPDATE of the old page', 17, { info: 0x20, blocks: BLOCKS, mainData: update(1) }],
    ['UPDATE of the new page', 15, { info: 0x20, blocks: BLOCKS, mainData: update(2) }],
    ['UPDATE of one page', 17, { info: 0x20, blocks: [{ blkno: 8 }], mainData: update(3) }],
    [
      'UPDATE beyond the map',
      17,
      { info: 0x20, blocks: [{ blkno: 40_000 }, { blkno: 9 }], mainData: update(3) },
    ],
    ['HOT_UPDATE', 15, { info: 0x40, blocks: [{ blkno: 8 }], mainData: update(1) }],
    ['LOCK', 15, { info: 0x60, blocks: [{ blkno: 8 }], mainData: lock(1) }],
    [
      'LOCK_UPDATED',
      17,
      { resourceManager: HEAP2, info: 0x60, blocks: [{ blkno: 8 }], mainData: lock(1) },
    ],
    [
      'INSERT into a relation without a map',
      17,
      {
        info: 0,
        blocks: [{ relation: [1663, 5, 16385], blkno: 8 }],
        mainData: Uint8Array.of(1, 0, 1),
      },
    ],
  ];

  // The first time, the size of the map is not known.
  test.each(RECORDS)(
    'the heap record %s is put by the short way as it is by the general one',
    async (...args) => {
      const [, majorVersion, record] = args;
      const values = smallCluster({ forks: mapped, majorVersion });
      const ingest = await open(values, { majorVersion });
      const bytes = walRecord({ resourceManager: HEAP, ...record });
      await ingest.ingest(bytes, 0x200n);
      const general = valuesOf(values.take());
      const readBefore = values.reads.length;
      const waiting = ingest.ingest(bytes, 0x208n);
      expect(waiting).toBeUndefined();
      expect(valuesOf(values.take())).toEqual(general);
      expect(values.reads).toHaveLength(readBefore);
      expect(general.length).toBeGreaterThan(0);
    },
  );

  /** After it, the size of the map is known. */
  const LEARN = {
    resourceManager: HEAP,
    info: 0,
    blocks: [{ blkno: 8 }],
    mainData: Uint8Array.of(1, 0, 1),
  };

  test('an UPDATE whose length contradicts the given dialect ends the ingest', async () => {
    const values = smallCluster({ forks: mapped, majorVersion: 15 });
    const contradicting = {
      resourceManager: HEAP,
      info: 0x20,
      blocks: BLOCKS,
      mainData: update(3),
    };
    const options = { majorVersion: 15, dialect: 'neon' } as const;
    const error = await storageErrorOf(ingestAll(values, [LEARN, contradicting], options));
    expect(error.code).toBe('corrupt');
    expect(error.message).toContain('dialect of a heap record: expected neon, found vanilla');
  });

  test('an UPDATE whose flags announce an old tuple that is not there ends the ingest', async () => {
    const values = smallCluster({ forks: mapped, majorVersion: 15 });
    const short = { resourceManager: HEAP, info: 0x20, blocks: BLOCKS, mainData: update(0x05) };
    const error = await storageErrorOf(ingestAll(values, [LEARN, short], { majorVersion: 15 }));
    expect(error.code).toBe('corrupt');
    expect(namesOf(values)).toEqual([blockName(0, 'vm'), blockName(8)]);
  });
});

/** A database that is copied by file, all the way into layers. */
import { describe, expect, test } from 'vitest';
import { relationBlockKey } from '../../../src/postgres/key-mapping.ts';
import type { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import type { RedoRequest } from '../../../src/timeline/wal-redo/messages.ts';
import { pages } from '../../postgres/fabricated-cluster.ts';
import {
  COPY,
  continuedCluster,
  ingestWal,
  placeOn,
  walAfterBase,
} from '../../support/continued-cluster.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { words } from '../../support/wal-records.ts';

const TABLE = 16_384;
const insertInto = (blkno: number) => ({
  ...{ resourceManager: 10, info: 0, xid: 700, mainData: Uint8Array.of(1, 0, 0) },
  blocks: [{ relation: [1663, 5, TABLE] as const, blkno, data: new Uint8Array(40) }],
});
const copyDatabase = (target: number, source: number) => ({
  ...{ resourceManager: 4, info: 0, mainData: words(target, 1663, source, 1663) },
});

async function pageOf(disk: MemoryFileSystem, dbnode: number, blkno: number) {
  await using timeline = await openTimeline(placeOn(disk, COPY));
  const place = { spcnode: 1663, dbnode, relnode: TABLE, fork: 'main', blkno } as const;
  const page = await timeline.readPage(relationBlockKey(place), timeline.lastLsn);
  return page.kind === 'page' ? page.bytes : page.kind;
}

describe('a database is copied by file', () => {
  test('a database is copied by file with the pages of its base', async () => {
    const disk = await continuedCluster();
    await ingestWal(disk, { wal: walAfterBase([copyDatabase(6, 5)]) });
    for (const blkno of [0, 5])
      expect(await pageOf(disk, 6, blkno)).toEqual(await pageOf(disk, 5, blkno));
  });

  test('a database is copied by file and needs redo if a page has changed, with the LSN of the record', async () => {
    const wal = walAfterBase([insertInto(3), copyDatabase(6, 5), insertInto(1)]);
    const disk = await continuedCluster();
    const error = await storageErrorOf(ingestWal(disk, { wal }));
    expect(error.code).toBe('needs-redo');
    expect(BigInt(`0x${error.lsn}`)).toBe(wal.records[2]?.endLsn);
    await using timeline = await openTimeline(placeOn(disk, COPY));
    expect(timeline.lastLsn).toBe(wal.records[1]?.endLsn);
  });

  test('a database is copied by file with pages that a redo program makes, and everything after it follows', async () => {
    const wal = walAfterBase([insertInto(3), copyDatabase(6, 5), insertInto(1)]);
    const made = pages(1, 77);
    const requests: RedoRequest[] = [];
    const redo = {
      apply: async (request: RedoRequest) => {
        requests.push(request);
        return made;
      },
    };
    const disk = await continuedCluster();
    const { endLsn } = await ingestWal(disk, { wal, redo });
    expect(endLsn).toBe(wal.records.at(-1)?.endLsn);
    expect(requests.map(({ records }) => records.map(({ lsn }) => lsn))).toEqual([
      [wal.records[1]?.endLsn],
    ]);
    expect(await pageOf(disk, 6, 3)).toEqual(made);
    expect(await pageOf(disk, 6, 2)).toEqual(await pageOf(disk, 5, 2));
  });

  test('a database is copied by file without a redo program that is none', async () => {
    const disk = await continuedCluster();
    const redo = {} as { apply: (request: RedoRequest) => Promise<Uint8Array> };
    expect((await storageErrorOf(ingestWal(disk, { redo }))).code).toBe('invalid-input');
  });
});

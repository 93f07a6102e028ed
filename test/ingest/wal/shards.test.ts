import { describe, expect, test } from 'vitest';
import { formatKey } from '../../../src/layers/key.ts';
import { checkpointKey, relationBlockKey } from '../../../src/postgres/key-mapping.ts';
import { shardOfKey } from '../../../src/timeline/shard-owner.ts';
import {
  blockName,
  btreeOn,
  CLOG,
  HEAP,
  ingestAll,
  namesOf,
  sizeName,
  sizeOf,
  TABLE,
  TRANSACTION,
} from '../../support/ingest-records.ts';
import { DATABASE, smallCluster } from '../../support/ingested-values.ts';
import type { HandMadeRecord } from '../../support/wal-records.ts';
import { words } from '../../support/wal-records.ts';

describe('shards', () => {
  const sharding = { count: 4, stripeSize: 1 };
  const owner = (blkno: number): number =>
    shardOfKey(relationBlockKey({ ...DATABASE, relnode: TABLE, fork: 'main', blkno }), sharding);

  test.each([0, 1, 2, 3])(
    'shard %d has its own blocks and gaps; the first sees all',
    async (number) => {
      const values = smallCluster({ forks: { '16384.0': 0 } });
      const record = btreeOn({ blkno: 11 });
      const put = await ingestAll(values, [record], { shard: { ...sharding, number } });
      const own = Array.from({ length: 12 }, (_, blkno) => blkno).filter(
        (blkno) => owner(blkno) === number,
      );
      const sees = number === 0 || owner(11) === number;
      expect(namesOf(values)).toEqual(
        sees ? [...own.map((blkno) => blockName(blkno)), sizeName()] : [],
      );
      if (sees) expect(sizeOf(put.get(sizeName()))).toBe(12);
    },
  );

  test('only the first shard has transaction logs and auxiliary files', async () => {
    const records = [
      { resourceManager: TRANSACTION, info: 0, xid: 740, mainData: new Uint8Array(8) },
      { resourceManager: CLOG, info: 0, mainData: words(0, 0) },
    ];
    const shard = { ...sharding, number: 2 };
    const put = await ingestAll(smallCluster({ nextXid: 1024n }), records, { shard });
    expect([...put.keys()]).toEqual([]);
  });

  test('each shard clears the bits on its own pages of the map', async () => {
    const cleared: number[] = [];
    for (const number of [0, 1, 2, 3]) {
      const values = smallCluster({ forks: { '16384.0': 9, '16384.2': 1 } });
      const mainData = Uint8Array.of(1, 0, 1);
      const record = { resourceManager: HEAP, info: 0, blocks: [{ blkno: 5 }], mainData };
      await ingestAll(values, [record], { shard: { ...sharding, number } });
      if (namesOf(values).includes(blockName(0, 'vm'))) cleared.push(number);
    }
    expect(cleared).toEqual([owner(0)]);
  });

  test('the next transaction of a shard knows the records that it gets', async () => {
    const kinds: readonly [HandMadeRecord, (number: number) => boolean][] = [
      [btreeOn({ blkno: 1 }), (number) => number === 0 || owner(1) === number],
      [
        {
          resourceManager: HEAP,
          info: 0,
          blocks: [{ blkno: 5 }],
          mainData: Uint8Array.of(1, 0, 1),
        },
        (number) => number === 0 || [owner(5), owner(0)].includes(number),
      ],
      [{ resourceManager: TRANSACTION, info: 0, mainData: new Uint8Array(8) }, () => true],
    ];
    for (const [record, gets] of kinds) {
      for (const number of [0, 1, 2, 3]) {
        const values = smallCluster({ forks: { '16384.0': 9, '16384.2': 1 } });
        const shard = { ...sharding, number };
        const put = await ingestAll(values, [{ ...record, xid: 740 }], { shard });
        expect(put.has(formatKey(checkpointKey()))).toBe(gets(number));
      }
    }
  });
});

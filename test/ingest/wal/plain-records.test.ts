/** Records on forks whose sizes are known: what takes the short way, and what must not. */
import { expect, test } from 'vitest';
import { formatKey } from '../../../src/layers/key.ts';
import { checkpointKey } from '../../../src/postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../../src/postgres/page.ts';
import {
  blockName,
  btreeOn,
  checkpointOf,
  ingestAll,
  sizeName,
  sizeOf,
  XLOG,
} from '../../support/ingest-records.ts';
import { smallCluster } from '../../support/ingested-values.ts';

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

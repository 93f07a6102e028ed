import { describe, expect, test } from 'vitest';
import { formatKey } from '../../../src/layers/key.ts';
import { checkpointKey } from '../../../src/postgres/key-mapping.ts';
import {
  btreeOn,
  checkpointOf,
  END,
  ingestAll,
  STANDBY,
  XLOG,
} from '../../support/ingest-records.ts';
import { smallCluster } from '../../support/ingested-values.ts';
import { type HandMadeRecord, words } from '../../support/wal-records.ts';

describe('the next transaction', () => {
  const withXid = (xid: number): HandMadeRecord => ({ ...btreeOn({ blkno: 0 }), xid });
  const forks = { '16384.0': 1 };

  test.each([
    [733n, 740, 1024n],
    [733n, 1023, 1024n],
    [1024n, 1024, 2048n],
    [0x7_ffff_fc00n, 0xffff_fbff, undefined],
    [0x7_ffff_f000n, 0xffff_fc00, 0x8_0000_0000n],
    [0x7_ffff_f000n, 0xffff_ffff, 0x8_0000_0400n],
    [0x8_0000_0400n, 0xffff_fff0, undefined],
  ])(
    'from the next transaction %d, a record of transaction %d makes it %s',
    async (nextXid, xid, next) => {
      const put = await ingestAll(smallCluster({ forks, nextXid }), [withXid(xid)]);
      if (next === undefined) expect(put.has(formatKey(checkpointKey()))).toBe(false);
      else expect(checkpointOf(put).nextXid).toBe(next);
    },
  );

  test('the next transaction is put again only when it changes', async () => {
    const values = smallCluster({ forks, nextXid: 733n });
    await ingestAll(values, [withXid(740), withXid(741), withXid(1023)]);
    expect(values.puts.filter(({ key }) => key === formatKey(checkpointKey()))).toHaveLength(1);
  });
});

describe('checkpoints', () => {
  const checkpoint = (info: number, oldestXid: number, oldestActiveXid: number): HandMadeRecord => {
    const mainData = new Uint8Array(88).fill(0xee);
    const view = new DataView(mainData.buffer);
    view.setUint32(44, oldestXid, true);
    view.setUint32(80, oldestActiveXid, true);
    return { resourceManager: XLOG, info, mainData };
  };

  test('a shutdown takes the oldest prepared transaction, and its own end', async () => {
    const values = smallCluster({ prepared: [700n, 690n], nextXid: 1024n });
    const put = await ingestAll(values, [checkpoint(0x00, 5, 0)]);
    expect(checkpointOf(put)).toMatchObject({
      redo: END,
      oldestXid: 5,
      oldestActiveXid: 690,
      nextXid: 1024n,
      nextOid: 0,
    });
  });

  test('a shutdown without prepared ones takes the next transaction', async () => {
    const put = await ingestAll(smallCluster({ nextXid: 1024n }), [checkpoint(0x00, 5, 0)]);
    expect(checkpointOf(put).oldestActiveXid).toBe(1024);
  });

  test('an online one has no redo, and its own oldest transaction', async () => {
    const put = await ingestAll(smallCluster({ nextXid: 1024n }), [checkpoint(0x10, 0, 0)]);
    expect(checkpointOf(put)).toMatchObject({ redo: 0n, oldestXid: 0, oldestActiveXid: 0 });
  });

  test('running transactions bring the oldest one forward', async () => {
    const mainData = words(0, 0, 0xd7_f56a_00, 900, 888, 899);
    const put = await ingestAll(smallCluster({}), [
      { resourceManager: STANDBY, info: 0x10, mainData },
    ]);
    expect(checkpointOf(put).oldestActiveXid).toBe(888);
  });

  test('the next OID is put if it differs', async () => {
    const values = smallCluster({});
    const record = { resourceManager: XLOG, info: 0x30, mainData: words(24_770) };
    expect(checkpointOf(await ingestAll(values, [record, record])).nextOid).toBe(24_770);
    expect(values.puts).toHaveLength(1);
  });

  test.each([
    [17, 2],
    [16, undefined],
  ])(
    'changed parameters in WAL of version %d give the WAL level %s',
    async (majorVersion, level) => {
      const values = smallCluster({ majorVersion });
      const records = [
        { resourceManager: XLOG, info: 0x60, mainData: words(1, 2, 3, 4, 5, 2, 0) },
        { resourceManager: XLOG, info: 0x90, mainData: words(1, 2, 3, 4, 2, 0) },
      ];
      const put = await ingestAll(values, records, { majorVersion });
      if (level === undefined) expect(put.size).toBe(0);
      else expect(checkpointOf(put).walLevel).toBe(level);
    },
  );
});

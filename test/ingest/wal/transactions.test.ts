import { describe, expect, test } from 'vitest';
import { formatKey } from '../../../src/layers/key.ts';
import {
  decodeRelationDirectory,
  decodeTwophaseDirectory,
} from '../../../src/postgres/directory-values.ts';
import {
  relationDirectoryKey,
  twophaseDirectoryKey,
  twophaseKey,
} from '../../../src/postgres/key-mapping.ts';
import {
  btreeOn,
  imageOf,
  ingestAll,
  namesOf,
  ORIGIN,
  sizeName,
  sizeOf,
  slruName,
  TABLE,
  TRANSACTION,
} from '../../support/ingest-records.ts';
import { DATABASE, smallCluster } from '../../support/ingested-values.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { type HandMadeRecord, u16, u32 } from '../../support/wal-records.ts';

describe('transactions', () => {
  const TIME = [...u32(123), ...u32(0)];
  const commit = (body: readonly number[], more: Partial<HandMadeRecord> = {}): HandMadeRecord => ({
    resourceManager: TRANSACTION,
    info: body.length === 0 ? 0 : 0x80,
    mainData: Uint8Array.of(...TIME, ...body),
    ...more,
  });

  test('a commit sets the status of its transaction', async () => {
    const values = smallCluster({ nextXid: 1024n });
    const put = await ingestAll(values, [commit([], { xid: 740 })]);
    expect([...put]).toEqual([
      [slruName('clog', 0), { type: 'clog_set_committed', xids: [740], timestamp: 123n }],
    ]);
  });

  test('subtransactions on other pages are separate values', async () => {
    const values = smallCluster({ nextXid: 70_000n });
    const subxids = [32_766, 32_767, 32_768, 65_536 * 16];
    const body = [...u32(2), ...u32(subxids.length), ...subxids.flatMap(u32)];
    const put = await ingestAll(values, [commit(body, { xid: 32_765, info: 0xa0 })]);
    expect([...put].filter(([key]) => key.startsWith('01'))).toEqual([
      [slruName('clog', 0), { type: 'clog_set_aborted', xids: [32_765, 32_766, 32_767] }],
      [slruName('clog', 1), { type: 'clog_set_aborted', xids: [32_768] }],
      [slruName('clog', 32), { type: 'clog_set_aborted', xids: [65_536 * 16] }],
    ]);
  });

  test('dropped relations leave the directory with all forks, and nothing else is put', async () => {
    const values = smallCluster({
      forks: { '16384.0': 9, '16384.2': 1, '16385.0': 1 },
      nextXid: 1024n,
    });
    const body = [...u32(4), ...u32(2), ...[1663, 5, TABLE, 1663, 99, 7].flatMap(u32)];
    const put = await ingestAll(values, [commit(body, { xid: 740 })]);
    const directory = formatKey(relationDirectoryKey(DATABASE));
    expect(namesOf(values)).toEqual([slruName('clog', 0), directory]);
    expect(decodeRelationDirectory(imageOf(put.get(directory)))).toEqual([
      { relnode: 16385, fork: 'main' },
    ]);
  });

  test('a relation that was dropped is created again by its next block', async () => {
    const values = smallCluster({ forks: { '16384.0': 9 }, nextXid: 1024n });
    const body = [...u32(4), ...u32(1), ...[1663, 5, TABLE].flatMap(u32)];
    const records = [btreeOn({ blkno: 8 }), commit(body, { xid: 740 }), btreeOn({ blkno: 0 })];
    const put = await ingestAll(values, records);
    expect(sizeOf(put.get(sizeName()))).toBe(1);
  });

  test('relations that are not there change no directory', async () => {
    const values = smallCluster({ nextXid: 1024n });
    const body = [...u32(4), ...u32(1), ...[1663, 5, TABLE].flatMap(u32)];
    await ingestAll(values, [commit(body, { xid: 740 })]);
    expect(namesOf(values)).toEqual([slruName('clog', 0)]);
  });

  test('the origin of a record is how far it was replayed', async () => {
    const values = smallCluster({ nextXid: 1024n });
    const body = [...u32(0x20), ...u32(0xddeeff), ...u32(1), ...u32(0), ...u32(0)];
    const put = await ingestAll(values, [commit(body, { xid: 740, origin: 2 })]);
    const key = '630000000000000000000000000000000002';
    expect(Buffer.from(imageOf(put.get(key))).toString('hex')).toBe('0000000100ddeeff');
  });

  const prepare = (xid: number): HandMadeRecord => ({
    resourceManager: TRANSACTION,
    info: 0x10,
    xid,
    mainData: Uint8Array.of(1, 2, 3),
  });

  test.each([
    [16, 740, 0x5_0000_1000n, 740n],
    [17, 740, 0x5_0000_1000n, 0x5_0000_02e4n],
    [17, 0xffff_f000, 0x5_0000_1000n, 0x4_ffff_f000n],
  ])('in version %d, transaction %d is prepared under its full number', async (...args) => {
    const [majorVersion, xid, nextXid, stored] = args;
    const values = smallCluster({ majorVersion, nextXid });
    const put = await ingestAll(values, [prepare(xid)], { majorVersion });
    expect(imageOf(put.get(formatKey(twophaseKey(stored))))).toEqual(Uint8Array.of(1, 2, 3));
    const directory = imageOf(put.get(formatKey(twophaseDirectoryKey())));
    expect(decodeTwophaseDirectory(directory, majorVersion)).toEqual([stored]);
  });

  test('a prepared transaction is not prepared again', async () => {
    const values = smallCluster({ prepared: [740n], nextXid: 1024n });
    expect((await storageErrorOf(ingestAll(values, [prepare(740)]))).code).toBe('exists');
  });

  test('a number above the next one has no epoch before the first', async () => {
    const values = smallCluster({ nextXid: 1024n });
    const body = [...u32(0x10), ...u32(5000)];
    const record = commit(body, { info: 0xb0 });
    expect((await storageErrorOf(ingestAll(values, [record]))).code).toBe('corrupt');
  });

  test.each(['committed', 'aborted'])('a prepared transaction is %s', async (status) => {
    const values = smallCluster({ prepared: [740n, 741n], nextXid: 1024n });
    const info = status === 'committed' ? 0xb0 : 0xc0;
    const put = await ingestAll(values, [commit([...u32(0x10), ...u32(740)], { info })]);
    expect(put.get(slruName('clog', 0))).toMatchObject({ type: `clog_set_${status}`, xids: [740] });
    const directory = imageOf(put.get(formatKey(twophaseDirectoryKey())));
    expect(decodeTwophaseDirectory(directory, 17)).toEqual([741n]);
  });

  test('the directory is put even if it does not have the transaction', async () => {
    const values = smallCluster({ prepared: [741n], nextXid: 1024n });
    await ingestAll(values, [commit([...u32(0x10), ...u32(740)], { info: 0xb0 })]);
    expect(namesOf(values)).toContain(formatKey(twophaseDirectoryKey()));
  });

  test('the first 8 bytes of the name of a prepared transaction are treated as the origin', async () => {
    const values = smallCluster({ prepared: [740n], nextXid: 1024n });
    const name = [...Buffer.from('abcdefgh'), 0];
    const origin = [...u32(7), ...u32(0), ...u32(0), ...u32(0)];
    const body = [...u32(0xb0), ...u32(740), ...name, ...origin];
    const put = await ingestAll(values, [commit(body, { info: 0xb0, origin: 1 })]);
    const value = imageOf(put.get('630000000000000000000000000000000001'));
    expect(Buffer.from(value).toString()).toBe('hgfedcba');
  });

  test('a *_PREPARED record that names no transaction is corrupt', async () => {
    const error = await storageErrorOf(ingestAll(smallCluster({}), [commit([], { info: 0x30 })]));
    expect(error.code).toBe('corrupt');
  });
});

test('replication origins are set and dropped', async () => {
  const set = [...u32(0xddeeff), ...u32(2), ...u16(1), 1, 0, 0, 0, 0, 0];
  const records = [
    { resourceManager: ORIGIN, info: 0x00, mainData: Uint8Array.from(set) },
    { resourceManager: ORIGIN, info: 0x10, mainData: Uint8Array.of(2, 0) },
  ];
  const put = await ingestAll(smallCluster({}), records);
  const hexOf = (origin: number): string =>
    Buffer.from(imageOf(put.get(`63000000000000000000000000000000000${origin}`))).toString('hex');
  expect(hexOf(1)).toBe('0000000200ddeeff');
  expect(hexOf(2)).toBe('0000000000000000');
});

import { describe, expect, test } from 'vitest';
import { formatKey } from '../../../src/layers/key.ts';
import { decodeSlruDirectory } from '../../../src/postgres/directory-values.ts';
import { slruDirectoryKey, slruSizeKey } from '../../../src/postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../../src/postgres/page.ts';
import {
  CLOG,
  checkpointOf,
  imageOf,
  ingestAll,
  MULTIXACT,
  namesOf,
  sizeOf,
  slruName,
} from '../../support/ingest-records.ts';
import { smallCluster } from '../../support/ingested-values.ts';
import { type HandMadeRecord, words } from '../../support/wal-records.ts';

describe('transaction logs', () => {
  const zeroPage = (resourceManager: number, info: number, page: number): HandMadeRecord => ({
    resourceManager,
    info,
    mainData: words(page, 0),
  });

  test('a page of an unknown segment creates it, with zero pages before it', async () => {
    const values = smallCluster({});
    const put = await ingestAll(values, [zeroPage(CLOG, 0, 32 + 2)]);
    const directory = formatKey(slruDirectoryKey('clog'));
    const size = formatKey(slruSizeKey({ slru: 'clog', segno: 1 }));
    expect(namesOf(values)).toEqual([
      ...[32, 33, 34].map((page) => slruName('clog', page)),
      directory,
      size,
    ]);
    expect(imageOf(put.get(slruName('clog', 32)))).toEqual(new Uint8Array(PAGE_SIZE));
    expect(decodeSlruDirectory(imageOf(put.get(directory)))).toEqual([1]);
    expect(sizeOf(put.get(size))).toBe(3);
  });

  test('a page that exists becomes zeros, and its segment stays', async () => {
    const values = smallCluster({ slruSegments: { multixact_offsets: { 0: 3 } } });
    await ingestAll(values, [zeroPage(MULTIXACT, 0, 1)]);
    expect(namesOf(values)).toEqual([slruName('multixact_offsets', 1)]);
  });

  test('a truncation drops the segments before its page', async () => {
    const segments = { 0: 32, 1: 32, 2: 5 };
    const values = smallCluster({ slruSegments: { clog: segments }, nextXid: 0x40_0000n });
    const mainData = Uint8Array.of(...words(63, 0, 2_000_000, 4));
    const put = await ingestAll(values, [{ resourceManager: CLOG, info: 0x10, mainData }]);
    // Page 63 is the last of segment 1.
    expect(decodeSlruDirectory(imageOf(put.get(formatKey(slruDirectoryKey('clog')))))).toEqual([
      1, 2,
    ]);
    expect(checkpointOf(put)).toMatchObject({ oldestXid: 2_000_000, oldestXidDatabase: 4 });
  });

  test('a truncation before which the newest page lies drops nothing', async () => {
    const values = smallCluster({ slruSegments: { clog: { 0: 32, 1: 32 } }, nextXid: 1024n });
    const mainData = Uint8Array.of(...words(40, 0, 700, 4));
    await ingestAll(values, [{ resourceManager: CLOG, info: 0x10, mainData }]);
    expect(namesOf(values)).toEqual([]);
  });

  const creation = (mid: number, offset: number, xids: readonly number[]): HandMadeRecord => ({
    resourceManager: MULTIXACT,
    info: 0x20,
    mainData: words(mid, offset, xids.length, ...xids.flatMap((xid) => [xid, 4])),
  });

  test('members over a page border are two values', async () => {
    const put = await ingestAll(smallCluster({}), [creation(2048, 1635, [700, 701])]);
    expect(put.get(slruName('multixact_offsets', 1))).toEqual({
      type: 'multixact_offset_create',
      multixactId: 2048,
      multixactOffset: 1635,
    });
    const member = (xid: number) => ({ xid, status: 4 });
    expect(put.get(slruName('multixact_members', 0))).toEqual({
      type: 'multixact_members_create',
      multixactOffset: 1635,
      members: [member(700)],
    });
    expect(put.get(slruName('multixact_members', 1))).toEqual({
      type: 'multixact_members_create',
      multixactOffset: 1636,
      members: [member(701)],
    });
    expect(checkpointOf(put)).toMatchObject({ nextMultixact: 2049, nextMultixactOffset: 1637 });
  });

  test('offsets of members wrap', async () => {
    const put = await ingestAll(smallCluster({}), [creation(9, 0xffff_ffff, [700, 701])]);
    expect(put.get(slruName('multixact_members', 2_625_285))).toMatchObject({
      multixactOffset: 0xffff_ffff,
    });
    expect(put.get(slruName('multixact_members', 0))).toMatchObject({ multixactOffset: 0 });
  });

  test('the newest member is below the next transaction', async () => {
    const values = smallCluster({ nextXid: 0x1_0000_0400n });
    const put = await ingestAll(values, [creation(9, 1, [0xffff_0000, 5000])]);
    expect(checkpointOf(put).nextXid).toBe(0x1_0000_1400n);
  });

  test('a truncation drops segments of members, around the end of the offsets', async () => {
    const segments = { 82039: 32, 82040: 1, 0: 32, 1: 32 };
    const values = smallCluster({ slruSegments: { multixact_members: segments } });
    const perSegment = 1636 * 32;
    const mainData = words(5, 1, 2132, 82_040 * perSegment, perSegment + 1);
    const put = await ingestAll(values, [{ resourceManager: MULTIXACT, info: 0x30, mainData }]);
    const directory = put.get(formatKey(slruDirectoryKey('multixact_members')));
    expect(decodeSlruDirectory(imageOf(directory))).toEqual([1, 82_039]);
    expect(checkpointOf(put)).toMatchObject({ oldestMultixact: 2132, oldestMultixactDatabase: 5 });
  });
});

import { describe, expect, test } from 'vitest';
import { formatKey } from '../../../src/layers/key.ts';
import { decodeValue } from '../../../src/layers/value-format.ts';
import {
  decodeDatabaseDirectory,
  decodeRelationDirectory,
} from '../../../src/postgres/directory-values.ts';
import { databaseDirectoryKey, relationDirectoryKey } from '../../../src/postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../../src/postgres/page.ts';
import { encodeRelationSize } from '../../../src/postgres/relation-size.ts';
import {
  BTREE,
  blockName,
  btreeOn,
  END,
  IMAGE_HEADER,
  imageOf,
  ingestAll,
  namesOf,
  open,
  sizeName,
  sizeOf,
  TABLE,
  XLOG,
} from '../../support/ingest-records.ts';
import { DATABASE, smallCluster, valuesOf } from '../../support/ingested-values.ts';
import { storageErrorOf, storageErrorThrownBy } from '../../support/storage-errors.ts';
import { walRecord } from '../../support/wal-records.ts';

describe('blocks', () => {
  test('a record on an existing block is put as it is, for each of its blocks, at its end', async () => {
    const values = smallCluster({ forks: { '16384.0': 10 } });
    const record = walRecord(btreeOn({ blkno: 3 }, { blkno: 4, willInit: true }));
    await ingestAll(values, [record]);
    expect(values.puts.map(({ key, lsn, willInit }) => [key, lsn, willInit])).toEqual([
      [blockName(3), END, false],
      [blockName(4), END, true],
    ]);
    expect(valuesOf(values.puts).map(([, value]) => value)).toEqual([
      { type: 'wal', willInit: false, bytes: record },
      { type: 'wal', willInit: true, bytes: record },
    ]);
  });

  test('nothing is read for a second record on a relation, and no promise returned', async () => {
    const values = smallCluster({ forks: { '16384.0': 10 } });
    const ingest = await open(values);
    await ingest.ingest(walRecord(btreeOn({ blkno: 3 })), END);
    const reads = values.reads.length;
    expect(ingest.ingest(walRecord(btreeOn({ blkno: 9 })), END + 8n)).toBeUndefined();
    expect(values.reads).toHaveLength(reads);
    expect(ingest.lsn).toBe(END + 8n);
  });

  test('a block after the end makes zero pages in between, and a new size', async () => {
    const values = smallCluster({ forks: { '16384.0': 2 } });
    const put = await ingestAll(values, [btreeOn({ blkno: 6 }, { blkno: 4 })]);
    expect(namesOf(values)).toEqual([
      ...[2, 3, 4, 5, 6].map((blkno) => blockName(blkno)),
      sizeName(),
    ]);
    for (const blkno of [2, 3, 5]) {
      expect(imageOf(put.get(blockName(blkno)))).toEqual(new Uint8Array(PAGE_SIZE));
    }
    for (const blkno of [4, 6]) expect(put.get(blockName(blkno))?.type).toBe('wal');
    expect(sizeOf(put.get(sizeName()))).toBe(7);
  });

  test('a block of an unknown relation creates it, with one value for its size', async () => {
    const values = smallCluster({});
    const put = await ingestAll(values, [btreeOn({ blkno: 0, fork: 1 })]);
    const directory = formatKey(relationDirectoryKey(DATABASE));
    expect(namesOf(values)).toEqual([blockName(0, 'fsm'), directory, sizeName('fsm')]);
    expect(decodeRelationDirectory(imageOf(put.get(directory)))).toEqual([
      { relnode: TABLE, fork: 'fsm' },
    ]);
    expect(sizeOf(put.get(sizeName('fsm')))).toBe(1);
  });

  test('a relation of an unknown database creates that, too, without a relation map', async () => {
    const values = smallCluster({});
    const put = await ingestAll(values, [btreeOn({ relation: [1663, 9, 1], blkno: 0 })]);
    const directory = decodeDatabaseDirectory(imageOf(put.get(formatKey(databaseDirectoryKey()))));
    expect(directory).toContainEqual({ spcnode: 1663, dbnode: 9, hasRelationMap: false });
    const key = formatKey(relationDirectoryKey({ spcnode: 1663, dbnode: 9 }));
    expect(decodeRelationDirectory(imageOf(put.get(key)))).toEqual([{ relnode: 1, fork: 'main' }]);
  });

  test('a page image in a separate record becomes an image with the end of the record as its LSN', async () => {
    const page = new Uint8Array(PAGE_SIZE).fill(7);
    page.fill(0, 100, 8000);
    const values = smallCluster({ forks: { '16384.0': 10 } });
    const image = { page, hole: [100, 7900] as const };
    const put = await ingestAll(values, [
      { resourceManager: XLOG, info: 0xb0, blocks: [{ blkno: 1, image }] },
    ]);
    const expected = page.slice();
    new DataView(expected.buffer).setUint32(0, 0, true);
    new DataView(expected.buffer).setUint32(4, Number(END), true);
    expect(imageOf(put.get(blockName(1)))).toEqual(expected);
  });

  test('the image of a new page keeps its LSN', async () => {
    const page = new Uint8Array(PAGE_SIZE);
    const values = smallCluster({ forks: { '16384.0': 10 } });
    const put = await ingestAll(values, [
      { resourceManager: XLOG, info: 0xa0, blocks: [{ blkno: 1, image: { page } }] },
    ]);
    expect(imageOf(put.get(blockName(1)))).toEqual(page);
  });

  test.each([
    ['of another kind of record', { resourceManager: BTREE, info: 0 }, true, true],
    ['with another bit in the info byte', { resourceManager: XLOG, info: 0xb2 }, true, true],
    ['for a consistency check only', { resourceManager: XLOG, info: 0xb0 }, false, false],
  ])('an image %s stays in its record', async (_, kind, apply, willInit) => {
    const values = smallCluster({ forks: { '16384.0': 10 } });
    const image = { page: new Uint8Array(PAGE_SIZE), apply };
    await ingestAll(values, [{ ...kind, blocks: [{ blkno: 1, image }] }]);
    expect(values.puts).toMatchObject([{ key: blockName(1), willInit }]);
    expect(decodeValue(values.puts[0]?.bytes ?? new Uint8Array(0)).type).toBe('wal');
  });

  test.each([
    ['block FFFFFFFF', { blkno: 0xffff_ffff }, 'corrupt'],
    ['fork 4', { fork: 4, blkno: 0 }, 'corrupt'],
    ['relation 0', { relation: [1663, 5, 0] as const, blkno: 0 }, 'out-of-range'],
    ['tablespace 65536', { relation: [65_536, 5, 1] as const, blkno: 0 }, 'out-of-range'],
    ['a gap of more blocks than the limit', { blkno: 10 + 5 }, 'too-large'],
  ] as const)('a record with %s ends the ingest, with its LSN and kind', async (_, block, code) => {
    const values = smallCluster({ forks: { '16384.0': 10 } });
    const ingest = await open(values, { maximumGap: 4 });
    const record = walRecord(btreeOn(block));
    const error = await storageErrorOf((async () => ingest.ingest(record, END))());
    expect(error).toMatchObject({ code, lsn: '0000000000000200' });
    expect(error.message).toContain('WAL record Btree/INSERT_LEAF');
    const later = walRecord(btreeOn({ blkno: 1 }));
    expect(storageErrorThrownBy(() => ingest.ingest(later, END + 8n))).toBe(error);
  });

  test('a gap of as many blocks as the limit is filled', async () => {
    const values = smallCluster({ forks: { '16384.0': 10 } });
    await ingestAll(values, [btreeOn({ blkno: 14 })], { maximumGap: 4 });
    expect(namesOf(values)).toHaveLength(4 + 1 + 1);
  });
});

test('a size is put as an image of 4 bytes', async () => {
  const values = smallCluster({ forks: { '16384.0': 1 } });
  await ingestAll(values, [btreeOn({ blkno: 1 })]);
  const size = values.puts.find(({ key }) => key === sizeName());
  expect(size?.bytes.subarray(IMAGE_HEADER)).toEqual(encodeRelationSize(2));
});

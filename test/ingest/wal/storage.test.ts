import { describe, expect, test } from 'vitest';
import { formatKey } from '../../../src/layers/key.ts';
import {
  decodeDatabaseDirectory,
  decodeRelationDirectory,
} from '../../../src/postgres/directory-values.ts';
import type { ForkName } from '../../../src/postgres/fork.ts';
import {
  databaseDirectoryKey,
  relationBlockKey,
  relationDirectoryKey,
  relationMapKey,
  relationSizeKey,
} from '../../../src/postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../../src/postgres/page.ts';
import {
  blockName,
  btreeOn,
  DATABASES,
  imageOf,
  ingestAll,
  namesOf,
  RELATION_MAP,
  STORAGE,
  sizeName,
  sizeOf,
  TABLE,
} from '../../support/ingest-records.ts';
import {
  DATABASE,
  type IngestedValues,
  smallCluster,
  valuesOf,
} from '../../support/ingested-values.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { type HandMadeRecord, words } from '../../support/wal-records.ts';

describe('storage', () => {
  const creation = (relnode: number, fork: number): HandMadeRecord => ({
    resourceManager: STORAGE,
    info: 0x10,
    mainData: words(1663, 5, relnode, fork),
  });
  const truncation = (blockCount: number, flags: number): HandMadeRecord => ({
    resourceManager: STORAGE,
    info: 0x20,
    mainData: words(blockCount, 1663, 5, TABLE, flags),
  });

  test('a created fork is listed and has no blocks', async () => {
    const values = smallCluster({ forks: { '16384.0': 1 } });
    const put = await ingestAll(values, [creation(20_000, 0)]);
    expect(sizeOf(put.get(sizeName('main', 20_000)))).toBe(0);
    const directory = put.get(formatKey(relationDirectoryKey(DATABASE)));
    expect(decodeRelationDirectory(imageOf(directory))).toEqual([
      { relnode: TABLE, fork: 'main' },
      { relnode: 20_000, fork: 'main' },
    ]);
  });

  test('a fork that exists is not created again', async () => {
    const values = smallCluster({ forks: { '16384.0': 1 } });
    expect(await storageErrorOf(ingestAll(values, [creation(TABLE, 0)]))).toMatchObject({
      code: 'exists',
      lsn: '0000000000000200',
    });
  });

  test('a fork that Postgres does not have ends the ingest', async () => {
    const values = smallCluster({});
    const error = await storageErrorOf(ingestAll(values, [creation(20_000, 4)]));
    expect(error).toMatchObject({ code: 'corrupt', lsn: '0000000000000200' });
    expect(error.message).toContain('fork of relation 20000: expected 0 to 3, found 4');
  });

  test('truncated to 30 blocks, both maps get their last page though they do not exist', async () => {
    const values = smallCluster({ forks: { '16384.0': 100 } });
    const put = await ingestAll(values, [truncation(30, 7)]);
    expect(namesOf(values)).toEqual([blockName(2, 'fsm'), blockName(0, 'vm'), sizeName()]);
    expect(imageOf(put.get(blockName(2, 'fsm')))).toEqual(new Uint8Array(PAGE_SIZE));
    const record = { type: 'truncate_vm', truncByte: 7n, truncOffset: 4n };
    expect(put.get(blockName(0, 'vm'))).toEqual(record);
    expect(sizeOf(put.get(sizeName()))).toBe(30);
  });

  test('truncated to nothing, the maps lose their pages, and none is put', async () => {
    const values = smallCluster({ forks: { '16384.0': 100, '16384.1': 5, '16384.2': 1 } });
    const put = await ingestAll(values, [truncation(0, 7)]);
    expect(namesOf(values)).toEqual([sizeName(), sizeName('fsm'), sizeName('vm')]);
    expect(
      ['main', 'fsm', 'vm'].map((fork) => sizeOf(put.get(sizeName(fork as ForkName)))),
    ).toEqual([0, 2, 0]);
  });

  test('maps that are short enough keep their sizes', async () => {
    const values = smallCluster({ forks: { '16384.0': 100, '16384.1': 3, '16384.2': 1 } });
    await ingestAll(values, [truncation(30, 7)]);
    expect(namesOf(values)).not.toContain(sizeName('fsm'));
    expect(namesOf(values)).not.toContain(sizeName('vm'));
  });

  test('only what the flags say is cut', async () => {
    const values = smallCluster({ forks: { '16384.0': 100, '16384.1': 9, '16384.2': 9 } });
    await ingestAll(values, [truncation(4069, 4)]);
    // At a border the page of block 4,069 is the first that goes: leaf 1 is page 3.
    expect(namesOf(values)).toEqual([sizeName('fsm')]);
    expect(sizeOf(new Map(valuesOf(values.puts)).get(sizeName('fsm')))).toBe(3);
  });

  test('a fork that does not exist is not truncated', async () => {
    const values = smallCluster({});
    await ingestAll(values, [truncation(0, 1)]);
    expect(namesOf(values)).toEqual([]);
  });
});

describe('databases', () => {
  const page = (byte: number): Uint8Array => new Uint8Array(PAGE_SIZE).fill(byte);
  const COPY = { spcnode: 1663, dbnode: 77 };

  function source(): IngestedValues {
    const values = smallCluster({ forks: { '16384.0': 2, '16384.1': 0 } });
    values.set(relationMapKey(DATABASE), new Uint8Array(524).fill(3));
    for (const blkno of [0, 1]) values.set(blockName(blkno), page(blkno + 1));
    return values;
  }

  test.each([
    [14, 'CREATE'],
    [17, 'CREATE_FILE_COPY'],
  ])('in version %d, %s copies the map, the sizes and the pages', async (majorVersion) => {
    const record = { resourceManager: DATABASES, info: 0, mainData: words(77, 1663, 5, 1663) };
    const put = await ingestAll(source(), [record], { majorVersion });
    const at = { ...COPY, relnode: TABLE, fork: 'main' } as const;
    expect(imageOf(put.get(formatKey(relationMapKey(COPY))))).toEqual(new Uint8Array(524).fill(3));
    for (const blkno of [0, 1]) {
      const copy = put.get(formatKey(relationBlockKey({ ...at, blkno })));
      expect(imageOf(copy)).toEqual(page(blkno + 1));
    }
    expect(sizeOf(put.get(formatKey(relationSizeKey(at))))).toBe(2);
    expect(sizeOf(put.get(formatKey(relationSizeKey({ ...at, fork: 'fsm' }))))).toBe(0);
    const directory = put.get(formatKey(databaseDirectoryKey()));
    expect(decodeDatabaseDirectory(imageOf(directory))).toContainEqual({
      ...COPY,
      hasRelationMap: true,
    });
    expect(
      decodeRelationDirectory(imageOf(put.get(formatKey(relationDirectoryKey(COPY))))),
    ).toEqual([
      { relnode: TABLE, fork: 'main' },
      { relnode: TABLE, fork: 'fsm' },
    ]);
  });

  test('a copy is put in the order of its keys but for what is put once at the end, and asks the base for each page once', async () => {
    const values = source();
    const record = { resourceManager: DATABASES, info: 0, mainData: words(77, 1663, 5, 1663) };
    await ingestAll(values, [record]);
    const at = { ...COPY, relnode: TABLE, fork: 'main' } as const;
    const blocks = [0, 1].map((blkno) => formatKey(relationBlockKey({ ...at, blkno })));
    expect(namesOf(values).slice(0, 2)).toEqual(blocks);
    const counts = [0, 1].map(
      (blkno) => values.reads.filter((key) => key === blockName(blkno)).length,
    );
    expect(counts).toEqual([1, 1]);
  });

  test('a database is not copied over a fork that exists, and nothing is put', async () => {
    const values = source();
    const into = { resourceManager: STORAGE, info: 0x10, mainData: words(1663, 77, TABLE, 1) };
    const record = { resourceManager: DATABASES, info: 0, mainData: words(77, 1663, 5, 1663) };
    const error = await storageErrorOf(ingestAll(values, [into, record]));
    expect(error).toMatchObject({ code: 'exists', lsn: '0000000000000208' });
    expect(error.message).toContain('1663/77/16384 fsm');
    expect(values.puts.filter(({ lsn }) => lsn === 0x208n)).toEqual([]);
  });

  test('a page of the source that is missing ends the ingest, with its key', async () => {
    const values = smallCluster({ forks: { '16384.0': 1 } });
    values.set(relationMapKey(DATABASE), new Uint8Array(524));
    const record = { resourceManager: DATABASES, info: 0, mainData: words(77, 1663, 5, 1663) };
    expect(await storageErrorOf(ingestAll(values, [record]))).toMatchObject({
      code: 'not-found',
      key: blockName(0),
      lsn: '0000000000000200',
    });
  });

  test('a database by log has nothing before its relation map', async () => {
    const values = smallCluster({});
    const created = { resourceManager: DATABASES, info: 0x10, mainData: words(77, 1663) };
    expect((await ingestAll(values, [created])).size).toBe(0);
    const map = new Uint8Array(524).fill(9);
    const mainData = Uint8Array.of(...words(77, 1663, 524), ...map);
    const put = await ingestAll(values, [{ resourceManager: RELATION_MAP, info: 0, mainData }]);
    expect(imageOf(put.get(formatKey(relationMapKey(COPY))))).toEqual(map);
    expect(
      decodeRelationDirectory(imageOf(put.get(formatKey(relationDirectoryKey(COPY))))),
    ).toEqual([]);
  });

  test('a new map of a known database changes no directory', async () => {
    const values = smallCluster({});
    const mainData = Uint8Array.of(...words(5, 1663, 524), ...new Uint8Array(524));
    await ingestAll(values, [{ resourceManager: RELATION_MAP, info: 0, mainData }]);
    expect(namesOf(values)).toEqual([formatKey(relationMapKey(DATABASE))]);
  });

  test('a dropped database leaves the directory, and its relations are unknown', async () => {
    const values = smallCluster({ forks: { '16384.0': 9 } });
    const dropped = { resourceManager: DATABASES, info: 0x20, mainData: words(5, 2, 1663, 999) };
    const put = await ingestAll(values, [btreeOn({ blkno: 1 }), dropped, btreeOn({ blkno: 0 })]);
    expect(decodeDatabaseDirectory(imageOf(put.get(formatKey(databaseDirectoryKey()))))).toEqual([
      { ...DATABASE, hasRelationMap: false },
    ]);
    expect(sizeOf(put.get(sizeName()))).toBe(1);
  });
});

/** Names of relations, from catalogs that are made by hand. */
import { describe, expect, test } from 'vitest';
import { compareKeys, formatKey, type Key } from '../../src/layers/key.ts';
import { relationBlockKey, relationMapKey, slruBlockKey } from '../../src/postgres/key-mapping.ts';
import type { TimelineDirectory } from '../../src/timeline/directory.ts';
import {
  classRow,
  FROZEN,
  heapPage,
  INSERT_COMMITTED,
  NOT_DELETED,
  statusPage,
} from '../support/heap-pages.ts';
import {
  DATABASE,
  databases,
  directoryOf,
  type Entry,
  relations,
  SHARED,
  size,
} from '../support/listed-timelines.ts';
import { relationMapBytes } from '../support/relation-map.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

describe('names', () => {
  const home = { ...DATABASE, hasRelationMap: true };
  const other = { spcnode: 16_500, dbnode: 5 };
  const shared = { ...SHARED, hasRelationMap: true };
  const rows = {
    own: classRow({ oid: 20_000, name: 'own', relnode: 20_001 }),
    elsewhere: classRow({ oid: 20_002, name: 'elsewhere', relnode: 20_001, spcnode: 16_500 }),
    mapped: classRow({ oid: 1259, name: 'pg_class', relnode: 0 }),
    sharedMapped: classRow({
      oid: 1262,
      name: 'pg_database',
      relnode: 0,
      spcnode: 1664,
      isShared: true,
    }),
    sharedOwn: classRow({
      oid: 6000,
      name: 'not mapped',
      relnode: 6001,
      spcnode: 1664,
      isShared: true,
    }),
    view: classRow({ oid: 20_005, name: 'view', relnode: 0 }),
  };

  /** The catalog has the pages; `undefined` is a page that is not there. */
  function catalog(pages: readonly (Uint8Array | undefined)[], blockCount = pages.length): Entry[] {
    const block = (blkno: number): Key =>
      relationBlockKey({ ...DATABASE, relnode: 70, fork: 'main', blkno });
    return [
      databases(home, other, shared),
      [relationMapKey(home), relationMapBytes({ mappings: [[1259, 70]] })],
      [relationMapKey(shared), relationMapBytes({ mappings: [[1262, 1300]] })],
      relations(home, [
        [70, 'main'],
        [70, 'fsm'],
        [20_001, 'main'],
        [20_007, 'main'],
      ]),
      relations(other, [[20_001, 'main']]),
      relations(shared, [
        [1300, 'main'],
        [6001, 'main'],
        [6002, 'main'],
      ]),
      size(DATABASE, 70, 'main', blockCount),
      ...pages.flatMap((page, blkno): Entry[] =>
        page === undefined ? [] : [[block(blkno), page]],
      ),
    ];
  }

  function namesOf({ databases: found }: TimelineDirectory) {
    return found.map(({ relations: forks }) =>
      forks?.map(({ oid, name }) => name && `${oid} ${name}`),
    );
  }

  test('names of relations are of the relation with the file number, in its tablespace, also through the relation maps', async () => {
    const page = heapPage(Object.values(rows).map((columns) => ({ columns })));
    const found = await directoryOf(catalog([page]));
    expect(namesOf(found)).toEqual([
      ['1259 pg_class', '1259 pg_class', '20000 own', undefined],
      ['1262 pg_database', '6000 not mapped', undefined],
      ['20002 elsewhere'],
    ]);
    const reading = { blockCount: 1, unreadBlockCount: 0, undecidedRowCount: 0 };
    expect(found.databases.map((database) => database.catalog)).toEqual([
      reading,
      undefined,
      reading,
    ]);
  });

  test('names of relations are those of rows whose transactions say so; others are counted', async () => {
    const named = (name: string, relnode: number) => classRow({ oid: relnode, name, relnode });
    const page = heapPage([
      { columns: named('committed', 20_001), insertedBy: 800, flags: NOT_DELETED },
      { columns: named('in progress', 20_001), insertedBy: 801, flags: NOT_DELETED },
      { columns: named('deleted', 20_007), deletedBy: 800, flags: FROZEN },
      { columns: named('in another segment', 20_007), insertedBy: 2_000_000, flags: NOT_DELETED },
      { columns: named('pg_class', 70), deletedBy: 801, flags: INSERT_COMMITTED },
    ]);
    const status = slruBlockKey({ slru: 'clog', segno: 0, blkno: 0 });
    const found = await directoryOf([...catalog([page]), [status, statusPage({ 800: 1 })]]);
    expect(namesOf(found)[0]).toEqual(['70 pg_class', '70 pg_class', '20001 committed', undefined]);
    expect(found.databases[0]?.catalog?.undecidedRowCount).toBe(1);
  });

  test('names of relations of pages that are not there are unknown, and the pages are counted', async () => {
    const page = heapPage([{ columns: rows.own }]);
    const found = await directoryOf(catalog([undefined, page, new Uint8Array(8192), undefined]));
    expect(namesOf(found)[0]).toEqual([undefined, undefined, '20000 own', undefined]);
    expect(found.databases[0]?.catalog).toMatchObject({ blockCount: 4, unreadBlockCount: 2 });
  });

  test('names of relations end with the first 16,384 pages of a catalog that claims more', async () => {
    const page = heapPage([{ columns: rows.own }]);
    const found = await directoryOf(catalog([page], 0xffff_ffff));
    expect(namesOf(found)[0]).toContain('20000 own');
    expect(found.databases[0]?.catalog).toMatchObject({ unreadBlockCount: 0xffff_fffe });
  });

  test('names of relations of a catalog without a size are unknown', async () => {
    const entries = catalog([heapPage([{ columns: rows.own }])]);
    const key = size(DATABASE, 70, 'main', 1)[0];
    const found = await directoryOf(entries.filter(([one]) => compareKeys(one, key) !== 0));
    expect(found.databases[0]?.catalog).toBeUndefined();
    expect(namesOf(found)[0]?.every((name) => name === undefined)).toBe(true);
  });

  test('names of relations are not read from a damaged page, which is corrupt with its key', async () => {
    const page = heapPage([{ columns: rows.own }]);
    new DataView(page.buffer).setUint32(24, 100 | (1 << 15) | (164 << 17), true);
    const error = await storageErrorOf(directoryOf(catalog([page])));
    const key = formatKey(relationBlockKey({ ...DATABASE, relnode: 70, fork: 'main', blkno: 0 }));
    expect(error).toMatchObject({ code: 'corrupt', key, offset: 24 });
  });

  test('names of relations are not read through a damaged relation map, which is corrupt with its key', async () => {
    const damaged = relationMapBytes().fill(7, 8, 9);
    const entries = catalog([]).map(
      ([key, value]): Entry =>
        compareKeys(key, relationMapKey(home)) === 0 ? [key, damaged] : [key, value],
    );
    const error = await storageErrorOf(directoryOf(entries));
    expect(error).toMatchObject({ code: 'corrupt', key: formatKey(relationMapKey(home)) });
  });
});

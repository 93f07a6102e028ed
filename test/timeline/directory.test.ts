/** What a timeline holds at an LSN, and the names of its relations. */
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compareKeys, formatKey } from '../../src/layers/key.ts';
import { formatLsn } from '../../src/layers/lsn.ts';
import { encodeSlruDirectory } from '../../src/postgres/directory-values.ts';
import {
  databaseDirectoryKey,
  SLRU_NAMES,
  slruDirectoryKey,
  slruSizeKey,
} from '../../src/postgres/key-mapping.ts';
import { encodeRelationSize } from '../../src/postgres/relation-size.ts';
import type { DatabaseListing, TimelineDirectory } from '../../src/timeline/directory.ts';
import { IndexPart } from '../../src/timeline/index-part/index-part.ts';
import { openTimeline } from '../../src/timeline/open-timeline.ts';
import { UNSHARDED } from '../../src/timeline/tenant-shard.ts';
import { unpackTimelines } from '../support/golden-timelines.ts';
import { classRow, heapPage } from '../support/heap-pages.ts';
import {
  DATABASE,
  databases,
  directoryOf,
  EMPTY_SLRUS,
  type Entry,
  fieldsKey,
  LSN,
  layerOf,
  relations,
  SHARED,
  size,
  TENANT,
  TIMELINE,
} from '../support/listed-timelines.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const root = mkdtempSync(join(tmpdir(), 'layerfile-test-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('a timeline that a pageserver wrote', () => {
  beforeAll(() => unpackTimelines('sk15', join(root, 'sk15')));

  /** Without names, forks that are not the main one, and relations of the catalogs. */
  function ownTables(listing: DatabaseListing | undefined) {
    const own = listing?.relations?.filter(
      ({ relnode, fork }) => relnode >= 16_384 && fork === 'main',
    );
    return own?.map(({ relnode, blockCount }) => [relnode, blockCount]);
  }

  test('a timeline that a pageserver wrote lists its databases, relations and segments', async () => {
    await using timeline = await openTimeline(join(root, 'sk15'));
    const {
      lsn,
      databases: listed,
      slrus,
      logicalSize,
    } = await timeline.directory(timeline.lastLsn);
    expect(lsn).toBe(0x1ffff98n);
    const counts = listed.map(({ spcnode, dbnode, hasRelationMap, relations: forks }) => [
      spcnode,
      dbnode,
      hasRelationMap,
      forks?.length,
    ]);
    expect(counts).toEqual([
      [1663, 1, true, 296],
      [1663, 4, true, 296],
      [1663, 5, true, 305],
      [1664, 0, true, 58],
    ]);
    expect(ownTables(listed[2])).toEqual([
      [16384, 0],
      [16387, 0],
      [16390, 0],
      [16393, 0],
      [16396, 1189],
      [16397, 1],
      [16398, 0],
      [16399, 1],
    ]);
    const segments = [{ segno: 0, blockCount: 1 }];
    expect(slrus).toEqual(SLRU_NAMES.map((slru) => ({ slru, segments })));
    expect(logicalSize).toBe(32_071_680n);
    expect(listed.flatMap(({ relations: forks = [] }) => forks).some(({ name }) => name)).toBe(
      false,
    );
  });

  test('a timeline that a pageserver wrote has names where pg_class needs no redo, and says which of its pages do', async () => {
    await using timeline = await openTimeline(join(root, 'sk15'));
    const { databases: listed } = await timeline.directory(timeline.lastLsn, { names: 'read' });
    expect(listed.map(({ catalog }) => catalog)).toEqual([
      { blockCount: 14, unreadBlockCount: 0, undecidedRowCount: 0 },
      { blockCount: 14, unreadBlockCount: 0, undecidedRowCount: 0 },
      { blockCount: 14, unreadBlockCount: 1, undecidedRowCount: 0 },
      undefined,
    ]);
    const unnamed = listed.map(
      ({ relations: forks }) => forks?.filter(({ name }) => name === undefined).length,
    );
    expect(unnamed).toEqual([0, 0, 15, 0]);
    const named = (database: number, relnode: number) =>
      listed[database]?.relations?.find((relation) => relation.relnode === relnode);
    expect(named(2, 1259)).toMatchObject({ fork: 'main', oid: 1259, name: 'pg_class' });
    expect(named(3, 1262)).toMatchObject({ fork: 'main', oid: 1262, name: 'pg_database' });
    expect(named(2, 16_384)?.name).toBeUndefined();
  });

  test('a timeline that a pageserver wrote names all relations before the first change of pg_class', async () => {
    await using timeline = await openTimeline(join(root, 'sk15'));
    const { databases: listed } = await timeline.directory(0x14aeb90n, { names: 'read' });
    const forks = listed.flatMap(({ relations: found = [] }) => found);
    expect(forks.length).toBeGreaterThan(900);
    expect(forks.filter(({ name }) => name === undefined)).toEqual([]);
  });

  test('a timeline that a pageserver wrote has the pages that the given redo makes', async () => {
    await using timeline = await openTimeline(join(root, 'sk15'));
    const columns = classRow({ oid: 16_396, name: 'made by redo', relnode: 16_396 });
    const redo = { apply: async () => heapPage([{ columns }]) };
    const { databases: listed } = await timeline.directory(timeline.lastLsn, {
      names: 'read',
      redo,
    });
    expect(listed[2]?.catalog?.unreadBlockCount).toBe(0);
    const found = listed[2]?.relations?.find(({ relnode }) => relnode === 16_396);
    expect(found?.name).toBe('made by redo');
  });
});

describe('what a timeline lacks', () => {
  test('what a timeline lacks is undefined, and neither 0 nor empty', async () => {
    const found = await directoryOf([
      databases(DATABASE, SHARED),
      relations(DATABASE, [
        [16_384, 'main'],
        [16_384, 'vm'],
      ]),
      size(DATABASE, 16_384, 'main', 0),
      [slruDirectoryKey('clog'), encodeSlruDirectory([0, 7])],
      [slruSizeKey({ slru: 'clog', segno: 7 }), encodeRelationSize(32)],
      [slruDirectoryKey('multixact_members'), encodeSlruDirectory([])],
    ]);
    expect(found).toEqual({
      lsn: LSN,
      databases: [
        {
          ...DATABASE,
          hasRelationMap: false,
          relations: [
            { relnode: 16_384, fork: 'main', blockCount: 0 },
            { relnode: 16_384, fork: 'vm', blockCount: undefined },
          ],
        },
        { ...SHARED, hasRelationMap: false, relations: undefined },
      ],
      slrus: [
        {
          slru: 'clog',
          segments: [
            { segno: 0, blockCount: undefined },
            { segno: 7, blockCount: 32 },
          ],
        },
        { slru: 'multixact_members', segments: [] },
        { slru: 'multixact_offsets', segments: undefined },
      ],
      logicalSize: undefined,
    });
  });

  test('what a timeline lacks does not make the size of what it has unknown', async () => {
    const found = await directoryOf([
      databases(DATABASE),
      relations(DATABASE, [
        [1, 'main'],
        [1, 'fsm'],
        [2, 'init'],
      ]),
      size(DATABASE, 1, 'main', 0xffff_ffff),
      size(DATABASE, 1, 'fsm', 3),
      size(DATABASE, 2, 'init', 1),
    ]);
    expect(found.logicalSize).toBe(0x1_0000_0003n * 8192n);
  });

  test('what a timeline lacks is not-found if it is the list of databases', async () => {
    const error = await storageErrorOf(directoryOf(EMPTY_SLRUS));
    expect(error).toMatchObject({ code: 'not-found' });
    expect(error.message).toContain('0/2000');
  });
});

describe('an impossible list', () => {
  test.each<[string, Entry]>([
    ['databases in no tablespace', databases({ spcnode: 0, dbnode: 5 })],
    ['a database twice', databases(DATABASE, DATABASE)],
    ['a relation without a number', relations(DATABASE, [[0, 'main']])],
    ['a size of three bytes', [size(DATABASE, 16_384, 'main', 1)[0], new Uint8Array(3)]],
    ['bytes after the segments', [slruDirectoryKey('clog'), new Uint8Array(9)]],
  ])('a list with %s is corrupt, with its key', async (_, [key, value]) => {
    const good: Entry[] = [databases(DATABASE), relations(DATABASE, [[16_384, 'main']])];
    const others = good.filter(([other]) => compareKeys(other, key) !== 0);
    const error = await storageErrorOf(directoryOf([...others, [key, value]]));
    expect(error).toMatchObject({ code: 'corrupt', key: formatKey(key), lsn: '0000000000002000' });
    expect(error.path).toContain('__0000000000002000');
  });

  test('an impossible list that claims more than it has is corrupt, before memory is taken', async () => {
    const value = new Uint8Array(8).fill(0xff);
    const error = await storageErrorOf(directoryOf([[databaseDirectoryKey(), value]]));
    expect(error).toMatchObject({ code: 'corrupt', key: '0'.repeat(36) });
  });
});

describe('relations that have moved to separate keys', () => {
  const listed: readonly Entry[] = [
    databases(DATABASE, SHARED),
    relations(DATABASE, [[1, 'main']]),
    relations(SHARED, []),
    ...EMPTY_SLRUS,
    size(DATABASE, 2, 'main', 6),
  ];
  const moved: readonly Entry[] = [
    [fieldsKey(0x65, [1663, 5, 2, 0, 1]), Buffer.from('r')],
    [fieldsKey(0x65, [1663, 5, 3, 2, 1]), new Uint8Array(0)],
    // Of a database that is not there any more.
    [fieldsKey(0x65, [1663, 6, 4, 0, 1]), Buffer.from('r')],
  ];

  async function moveAt(name: string, entries: readonly Entry[], movedAt: bigint | undefined) {
    const directory = join(root, name);
    await mkdir(directory);
    const { bytes, finished } = await layerOf(entries);
    await writeFile(join(directory, basename(finished.path)), bytes);
    const layer = { fileSize: BigInt(bytes.length), generation: undefined, shard: UNSHARDED };
    const index = IndexPart.create({
      layers: new Map([[basename(finished.path), layer]]),
      metadata: {
        diskConsistentLsn: 0x4000n,
        prevRecordLsn: null,
        ancestorTimeline: null,
        ancestorLsn: 0n,
        latestGcCutoffLsn: LSN,
        initdbLsn: LSN,
        pgVersion: 17,
      },
    }).with({ relSizeMigration: 'migrated', relSizeMigratedAt: movedAt });
    await writeFile(join(directory, 'index_part.json'), index.format());
    return openTimeline(directory);
  }

  function forksOf({ databases: found }: TimelineDirectory) {
    return found.map(({ relations: forks }) =>
      forks?.map(({ relnode, blockCount }) => [relnode, blockCount]),
    );
  }

  test('relations that have moved to separate keys are read from there, from the LSN on that the index says', async () => {
    await using timeline = await moveAt('moved', [...listed, ...moved], 0x3000n);
    const belowGcCutoff = 'read';
    expect(forksOf(await timeline.directory(0x2fffn, { belowGcCutoff }))).toEqual([
      [[1, undefined]],
      [],
    ]);
    expect(forksOf(await timeline.directory(0x3000n))).toEqual([[[2, 6]], []]);
  });

  test('relations that have moved to separate keys below the GC cutoff are refused, and read if that is requested', async () => {
    await using timeline = await moveAt('cutoff', listed, undefined);
    const key = databaseDirectoryKey();
    const refused = { code: 'out-of-range', lsn: formatLsn(LSN - 1n) };
    expect(await storageErrorOf(timeline.directory(LSN - 1n))).toMatchObject(refused);
    const error = await storageErrorOf(timeline.readPage(key, LSN - 1n));
    expect(error).toMatchObject(refused);
    expect(error.message).toContain('below the GC cutoff');
    const read = await timeline.readPage(key, LSN - 1n, { belowGcCutoff: 'read' });
    expect(read.kind).not.toBe('needs-redo');
    expect((await timeline.readPage(key, LSN)).kind).toBe('page');
  });

  test('relations that have moved to separate keys are read from there always if the index says no LSN', async () => {
    await using timeline = await moveAt('always', [...listed, ...moved], undefined);
    expect(forksOf(await timeline.directory(LSN))).toEqual([[[2, 6]], []]);
  });

  test('relations that have moved to separate keys with another value than r are corrupt, with their key', async () => {
    const key = fieldsKey(0x65, [1663, 5, 9, 0, 1]);
    await using timeline = await moveAt('other', [...listed, [key, Buffer.from('x')]], 0n);
    const error = await storageErrorOf(timeline.directory(LSN));
    expect(error).toMatchObject({ code: 'corrupt', key: formatKey(key) });
  });
});

describe('a timeline of two shards', () => {
  test('a timeline of two shards has the sizes of shard 0: those of others may be outdated', async () => {
    const listed = [databases(DATABASE), relations(DATABASE, [[16_384, 'main']])];
    for (const [shard, blockCount] of [
      ['0002', 9],
      ['0102', 4],
    ] as const) {
      const directory = join(root, 'two', 'tenants', `${TENANT}-${shard}`, 'timelines', TIMELINE);
      await mkdir(directory, { recursive: true });
      const slrus = shard === '0002' ? EMPTY_SLRUS : [];
      const entries = [...listed, size(DATABASE, 16_384, 'main', blockCount), ...slrus];
      const { bytes, finished } = await layerOf(entries);
      await writeFile(join(directory, basename(finished.path)), bytes);
    }
    await using timeline = await openTimeline(join(root, 'two'));
    const found = await timeline.directory(LSN);
    expect(found.databases[0]?.relations?.[0]?.blockCount).toBe(9);
    expect(found.slrus.every(({ segments }) => segments?.length === 0)).toBe(true);
    const behind = await timeline.shards[1]?.directory(LSN);
    expect(behind?.databases[0]?.relations?.[0]?.blockCount).toBe(4);
    expect(behind?.slrus.every(({ segments }) => segments === undefined)).toBe(true);
  });
});

describe('wrong options of a directory', () => {
  test.each([
    ['names', { names: 'all' }],
    ['unknown', { unknown: 1 }],
  ])('a wrong option of a directory is invalid-input: %s', async (name, options) => {
    const { bytes } = await layerOf([databases(DATABASE)]);
    await using timeline = await openTimeline({ layer: bytes });
    const error = await storageErrorOf(timeline.directory(LSN, options as object));
    expect(error.code).toBe('invalid-input');
    expect(error.message).toContain(name);
  });
});

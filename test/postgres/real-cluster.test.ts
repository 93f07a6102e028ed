/**
 * A cluster that Postgres 17.5 (PGlite) made: one start and one import, looked at from all sides. Its WAL has no logical
 * messages: PGlite has 32 bits, so that the lengths in them have 4 bytes, not 8 as elsewhere.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { pg_walinspect } from '@electric-sql/pglite/contrib/pg_walinspect';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exportPgdata } from '../../src/ingest/export/export-pgdata.ts';
import { importTimeline } from '../../src/ingest/pgdata/import-timeline.ts';
import { ImageLayerReader } from '../../src/layers/image-layer/reader.ts';
import { formatKey } from '../../src/layers/key.ts';
import { formatPgLsn } from '../../src/layers/lsn.ts';
import { type ImportedLayer, importPgdata } from '../../src/postgres/import.ts';
import { keyFromFieldsText } from '../../src/postgres/key-fields.ts';
import { describeKey } from '../../src/postgres/key-mapping.ts';
import { checkPageChecksum, decodePageHeader, PAGE_SIZE } from '../../src/postgres/page.ts';
import { decodeRelationMap } from '../../src/postgres/relation-map.ts';
import { openTimeline } from '../../src/timeline/open-timeline.ts';
import { TIMELINE_IDS } from '../support/exported-clusters.ts';
import { writeFreshCluster } from '../support/fresh-cluster.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import {
  BLOCKS_QUERY,
  blockOfTruth,
  expectSame,
  RECORDS_QUERY,
  readRecords,
  recordOfTruth,
  type TruthRow,
} from '../support/walinspect.ts';

let root: string;
let layer: ImportedLayer;
/** By key: what the layer holds. */
const stored = new Map<string, Buffer>();
let shown: { readonly [column: string]: unknown };
let tablePath: string;
/** WAL of some work, and what pg_walinspect says of it. */
let wal: { readonly start: string; readonly end: string };
let walRecords: readonly TruthRow[];
let walBlocks: readonly TruthRow[];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'layerfile-real-cluster-'));
  const dataDirectory = join(root, 'pgdata');
  await writeFreshCluster(dataDirectory);
  const extensions = { pg_walinspect };
  const server = await PGlite.create({ dataDir: dataDirectory, extensions });
  await server.exec(`create table item (id int primary key, body text);
    insert into item select i, md5(i::text) from generate_series(1, 20000) as i;`);
  await server.exec('vacuum item');
  await makeWal(server);
  const control = await server.query<typeof shown>(
    'select * from pg_control_system(), pg_control_init()',
  );
  const path = await server.query<{ path: string }>("select pg_relation_filepath('item') as path");
  await server.close();
  shown = control.rows[0] ?? {};
  tablePath = path.rows[0]?.path ?? '';

  const outDirectory = join(root, 'layers');
  mkdirSync(outDirectory);
  layer = await importPgdata({
    dataDirectory,
    outDirectory,
    tenantId: '11223344556677881122334455667788',
    timelineId: '99aabbccddeeff0099aabbccddeeff00',
    lsn: 'auto',
  });
  const reader = await ImageLayerReader.open(layer.path);
  for await (const { key, bytes } of reader.entries()) {
    stored.set(formatKey(key), Buffer.from(bytes));
  }
  await reader.close();
});

async function makeWal(server: PGlite): Promise<void> {
  const position = async (): Promise<string> => {
    const { rows } = await server.query<{ lsn: string }>(
      'select pg_current_wal_insert_lsn()::text as lsn',
    );
    return rows[0]?.lsn ?? '';
  };
  await server.exec('create extension pg_walinspect');
  const start = await position();
  await server.exec(`
    create table changed (id int primary key, body text, numbers int[]);
    create index on changed using gin (numbers);
    create index on changed using hash (body);
    insert into changed select i, md5(i::text), array[i, i % 7] from generate_series(1, 500) as i;
    update changed set body = 'changed' where id % 5 = 0;
    delete from changed where id % 7 = 0;
    begin; savepoint a; update changed set body = 'nested' where id < 20; rollback to a; commit;`);
  await server.exec('vacuum (freeze) changed');
  await server.exec('checkpoint');
  await server.exec('set wal_compression = on');
  await server.exec("update changed set body = 'again'; truncate changed;");
  wal = { start, end: await position() };
  await server.exec('checkpoint');
  walRecords = (await server.query<TruthRow>(RECORDS_QUERY(wal.start, wal.end))).rows;
  walBlocks = (await server.query<TruthRow>(BLOCKS_QUERY(wal.start, wal.end))).rows;
}

afterAll(() => rmSync(root, { recursive: true, force: true }));

it('the control file says what the server says of itself', () => {
  expect(layer.control).toMatchObject({
    systemIdentifier: BigInt(String(shown['system_identifier'])),
    controlVersion: shown['pg_control_version'],
    catalogVersion: shown['catalog_version_no'],
    majorVersion: 17,
    state: 'shut down',
    pageSize: shown['database_block_size'],
    segmentPageCount: shown['blocks_per_segment'],
    walPageSize: shown['wal_block_size'],
    walSegmentSize: shown['bytes_per_wal_segment'],
    checksumVersion: shown['data_page_checksum_version'],
  });
  expect(layer.name).toMatch(/__[0-9A-F]{16}$/);
});

it('every file of every database is in the layer, byte for byte, and nothing else is', () => {
  const expected = new Map<string, Buffer>();
  for (const [path, place] of databaseDirectories()) {
    for (const name of readdirSync(join(root, 'pgdata', path))) {
      const content = () => readFileSync(join(root, 'pgdata', path, name));
      if (name === 'pg_filenode.map') put(expected, ['relmap', `db=${place}`], content());
      const [, relnode, fork = 'main'] = /^([0-9]+)(?:_([a-z]+))?$/.exec(name) ?? [];
      if (relnode === undefined) continue;
      const relation = [`rel=${place}/${relnode}`, `fork=${fork}`];
      const bytes = content();
      for (let offset = 0; offset < bytes.length; offset += PAGE_SIZE) {
        const page = bytes.subarray(offset, offset + PAGE_SIZE);
        put(expected, [...relation, `blkno=${offset / PAGE_SIZE}`], page);
      }
      const size = Buffer.alloc(4);
      size.writeUInt32LE(bytes.length / PAGE_SIZE);
      put(expected, [...relation, 'size'], size);
    }
  }
  expect([...stored.keys()]).toEqual([...expected.keys()].sort());
  const different = [...expected].filter(([key, bytes]) => !stored.get(key)?.equals(bytes));
  expect(different.map(([key]) => key)).toEqual([]);
  expect(layer.entryCount).toBe(expected.size);
});

it('every page carries the checksum of its place and an LSN below that of the layer', () => {
  const states = new Map<string, number>();
  for (const [text, bytes] of stored) {
    const meaning = describeKey(Buffer.from(text, 'hex'));
    if (meaning.kind !== 'rel_block') continue;
    const state = checkPageChecksum(bytes, meaning.blkno);
    states.set(state, (states.get(state) ?? 0) + 1);
    expect(decodePageHeader(bytes).lsn <= layer.lsn).toBe(true);
  }
  expect(states.get('mismatch')).toBeUndefined();
  expect(states.get('absent')).toBeUndefined();
  expect(states.get('good')).toBeGreaterThan(layer.pageCount * 0.9);
  expect(formatPgLsn(layer.lsn)).toBe(formatPgLsn(layer.control.checkpointLsn));
});

it('all pages of a cluster with checksums are good, and there is no warning', () => {
  expect([layer.badPageCount, layer.warnings]).toEqual([0, []]);
});

it('a flipped bit in a page is found before a layer is made of it', async () => {
  const path = join(root, 'pgdata', tablePath);
  const original = readFileSync(path);
  const damaged = Buffer.from(original);
  damaged[7 * PAGE_SIZE + 5000] = (damaged[7 * PAGE_SIZE + 5000] ?? 0) ^ 0x10;
  const outDirectory = join(root, 'damaged');
  mkdirSync(outDirectory);
  writeFileSync(path, damaged);
  try {
    const importing = importPgdata({
      dataDirectory: join(root, 'pgdata'),
      outDirectory,
      tenantId: '11223344556677881122334455667788',
      timelineId: '99aabbccddeeff0099aabbccddeeff00',
      lsn: 'auto',
    });
    const error = await storageErrorOf(importing);
    expect([error.code, error.path, error.offset]).toEqual(['corrupt', path, 7 * PAGE_SIZE]);
    expect(readdirSync(outDirectory)).toEqual([]);
  } finally {
    writeFileSync(path, original);
  }
});

it('the relation maps of a server are valid', () => {
  const maps = [...stored].filter(
    ([key]) => describeKey(Buffer.from(key, 'hex')).kind === 'relmap',
  );
  expect(maps.length).toBeGreaterThan(1);
  for (const [, bytes] of maps) expect(decodeRelationMap(bytes, 17).length).toBeGreaterThan(0);
});

it('a table is found under the fields of its path', () => {
  const [, dbnode, relnode] = tablePath.split('/');
  const key = keyFromFieldsText([`rel=1663/${dbnode}/${relnode}`, 'blkno=7']);
  const file = readFileSync(join(root, 'pgdata', tablePath));
  expect(stored.get(formatKey(key))?.equals(file.subarray(7 * PAGE_SIZE, 8 * PAGE_SIZE))).toBe(
    true,
  );
});

function databaseDirectories(): (readonly [string, string])[] {
  const databases = readdirSync(join(root, 'pgdata/base')).filter((name) => /^[0-9]+$/.test(name));
  return [
    ['global', '1664/0'],
    ...databases.map((name) => [`base/${name}`, `1663/${name}`] as const),
  ];
}

function put(map: Map<string, Buffer>, fields: string[], bytes: Buffer): void {
  map.set(formatKey(keyFromFieldsText(fields)), bytes);
}

it('the records and blocks of its WAL are what pg_walinspect says', async () => {
  const read = await readRecords(join(root, 'pgdata', 'pg_wal'), wal);
  expect(read.records.length).toBeGreaterThan(3000);
  expectSame(read.records, walRecords.map(recordOfTruth));
  expectSame(read.blocks, walBlocks.map(blockOfTruth));
});

it('starts again from an export of its timeline, and answers as before', async () => {
  const target = join(root, 'bucket');
  const out = join(root, 'exported');
  await importTimeline({ dataDirectory: join(root, 'pgdata'), target, ...TIMELINE_IDS });
  await using timeline = await openTimeline(target);
  const exported = await exportPgdata(timeline, { directory: out });
  expect(exported).toMatchObject({ missingPageCount: 0, checksumCount: 0 });

  const server = await PGlite.create({ dataDir: out, extensions: { pg_walinspect } });
  const { rows } = await server.query(
    'select count(*)::int, sum(id)::int, bool_and(body = md5(id::text)) as same from item',
  );
  expect(rows).toEqual([{ count: 20000, sum: 200010000, same: true }]);
  await server.exec("insert into item values (0, 'more'); checkpoint");
  await server.close();
});

/**
 * Clusters of real servers, imported as timelines and exported again: a server starts on the exported directory and
 * answers as the one before, its own checks find nothing, and a backup of it can be taken.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, cpSync, existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isStorageError, type StorageError } from '../../src/errors.ts';
import { exportPgdata } from '../../src/ingest/export/export-pgdata.ts';
import { importTimeline } from '../../src/ingest/pgdata/import-timeline.ts';
import { WalIngest } from '../../src/ingest/pipeline/wal-ingest.ts';
import { openTimeline } from '../../src/timeline/open-timeline.ts';
import { openWal } from '../../src/wal/wal-reader.ts';
import { walDirectory } from '../../src/wal/wal-source.ts';
import { filesBelow, TIMELINE_IDS } from '../support/exported-clusters.ts';
import {
  ARE_SERVERS_LEFT_OUT,
  type Connection,
  PostgresServer,
  type Row,
  SERVER_VERSIONS,
  WITHOUT_SERVERS,
} from './postgres-server.ts';

const TIME_LIMIT_MS = 600_000;

const name = ARE_SERVERS_LEFT_OUT ? `an export (${WITHOUT_SERVERS})` : 'an export';

describe.skipIf(ARE_SERVERS_LEFT_OUT)(name, () => {
  test.each(SERVER_VERSIONS)(
    'an export of a cluster of Postgres %i is one on which a server starts and answers the same',
    async (version) => {
      const server = await clusterWithData(version);
      try {
        const before = await answersOf(server);
        await server.stop();
        const original = join(server.root, 'original');
        renameSync(server.dataDirectory, original);
        const bucket = join(server.root, 'bucket');
        await importTimeline({
          ...{ dataDirectory: original, target: bucket, ...TIMELINE_IDS, way: 'classic' },
        });
        const exported = await exportInto(server, bucket);
        // The table, its index, TOAST and its index; from 15 on, its sequence.
        const unloggedCount = version === 14 ? 4 : 5;
        expect(exported).toMatchObject({ missingPageCount: 0, checksumCount: 0, unloggedCount });
        expect(differencesOf(original, server.dataDirectory)).toEqual([]);

        await server.start();
        expect(await answersOf(server)).toEqual(before);
        await useAgain(server);
        // It begins again from its own checkpoint, and after a crash from its own WAL.
        await server.stop('immediate');
        await server.start();
        const session = await server.connect();
        const [row] = await session.query('select count(*) from item');
        expect(row).toEqual({ count: '4001' });
        await server.stop();
        await checkChecksums(server);
      } finally {
        await server.remove();
      }
    },
    TIME_LIMIT_MS,
  );

  test.each([14, 17] as const)(
    'an export of a timeline of Postgres %i that went on with WAL is refused, and lists the files whose pages need redo',
    async (version) => {
      const server = await clusterWithData(version, { prepared: false });
      try {
        await server.stop();
        const bucket = join(server.root, 'bucket');
        const base = join(server.root, 'base');
        cpSync(server.dataDirectory, base, { recursive: true });
        await importTimeline({
          ...{ dataDirectory: base, target: bucket, ...TIMELINE_IDS, way: 'classic' },
        });
        await server.start({ wal_keep_size: '1GB', autovacuum: 'off' });
        const session = await server.connect();
        await session.query('create table later as select i from generate_series(1, 5000) i');
        await session.query('update item set body = body where id <= 10');
        await server.stop();
        {
          await using ingest = await WalIngest.open({ base: bucket, target: bucket });
          const wal = await openWal(walDirectory(server.walDirectory), { start: ingest.startLsn });
          await ingest.ingest(wal);
        }
        const after = join(server.root, 'after');
        renameSync(server.dataDirectory, after);
        const paths = new Set<string>();
        const refused = await exportInto(server, bucket, ({ path = '' }) => paths.add(path)).catch(
          (error: unknown) => error,
        );
        // The first change after a checkpoint has an image of the page; the second one does not.
        expect(isStorageError(refused, 'needs-redo')).toBe(true);
        expect(existsSync(server.dataDirectory)).toBe(false);
        expect(paths.size).toBeGreaterThan(1);
        for (const path of paths) expect(existsSync(join(after, path)), path).toBe(true);
      } finally {
        await server.remove();
      }
    },
    TIME_LIMIT_MS,
  );

  test.each(SERVER_VERSIONS)(
    'an export of a timeline of Postgres %i that went on with WAL whose last change of each page has its image is one on which a server answers as the one that wrote it',
    async (version) => {
      const server = await clusterWithData(version);
      try {
        const session = await server.connect();
        for (const statement of BEFORE_CHANGES) await session.query(statement);
        // Readers of both clusters find nothing to prune and no hint to set in the catalogs.
        for (const statement of ['vacuum (freeze, analyze)', 'checkpoint'])
          await session.query(statement);
        await server.stop();
        const base = join(server.root, 'base');
        cpSync(server.dataDirectory, base, { recursive: true });
        const missing: string[] = [];
        const [imported, bucket] = [join(server.root, 'imported'), join(server.root, 'bucket')];
        await importTimeline({
          ...{ dataDirectory: base, target: imported, ...TIMELINE_IDS, way: 'classic' },
        });
        await server.start({ wal_keep_size: '1GB', autovacuum: 'off', full_page_writes: 'on' });
        await changeOnceEach(server);
        const before = await answersOf(server);
        await server.stop();
        {
          await using ingest = await WalIngest.open({
            ...{ base: imported, target: bucket, checkpointDistance: 64 * 1024 },
          });
          const wal = await openWal(walDirectory(server.walDirectory), { start: ingest.startLsn });
          await ingest.ingest(wal);
        }
        renameSync(server.dataDirectory, join(server.root, 'after'));
        const exported = await exportInto(server, bucket, ({ message }) =>
          missing.push(message),
        ).catch((error: unknown) => error);
        expect(missing).toEqual([]);
        expect(exported).toMatchObject({ missingPageCount: 0 });

        await server.start();
        expect(await answersOf(server)).toEqual(before);
        const again = await server.connect();
        expect(await again.query('select count(*) from once')).toEqual([{ count: '3002' }]);
        await again.query("commit prepared 'kept'");
        await again.query('vacuum (full, analyze) once');
        await server.stop();
        await checkChecksums(server);
      } finally {
        await server.remove();
      }
    },
    TIME_LIMIT_MS,
  );
});

/** Tables for changes of one row of each page; there is room for another version of a row on its page. */
const BEFORE_CHANGES = [
  'create table once (id int primary key, body text) with (fillfactor = 50)',
  'insert into once select i, md5(i::text) from generate_series(1, 3000) i',
  'create table heap_only as select i as id, md5(i::text) as body from generate_series(1, 50) i',
];

/** The blocks of the table, a row of each: `(block,1)`. */
const ROWS_OF_PAGES = "select ctid from once where ctid::text like '%,1)' and ctid < '(30,0)'";

/**
 * Changes of rows, after a checkpoint each, so that no page is changed twice without an image: a server of Postgres
 * has no program that replays WAL for a page.
 */
const CHANGES = [
  `update once set body = 'changed' where ctid = any (array(${ROWS_OF_PAGES}))`,
  'delete from once where id = 1500',
  "update heap_only set body = 'other' where id = 7",
  "insert into once values (4001, 'new')",
  "insert into once values (4002, 'after it')",
  "insert into once values (4003, 'and again')",
  'begin; delete from heap_only where id = 8; rollback',
  'select * from once where id = 2500 for key share',
] as const;

async function changeOnceEach(server: PostgresServer): Promise<void> {
  const session = await server.connect();
  for (const statement of CHANGES) {
    await session.query('checkpoint');
    await session.query(statement);
  }
  await session.query('checkpoint');
  await session.end();
}

/** Databases, tables of all kinds, large objects, multixacts, a prepared transaction, and a tablespace. */
async function clusterWithData(
  version: (typeof SERVER_VERSIONS)[number],
  { prepared = true } = {},
): Promise<PostgresServer> {
  const server = await PostgresServer.create(version, {
    initdb: ['--data-checksums', '--wal-segsize=1'],
  });
  try {
    // In a file, as an export has to keep it.
    appendFileSync(
      join(server.dataDirectory, 'postgresql.conf'),
      'max_prepared_transactions = 7\n',
    );
    await server.start();
    const session = await server.connect();
    const space = join(server.root, 'space');
    mkdirSync(space);
    own(server, space);
    for (const statement of [...STATEMENTS, `create tablespace space location '${space}'`]) {
      await session.query(statement);
    }
    await session.query('create table apart tablespace space as select * from item limit 500');
    await session.query('create index on apart (id) tablespace space');
    await session.query('create database other');
    const other = await server.connect('other');
    await other.query(
      'create table there as select i, i * i as square from generate_series(1, 999) i',
    );
    const second = await server.connect();
    // Two sessions with the same row make a multixact.
    for (const one of [session, second]) {
      await one.query('begin; select * from item where id = 5 for key share');
    }
    for (const one of [session, second]) await one.query('commit');
    if (prepared) {
      const statements = ['begin', "insert into item values (100001, 'prepared')"];
      for (const statement of [...statements, "prepare transaction 'kept'"]) {
        await session.query(statement);
      }
    }
    await session.query('checkpoint');
    return server;
  } catch (error) {
    await server.remove();
    throw error;
  }
}

const STATEMENTS = [
  'create extension if not exists amcheck',
  'create table item (id int primary key, body text, at timestamptz default now())',
  'insert into item select i, md5(i::text) from generate_series(1, 4000) i',
  // Values in TOAST.
  "create table wide as select i, (select string_agg(md5((i * j)::text), '') from generate_series(1, 400) j) as text from generate_series(1, 60) i",
  'create index on item (body)',
  "create index on item using gin (to_tsvector('simple', body))",
  'create index on item using hash (body)',
  'create index on item using brin (id)',
  'create sequence counter; select nextval($$counter$$) from generate_series(1, 77)',
  'create unlogged table scratch (id serial primary key, note text)',
  "insert into scratch (note) values ('gone')",
  'create materialized view seen as select count(*) from item',
  "select lo_from_bytea(4711, convert_to(repeat('large object', 5000), 'UTF8'))",
  'create table part (id int) partition by range (id)',
  'create table part_one partition of part for values from (0) to (1000)',
  'insert into part select generate_series(1, 500)',
  'delete from item where id % 100 = 0',
  'insert into item select i, md5(i::text) from generate_series(5000, 5039) i',
  'vacuum (analyze) item',
];

/** What the server says of all that it has. */
async function answersOf(server: PostgresServer): Promise<Record<string, unknown>> {
  const answers: Record<string, unknown> = {};
  const first = await server.connect();
  const databases = await first.query(
    "select datname from pg_database where datallowconn and datname <> 'template0' order by 1",
  );
  for (const { datname } of databases) {
    const session = await server.connect(datname ?? '');
    for (const relation of await session.query(TABLES)) {
      const table = relation['name'] ?? '';
      answers[`${datname} ${table}`] = await session.query(
        `select count(*), md5(string_agg(md5(t::text), ',' order by md5(t::text))) from ${table} t`,
      );
    }
    answers[`${datname} sequences`] = await session.query(SEQUENCES);
    answers[`${datname} checks`] = await checksOf(session);
    await session.end();
  }
  answers['prepared'] = await first.query('select gid, owner, database from pg_prepared_xacts');
  await first.end();
  return answers;
}

/** All tables but those without a log, and statistics, which a server changes by itself. */
const TABLES = `
  select c.oid::regclass::text as name from pg_class c
  where relkind in ('r', 'm') and relpersistence = 'p'
    and relname not like 'pg_statistic%' order by 1`;

/** The sequence of an unlogged table is as new after an export. */
const SEQUENCES = "select * from pg_sequences where sequencename not like 'scratch%' order by 2";

/** Counts of what amcheck finds, and of rows that indexes find. */
async function checksOf(session: Connection): Promise<readonly Row[]> {
  const [has] = await session.query(
    "select count(*) as n from pg_extension where extname = 'amcheck'",
  );
  if (has?.['n'] !== '1') return [];
  const heap = await session.query(`
    select c.oid::regclass::text as name, v.blkno, v.msg from pg_class c,
      lateral verify_heapam(c.oid) v
    where c.relkind in ('r', 'm', 't') and c.relpersistence = 'p'`);
  const trees = await session.query(`
    select count(bt_index_check(c.oid, true)) from pg_class c join pg_am a on a.oid = c.relam
    where c.relkind = 'i' and a.amname = 'btree' and c.relpersistence = 'p'`);
  const lookups = await session.query(`
    set enable_seqscan = off;
    select count(*) from item where body = md5('17')`);
  return [...heap, ...trees, ...lookups];
}

/** Writes of all kinds, after the export. */
async function useAgain(server: PostgresServer): Promise<void> {
  const session = await server.connect();
  expect(await session.query("select nextval('counter')")).toEqual([{ nextval: '78' }]);
  expect(await session.query('select count(*) from scratch')).toEqual([{ count: '0' }]);
  await session.query("insert into scratch (note) values ('new')");
  await session.query("commit prepared 'kept'");
  expect(await session.query('select body from item where id = 100001')).toEqual([
    { body: 'prepared' },
  ]);
  await session.query('update item set body = body');
  await session.query('vacuum full wide');
  await session.query('create database copied template other');
  await session.end();
}

async function exportInto(
  server: PostgresServer,
  bucket: string,
  onMissingPage: (finding: StorageError) => void = () => {},
) {
  await using timeline = await openTimeline(bucket);
  const exported = await exportPgdata(timeline, {
    directory: server.dataDirectory,
    onMissingPage,
  });
  own(server, server.dataDirectory);
  return exported;
}

/** Files of the cluster that the export has not, or with other bytes: of relations and of transactions, all. */
function differencesOf(original: string, exported: string): string[] {
  const files = filesBelow(exported);
  const unlogged = new Set(
    [...files.keys()].flatMap((path) => (path.endsWith('_init') ? [path.slice(0, -5)] : [])),
  );
  const differences: string[] = [];
  for (const [path, hash] of filesBelow(original)) {
    if (!COMPARED.test(path) || NOT_EXPORTED.test(path)) continue;
    if (unlogged.has(path.replace(/_(?:fsm|vm)$/, ''))) continue;
    if (files.get(path) !== hash) differences.push(path);
  }
  return differences;
}

const COMPARED = /^(?:PG_VERSION|(?:base|global|pg_tblspc|pg_xact|pg_multixact|pg_twophase)\/)/;
const NOT_EXPORTED = /pg_internal\.init|pg_control$/;

/** The import verifies the checksum of each page. */
async function checkChecksums(server: PostgresServer): Promise<void> {
  const { badPageCount } = await importTimeline({
    ...{ dataDirectory: server.dataDirectory, target: join(server.root, 'again') },
    ...TIMELINE_IDS,
    verifyChecksums: 'always',
  });
  expect(badPageCount).toBe(0);
}

/** Gives a directory to the user of the server. */
function own(server: PostgresServer, path: string): void {
  const { uid, gid } = statSync(server.root);
  execFileSync('chown', ['-R', `${uid}:${gid}`, path]);
}

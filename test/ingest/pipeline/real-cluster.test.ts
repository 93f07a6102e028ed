/** A cluster that Postgres 17.5 (PGlite) made, and its WAL: ingest against the files that the server left. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { expect, it } from 'vitest';
import { importTimeline } from '../../../src/ingest/pgdata/import-timeline.ts';
import { WalIngest } from '../../../src/ingest/pipeline/wal-ingest.ts';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import { openWal } from '../../../src/wal/wal-reader.ts';
import { walDirectory } from '../../../src/wal/wal-source.ts';
import { changedBlocks, compareWithCluster } from '../../support/compared-clusters.ts';
import { writeFreshCluster } from '../../support/fresh-cluster.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { countUnloggedChanges } from '../../support/unlogged-changes.ts';

const IDS = { tenantId: '00'.repeat(16), timelineId: '11'.repeat(16) };

/** WAL is kept. */
const FILL = [
  "alter system set wal_keep_size = '1GB'",
  `create table item (id int primary key, body text) with (fillfactor = 45);
   insert into item select i, repeat(md5(i::text), 16) from generate_series(1, 6000) as i;
   create unlogged table scratch (id int);`,
  'vacuum freeze item',
];

/** After the checkpoint, each page of the table is changed once. */
const CHANGE = [
  `create table note as select i as id, md5(i::text) as body from generate_series(1, 500) as i;
   create index on note (body);
   update item set body = 'x' where id % 500 = 0;
   create table short (id int); drop table short;
   truncate note; insert into note values (1, 'one');
   insert into scratch select generate_series(1, 500);`,
  "create database copied template template1 strategy 'wal_log'",
  'checkpoint',
  `update item set body = 'y' where ctid = any (
     select min(ctid) from item group by (ctid::text::point)[0]::int)`,
];

async function run(dataDir: string, statements: readonly string[]): Promise<void> {
  const server = await PGlite.create({ dataDir });
  for (const statement of statements) await server.exec(statement);
  await server.close();
}

it('gives what the stopped server has in its files, but for what it does not log', async () => {
  const root = temporaryDirectory();
  const data = join(root, 'pgdata');
  const before = join(root, 'before');
  const bucket = join(root, 'bucket');
  await writeFreshCluster(data);
  await run(data, FILL);
  cpSync(data, before, { recursive: true });
  await importTimeline({ dataDirectory: before, target: bucket, ...IDS, way: 'classic' });
  await run(data, CHANGE);

  await using ingest = await WalIngest.open({
    base: bucket,
    target: bucket,
    checkpointDistance: 4 * 1024 * 1024,
  });
  const wal = await openWal(walDirectory(join(data, 'pg_wal')), { start: ingest.startLsn });
  const { layers } = await ingest.ingest(wal);
  const readers = await Promise.all(
    layers.map(({ path }) => DeltaLayerReader.open(path, { nameCheck: 'ignore' })),
  );
  const changed = await changedBlocks(readers);
  await Promise.all(readers.map((reader) => reader.close()));

  await using timeline = await openTimeline(bucket);
  const compared = await compareWithCluster(timeline, data, changed);
  const { databases } = await timeline.directory(timeline.lastLsn);
  const copied = Math.max(...databases.map(({ dbnode }) => dbnode));
  expect(countUnloggedChanges(compared.differences, [copied])).toEqual({
    'relation is unlogged': 2,
    'visibility map was copied without its bits': expect.any(Number),
  });
  expect(compared.changedPages).toBeGreaterThan(800);
  expect(compared.comparedPages / compared.changedPages).toBeGreaterThanOrEqual(0.95);
}, 600_000);

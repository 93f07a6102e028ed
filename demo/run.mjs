/**
 * The main job from end to end: a real Postgres, its pages in an image layer, what it changes
 * next in a delta layer, and both states read back and compared with Postgres's own files. Then the
 * two layers as a timeline: its index, a map of it, and how one page is read. The second state becomes a whole
 * timeline, too, which the WAL of a third one continues.
 *
 *   npm run demo             removes its files at the end
 *   npm run demo -- --keep   keeps the files and says where they are
 *
 * Exit status: 0 if every byte is the same, 1 otherwise.
 */
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import {
  DeltaLayerReader,
  EphemeralLayer,
  formatPgLsn,
  ImageLayerReader,
  verifyLayer,
} from 'layerfile/layers';
import { findRelationFiles, importPgdata, PAGE_SIZE, readControlFile } from 'layerfile/postgres';
import { nodeFileSystem, OpenFiles } from 'layerfile/virtual-file';
import { putChanges } from './changes.mjs';
import { CHANGE, CHANGE_AGAIN, FILL, runPostgres } from './database.mjs';
import { compareWithFiles, State } from './read-back.mjs';
import { bytes, count, plural, step, table, times } from './report.mjs';
import { drawTimeline, explainPage, writeTimeline } from './timeline.mjs';
import { explainChange, importSecondState, ingestThirdState } from './wal.mjs';

const IDS = {
  tenantId: '3f2504e04f8911d39a0c0305e82c3301',
  timelineId: '7d444840dc1411d18c2d00a0c91ebe3a',
};
const WHOLE_TIMELINE = '9b2d3f10a5c14e0f8d6b7c4a2e1f0d3c';
const SHOWN_RELATIONS = 10;

async function main(isKept) {
  const root = await mkdtemp(join(tmpdir(), 'layerfile-demo-'));
  try {
    return await runIn(root, isKept);
  } finally {
    if (!isKept) await rm(root, { recursive: true });
  }
}

async function runIn(root, isKept) {
  const start = performance.now();
  const pgdata = join(root, 'pgdata');
  const state1 = join(root, 'pgdata-state-1');
  const layers = join(root, 'layers');
  await mkdir(layers);
  console.log(`Working in ${root}`);

  const filled = await step('1  Postgres starts, loads rows and shuts down', async () => {
    const server = await runPostgres(pgdata, FILL);
    const lines = [`Postgres ${server.version}, ${count(server.rowCount)} rows, page checksums on`];
    return { lines, value: server };
  });
  await copyRelations(pgdata, state1);

  const image = await step('2  Its data directory becomes an image layer', async () => {
    const layer = await importPgdata({
      ...IDS,
      dataDirectory: pgdata,
      outDirectory: layers,
      lsn: 'auto',
    });
    return { lines: describeImage(layer), value: layer };
  });

  const changed = await step('3  Postgres starts again, changes rows and shuts down', async () => {
    const server = await runPostgres(pgdata, CHANGE);
    const { checkpointLsn, majorVersion } = await readControlFile(pgdata, OpenFiles.shared());
    const lines = [
      `${count(server.rowCount)} rows; the log went from ${formatPgLsn(image.lsn)} to ${formatPgLsn(checkpointLsn)}`,
    ];
    return { lines, value: { ...server, lsn: checkpointLsn, pgVersion: majorVersion } };
  });

  const before = await listFiles(state1, image.control);
  const after = await listFiles(pgdata, image.control);
  const { layer: delta, changes } = await step(
    '4  What changed becomes a delta layer',
    async () => {
      const names = new Map([...filled.relationNames, ...changed.relationNames]);
      const written = await writeDelta({ before, after, image, changed, layers });
      return { lines: describeDelta(written.layer, written.changes, after, names), value: written };
    },
  );

  const valid = await step(
    '5  Both files are verified, block by block and value by value',
    async () => {
      const reports = [await verifyLayer(image.path), await verifyLayer(delta.path)];
      const lines = reports.map(
        (report) =>
          `${count(report.entries)} entries, ${report.errors} errors, ${report.warnings} warnings`,
      );
      return { lines, value: reports.every((report) => report.errors + report.warnings === 0) };
    },
  );

  const equal = await step('6  Both states are read back and compared with the files', async () => {
    const imageReader = await ImageLayerReader.open(image.path);
    const deltaReader = await DeltaLayerReader.open(delta.path);
    const results = [
      await compareWithFiles(new State([imageReader]), before),
      await compareWithFiles(new State([deltaReader, imageReader]), after),
    ];
    await imageReader.close();
    await deltaReader.close();
    const lines = results.flatMap((result, index) => describeComparison(result, index + 1));
    return { lines, value: results.every((result) => result.differenceCount === 0) };
  });

  const bucket = join(root, 'bucket');
  const map = join(root, 'map.html');
  await step('7  The layers become a timeline in a bucket, with an index and a map', async () => {
    const { lsn, pgVersion } = changed;
    const index = await writeTimeline({ bucket, ids: IDS, image, delta, lsn, pgVersion });
    const { layers: drawn, size } = await drawTimeline(bucket, map);
    const lines = [
      relative(root, index),
      `map.html, ${plural(drawn, 'layer')} in ${bytes(size)}, needs no network`,
    ];
    return { lines };
  });

  const explained = await step('8  One page is read out of the timeline', async () => {
    const { words, printed, isEqual } = await explainPage({ bucket, delta, changes });
    const verdict = isEqual ? 'The page is that of the file.' : 'THE PAGE DIFFERS';
    return {
      lines: [`$ layerfile explain bucket ${words.join(' ')}`, ...printed, verdict],
      value: isEqual,
    };
  });

  const target = join(root, 'timeline');
  await step('9  The second state becomes a whole timeline', async () => {
    const ids = { ...IDS, timelineId: WHOLE_TIMELINE };
    const { lsn, shards } = await importSecondState({ pgdata, target, ids });
    const layers = shards.flatMap((shard) => shard.layers);
    const entries = layers.reduce((sum, { entryCount }) => sum + entryCount, 0);
    return {
      lines: [
        `${count(entries)} keys in ${plural(layers.length, 'layer')} at LSN ${formatPgLsn(lsn)}`,
      ],
    };
  });

  const names = await step('10  Postgres changes rows a third time', async () => {
    const { rowCount, relationNames } = await runPostgres(pgdata, CHANGE_AGAIN);
    return { lines: [`${count(rowCount)} rows`], value: relationNames };
  });

  await step('11  Its WAL continues the timeline, record for record', async () => {
    const { layers, recordCount, endLsn } = await ingestThirdState({ pgdata, target });
    const size = layers.reduce((sum, layer) => sum + layer.size, 0);
    return {
      lines: [
        `${count(recordCount)} records in ${plural(layers.length, 'layer')}, ${bytes(size)}, up to ${formatPgLsn(endLsn)}`,
      ],
    };
  });

  const changeExplained = await step('12  The changes of one page are described', async () => {
    const { forks } = await listFiles(pgdata, image.control);
    const relation = forks.find(
      ({ fork, relnode }) => fork === 'main' && names.get(relnode) === 'customer',
    );
    const { words, printed, isExplained } = await explainChange({ target, relation });
    return {
      lines: [`$ layerfile explain timeline ${words.join(' ')}`, ...printed],
      value: isExplained,
    };
  });

  const isGood = valid && equal && explained && changeExplained;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(isGood ? `\nEvery byte is the same. ${seconds} s` : '\nTHERE ARE DIFFERENCES');
  if (isKept) reportFiles(root, image, delta);
  return isGood;
}

/** State 1 as it was, for the comparison: Postgres continues in the original. */
async function copyRelations(source, target) {
  await mkdir(target);
  for (const name of ['PG_VERSION', 'base', 'global', 'pg_tblspc']) {
    await cp(join(source, name), join(target, name), { recursive: true });
  }
}

function listFiles(dataDirectory, control) {
  return findRelationFiles({ dataDirectory, ...control }, nodeFileSystem);
}

async function writeDelta({ before, after, image, changed, layers }) {
  const ephemeral = await EphemeralLayer.create({
    ...IDS,
    directory: layers,
    startLsn: image.lsn + 1n,
  });
  try {
    const changes = await putChanges(before, after, (key, image) =>
      ephemeral.put(key, changed.lsn, { type: 'image', bytes: image }),
    );
    await ephemeral.freeze(changed.lsn + 1n);
    const layer = await ephemeral.writeDelta({ directory: layers });
    return { layer, changes };
  } finally {
    await ephemeral.close();
  }
}

function describeImage(layer) {
  const raw = layer.pageCount * PAGE_SIZE;
  return [
    `${plural(layer.pageCount, 'page')} of ${plural(layer.forkCount, 'relation fork')} at LSN ${formatPgLsn(layer.lsn)}`,
    `${bytes(raw)} of pages in ${bytes(layer.size)}, ${times(raw, layer.size)} smaller`,
  ];
}

function describeDelta(layer, changes, after, names) {
  const pages = changes.reduce((sum, { pagesPut }) => sum + pagesPut, 0);
  const allPages = after.forks.reduce((sum, { pageCount }) => sum + pageCount, 0);
  const kinds = ['new', 'longer', 'shorter', 'gone'].map(
    (kind) => `${count(changes.filter((change) => change.kind === kind).length)} ${kind}`,
  );
  const shown = changes
    .filter((change) => names.has(change.fork.relnode) && weightOf(change) > 0)
    .sort((left, right) => weightOf(right) - weightOf(left))
    .slice(0, SHOWN_RELATIONS);
  return [
    `${plural(pages, 'page')} of ${count(allPages)} differ; forks: ${kinds.join(', ')}`,
    `${bytes(layer.size)}, uncompressed as deltas are`,
    ...table([
      ['', 'pages before', 'after', 'written', ''],
      ...shown.map(({ fork, kind, pagesBefore, pagesAfter, pagesPut }) => [
        `${names.get(fork.relnode)}${fork.fork === 'main' ? '' : ` (${fork.fork})`}`,
        count(pagesBefore),
        count(pagesAfter),
        count(pagesPut),
        kind,
      ]),
    ]),
  ];
}

/** How much a fork has changed, in pages. */
function weightOf({ pagesBefore, pagesAfter, pagesPut }) {
  return pagesPut + Math.max(0, pagesBefore - pagesAfter);
}

function describeComparison(result, number) {
  const { pages, checksummed, unused, differenceCount, differences } = result;
  return [
    `state ${number}: ${count(pages)} pages, ${plural(differenceCount, 'difference')}; ` +
      `${count(checksummed)} checksums good, ${count(unused)} never written`,
    ...differences.map((difference) => `  differs: ${difference}`),
  ];
}

function reportFiles(root, image, delta) {
  console.log(`\nThe layers are in ${join(root, 'layers')}`);
  console.log(`  image  ${image.name}`);
  console.log(`  delta  ${delta.name}`);
  console.log(
    'beside the timeline (bucket) and the data directory as it is now (pgdata) and was (pgdata-state-1).',
  );
  console.log('\nLook into them:');
  console.log(`  node dist/cli.js verify ${join(root, 'layers')}`);
  console.log(`  node dist/cli.js inspect ${delta.path}`);
  console.log(`  node dist/cli.js ls ${join(root, 'bucket')}`);
  console.log(`\nThe map: ${join(root, 'map.html')}`);
  console.log(`\nDelete everything: rm -r ${root}`);
}

const unknown = process.argv.slice(2).filter((argument) => argument !== '--keep');
if (unknown.length > 0) {
  console.error(`usage: npm run demo [-- --keep], not ${unknown.join(' ')}`);
  process.exitCode = 2;
} else {
  process.exitCode = (await main(process.argv.includes('--keep'))) ? 0 : 1;
}

/**
 * The cluster of golden/timeline/pg17, by `import pgdata --layout remote --classic` and `WalIngest` of its WAL: the L0s
 * have the values that a pageserver put, and no other; and what is read at the end is what the stopped server left in
 * its files, but for what it does not log. A long run:
 *
 *   LAYERFILE_GOLDEN=<the complete golden folder>   needs tar and xz
 */
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WalIngest } from '../../../src/ingest/pipeline/wal-ingest.ts';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { formatKey } from '../../../src/layers/key.ts';
import { formatLsn } from '../../../src/layers/lsn.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import { imageBytes } from '../../../src/timeline/read-page.ts';
import { openWal } from '../../../src/wal/wal-reader.ts';
import { walDirectory } from '../../../src/wal/wal-source.ts';
import { runCli } from '../../cli/support.ts';
import { changedBlocks, compareWithCluster } from '../../support/compared-clusters.ts';
import { directoryOf } from '../../support/ingested-values.ts';
import { countUnloggedChanges } from '../../support/unlogged-changes.ts';

const GOLDEN = process.env['LAYERFILE_GOLDEN'];
const LONG_MS = 900_000;
const TENANT = '000102030405060708090a0b0c0d0e0f';
const TIMELINE = '11223344556677881122334455667788';
/** Of the record of the shutdown checkpoint, which is ingested as well. */
const START_LSN = 0x27076a0n;
const END_LSN = 0x7000340n;
const RECORD_COUNT = 212_060;
/** By CREATE_WAL_LOG. */
const COPIED_DATABASES = [16_482, 16_483];

/** As that of the pageserver: several layers. */
const CHECKPOINT_DISTANCE = 4 * 1024 * 1024;

/** Header of a value that is an image: kind, length. */
const IMAGE_HEADER_SIZE = 12;

interface TruthLine {
  readonly key: string;
  readonly lsn: string;
  readonly will_init: boolean;
  readonly len: number;
  readonly sha256: string;
}

describe.runIf(GOLDEN !== undefined)('the cluster of golden/timeline and its WAL', () => {
  let root = '';
  let bucket = '';
  let paths: readonly string[] = [];

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'layerfile-golden-cluster-'));
    const archive = join(GOLDEN as string, 'timeline/pg17/data.tar.xz');
    const folders = ['pg17/base', 'pg17/final', 'pg17/wal', 'pg17/timeline-remote'];
    execFileSync('tar', ['xJf', archive, '-C', root, ...folders]);
    bucket = join(root, 'bucket');
    const place = ['--out', bucket, '--tenant', TENANT, '--timeline', TIMELINE];
    const words = ['import', 'pgdata', join(root, 'pg17/base'), ...place];
    const imported = await runCli([...words, '--layout', 'remote', '--classic']);
    expect({ status: imported.status, stderr: imported.stderr }).toMatchObject({ status: 0 });

    await using ingest = await WalIngest.open({
      base: bucket,
      target: bucket,
      checkpointDistance: CHECKPOINT_DISTANCE,
    });
    const wal = walDirectory(join(root, 'pg17/wal'));
    const result = await ingest.ingest(await openWal(wal, { start: ingest.startLsn }));
    expect(result).toMatchObject({
      startLsn: START_LSN,
      endLsn: END_LSN,
      recordCount: RECORD_COUNT,
    });
    expect(result.layers.length).toBeGreaterThan(10);
    paths = result.layers.map(({ path }) => path);
  }, LONG_MS);

  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it(
    'the cluster of golden/timeline and its WAL gives each value of a pageserver, and no other',
    async () => {
      const truth = await truthAbove(START_LSN);
      await using pageserver = await openTimeline(join(root, 'pg17/timeline-remote'));
      const wrong: string[] = [];
      for (const path of paths) {
        await using reader = await DeltaLayerReader.open(path, { nameCheck: 'ignore' });
        for await (const { key, lsn, willInit, bytes } of reader.entries()) {
          const name = `${formatKey(key)} ${formatLsn(lsn)}`;
          const line = truth.get(name);
          truth.delete(name);
          if (line?.will_init === willInit && line.len === bytes.length) {
            if (line.sha256 === createHash('sha256').update(bytes).digest('hex')) continue;
            // A pageserver keeps relations in a hash table: their order is random.
            const ours = directoryOf(formatKey(key), bytes.subarray(IMAGE_HEADER_SIZE));
            const theirs = imageBytes(await pageserver.reconstruct(key, lsn));
            if (ours !== undefined && theirs !== undefined) {
              if (directoryOf(formatKey(key), theirs) === ours) continue;
            }
          }
          wrong.push(name);
        }
      }
      expect(wrong).toEqual([]);
      expect([...truth.keys()]).toEqual([]);
    },
    LONG_MS,
  );

  it(
    'the cluster of golden/timeline and its WAL gives the pages and sizes of the files of the stopped cluster, but for what it did not log',
    async () => {
      const readers = await Promise.all(
        paths.map((path) => DeltaLayerReader.open(path, { nameCheck: 'ignore' })),
      );
      const changed = await changedBlocks(readers);
      await Promise.all(readers.map((reader) => reader.close()));
      await using timeline = await openTimeline(bucket);
      const compared = await compareWithCluster(timeline, join(root, 'pg17/final'), changed);
      expect(compared).toMatchObject({ changedPages: 7378, comparedPages: 5063, needRedo: 2309 });
      expect(countUnloggedChanges(compared.differences, COPIED_DATABASES)).toEqual({
        'relation is unlogged': 7,
        'free space map was never logged': 10,
        'visibility map is empty and was never logged': 1,
        'visibility map was copied without its bits': 76,
        'SP-GiST remembers other pages with room': 1,
      });
    },
    LONG_MS,
  );
});

/** Values of the WAL by key and LSN. */
async function truthAbove(start: bigint): Promise<Map<string, TruthLine>> {
  const path = join(GOLDEN as string, 'timeline/pg17/truth.ndjson.xz');
  const program = spawn('xz', ['-dc', path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const truth = new Map<string, TruthLine>();
  for await (const text of createInterface({ input: program.stdout })) {
    const line: TruthLine = JSON.parse(text);
    if (BigInt(`0x${line.lsn}`) > start) truth.set(`${line.key} ${line.lsn}`, line);
  }
  return truth;
}

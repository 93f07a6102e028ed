import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { WalIngest } from '../../../src/ingest/pipeline/wal-ingest.ts';
import type { WalIngestOptions } from '../../../src/ingest/pipeline/wal-ingest-options.ts';
import { formatLsn, type Lsn } from '../../../src/layers/lsn.ts';
import { IndexPart } from '../../../src/timeline/index-part/index-part.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import { openWal, type WalReadOptions } from '../../../src/wal/wal-reader.ts';
import { walBytes } from '../../../src/wal/wal-source.ts';
import {
  COPY,
  continuedCluster,
  imageOn,
  ingestWal,
  placeOn,
  walAfterBase,
} from '../../support/continued-cluster.ts';
import {
  BASE_LSN,
  differences,
  entriesOf,
  layersAbove,
  lsnOfEntry,
  SK15_SEGMENT_NAME,
  SK15_TIMELINE,
  sk15Entries,
  sk15Segment,
  WAL_END,
  writeSk15Base,
} from '../../support/ingested-timelines.ts';
import { rounds } from '../../support/rounds.ts';
import { startS3 } from '../../support/s3-server.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const segment = sk15Segment();
let base = '';
let expected = new Map<string, string>();

beforeAll(async () => {
  const { mkdtemp } = await import('node:fs/promises');
  const { tmpdir } = await import('node:os');
  base = await mkdtemp(join(tmpdir(), 'layerfile-test-'));
  const whole = await mkdtemp(join(tmpdir(), 'layerfile-test-'));
  await writeSk15Base(base);
  expected = await sk15Entries(whole);
  const { rm } = await import('node:fs/promises');
  await rm(whole, { recursive: true });
  return () => rm(base, { recursive: true });
});

interface Ingesting extends Partial<WalIngestOptions> {
  readonly target: WalIngestOptions['target'];
  readonly bytes?: Uint8Array;
  readonly wal?: WalReadOptions;
}

async function ingest({ bytes = segment, wal, ...options }: Ingesting) {
  await using ingest = await WalIngest.open({ base, ...options });
  const source = walBytes([{ name: SK15_SEGMENT_NAME, bytes }]);
  return await ingest.ingest(
    await openWal(source, {
      start: ingest.startLsn,
      end: WAL_END,
      ...wal,
    }),
  );
}

async function indexIn(directory: string, generation = 1): Promise<IndexPart> {
  const name = `index_part.json-${generation.toString(16).padStart(8, '0')}`;
  return IndexPart.parse(await readFile(join(directory, SK15_TIMELINE, name)));
}

/** Paths of the layers above the base that the index names. */
async function namedLayersAbove(directory: string): Promise<string[]> {
  const { layers } = (await indexIn(directory)).fields;
  const paths = await layersAbove(directory);
  return paths.filter((path) => layers.has(basename(path).replace(/-[0-9a-f]{8}$/, '')));
}

async function expectWhole(directory: string): Promise<void> {
  const entries = await entriesOf(await layersAbove(directory));
  expect(differences(entries, expected)).toEqual([]);
}

describe('an ingest of WAL', () => {
  it('an ingest of WAL gives the layer that a pageserver made, entry by entry, and its index', async () => {
    const target = temporaryDirectory();
    const result = await ingest({ target });
    expect(result).toMatchObject({ startLsn: BASE_LSN, endLsn: WAL_END, recordCount: 7581 });
    await expectWhole(target);
    const index = await indexIn(target);
    const { diskConsistentLsn, prevRecordLsn, initdbLsn } = index.fields.metadata;
    expect({ diskConsistentLsn, initdbLsn }).toEqual({
      diskConsistentLsn: WAL_END,
      initdbLsn: 0x14aeb90n,
    });
    expect(prevRecordLsn).toBe(0x15ffef8n);
    expect(result.layers.map(({ name }) => name)).toEqual([
      `${'0'.repeat(36)}-${'F'.repeat(36)}__${formatLsn(BASE_LSN + 1n)}-${formatLsn(WAL_END + 1n)}-00000001`,
    ]);
    expect(index.fields.layers.size).toBe(6);
    await using timeline = await openTimeline(target);
    expect(timeline.lastLsn).toBe(WAL_END);
    expect(timeline.map.layerCount).toBe(6);
  });

  it('an ingest of WAL continues in the place of its base, in a new generation, and leaves the old index', async () => {
    const target = temporaryDirectory();
    await cp(base, target, { recursive: true });
    const before = await indexIn(target);
    const result = await ingest({ base: target, target, checkpointDistance: 300_000 });
    expect(result.layers.length).toBeGreaterThan(3);
    expect((await indexIn(target)).format()).toBe(before.format());
    const index = await indexIn(target, 2);
    expect(index.fields.metadata.diskConsistentLsn).toBe(WAL_END);
    const generations = [...index.fields.layers.values()].map(({ generation }) => generation);
    expect(new Set(generations)).toEqual(new Set([1, 2]));
    await expectWhole(target);
  });

  it('an ingest of WAL ends each layer below the distance, and starts the next one where it ended', async () => {
    const target = temporaryDirectory();
    const { layers } = await ingest({ target, checkpointDistance: 200_000 });
    let start = BASE_LSN + 1n;
    for (const { name } of layers) {
      const [, from, to] = /__([0-9A-F]{16})-([0-9A-F]{16})-/.exec(name) ?? [];
      expect(BigInt(`0x${from}`)).toBe(start);
      start = BigInt(`0x${to}`);
      expect(Number(start - BigInt(`0x${from}`))).toBeLessThanOrEqual(200_000);
    }
    expect(start).toBe(WAL_END + 1n);
  });

  it('an ingest of WAL holds the same entries, wherever it is split, cut off and resumed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 60_000, max: 500_000 }), fc.nat({ max: 3 })), {
          minLength: 1,
          maxLength: 3,
        }),
        async (lives) => {
          const target = temporaryDirectory();
          for (const [checkpointDistance, batches] of lives) {
            const stop = new AbortController();
            let seen = 0;
            const onProgress = () => {
              if (seen === batches) stop.abort();
              seen += 1;
            };
            const options = { target, checkpointDistance, onProgress, signal: stop.signal };
            const ended = ingest({ ...options, mode: 'resume' });
            await ended.catch((error: unknown) => expect(error).toMatchObject({ code: 'aborted' }));
          }
          await ingest({ target, mode: 'resume', checkpointDistance: 300_000 });
          const named = await namedLayersAbove(target);
          expect(differences(await entriesOf(named), expected)).toEqual([]);
          // A run that ends between a layer and its index leaves that layer, and no other.
          const unnamed = (await layersAbove(target)).filter((path) => !named.includes(path));
          expect(unnamed.length).toBeLessThanOrEqual(lives.length);
        },
      ),
      { numRuns: rounds(3) },
    );
  });

  it('an ingest of WAL refuses an output that has the timeline, unless it resumes', async () => {
    const target = temporaryDirectory();
    await ingest({ target, wal: { end: 0x1500000n } });
    const error = await storageErrorOf(ingest({ target }));
    expect(error.code).toBe('exists');
    const { startLsn, endLsn } = await ingest({ target, mode: 'resume' });
    expect(startLsn).toBeGreaterThan(0x14f0000n);
    expect(startLsn).toBeLessThanOrEqual(0x1500000n);
    expect(endLsn).toBe(WAL_END);
    await expectWhole(target);
    // Nothing is left to do.
    const again = await ingest({ target, mode: 'resume' });
    expect(again).toMatchObject({ layers: [], recordCount: 0, startLsn: WAL_END, endLsn: WAL_END });
  });

  it('an ingest of WAL resumes its own timeline only: another one in the output is left alone', async () => {
    const target = temporaryDirectory();
    // Of another tenant.
    const other = join(target, SK15_TIMELINE.replace(/[0-9a-f]{32}/, 'ab'.repeat(16)));
    await cp(join(base, SK15_TIMELINE), other, { recursive: true });
    const before = await readdir(other);
    const { startLsn, endLsn } = await ingest({ target, mode: 'resume' });
    expect({ startLsn, endLsn }).toEqual({ startLsn: BASE_LSN, endLsn: WAL_END });
    expect(await readdir(other)).toEqual(before);
    expect((await indexIn(target)).fields.metadata.diskConsistentLsn).toBe(WAL_END);
  });

  it('an ingest of WAL stores layers in a bucket, each before the index that names it', async () => {
    const { server, store } = await startS3();
    const result = await ingest({
      target: { store, prefix: 'backup' },
      checkpointDistance: 300_000,
    });
    const keys = [...server.objects.keys()];
    expect(keys.filter((key) => key.includes('index_part'))).toEqual([
      `backup/${SK15_TIMELINE}/index_part.json-00000001`,
    ]);
    const puts = server.requests.filter(({ method }) => method === 'PUT').map(({ key }) => key);
    for (const { name } of result.layers) {
      const at = puts.findIndex((key) => key?.endsWith(name));
      expect(puts.slice(at + 1).some((key) => key?.includes('index_part'))).toBe(true);
    }
    await using timeline = await openTimeline({ store, prefix: 'backup' });
    expect(timeline.lastLsn).toBe(WAL_END);
  });
});

describe('WAL that cannot be ingested', () => {
  async function expectDurableUpTo(target: string, code: string, bytes: Uint8Array): Promise<Lsn> {
    const error = await storageErrorOf(ingest({ target, bytes }));
    expect(error.code).toBe(code);
    const { diskConsistentLsn } = (await indexIn(target)).fields.metadata;
    expect(BigInt(`0x${error.lsn}`)).toBeGreaterThanOrEqual(diskConsistentLsn);
    const entries = await entriesOf(await layersAbove(target));
    const before = [...expected].filter(([name]) => lsnOfEntry(name) <= diskConsistentLsn);
    expect(differences(entries, new Map(before))).toEqual([]);
    return diskConsistentLsn;
  }

  it('WAL that cannot be ingested leaves everything before a damaged record durable, and continues once it is repaired', async () => {
    const target = temporaryDirectory();
    const bytes = segment.slice();
    bytes[0x580100] = (bytes[0x580100] as number) ^ 1;
    const reached = await expectDurableUpTo(target, 'corrupt', bytes);
    expect(reached).toBeGreaterThan(0x1570000n);
    expect(reached).toBeLessThan(0x1580100n);
    await ingest({ target, mode: 'resume' });
    await expectWhole(target);
  });

  it('WAL that cannot be ingested is refused if it is of another version', async () => {
    const bytes = segment.slice();
    // The pages of this WAL with their magic numbers: those of 16.
    for (let page = 0x4b0000; page < 0x602000; page += 8192) bytes[page] = 0x13;
    const error = await storageErrorOf(ingest({ target: temporaryDirectory(), bytes }));
    expect(error).toMatchObject({ code: 'invalid-input', expected: '15', actual: '16' });
  });

  it('WAL that cannot be ingested is refused if its first record does not follow the base', async () => {
    const target = temporaryDirectory();
    const error = await storageErrorOf(ingest({ target, wal: { start: 0x1500000n } }));
    expect(error.code).toBe('gap');
    expect((await indexIn(target)).fields.metadata.diskConsistentLsn).toBe(BASE_LSN);
    expect(await layersAbove(target)).toEqual([]);
  });

  it.each(['migrating', 'migrated'] as const)(
    'WAL is refused over a base whose relations are %s to keys of their own',
    async (relSizeMigration) => {
      const moved = temporaryDirectory();
      await cp(base, moved, { recursive: true });
      const path = join(moved, SK15_TIMELINE, 'index_part.json-00000001');
      const index = IndexPart.parse(await readFile(path));
      await writeFile(path, index.with({ relSizeMigration }).format());
      const target = temporaryDirectory();
      const error = await storageErrorOf(ingest({ base: moved, target }));
      expect(error).toMatchObject({ code: 'unsupported-version', actual: relSizeMigration });
      expect(error.message).toContain('rel_size_migration');
      expect(await readdir(target)).toEqual([]);
    },
  );

  it('WAL that cannot be ingested leaves nothing but what the index names', async () => {
    const target = temporaryDirectory();
    const stop = new AbortController();
    const options = { target, checkpointDistance: 200_000, signal: stop.signal };
    let seen = 0;
    const onProgress = () => {
      seen += 1;
      if (seen === 2) stop.abort();
    };
    const error = await storageErrorOf(ingest({ ...options, onProgress }));
    expect(error.code).toBe('aborted');
    expect(await readdir(target)).toEqual(['tenants']);
    await ingest({ target, mode: 'resume', checkpointDistance: 300_000 });
    const { layers } = (await indexIn(target)).fields;
    const names = (await readdir(join(target, SK15_TIMELINE))).filter((name) =>
      name.includes('__'),
    );
    expect(names.sort()).toEqual([...layers.keys()].map((name) => `${name}-00000001`).sort());
  });
});

describe('a base whose last LSN lies in its last record, as that of a fast import', () => {
  it('a base whose last LSN lies in its last record is continued again after one record', async () => {
    const records = [imageOn(5, 0, 1), imageOn(5, 1, 2)];
    const disk = await continuedCluster();
    const [first, all] = [walAfterBase(records.slice(0, 1)), walAfterBase(records)];
    await ingestWal(disk, { wal: first });
    {
      await using timeline = await openTimeline(placeOn(disk, COPY));
      const { index } = timeline.stored ?? {};
      expect(index?.fields.metadata.prevRecordLsn).toBe(first.records[1]?.startLsn);
    }
    const { endLsn, recordCount } = await ingestWal(disk, { wal: all });
    expect({ endLsn, recordCount }).toEqual({ endLsn: all.records[2]?.endLsn, recordCount: 1 });
  });
});

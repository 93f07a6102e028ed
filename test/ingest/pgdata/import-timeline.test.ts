import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { StorageError } from '../../../src/errors.ts';
import {
  type ImportTimelineOptions,
  importTimeline,
} from '../../../src/ingest/pgdata/import-timeline.ts';
import { controlFileKey, slruBlockKey, twophaseKey } from '../../../src/postgres/key-mapping.ts';
import { collectKeySpace } from '../../../src/timeline/collect-key-space.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import {
  checksummed,
  type Files,
  fabricateCluster,
  pages,
} from '../../postgres/fabricated-cluster.ts';
import type { ControlFields } from '../../support/control-file.ts';
import { startS3 } from '../../support/s3-server.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const IDS = {
  tenantId: '11223344556677881122334455667788',
  timelineId: '99aabbccddeeff0099aabbccddeeff00',
};
const LSN = 0x16c_3560n;
const FILES = {
  'base/5/16384': pages(6, 1),
  'base/5/16384_init': pages(1, 2),
  'base/5/16385': '',
  'global/1262': pages(1, 3),
  'pg_xact/0000': pages(2, 4),
  'pg_multixact/members/0000': pages(1, 5),
  'pg_multixact/offsets/0000': pages(1, 6),
  'pg_twophase/00000000000002F9': 'prepared',
};

function clusterOf(files: Files = {}, control: ControlFields = {}): string {
  return fabricateCluster({ ...FILES, ...files }, { redoLsn: LSN, ...control });
}

function importInto(
  target: ImportTimelineOptions['target'],
  dataDirectory: string,
  options: Partial<ImportTimelineOptions> = {},
) {
  return importTimeline({ dataDirectory, target, ...IDS, ...options });
}

/** The error of an import that stores nothing. */
async function refusalOf(
  dataDirectory: string,
  options: Partial<ImportTimelineOptions> = {},
): Promise<StorageError> {
  const out = temporaryDirectory();
  const error = await storageErrorOf(importInto(out, dataDirectory, options));
  expect(readdirSync(out)).toEqual([]);
  return error;
}

describe('a cluster that is imported', () => {
  test.each(['fast', 'classic'] as const)(
    'a cluster that is imported the %s way is there as a whole, whatever the shards',
    async (way) => {
      const cluster = clusterOf();
      for (const sharding of [{}, { shardCount: 1 }, { shardCount: 3, stripeSize: 1 }]) {
        const out = temporaryDirectory();
        const imported = await importInto(out, cluster, { way, layerSize: 8 * 8192, ...sharding });
        expect(imported).toMatchObject({ lsn: LSN, pageCount: 8, forkCount: 4 });
        expect(readdirSync(out)).toEqual(['tenants']);
        await using timeline = await openTimeline(out);
        const { dense } = await collectKeySpace(timeline, LSN);
        const { found } = await timeline.reconstructRanges(dense, LSN);
        const entryCounts = imported.shards.flatMap(({ layers }) =>
          layers.map((layer) => layer.entryCount),
        );
        const entryCount = entryCounts.reduce((sum, count) => sum + count, 0);
        // Shards have directories and sizes in common.
        if (imported.shards.length === 1) expect(found).toHaveLength(entryCount);
        else expect(found.length).toBeLessThan(entryCount);
        const page = await timeline.readPage(
          slruBlockKey({ slru: 'clog', segno: 0, blkno: 1 }),
          LSN,
        );
        expect(page.kind === 'page' && Buffer.from(page.bytes)).toEqual(
          Buffer.from(FILES['pg_xact/0000'].subarray(8192)),
        );
        const { outcome } = await timeline.reconstruct(twophaseKey(0x2f9n), LSN);
        expect(outcome).toBe(way === 'classic' ? 'complete' : 'missing');
      }
    },
  );

  test('what is left out is counted once, with its reason', async () => {
    const cluster = clusterOf({
      'pg_xact/junk': '',
      'pg_subtrans/0000': pages(1, 1),
      'postgresql.conf': '',
      'base/5/pg_internal.init': '',
    });
    const { leftOut } = await importInto(temporaryDirectory(), cluster);
    const found = leftOut.map(({ path, reason }) => [path.slice(cluster.length + 1), reason]);
    expect(found.sort()).toEqual([
      ['PG_VERSION', 'version'],
      ['base/5/PG_VERSION', 'version'],
      ['base/5/pg_internal.init', 'cache'],
      ['pg_subtrans/0000', 'transaction status'],
      ['pg_twophase/00000000000002F9', 'two-phase files'],
      ['pg_xact/junk', 'unknown name'],
      ['postgresql.conf', 'configuration'],
    ]);
  });

  test('a cluster that is imported is the same in every run: a bucket gets only what is missing', async () => {
    const { server, store } = await startS3();
    const cluster = clusterOf();
    const options = { layerSize: 8 * 8192, shardCount: 2, stripeSize: 1 };
    await importInto({ store, prefix: 'p' }, cluster, options);
    const all = new Map(server.objects);
    const names = [...all.keys()];
    expect(names.filter((name) => name.includes('index_part'))).toHaveLength(2);
    const [layer, ...others] = names.filter((name) => !name.includes('index_part'));
    for (const lost of [layer, others.at(-1)]) {
      // An index without its layer cannot be: it comes last.
      for (const name of names)
        if (name.includes('index_part') || name === lost) server.objects.delete(name);
      server.reset();
      await importInto({ store, prefix: 'p' }, cluster, options);
      expect(new Map([...server.objects].map(([name, { etag }]) => [name, etag]))).toEqual(
        new Map([...all].map(([name, { etag }]) => [name, etag])),
      );
      const sent = server.requests.filter(({ method }) => method === 'PUT').map(({ key }) => key);
      expect(sent.filter((key) => !key?.includes('index_part'))).toEqual([lost]);
    }
  });

  test('a timeline that has an index is refused, with another cluster, too', async () => {
    const out = temporaryDirectory();
    await importInto(out, clusterOf());
    const again = await storageErrorOf(importInto(out, clusterOf(), { generation: 7 }));
    expect(again).toMatchObject({ code: 'exists', path: expect.stringContaining('index_part') });
    const sharded = { shardCount: 2, stripeSize: 1 };
    const other = temporaryDirectory();
    await importInto(other, clusterOf(), sharded);
    await importInto(other, clusterOf(), sharded);
    const changed = clusterOf({ 'base/5/16384': pages(6, 9) });
    expect((await storageErrorOf(importInto(other, changed, sharded))).code).toBe('exists');
    const later = await storageErrorOf(
      importInto(other, clusterOf(), { ...sharded, generation: 7 }),
    );
    expect(later).toMatchObject({ code: 'exists', path: expect.stringContaining('index_part') });
  });

  test('an abort ends it, and nothing is left', async () => {
    const stop = new AbortController();
    const onProgress = (): void => stop.abort();
    const error = await refusalOf(clusterOf(), { signal: stop.signal, onProgress });
    expect(error.code).toBe('aborted');
  });
});

describe('a cluster that is refused', () => {
  test.each([
    ['standby.signal', { 'standby.signal': '' }],
    ['recovery.signal', { 'recovery.signal': '' }],
    ['backup_label', { backup_label: '' }],
    ['postmaster.pid', { 'postmaster.pid': '1' }],
  ])('a cluster with %s is refused unless it is allowed', async (name, files) => {
    const cluster = clusterOf(files);
    expect(await refusalOf(cluster)).toMatchObject({
      code: 'invalid-input',
      path: join(cluster, name),
    });
    const { warnings } = await importInto(temporaryDirectory(), cluster, { allowUnclean: true });
    expect(warnings.map(({ path }) => path)).toContain(join(cluster, name));
  });

  test('a cluster not shut down, or, the classic way, with a redo LSN before its checkpoint, is refused', async () => {
    const running = clusterOf({}, { state: 'in production' });
    expect((await refusalOf(running)).code).toBe('invalid-input');
    const classic = clusterOf({}, { redoLsn: LSN - 8n });
    expect(await refusalOf(classic, { way: 'classic' })).toMatchObject({
      code: 'invalid-input',
      expected: '0/16C3560',
    });
  });

  test('an LSN below its pages, or not a multiple of 8', async () => {
    const newer = pages(1, 1);
    new DataView(newer.buffer).setUint32(4, Number(LSN) + 8, true);
    const cluster = clusterOf({ 'base/5/16386': newer });
    expect(await refusalOf(cluster)).toMatchObject({
      code: 'out-of-range',
      path: join(cluster, 'base/5/16386'),
    });
    const { warnings } = await importInto(temporaryDirectory(), cluster, { allowUnclean: true });
    expect(warnings.some(({ code }) => code === 'out-of-range')).toBe(true);
    expect((await refusalOf(clusterOf(), { lsn: LSN + 4n })).code).toBe('invalid-input');
    await importInto(temporaryDirectory(), cluster, { lsn: LSN + 8n });
  });

  test('a page with a wrong checksum: all are found, with file and block', async () => {
    const bad = checksummed(pages(20, 1));
    bad[8192 * 3 + 100] = 0xff;
    bad[8192 * 17 + 100] = 0xff;
    const good = {
      'base/5/16384_init': checksummed(pages(1, 2)),
      'global/1262': checksummed(pages(1, 3)),
    };
    const cluster = clusterOf({ ...good, 'base/5/16384': bad }, { checksumVersion: 1 });
    const options = { layerSize: 8 * 8192, shardCount: 2, stripeSize: 1 };
    const found: StorageError[] = [];
    const error = await refusalOf(cluster, {
      ...options,
      onBadPage: (finding) => found.push(finding),
    });
    expect(error).toMatchObject({ code: 'corrupt', path: join(cluster, 'base/5/16384') });
    expect(found.map(({ offset }) => offset).sort()).toEqual([8192 * 17, 8192 * 3]);
    expect(found[0]?.message).toMatch(/checksum of block \d+/);
    for (const allowed of [{ allowBadPages: true }, { verifyChecksums: 'never' as const }]) {
      const imported = await importInto(temporaryDirectory(), cluster, { ...options, ...allowed });
      expect(imported.badPageCount).toBe('allowBadPages' in allowed ? 2 : undefined);
    }
  });

  test('a cluster without checksums is refused if they are to be verified', async () => {
    expect((await refusalOf(clusterOf(), { verifyChecksums: 'always' })).code).toBe(
      'invalid-input',
    );
  });

  test.each([
    [
      'a segment of transaction state that ends within a page',
      { 'pg_xact/0000': pages(1, 1).subarray(1) },
      'truncated',
    ],
    [
      'a segment of transaction state that is too long',
      { 'pg_xact/0000': pages(33, 1) },
      'too-large',
    ],
  ])('a cluster with %s is refused', async (_, files, code) => {
    const cluster = clusterOf(files);
    expect(await refusalOf(cluster)).toMatchObject({ code, path: join(cluster, 'pg_xact/0000') });
  });

  test('a directory of transaction state that is missing, unless damage is allowed', async () => {
    const { 'pg_xact/0000': _, ...files } = FILES;
    const cluster = fabricateCluster(files, { redoLsn: LSN });
    expect(await refusalOf(cluster)).toMatchObject({
      code: 'not-found',
      path: join(cluster, 'pg_xact'),
    });
    const { warnings } = await importInto(temporaryDirectory(), cluster, { allowDamaged: true });
    expect(warnings.map(({ path }) => path)).toContain(join(cluster, 'pg_xact'));
  });

  test('a pg_control that was cut, unless damage is allowed: then its end is zeros', async () => {
    const cluster = clusterOf();
    const path = join(cluster, 'global/pg_control');
    const whole = readFileSync(path);
    truncateSync(path, 300);
    const expected = { code: 'truncated', path, expected: '8192 bytes', actual: '300' };
    expect(await refusalOf(cluster)).toMatchObject(expected);
    const out = temporaryDirectory();
    const { warnings } = await importInto(out, cluster, { allowDamaged: true });
    expect(warnings).toContainEqual(expect.objectContaining({ code: 'truncated', path }));
    await using timeline = await openTimeline(out);
    const { base } = await timeline.reconstruct(controlFileKey(), LSN);
    expect(Buffer.from(base?.bytes ?? [])).toEqual(whole);
  });

  test('a file of transaction state that changes meanwhile', async () => {
    const cluster = clusterOf();
    const path = join(cluster, 'pg_multixact/offsets/0000');
    const onProgress = (): void => writeFileSync(path, pages(2, 1));
    expect((await refusalOf(cluster, { onProgress })).code).toBe('invalid-input');
  });

  test.each([
    [{ layerSize: 8191 }],
    [{ shardCount: 256 }],
    [{ stripeSize: 0 }],
    [{ concurrency: 0 }],
    [{ lsn: -8n }],
    [{ way: 'slow' as never }],
    [{ generation: -1 }],
    [{ unknown: 1 } as never],
  ])('an import with options that are not valid is refused, number %#', async (options) => {
    const out = join(temporaryDirectory(), 'out');
    const error = await storageErrorOf(importInto(out, clusterOf(), options));
    expect(['invalid-input', 'out-of-range']).toContain(error.code);
    expect(existsSync(out)).toBe(false);
  });
});

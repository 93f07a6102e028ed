import { existsSync, mkdirSync, readdirSync, readFileSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { importTimeline } from '../../../src/ingest/pgdata/import-timeline.ts';
import { relationBlockKey, relationSizeKey } from '../../../src/postgres/key-mapping.ts';
import { encodeRelationSize } from '../../../src/postgres/relation-size.ts';
import { fabricateCluster, pages } from '../../postgres/fabricated-cluster.ts';
import { addValues, TIMELINE_IDS } from '../../support/exported-clusters.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { walRecord } from '../../support/wal-records.ts';
import { parseError, parseLines, runCli } from '../support.ts';

const LSN = 0x16c_3560n;
const FILES = {
  'base/5/16384': pages(3, 1),
  'base/5/20000': pages(2, 2),
  'base/5/20000_init': pages(1, 3),
  'pg_xact/0000': pages(1, 4),
  'pg_multixact/members/0000': pages(1, 5),
  'pg_multixact/offsets/0000': pages(1, 6),
};

/** A place with a timeline below `bucket`; the export goes to `out`. */
async function placeWithTimeline(more = {}): Promise<{ bucket: string; out: string }> {
  const place = temporaryDirectory();
  const bucket = join(place, 'bucket');
  mkdirSync(join(place, 'for-out'));
  const cluster = fabricateCluster(
    { ...FILES, ...more, 'pg_twophase/.keep': '' },
    { redoLsn: LSN },
  );
  await importTimeline({ dataDirectory: cluster, target: bucket, ...TIMELINE_IDS, way: 'classic' });
  return { bucket, out: join(place, 'for-out', 'out') };
}

/** Adds a record without an image for blocks of 16384. */
async function addRecords(bucket: string, blocks: readonly number[] = [1, 2]): Promise<void> {
  const bytes = walRecord({ resourceManager: 10, info: 0, blocks: [{ blkno: 1 }] });
  const relation = { spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main' } as const;
  await addValues(
    bucket,
    LSN + 0x100n,
    blocks.map((blkno) => ({
      key: relationBlockKey({ ...relation, blkno }),
      value: { type: 'wal' as const, willInit: false, bytes },
    })),
  );
}

test('pages without a value are one line with their number', async () => {
  const { bucket, out } = await placeWithTimeline();
  const relation = { spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'main' } as const;
  const bytes = encodeRelationSize(0xffff_ffff);
  await addValues(bucket, LSN + 0x100n, [
    { key: relationSizeKey(relation), value: { type: 'image', bytes } },
  ]);
  const result = await runCli(['export', 'pgdata', bucket, '--out', out, '--ndjson']);
  expect(result.status).toBe(1);
  expect(parseLines(result.stdout)).toEqual([
    {
      ...{ key: '000000067F00000005000040000000000003', lsn: '00000000016C3660', blkno: 3 },
      ...{ path: 'base/5/16384', offset: 3 * 8192, pages: 0xffff_ffff - 3 },
      error: { code: 'not-found', message: expect.stringContaining('no value') },
    },
  ]);
  expect(parseError(result)).toMatchObject({ code: 'not-found' });
  const people = await runCli(['export', 'pgdata', bucket, '--out', out]);
  expect(people.stdout).toMatch(/^base\/5\/16384: .*, and 4,294,967,291 more after it\n$/);
});

test('a timeline becomes a data directory, and the summary says what is in it', async () => {
  const { bucket, out } = await placeWithTimeline();
  const result = await runCli(['export', 'pgdata', bucket, '--out', out, '--ndjson']);
  expect(result.status).toBe(0);
  expect(parseLines(result.stdout)).toEqual([
    {
      summary: {
        ...{ path: out, lsn: '00000000016C3560', start_lsn: '00000000016C3560', pg_version: 17 },
        ...{ databases: 1, forks: 3, pages: 8, missing_pages: 0, new_checksums: 0 },
        ...{ unlogged: 1, left_out: [] },
      },
    },
  ]);
  expect(parseLines(result.stderr)).toEqual([
    { warning: { message: '1 unlogged relation without rows, as after a crash', path: out } },
  ]);
  expect(readFileSync(join(out, 'base/5/16384')).equals(FILES['base/5/16384'])).toBe(true);
});

test('people get the path on standard output, and the rest on standard error', async () => {
  const { bucket, out } = await placeWithTimeline();
  const result = await runCli(['export', 'pgdata', bucket, '--out', out]);
  expect(result).toMatchObject({ status: 0, stdout: `${out}\n` });
  expect(result.stderr).toContain('8 pages of 3 forks, at 0/16C3560\n');
});

describe('pages that need redo', () => {
  const PAGES = [1, 2].map((blkno) => ({
    key: `000000067F0000000500004000000000000${blkno}`,
    lsn: '00000000016C3660',
    path: 'base/5/16384',
    offset: blkno * 8192,
    blkno,
    error: { code: 'needs-redo', message: expect.stringContaining('base/5/16384') },
  }));

  test('pages that need redo are listed, the status is 1, and there is no directory', async () => {
    const { bucket, out } = await placeWithTimeline();
    await addRecords(bucket);
    const result = await runCli(['export', 'pgdata', bucket, '--out', out, '--ndjson']);
    expect(result.status).toBe(1);
    expect(parseLines(result.stdout)).toEqual(PAGES);
    expect(parseError(result)).toMatchObject({ code: 'needs-redo', path: 'base/5/16384' });
    expect(readdirSync(join(out, '..'))).toEqual([]);
    const json = await runCli(['export', 'pgdata', bucket, '--out', out, '--json']);
    expect(JSON.parse(json.stdout)).toEqual({ missing_pages: PAGES });
    const people = await runCli(['export', 'pgdata', bucket, '--out', out]);
    expect(people.stdout.match(/^base\/5\/16384: .* at offset \d+ \(key /gm)).toHaveLength(2);
  });

  test('pages that need redo are zeros on request, and the status is 1 all the same', async () => {
    const { bucket, out } = await placeWithTimeline();
    await addRecords(bucket);
    const words = ['export', 'pgdata', bucket, '--out', out, '--json', '--allow-missing-pages'];
    const result = await runCli(words);
    expect(result.status).toBe(1);
    expect(JSON.parse(result.stdout)).toMatchObject({
      missing_pages: PAGES,
      summary: { missing_pages: 2, pages: 8 },
    });
    expect(
      readFileSync(join(out, 'base/5/16384'))
        .subarray(8192)
        .every((byte) => byte === 0),
    ).toBe(true);
  });

  test('pages that need redo and that a program cannot make end with its failure, status 3, and no directory', async () => {
    const { bucket, out } = await placeWithTimeline();
    await addRecords(bucket);
    const words = ['export', 'pgdata', bucket, '--out', out, '--json', '--wal-redo', '/no/program'];
    const result = await runCli(words);
    expect(result.status).toBe(3);
    expect(parseError(result)).toMatchObject({ code: 'io', path: '/no/program' });
    expect(existsSync(out)).toBe(false);
  });

  test('pages that need redo and then a name that is taken are the failure, status 3', async () => {
    const { bucket, out } = await placeWithTimeline({ 'base/5/16384': pages(400, 1) });
    // So many that they are printed before the end.
    await addRecords(bucket, [...Array(400).keys()]);
    const words = ['export', 'pgdata', bucket, '--out', out, '--ndjson', '--allow-missing-pages'];
    const onFirstOutput = (): void => {
      mkdirSync(out);
      writeFileSync(join(out, 'of another'), '');
    };
    const result = await runCli(words, { onFirstOutput });
    expect(parseLines(result.stdout)).toHaveLength(400);
    expect(parseError(result)).toMatchObject({ code: 'io' });
    expect(result.status).toBe(3);
    expect(readdirSync(join(out, '..'))).toEqual(['out']);
    expect(readdirSync(out)).toEqual(['of another']);
  });

  describe('in a document', () => {
    /** So many that they are printed before the end. */
    async function manyMissing() {
      const place = await placeWithTimeline({ 'base/5/16384': pages(400, 1) });
      await addRecords(place.bucket, [...Array(400).keys()]);
      const { bucket, out } = place;
      return ['export', 'pgdata', bucket, '--out', out, '--json', '--allow-missing-pages'];
    }

    test('pages that need redo in a document, and then a failure, end the document after what was found', async () => {
      const words = await manyMissing();
      const out = words[4] ?? '';
      const onFirstOutput = (): void => {
        mkdirSync(out);
        writeFileSync(join(out, 'of another'), '');
      };
      const result = await runCli(words, { onFirstOutput });
      expect(result.status).toBe(3);
      const document: unknown = JSON.parse(result.stdout);
      expect(document).toEqual({ missing_pages: expect.any(Array) });
      expect(document).toHaveProperty('missing_pages.399.blkno', 399);
      expect(parseError(result)).toMatchObject({ code: 'io' });
    });

    test('pages that need redo in a document, and then an interruption, end the document, and there is no directory', async () => {
      const words = await manyMissing();
      const stop = new AbortController();
      const onFirstOutput = (): void => stop.abort();
      const result = await runCli(words, { onFirstOutput, signal: stop.signal });
      expect(result.status).toBe(130);
      expect(JSON.parse(result.stdout)).toEqual({ missing_pages: expect.any(Array) });
      expect(readdirSync(join(words[4] ?? '', '..'))).toEqual([]);
    });

    test('pages that need redo in a document are not printed if an interruption comes before any of it', async () => {
      const { bucket, out } = await placeWithTimeline();
      await addRecords(bucket);
      const words = ['export', 'pgdata', bucket, '--out', out, '--json', '--allow-missing-pages'];
      const stop = new AbortController();
      // Once the directory is begun, so that the pages follow.
      const watcher = watch(join(out, '..'), () => stop.abort());
      const result = await runCli(words, { signal: stop.signal }).finally(() => watcher.close());
      expect(result).toMatchObject({ status: 130, stdout: '' });
    });
  });

  test('pages that need redo are not there at an earlier LSN', async () => {
    const { bucket, out } = await placeWithTimeline();
    await addRecords(bucket);
    const result = await runCli(['export', 'pgdata', bucket, '--out', out, '--lsn', '0/16C3560']);
    expect(result.status).toBe(0);
  });
});

test('an export for a compute has its signals', async () => {
  const { bucket, out } = await placeWithTimeline();
  const result = await runCli(['export', 'pgdata', bucket, '--out', out, '--neon']);
  expect(result.status).toBe(0);
  expect(readFileSync(join(out, 'neon.signal'), 'latin1')).toBe('PREV LSN: invalid');
});

test.each([
  ['the source itself', 2, 'usage', (bucket: string) => bucket],
  ['in the source', 2, 'usage', (bucket: string) => join(bucket, 'out')],
  ['not empty', 1, 'exists', (bucket: string) => join(bucket, '..')],
])('an output that is %s is refused', async (_, status, code, outOf) => {
  const { bucket } = await placeWithTimeline();
  const before = readdirSync(bucket);
  const result = await runCli(['export', 'pgdata', bucket, '--out', outOf(bucket), '--json']);
  expect(result.status).toBe(status);
  expect(parseError(result)['code']).toBe(code);
  expect(readdirSync(bucket)).toEqual(before);
});

test('an LSN after the last one is 1, a missing source 3', async () => {
  const { bucket, out } = await placeWithTimeline();
  const words = ['export', 'pgdata', bucket, '--out', out, '--json', '--lsn', '0/5000000'];
  const after = await runCli(words);
  expect(after.status).toBe(1);
  expect(parseError(after)['code']).toBe('out-of-range');
  const missing = await runCli(['export', 'pgdata', join(bucket, 'none'), '--out', out]);
  expect(missing.status).toBe(3);
});

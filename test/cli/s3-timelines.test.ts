/** Timelines that grow and change their shape in a bucket, also one of a real server of S3. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { readWhole } from '../../src/object-store/read-whole.ts';
import {
  SK15_SEGMENT_NAME,
  SK15_TIMELINE,
  sk15Segment,
  writeSk15Base,
} from '../support/ingested-timelines.ts';
import { newS3Prefix, putFilesBelow, type S3Prefix } from '../support/s3-bucket.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseError, parseLines, type RunOptions, runCli } from './support.ts';

const END = '0/1540000';
const INDEX = `${SK15_TIMELINE}/index_part.json-0000000`;

interface Place extends S3Prefix {
  /** Local directories with the same objects: the base, and its WAL. */
  readonly local: string;
}

/** A prefix with the base of a timeline and its WAL. */
async function placeWithBase(): Promise<Place> {
  const local = temporaryDirectory();
  await writeSk15Base(join(local, 'base'));
  mkdirSync(join(local, 'wal'));
  writeFileSync(join(local, 'wal', SK15_SEGMENT_NAME), sk15Segment());
  const prefix = await newS3Prefix();
  await putFilesBelow(local, prefix.store);
  return { ...prefix, local };
}

/** As JSON, from `root/base` and `root/wal` into `root/out`. */
async function importWal(root: string, end: string, ...flags: string[]) {
  const inputs = ['--base', `${root}/base`, '--wal', `${root}/wal`, '--out', `${root}/out`];
  const size = ['--checkpoint-distance', '64KiB'];
  return runCli(['import', 'wal', ...inputs, '--end', end, ...size, '--json', ...flags]);
}

function layersOf(stdout: string): { name: string; path: string; size: number }[] {
  const [line] = parseLines(stdout);
  return (line?.['layers'] ?? []) as { name: string; path: string; size: number }[];
}

async function sha256Of({ store }: S3Prefix, key: string): Promise<string> {
  const { bytes } = await readWhole(store, key, { maximumLength: 64 * 1024 * 1024 });
  return createHash('sha256').update(bytes).digest('hex');
}

async function expectChecked(root: string): Promise<void> {
  const { status, stdout } = await runCli(['check', `${root}/`, '--deep', '--json']);
  expect(status, stdout).toBe(0);
}

async function expectSame(left: string, right: string): Promise<void> {
  const { status, stdout } = await runCli(['diff', `${left}/`, `${right}/`]);
  expect(status, stdout).toBe(0);
}

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('a timeline in S3 that continues with WAL', () => {
  test('a timeline in S3 that continues with WAL has the layers of one in a directory, and continues twice', async () => {
    const place = await placeWithBase();
    const first = await importWal(place.url, '0/1500000');
    expect(first.status, first.stderr).toBe(0);
    expect(layersOf(first.stdout).length).toBeGreaterThan(1);
    const before = await sha256Of(place, `out/${INDEX}1`);

    const again = await importWal(place.url, END);
    expect(again.status).toBe(1);
    expect(parseError(again)).toMatchObject({ code: 'exists' });
    expect(await sha256Of(place, `out/${INDEX}1`)).toBe(before);

    const resumed = await importWal(place.url, END, '--resume');
    expect(resumed.status, resumed.stderr).toBe(0);
    expect(layersOf(resumed.stdout).length).toBeGreaterThan(1);
    expect(await sha256Of(place, `out/${INDEX}1`)).not.toBe(before);

    expect((await importWal(place.local, '0/1500000')).status).toBe(0);
    expect((await importWal(place.local, END, '--resume')).status).toBe(0);
    await expectSame(`${place.url}/out`, `${place.local}/out`);
    await expectChecked(`${place.url}/out`);
  });
});

describe('L0s in S3', () => {
  /** A timeline with L0s, below `root/out`. */
  async function placeWithLevel0(): Promise<Place> {
    const place = await placeWithBase();
    const result = await importWal(place.url, END);
    expect(result.status, result.stderr).toBe(0);
    return place;
  }

  function compact(source: string, out: string, options: RunOptions = {}, ...flags: string[]) {
    const size = ['--threshold', '3', '--checkpoint-distance', '64KiB'];
    return runCli(['compact', `${source}/`, '--out', out, ...size, '--json', ...flags], options);
  }

  test('L0s in S3 become the same L1s in S3 and in a directory, in an index of the next generation', async () => {
    const { url, ...place } = await placeWithLevel0();
    const before = await sha256Of({ url, ...place }, `out/${INDEX}1`);
    const here = await compact(`${url}/out`, `${url}/out`);
    expect(here.status, here.stderr).toBe(0);
    const there = await compact(
      `${url}/out`,
      join(place.local, 'there'),
      {},
      '--generation=00000001',
    );
    expect(there.status, there.stderr).toBe(0);
    const made = layersOf(here.stdout).map(({ name, size }) => `${name} ${size}`);
    const copied = layersOf(there.stdout).map(({ name, size }) => `${name} ${size}`);
    expect(made.length).toBeGreaterThan(2);
    expect(copied).toEqual(expect.arrayContaining(made));
    expect(await sha256Of({ url, ...place }, `out/${INDEX}1`)).toBe(before);
    expect(await place.store.head(`out/${INDEX}2`)).toBeDefined();
    await expectSame(`${url}/out`, join(place.local, 'there'));
    const repeated = await compact(`${url}/out`, `${url}/out`);
    expect(repeated.status).toBe(0);
    expect(layersOf(repeated.stdout)).toEqual([]);
  });

  test('L0s in S3 that two processes compact have one index, and the other process gets an error', async () => {
    const { url } = await placeWithLevel0();
    const compacting = [1, 2].map(() => compact(`${url}/out`, `${url}/both`));
    const results = await Promise.all(compacting);
    const statuses = results.map(({ status }) => status).sort();
    expect(statuses, results.map(({ stderr }) => stderr).join('')).toEqual([0, 1]);
    const loser = results.find(({ status }) => status === 1);
    expect(loser && parseError(loser)).toMatchObject({ code: 'exists' });
    await expectChecked(`${url}/both`);
    await expectSame(`${url}/both`, `${url}/out`);
  });

  test('L0s in S3 whose compaction is interrupted stay what they were, and the next run stores what is missing', async () => {
    const { url, store } = await placeWithLevel0();
    const controller = new AbortController();
    const isBegun = async (): Promise<boolean> => {
      for await (const _ of store.list('cut/')) return true;
      return false;
    };
    const running = compact(`${url}/out`, `${url}/cut`, { signal: controller.signal });
    await vi.waitFor(async () => expect(await isBegun()).toBe(true), {
      timeout: 60_000,
      interval: 1,
    });
    controller.abort();
    expect((await running).status).toBe(130);
    expect(await store.head(`cut/${INDEX}2`)).toBeUndefined();
    const repeated = await compact(`${url}/out`, `${url}/cut`);
    expect(repeated.status, repeated.stderr).toBe(0);
    await expectChecked(`${url}/cut`);
    await expectSame(`${url}/cut`, `${url}/out`);
  });
});

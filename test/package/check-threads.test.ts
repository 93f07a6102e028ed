/** The built program finds the program of the threads that check and verify layers. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { unpackTimelines } from '../support/golden-timelines.ts';
import { CREDENTIALS, startS3 } from '../support/s3-server.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** Writes to standard error which threads have answered, and how many layers they have read. */
const WATCH_THREADS = `
  const read = new Map();
  process.on('worker', (worker) => worker.on('message', ({ kind }) => {
    const isLayer = kind === 'checked' || kind === 'verified';
    read.set(worker, (read.get(worker) ?? 0) + (isLayer ? 1 : 0));
  }));
  process.on('exit', () => {
    const counts = [...read.values()];
    console.error(JSON.stringify({ threads: counts.length, layers: counts.reduce((a, b) => a + b, 0) }));
  });`;

interface Watched {
  readonly threads: number;
  readonly layers: number;
  /** Lines of standard error before that. */
  readonly notes: readonly string[];
  readonly lines: readonly Record<string, unknown>[];
}

async function watch(words: readonly string[], environment: NodeJS.ProcessEnv): Promise<Watched> {
  const watcher = `data:text/javascript,${encodeURIComponent(WATCH_THREADS)}`;
  const running = promisify(execFile)(
    process.execPath,
    ['--import', watcher, PROGRAM, ...words, '--ndjson'],
    { env: { ...process.env, ...environment } },
  );
  const { stdout, stderr } = await running;
  const notes = stderr.trim().split('\n');
  const threads = JSON.parse(notes.pop() ?? '');
  const lines = stdout.trim().split('\n');
  return { ...threads, notes, lines: lines.map((line) => JSON.parse(line)) };
}

const TIMELINES = 'tenants/c0ffee00000000000000000000000001/timelines';

/** Where the nine layers of a timeline are, and what the program needs to read them there. */
interface Source {
  readonly source: string;
  readonly environment: NodeJS.ProcessEnv;
}

async function inDirectory(): Promise<Source> {
  const source = temporaryDirectory();
  // Small layers: the time goes into the processes.
  await unpackTimelines('branches', source);
  for (const other of ['1', '3']) {
    rmSync(join(source, TIMELINES, other.repeat(32)), { recursive: true });
  }
  return { source, environment: {} };
}

async function inBucket(): Promise<Source> {
  const { source } = await inDirectory();
  const { server } = await startS3();
  for (const name of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    const path = join(source, name);
    if (statSync(path).isFile()) server.put(`copy/${name}`, readFileSync(path));
  }
  const environment = {
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_REGION: 'us-east-1',
    AWS_ENDPOINT_URL_S3: server.endpoint,
  };
  return { source: 's3://layers/copy/', environment };
}

describe.each([
  ['a directory', inDirectory],
  ['a bucket', inBucket],
])('nine layers of %s', (_, place) => {
  test.each([
    ['2', 1],
    ['1', 0],
  ])('layers are checked deeply with -j %s by the caller and %i threads', async (jobs, threads) => {
    const { source, environment } = await place();
    const watched = await watch(['check', source, '--deep', '-j', jobs], environment);
    expect(watched.threads).toBe(threads);
    expect(watched.layers > 0).toBe(threads > 0);
    expect(watched.layers).toBeLessThan(9);
    expect(watched.lines.at(-1)?.['summary']).toMatchObject({ layers: 9, ok: true, errors: 0 });
  });

  test('nine layers are verified with -j 2 by the caller and a thread, with the reports of one', async () => {
    const { source, environment } = await place();
    const words = ['verify', source, '--page-checksums', '-j'];
    const two = await watch([...words, '2'], environment);
    const one = await watch([...words, '1'], environment);
    expect(two.threads).toBe(1);
    expect(two.layers).toBeGreaterThan(0);
    expect(two.layers).toBeLessThan(9);
    expect(one).toMatchObject({ threads: 0, layers: 0 });
    expect([two.lines, two.notes]).toEqual([one.lines, one.notes]);
    expect(two.lines).toHaveLength(9);
  });
});

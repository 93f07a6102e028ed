/** The built program finds the program of the threads that check layers. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { unpackTimelines } from '../support/golden-timelines.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));

/** Writes to standard error which threads have answered, and how many layers they have checked. */
const WATCH_THREADS = `
  const checked = new Map();
  process.on('worker', (worker) => worker.on('message', ({ kind }) => {
    checked.set(worker, (checked.get(worker) ?? 0) + (kind === 'checked' ? 1 : 0));
  }));
  process.on('exit', () => {
    const counts = [...checked.values()];
    console.error(JSON.stringify({ threads: counts.length, layers: counts.reduce((a, b) => a + b, 0) }));
  });`;

async function checkDeeply(jobs: string) {
  const directory = temporaryDirectory();
  await unpackTimelines('sk15', directory);
  const words = ['check', directory, '--deep', '-j', jobs, '--ndjson'];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [
    '--import',
    `data:text/javascript,${encodeURIComponent(WATCH_THREADS)}`,
    PROGRAM,
    ...words,
  ]);
  const lines = stdout.trim().split('\n');
  return { ...JSON.parse(stderr), summary: JSON.parse(lines.at(-1) ?? '').summary };
}

test.each([
  ['2', { threads: 2, layers: 9 }],
  ['1', { threads: 0, layers: 0 }],
])('check --deep -j %s of 9 layers with the built package: %o', async (jobs, expected) => {
  expect(await checkDeeply(jobs)).toMatchObject({
    ...expected,
    summary: { layers: 9, ok: true, errors: 0 },
  });
});

/** The examples for a fleet of workers: what a Kubernetes job runs, and how the lines of all workers are summed up. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { GOLDEN_DIRECTORY, goldenLayers } from '../support/golden.ts';
import { CREDENTIALS, S3Server } from '../support/s3-server.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FLEET = join(ROOT, 'examples', 'fleet');
const JOB = parse(readFileSync(join(FLEET, 'kubernetes-job.yaml'), 'utf8'));
const DAMAGED = '46-zstd-garbage';
const NOT_A_LAYER = 'tenants/notes.txt';

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(
  words: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string },
): Promise<Ended> {
  const [program = '', ...rest] = words;
  return new Promise((resolve) => {
    const child = execFile(
      program,
      rest,
      { cwd: FLEET, env: { ...process.env, ...options.env } },
      (error, stdout, stderr) => resolve({ status: Number(error?.code ?? 0), stdout, stderr }),
    );
    child.stdin?.end(options.input ?? '');
  });
}

/** A bucket with valid layers, a damaged one, and an object that is none; returns the URLs of the layers. */
function fill(server: S3Server): string[] {
  const corrupt = JSON.parse(
    readFileSync(join(GOLDEN_DIRECTORY, 'corrupt', 'corrupt.json'), 'utf8'),
  );
  const { file } = corrupt.files.find(({ id }: { id: string }) => id === DAMAGED);
  const paths = [
    ...goldenLayers()
      .slice(0, 6)
      .map(({ path }) => path),
    join(GOLDEN_DIRECTORY, 'corrupt', file),
  ];
  server.put(NOT_A_LAYER, Buffer.from('note'));
  return paths.map((path, number) => {
    const key = `tenants/${number}/${basename(path)}`;
    server.put(key, readFileSync(path));
    return `s3://layers/${key}`;
  });
}

function environmentOf(server: S3Server, directory: string): NodeJS.ProcessEnv {
  const bin = join(directory, 'bin');
  mkdirSync(bin, { recursive: true });
  const npx = `#!/bin/sh\nshift 2\nexec "${process.execPath}" "${join(ROOT, 'dist/cli.js')}" "$@"\n`;
  writeFileSync(join(bin, 'npx'), npx, { mode: 0o755 });
  return {
    PATH: `${bin}${delimiter}${process.env['PATH']}`,
    TMPDIR: directory,
    AWS_ENDPOINT_URL_S3: server.endpoint,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    BUCKET: 'layers',
    PREFIX: 'tenants/',
  };
}

const [WORKER] = JOB.spec.template.spec.containers;

test('the job is indexed, has as many shares as workers, and tries again only what could not be read', () => {
  const { spec } = JOB;
  expect([JOB.apiVersion, JOB.kind, spec.completionMode]).toEqual(['batch/v1', 'Job', 'Indexed']);
  const variables = WORKER.env.map(({ name, value }: { name: string; value: unknown }) => [
    name,
    value,
  ]);
  expect(Object.fromEntries(variables)).toEqual({
    SHARES: String(spec.completions),
    BUCKET: expect.any(String),
    PREFIX: expect.any(String),
  });
  expect(spec.parallelism).toBeLessThanOrEqual(spec.completions);
  expect(spec.maxFailedIndexes).toBe(spec.completions);
  // What Kubernetes requires of a job whose failures are judged by exit status.
  expect(spec.template.spec.restartPolicy).toBe('Never');
  expect(spec.backoffLimitPerIndex).toBeGreaterThan(0);
  const [usage] = spec.podFailurePolicy.rules;
  expect(usage.onExitCodes).toEqual({ containerName: WORKER.name, operator: 'In', values: [2] });
});

test('two workers check each layer of a bucket once, and their lines sum up to the damage', async () => {
  const directory = temporaryDirectory();
  const server = await S3Server.start();
  try {
    const names = fill(server);
    const env = { ...environmentOf(server, directory), SHARES: '2' };
    const workers = await Promise.all(
      ['0', '1'].map((index) => {
        const temporary = join(directory, index);
        mkdirSync(temporary);
        return run([...WORKER.command, ...WORKER.args], {
          env: { ...env, JOB_COMPLETION_INDEX: index, TMPDIR: temporary },
        });
      }),
    );
    for (const { status, stderr } of workers) expect([status, stderr]).toEqual([0, '']);
    const lines = workers.map(({ stdout }) => stdout);
    const checked = lines.join('').match(/(?<="name":")[^"]+/g);
    expect(checked?.sort()).toEqual(names.sort());
    const list = join(directory, 'list');
    writeFileSync(list, names.join('\n'));
    const sum = await run([process.execPath, 'sum-up.mjs', list], { input: lines.join('') });
    expect(sum.status).toBe(1);
    const numbers = JSON.parse(sum.stdout.trim().split('\n').at(-1) ?? '');
    expect(numbers).toMatchObject({ layers: 7, damaged: 1, unknown: 0, warnings: 0 });
    expect(sum.stdout).toContain(`damaged  ${names.find((name) => name.includes('/6/'))}`);
  } finally {
    await server.stop();
  }
});

test('a bucket that cannot be listed is not an empty bucket', async () => {
  const directory = temporaryDirectory();
  const server = await S3Server.start();
  try {
    const env = {
      ...environmentOf(server, directory),
      BUCKET: 'none',
      SHARES: '1',
      JOB_COMPLETION_INDEX: '0',
    };
    const worker = await run([...WORKER.command, ...WORKER.args], { env });
    expect(worker.status).toBe(3);
    expect(worker.stderr).toMatch(/^list-layers: .*none/);
  } finally {
    await server.stop();
  }
});

test('a second attempt replaces what was unknown, and a layer without a line is unknown', async () => {
  const list = join(temporaryDirectory(), 'list');
  writeFileSync(list, 'a\nb\nc\n');
  const line = (name: string, state: string) =>
    JSON.stringify({ name, state, ok: state === 'ok', findings: [] });
  const summary = '{"summary":{"layers":2},"findings":[]}';
  const first = [line('a', 'ok'), line('b', 'unknown'), summary, 'npm notice'];
  const sum = (lines: readonly string[]) =>
    run([process.execPath, 'sum-up.mjs', list], { input: lines.join('\n') });
  expect(await sum(first)).toMatchObject({
    status: 3,
    stdout:
      'unknown  b\nunknown  c\n{"layers":3,"damaged":0,"unknown":2,"errors":0,"warnings":0}\n',
  });
  const second = [line('b', 'ok'), line('c', 'ok'), line('a', 'unknown')];
  expect(await sum([...first, ...second])).toMatchObject({
    status: 0,
    stdout: '{"layers":3,"damaged":0,"unknown":0,"errors":0,"warnings":0}\n',
  });
});

/** Every program in `examples` runs, and prints what it is meant to show. */
import { execFile } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test, vi } from 'vitest';
import { goldenLayers } from '../support/golden.ts';
import { CREDENTIALS, startS3 } from '../support/s3-server.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const EXAMPLES = fileURLToPath(new URL('../../examples', import.meta.url));

async function runExample(name: string, cwd: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(EXAMPLES, name), ...args], {
    cwd,
  });
  return stdout;
}

test('each example has a test here, in the test of the README, or in that of the fleet', () => {
  const tested = ['write-read-dump.mjs', 'fleet'];
  const source = readFileSync(fileURLToPath(import.meta.url), 'utf8');
  const called = [...source.matchAll(/runExample\(\s*'([^']+)'/g)].map(([, name]) => name);
  const named = readdirSync(EXAMPLES).filter((name) => called.includes(name));
  expect([...tested, ...named].sort()).toEqual(readdirSync(EXAMPLES).sort());
});

test('CSV becomes a layer, and the layer CSV in the order of the keys', async () => {
  const cwd = temporaryDirectory();
  writeFileSync(join(cwd, 'pages.csv'), 'block,hex\n7,00ff\n2,c0de\n');
  const printed = await runExample('csv-and-back.mjs', cwd, 'pages.csv');
  expect(printed).toMatch(/^2 images in .*\nblock,hex\n2,c0de\n7,00ff\n$/);
  expect(readFileSync(join(cwd, 'back.csv'), 'utf8')).toBe('block,hex\n2,c0de\n7,00ff\n');
});

test('a value is read from a bucket by three requests', async () => {
  const { server } = await startS3();
  const path = goldenLayers().find(
    ({ manifest }) => manifest.case === '11-image-uncompressed',
  )?.path;
  server.put('a/layer', readFileSync(path ?? ''));
  vi.stubEnv('AWS_ACCESS_KEY_ID', CREDENTIALS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', CREDENTIALS.secretAccessKey);
  vi.stubEnv('AWS_REGION', 'us-east-1');
  vi.stubEnv('AWS_ENDPOINT_URL_S3', server.endpoint);
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  const key = '000000067F00000005000040000000000018';
  const printed = await runExample(
    'layer-in-s3.mjs',
    temporaryDirectory(),
    'layers',
    'a/layer',
    key,
  );
  expect(printed).toMatch(/^8192 bytes at \d+\n3 requests\n$/);
});

test('a value is read over HTTP by a few range requests', async () => {
  const [{ path, manifest } = { path: '', manifest: undefined }] = goldenLayers();
  const bytes = readFileSync(path);
  const server = createServer((request, response) => {
    const [, start = '0', end = ''] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
    const isRange = request.headers.range !== undefined;
    const body = isRange ? bytes.subarray(Number(start), Number(end) + 1) : bytes;
    response.writeHead(isRange ? 206 : 200, { 'Content-Length': body.length, ETag: '"one"' });
    response.end(request.method === 'HEAD' ? undefined : body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const [entry] = manifest?.dump ?? [];
    const url = `http://127.0.0.1:${port}/layer`;
    const printed = await runExample('over-http.mjs', EXAMPLES, url, entry?.key ?? '');
    expect(printed).toBe(`${entry?.hex}\n4 requests\n`);
  } finally {
    server.close();
  }
});

test('a log continues after a crash has torn its last record', async () => {
  const cwd = temporaryDirectory();
  const append = (text: string) => runExample('appender.mjs', cwd, 'log', text);
  expect(await append('one')).toBe('one\n');
  expect(await append('two')).toBe('one\ntwo\n');
  const whole = readFileSync(join(cwd, 'log'));
  writeFileSync(join(cwd, 'log'), whole.subarray(0, -1));
  expect(await append('three')).toBe('one\ncut 11 bytes of a torn record\nthree\n');
  const zeros = new Uint8Array(5);
  writeFileSync(join(cwd, 'log'), Buffer.concat([readFileSync(join(cwd, 'log')), zeros]));
  expect(await append('four')).toBe('one\nthree\ncut 5 bytes of a torn record\nfour\n');
  expect(await append('five')).toBe('one\nthree\nfour\nfive\n');
});

test('settings are counted up from start to start', async () => {
  const cwd = temporaryDirectory();
  expect(await runExample('settings-file.mjs', cwd)).toBe('start 1\n');
  expect(await runExample('settings-file.mjs', cwd)).toBe('start 2\n');
  expect(readdirSync(cwd)).toEqual(['settings']);
});

test('an abort leaves nothing, and an error says what is on disk', async () => {
  expect(await runExample('abort-and-errors.mjs', temporaryDirectory())).toBe(
    [
      'finish after an abort: aborted, not-applied',
      'files: 0',
      'the same key again: out-of-order',
      'finish: done',
      'one more of that name: exists',
      'a layer that is not there: not-found',
      'files: 1',
      '',
    ].join('\n'),
  );
});

test('a store that syncs survives every crash, and the crash that another does not survive is found', async () => {
  expect(await runExample('crash-test-your-store.mjs', temporaryDirectory())).toBe(
    [
      'with a sync: 49 states, no value lost',
      'without: after "value 0" a crash leaves ""',
      '',
    ].join('\n'),
  );
});

test('verifying a directory reports each layer, and fails for a damaged one', async () => {
  const cwd = temporaryDirectory();
  const [layer] = goldenLayers();
  const name = layer?.manifest.file ?? '';
  copyFileSync(layer?.path ?? '', join(cwd, name));
  writeFileSync(join(cwd, 'notes.txt'), 'not a layer');
  expect(await runExample('verify-in-ci.mjs', cwd, cwd)).toBe(`valid: 1 entries, ${name}\n`);
  const bytes = readFileSync(join(cwd, name));
  writeFileSync(join(cwd, name), bytes.fill(0xa0, 8192, 8193));
  await expect(runExample('verify-in-ci.mjs', cwd, cwd)).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringContaining('corrupt at 8192'),
  });
});

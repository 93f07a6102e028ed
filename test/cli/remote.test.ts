/** Commands that read a layer from S3 or from a web server. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { goldenLayers } from '../support/golden.ts';
import { CREDENTIALS, type S3Server, startS3 } from '../support/s3-server.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from './support.ts';

const PAGES =
  goldenLayers().find((layer) => layer.manifest.case === '11-image-uncompressed')?.path ?? '';
const KEY = ['rel=1663/5/16384', 'blkno=24'];

async function served(): Promise<{ server: S3Server; url: string }> {
  const { server } = await startS3();
  const key = `timelines/${basename(PAGES)}`;
  server.put(key, readFileSync(PAGES));
  vi.stubEnv('AWS_ACCESS_KEY_ID', CREDENTIALS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', CREDENTIALS.secretAccessKey);
  vi.stubEnv('AWS_REGION', 'us-east-1');
  vi.stubEnv('AWS_ENDPOINT_URL_S3', server.endpoint);
  return { server, url: `s3://layers/${key}` };
}

afterEach(() => vi.unstubAllEnvs());

/** What is printed names the argument, which differs. */
function withoutPaths(text: string): string {
  return text.replaceAll(/("path":)"[^"]*"/g, '$1""').replaceAll(/s3:\/\/\S*\/|\/\S*\//g, '');
}

describe('a layer in S3', () => {
  test.each([
    ['inspect', (file: string) => ['inspect', file, '--json']],
    ['get', (file: string) => ['get', file, ...KEY, '--json']],
    ['verify', (file: string) => ['verify', file, '--ndjson']],
    ['dump', (file: string) => ['dump', file, '--ndjson', '--values', 'sha256']],
    ['index', (file: string) => ['index', file, '--ndjson']],
    ['layout', (file: string) => ['layout', file, '--ndjson']],
    ['export page', (file: string) => ['export', 'page', file, ...KEY]],
  ])('%s of a layer in S3 prints the same as for the file', async (_, words) => {
    const { url } = await served();
    const local = await runCli(words(PAGES));
    const remote = await runCli([...words(url), '--s3-path-style']);
    expect(remote.stderr).toBe('');
    expect(remote.status).toBe(0);
    expect(withoutPaths(remote.stdout)).toBe(withoutPaths(local.stdout));
  });

  test('get takes three requests', async () => {
    const { server, url } = await served();
    await runCli(['get', url, ...KEY, '--raw']);
    expect(server.requests).toHaveLength(3);
  });

  test.each([
    ['a missing key', 's3://layers/missing', 3, 'not-found'],
    ['a missing bucket', 's3://other/missing', 3, 'io'],
    ['a bucket alone', 's3://layers', 2, 'usage'],
    ['a prefix', 's3://layers/timelines/', 2, 'usage'],
    ['no bucket', 's3:///a', 2, 'usage'],
  ])('inspect of %s, %s, ends with %i, %s', async (_, url, status, code) => {
    await served();
    const result = await runCli(['inspect', url, '--json']);
    expect(result.status).toBe(status);
    expect(result.stdout).toBe('');
    expect(parseError(result)).toMatchObject({ code });
  });

  test('a bucket that does not exist is distinguished from a missing object', async () => {
    await served();
    const { stderr, status } = await runCli(['ls', 's3://other/tenants/', '--ndjson']);
    expect(status).toBe(3);
    expect(stderr).toContain('bucket other does not exist');
    expect(stderr).toContain('NoSuchBucket');
  });

  test('a layer in S3 below a prefix is verified, with a slash at the end or without', async () => {
    const { server } = await served();
    server.put('timelines-2/other', new Uint8Array(1));
    for (const prefix of ['timelines', 'timelines/']) {
      const result = await runCli(['verify', `s3://layers/${prefix}`, '--ndjson']);
      expect(result.status).toBe(0);
      expect(parseLines(result.stdout)).toMatchObject([{ ok: true }]);
      expect(result.stderr).toBe('');
    }
  });

  test('an object of a name that is also a prefix is read', async () => {
    const { server } = await served();
    server.put('timelines', readFileSync(PAGES));
    const result = await runCli(['verify', 's3://layers/timelines', '--ndjson']);
    expect(parseLines(result.stdout)).toMatchObject([{ path: 's3://layers/timelines', ok: true }]);
  });

  test('a layer in S3 without credentials is denied', async () => {
    const { url } = await served();
    vi.stubEnv('AWS_ACCESS_KEY_ID', '');
    vi.stubEnv('AWS_CONFIG_FILE', '/nowhere');
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/nowhere');
    const result = await runCli(['verify', url, '--ndjson']);
    expect(result.status).toBe(3);
    expect(parseError(result)).toMatchObject({ code: 'denied', path: url });
  });

  test('damage of a layer in S3 is reported', async () => {
    const { server } = await served();
    const bytes = readFileSync(PAGES);
    bytes[20_000] = 0x7f;
    server.put('damaged', bytes.subarray(0, bytes.length - 8192));
    const result = await runCli(['verify', 's3://layers/damaged', '--ndjson']);
    expect(result.status).toBe(1);
    expect(parseLines(result.stdout)[0]).toMatchObject({ path: 's3://layers/damaged', ok: false });
  });

  test('a layer in S3 whose server stalls ends with the signal', async () => {
    const { server, url } = await served();
    server.fault = () => ({ kind: 'stall' });
    const result = await runCli(['dump', url, '--ndjson'], { signal: AbortSignal.timeout(100) });
    expect(result.status).toBe(130);
  });
});

describe('a layer on a web server', () => {
  test('a layer on a web server is read by its URL, whose query is not printed', async () => {
    const { server } = await served();
    const url = `${server.endpoint}/layers/timelines/${basename(PAGES)}?token=secret`;
    // The server of the tests wants a signature, which no plain URL has.
    server.isOpen = true;
    const result = await runCli(['inspect', url, '--json']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(parseLines(result.stdout)[0]).toMatchObject({
      path: `${server.endpoint}/layers/timelines/${basename(PAGES)}`,
      name_matches: true,
    });
    const verified = await runCli(['verify', url, '--ndjson']);
    expect(verified.stdout).not.toContain('secret');
    expect(parseLines(verified.stdout)[0]).toMatchObject({ ok: true });
  });

  test.each([
    ['inspect', []],
    ['inspect', ['--json']],
    ['dump', ['--ndjson']],
    ['get', ['rel=1663/5/16384', 'blkno=1']],
    ['get', ['rel=1663/5/16384', 'blkno=1', '--json']],
    ['verify', []],
    ['ls', []],
    ['export', ['page']],
  ])('%s %j tells no user, no password and no query of a URL', async (command, words) => {
    const { server } = await served();
    server.isOpen = true;
    const { host } = new URL(server.endpoint);
    for (const file of [`timelines/${basename(PAGES)}`, 'missing']) {
      const url = `http://somebody:hidden@${host}/layers/${file}?X-Amz-Signature=secret#hidden`;
      const given =
        command === 'export' ? ['export', 'page', url, ...KEY, '--json'] : [command, url, ...words];
      const { stdout, stderr } = await runCli(given);
      expect(stdout + stderr).not.toMatch(/secret|hidden|somebody/);
    }
  });

  test.each([
    [['check', '--files-from', '-', '--ndjson']],
    [['check', '--files-from', '-', '--deep']],
    [['check', '--files-from', '-', '--json', '--quiet']],
    [['manifest', 'create', '--files-from', '-', '--ndjson']],
    [['manifest', 'check', '--files-from', '-', '--ndjson']],
    [['manifest', 'check', '--files-from', '-']],
    [['salvage', 'URL', '--out', 'OUT', '--json']],
    [['salvage', 'URL', '--out', 'OUT']],
    [['rewrite', 'URL', '--out', 'OUT']],
    [['redact', 'URL', '--out', 'OUT', '--json']],
    [['diff', 'URL', 'URL']],
    [['diff', PAGES, 'URL', '--ndjson']],
    [['export', 'pgdata', 'URL', '--out', 'OUT/new']],
    [['compact', 'URL', '--out', 'OUT']],
    [['split-shards', 'URL', '--count', '2', '--out', 'OUT']],
  ])('%j tells no user, no password and no query of a URL', async (words) => {
    const { server } = await served();
    server.isOpen = true;
    const { host } = new URL(server.endpoint);
    const out = temporaryDirectory();
    for (const file of [`timelines/${basename(PAGES)}`, 'missing', '', 'bad host/x']) {
      const at = file === 'bad host/x' ? 'bad host' : host;
      const url = `http://somebody:hidden@${at}/layers/${file}?X-Amz-Signature=secret#hidden`;
      const given = words.map((word) => word.replace('URL', url).replace('OUT', out));
      const { stdout, stderr } = await runCli(given, { stdin: `${url}\n` });
      expect(stdout + stderr).not.toMatch(/secret|hidden|somebody/);
      expect(stdout + stderr).not.toBe('');
    }
  });

  test('a layer on a web server that a list names is checked by its name without the query', async () => {
    const { server } = await served();
    server.isOpen = true;
    const layer = readFileSync(PAGES);
    const name = basename(PAGES).replace(/.$/, (digit) => (digit === '1' ? '2' : '1'));
    server.put(`timelines/${name}`, layer);
    const url = `${server.endpoint}/layers/timelines/${name}?token=secret`;
    const words = ['check', '--files-from', '-', '--ndjson'];
    const { status, stdout } = await runCli(words, { stdin: url });
    expect(status).toBe(1);
    expect(parseLines(stdout)[0]).toMatchObject({ name: url.replace(/\?.*/, ''), ok: false });
  });
});

describe('the manifest of a layer in S3', () => {
  test('the manifest of a layer in S3 is stored beside it, finds a flipped bit, and mends a local copy', async () => {
    const { server, url } = await served();
    const place = [url.slice(0, url.lastIndexOf('/') + 1), '--s3-path-style', '--ndjson'];
    const created = await runCli(['manifest', 'create', ...place]);
    expect(created).toMatchObject({ status: 0, stderr: '' });
    const name = basename(PAGES);
    const sidecar = url.replace(name, `manifest-${name}`);
    expect(parseLines(created.stdout)).toMatchObject([{ path: url, manifest: sidecar }]);
    const again = await runCli(['manifest', 'create', ...place]);
    expect(again.status).toBe(1);
    expect(parseError(again)).toMatchObject({ code: 'exists', path: sidecar });
    const valid = await runCli(['manifest', 'check', ...place]);
    expect(valid).toMatchObject({ status: 0, stderr: '' });
    expect(parseLines(valid.stdout)).toMatchObject([{ path: url, ok: true, findings: [] }]);
    const bytes = readFileSync(PAGES);
    server.put(`timelines/${name}`, bytes.with(30_000, (bytes[30_000] ?? 0) ^ 32));
    const mended = temporaryDirectory();
    const result = await runCli(['manifest', 'check', ...place, '--mend', mended]);
    expect(result.status).toBe(1);
    expect(parseLines(result.stdout)).toMatchObject([
      { path: url, findings: [{ bit: { offset: 30_000, bit: 5 } }] },
    ]);
    expect(readFileSync(join(mended, name))).toEqual(bytes);
  });

  test('the manifest of a layer in S3 below another prefix finds a layer that is gone', async () => {
    const { server, url } = await served();
    const name = basename(PAGES);
    const prefix = url.slice(0, -name.length);
    const place = [prefix, '--s3-path-style', '--ndjson', '--manifests', 's3://layers/manifests'];
    expect((await runCli(['manifest', 'create', ...place])).status).toBe(0);
    expect(server.objects.has(`manifests/manifest-${name}`)).toBe(true);
    expect((await runCli(['manifest', 'check', ...place])).status).toBe(0);
    server.objects.delete(`timelines/${name}`);
    // Another object, so that the prefix is there.
    server.put('timelines/other', new Uint8Array(1));
    const { status, stdout } = await runCli(['manifest', 'check', ...place]);
    expect(status).toBe(1);
    const message = `no file, only its manifest s3://layers/manifests/manifest-${name}`;
    const findings = [{ code: 'not-found', message }];
    expect(parseLines(stdout)).toMatchObject([{ path: name, ok: false, findings }]);
  });

  test('the manifest of a layer in S3 may be in a directory, and a missing one is a finding', async () => {
    const { url } = await served();
    const directory = temporaryDirectory();
    const place = [url, '--s3-path-style', '--ndjson', '--manifests', directory];
    const missing = await runCli(['manifest', 'check', ...place]);
    expect(missing.status).toBe(1);
    expect(parseLines(missing.stdout)).toMatchObject([{ findings: [{ code: 'not-found' }] }]);
    expect((await runCli(['manifest', 'create', ...place])).status).toBe(0);
    expect((await runCli(['manifest', 'check', ...place])).status).toBe(0);
  });
});

/** Commands that read a timeline from S3 give what they give for the same files in a directory. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { readLines, unpackTimelines } from '../support/golden-timelines.ts';
import { CREDENTIALS, S3Server, startS3 } from '../support/s3-server.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from './support.ts';

const root = mkdtempSync(join(tmpdir(), 'layerfile-test-'));
const PLACE = 'tenants/000102030405060708090a0b0c0d0e0f/timelines/11223344556677881122334455667788';
/** One whose page is made of several versions. */
const KEY = readLines<{ key: string; records?: number }>('sk15-reconstruct.ndjson.br')
  .filter(({ records = 0 }) => records > 1)
  .map(({ key }) => key)
  .slice(0, 1);
const BUCKET = 's3://layers/copy/';
let files: ReadonlyMap<string, Uint8Array> = new Map();
/** The same in a bucket: hashed once. */
const bucket = new S3Server();

beforeAll(async () => {
  await unpackTimelines('sk15', root);
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' });
  const plain = names.filter((name) => statSync(join(root, name)).isFile());
  files = new Map(plain.map((name) => [name, readFileSync(join(root, name))]));
  for (const [name, bytes] of files) bucket.put(`copy/${name}`, bytes);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());

async function served(): Promise<S3Server> {
  const { server } = await startS3();
  for (const [key, object] of bucket.objects) server.objects.set(key, object);
  vi.stubEnv('AWS_ACCESS_KEY_ID', CREDENTIALS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', CREDENTIALS.secretAccessKey);
  vi.stubEnv('AWS_REGION', 'us-east-1');
  vi.stubEnv('AWS_ENDPOINT_URL_S3', server.endpoint);
  return server;
}

/** Paths differ in what is before the tenants. */
function relative(text: string): string {
  return text.replaceAll(BUCKET, '').replaceAll(`${root}/`, '');
}

describe('a timeline in S3', () => {
  test.each([
    ['ls', ['--ndjson'], []],
    ['check', ['--deep', '--json'], []],
    ['space', ['--by', 'layer', '--ndjson'], []],
    ['explain', ['--json'], KEY],
    ['find', ['--ndjson'], KEY],
    ['get', ['--json'], KEY],
    ['index-part', ['--json'], []],
    ['verify', ['--ndjson'], []],
  ])(
    '%s of a timeline in S3 prints the same as for the directory',
    async (command, options, key) => {
      await served();
      const local = await runCli([command, root, ...key, ...options]);
      const remote = await runCli([command, BUCKET, ...key, ...options]);
      expect([local.status, remote.status]).toEqual([0, 0]);
      expect(relative(remote.stderr)).toBe(relative(local.stderr));
      expect(local.stdout.length).toBeGreaterThan(100);
      expect(relative(remote.stdout)).toBe(relative(local.stdout));
    },
  );

  test('verify finds the damaged one of the layers below a prefix', async () => {
    const server = await served();
    const name = [...files.keys()].find((key) => /__/.test(key)) ?? '';
    server.put(`copy/${name}`, (files.get(name) ?? new Uint8Array()).subarray(0, 8192));
    const result = await runCli(['verify', BUCKET, '--ndjson']);
    expect(result.status).toBe(1);
    const damaged = parseLines(result.stdout).filter(({ ok }) => ok === false);
    expect(damaged.map(({ path }) => path)).toEqual([BUCKET + name]);
  });

  test('index-part set writes the next generation to a directory, and asks for one', async () => {
    await served();
    const words = ['index-part', 'set', BUCKET, 'archived_at=null', '--json'];
    expect(parseError(await runCli(words))).toMatchObject({ code: 'usage' });
    const out = temporaryDirectory();
    expect((await runCli([...words, '--out', out])).status).toBe(0);
    expect(readdirSync(out)).toEqual(['index_part.json-00000002']);
  });

  test('index-part reads one index by its s3:// and its https:// URL', async () => {
    const server = await served();
    const object = `copy/${PLACE}/index_part.json-00000001`;
    const bucket = await runCli(['index-part', `s3://layers/${object}`, '--json']);
    server.isOpen = true;
    const web = await runCli(['index-part', `${server.endpoint}/layers/${object}`, '--json']);
    expect(bucket.status).toBe(0);
    expect(parseLines(bucket.stdout)[0]).toMatchObject({ metadata_bytes: { pg_version: 15 } });
    expect(web.stdout).toBe(bucket.stdout);
  });

  test('index-part of an object that is missing is not-found', async () => {
    await served();
    const words = ['index-part', 's3://layers/copy/index_part.json-00000009', '--json'];
    const result = await runCli(words);
    expect([result.status, parseError(result)['code']]).toEqual([3, 'not-found']);
  });

  test('a layer by its URL is listed as the timeline that it is', async () => {
    await served();
    const name = [...files.keys()].find((key) => /__/.test(key)) ?? '';
    const local = await runCli(['ls', join(root, name), '--ndjson']);
    const remote = await runCli(['ls', BUCKET + name, '--ndjson']);
    expect(remote).toEqual(local);
  });

  test('one explained read costs a fixed number of requests and bytes', async () => {
    const server = await served();
    await runCli(['explain', BUCKET, ...KEY, '--json']);
    const found = { requests: server.requests.length, bytes: server.bytesSent };
    expect(found).toMatchInlineSnapshot(`
      {
        "bytes": 1185221,
        "requests": 14,
      }
    `);
  });
});

describe('a timeline as the source of a command for layers', () => {
  test('get has the newest version of find, and with --lsn the newest up to it', async () => {
    const found = await runCli(['find', root, ...KEY, '--ndjson']);
    const [newest, ...older] = parseLines(found.stdout);
    const { record: _, ...fields } = newest ?? {};
    const got = JSON.parse((await runCli(['get', root, ...KEY, '--json'])).stdout);
    expect(got).toMatchObject({ found: true, ...fields });
    const earlier = older.find(({ lsn }) => lsn !== newest?.['lsn']);
    const lsn = String(earlier?.['lsn']);
    const before = await runCli(['get', root, ...KEY, '--lsn', lsn, '--json']);
    expect(JSON.parse(before.stdout)).toMatchObject({ lsn });
    const people = await runCli(['get', root, ...KEY]);
    expect(people.stdout).toContain(String(newest?.['layer']));
  });

  test('get of a key that no layer has exits 1', async () => {
    const result = await runCli(['get', root, 'rel=1663/5/99999', 'blkno=0', '--json']);
    expect([result.status, result.stdout]).toEqual([1, '{"found":false}\n']);
  });

  test('get finds a timeline below a prefix without a slash at its end', async () => {
    await served();
    const place = `${BUCKET}${PLACE}`;
    const [bare, slash] = [
      await runCli(['get', place, ...KEY, '--json']),
      await runCli(['get', `${place}/`, ...KEY, '--json']),
    ];
    expect(bare).toEqual(slash);
    expect(JSON.parse(bare.stdout)).toMatchObject({ found: true });
    const dumped = await runCli(['dump', place, '--ndjson']);
    expect([dumped.status, parseError(dumped)['code']]).toEqual([2, 'usage']);
    const missing = await runCli(['get', `${BUCKET}missing`, ...KEY, '--json']);
    expect([missing.status, missing.stdout]).toEqual([3, '']);
    expect(parseError(missing)['code']).toBe('not-found');
  });

  test.each([
    [root, 3],
    [BUCKET, 2],
  ])('dump of %s exits %i, and names ls and find', async (source, status) => {
    const result = await runCli(['dump', source, '--ndjson']);
    expect([result.status, result.stdout]).toEqual([status, '']);
    expect(parseError(result)['message']).toMatch(/\bls\b.*\bfind\b/);
  });
});

describe('index-part rebuild of a listing on standard input', () => {
  const layers = (): string[] =>
    [...files].map(([name, { length }]) => `2026-01-02 03:04:05 ${length} ${name}`);

  test('index-part rebuild of a listing on standard input makes the same index as of the directory', async () => {
    const listing = layers().filter((line) => !line.includes('index_part'));
    const words = ['pg_version=15', '--out', '-'];
    const stdin = `${listing.join('\r\n')}\n`;
    const piped = await runCli(['index-part', 'rebuild', '-', ...words], { stdin });
    expect(piped.status).toBe(0);
    const server = await served();
    for (const key of server.objects.keys()) {
      if (key.includes('index_part')) server.objects.delete(key);
    }
    const bucket = await runCli(['index-part', 'rebuild', BUCKET, ...words]);
    expect(piped.stdout).toBe(bucket.stdout);
    const index = JSON.parse(
      Buffer.from(files.get(`${PLACE}/index_part.json-00000001`) ?? []).toString(),
    );
    const rebuilt = JSON.parse(piped.stdout);
    expect(Object.keys(rebuilt.layer_metadata).sort()).toEqual(
      Object.keys(index.layer_metadata).sort(),
    );
  });

  test.each([
    [
      'a layer without a size',
      (lines: string[]) => lines.map((line) => line.split(' ')[3]),
      'usage',
      2,
    ],
    ['an index', (lines: string[]) => lines, 'exists', 1],
    ['no layer', () => ['10 notes'], 'empty', 1],
  ])('a listing on standard input with %s is refused', async (_, linesOf, code, status) => {
    const isKept = code === 'exists' ? () => true : (line: string) => !line.includes('index_part');
    const stdin = linesOf(layers().filter(isKept)).join('\n');
    const words = ['index-part', 'rebuild', '-', 'pg_version=15', '--out', '-', '--json'];
    const result = await runCli(words, { stdin });
    expect(parseError(result)['code']).toBe(code);
    expect(result.status).toBe(status);
  });
});

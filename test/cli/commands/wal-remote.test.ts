/** `wal` and `inspect` of segments in a bucket. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { CREDENTIALS, startS3 } from '../../support/s3-server.ts';
import {
  FIRST_LSN,
  SEGMENTS,
  segmentBytes,
  walDirectoryOfTest,
  waldumpText,
} from '../golden-wal.ts';
import { parseError, runCli } from '../support.ts';

async function bucketOfWal(): Promise<string> {
  const { server } = await startS3();
  for (const name of SEGMENTS) server.put(`wal/${name}`, segmentBytes(name));
  const history = join(walDirectoryOfTest([]), '00000002.history');
  server.put('wal/00000002.history', readFileSync(history));
  vi.stubEnv('AWS_ACCESS_KEY_ID', CREDENTIALS.accessKeyId);
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', CREDENTIALS.secretAccessKey);
  vi.stubEnv('AWS_REGION', 'us-east-1');
  vi.stubEnv('AWS_ENDPOINT_URL_S3', server.endpoint);
  return 's3://layers/wal';
}

afterEach(() => vi.unstubAllEnvs());

test('a prefix is a directory of segments', async () => {
  const url = await bucketOfWal();
  const words = ['--timeline', '1', '--start', FIRST_LSN, '--end', '0/18041B0', '--stats'];
  const { status, stdout } = await runCli(['wal', `${url}/`, ...words]);
  expect(stdout).toBe(waldumpText('stats.txt'));
  expect(status).toBe(0);
});

test('an object with the name of a segment is that segment', async () => {
  const url = `${await bucketOfWal()}/${SEGMENTS[0]}`;
  const { status, stdout } = await runCli(['wal', url, '--limit', '1']);
  expect(stdout).toBe(`${waldumpText('records.txt.br').split('\n')[0]}\n`);
  expect(status).toBe(0);
  const inspected = await runCli(['inspect', url, '--json']);
  expect(JSON.parse(inspected.stdout)).toMatchObject({ kind: 'wal', name_matches: true });
});

test('a prefix without WAL: could not look', async () => {
  const url = (await bucketOfWal()).replace('/wal', '/other/');
  const result = await runCli(['wal', url, '--json']);
  expect([result.status, parseError(result)['code']]).toEqual([3, 'not-found']);
});

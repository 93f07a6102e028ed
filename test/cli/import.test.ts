import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fabricateCluster, pages } from '../postgres/fabricated-cluster.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from './support.ts';

const IDS = ['--tenant', 'AB'.repeat(16), '--timeline', '11'.repeat(16)];
const FILES = { 'base/5/16384': pages(3, 1), 'base/5/16384_vm': pages(1, 2) };

async function importInto(out: string, directory: string, ...flags: string[]) {
  return runCli(['import', 'pgdata', directory, '--out', out, ...IDS, ...flags]);
}

test('a cluster becomes a layer whose pages come out again', async () => {
  const out = temporaryDirectory();
  const result = await importInto(out, fabricateCluster(FILES), '--generation', '0000000a');
  expect(result.status).toBe(0);
  const [layer] = parseLines(result.stdout);
  expect(Object.keys(layer ?? {})).toEqual([
    'path',
    'name',
    'size',
    'entries',
    'index_start_blk',
    'index_root_blk',
    'left_out',
  ]);
  expect(layer).toMatchObject({ entries: 8, left_out: { control_file: 1, version: 2 } });
  expect(readdirSync(out)).toEqual([layer?.['name']]);
  expect(String(layer?.['name'])).toMatch(/__00000000016C3560-v1-0000000a$/);
  const path = join(out, String(layer?.['name']));
  const inspected = await runCli(['inspect', path, '--json']);
  expect(parseLines(inspected.stdout)).toMatchObject([
    { tenant_id: 'ab'.repeat(16), name_matches: true },
  ]);
  const page = await runCli(['export', 'page', path, 'rel=1663/5/16384', 'blkno=2']);
  expect(page.stdoutBytes).toEqual(Buffer.from(FILES['base/5/16384'].subarray(16384)));
  expect((await runCli(['verify', path])).status).toBe(0);
});

test('the LSN can be chosen', async () => {
  const out = temporaryDirectory();
  const result = await importInto(
    out,
    fabricateCluster(FILES),
    '--lsn',
    '0/5000000',
    '--no-compress',
  );
  expect(result.status).toBe(0);
  expect(parseLines(result.stdout)[0]?.['name']).toMatch(/__0000000005000000$/);
});

test('a cluster that was not shut down is 1, unless it is allowed', async () => {
  const out = temporaryDirectory();
  const directory = fabricateCluster(FILES, { state: 'in production' });
  const refused = await importInto(out, directory, '--json');
  expect(refused).toMatchObject({ status: 1, stdout: '' });
  expect(parseError(refused)['message']).toContain('in production');
  expect(readdirSync(out)).toEqual([]);
  expect((await importInto(out, directory, '--allow-unclean')).status).toBe(0);
});

test('a layer that is there is not replaced', async () => {
  const out = temporaryDirectory();
  const directory = fabricateCluster(FILES);
  expect((await importInto(out, directory)).status).toBe(0);
  const again = await importInto(out, directory, '--json');
  expect(again).toMatchObject({ status: 1, stdout: '' });
  expect(parseError(again)['code']).toBe('exists');
});

test('no directory is 3', async () => {
  const missing = join(temporaryDirectory(), 'missing');
  const result = await importInto(temporaryDirectory(), missing, '--json');
  expect(result).toMatchObject({ status: 3, stdout: '' });
  expect(parseError(result)['code']).toBe('not-found');
});

test('an interruption is 130, and nothing is left', async () => {
  const out = temporaryDirectory();
  const result = await runCli(
    ['import', 'pgdata', fabricateCluster(FILES), '--out', out, ...IDS, '--json'],
    { signal: AbortSignal.abort() },
  );
  expect(result).toMatchObject({ status: 130, stdout: '' });
  expect(readdirSync(out)).toEqual([]);
});

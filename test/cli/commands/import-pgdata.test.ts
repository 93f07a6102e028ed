import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fabricateCluster, pages } from '../../postgres/fabricated-cluster.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from '../support.ts';

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

test('problems that are allowed are warnings, and files that are left out are counted', async () => {
  const directory = fabricateCluster({
    ...FILES,
    backup_label: 'START WAL LOCATION: 0/2000028\n',
    'base/5/016384': 'x',
    'base/5/16384_fsm': pages(1, 1).subarray(1),
    'pg_wal/000000010000000000000001': 'x',
  });
  writeFileSync(join(directory, 'base/5/pg_filenode.map'), '');
  const out = temporaryDirectory();
  expect((await importInto(out, directory, '--allow-damaged')).stderr).toContain('backup_label');
  const unclean = await importInto(out, directory, '--allow-unclean');
  expect(unclean).toMatchObject({ status: 1, stdout: '' });
  expect(unclean.stderr).toContain('pg_filenode.map');
  expect(readdirSync(out)).toEqual([]);

  const result = await importInto(out, directory, '--allow-unclean', '--allow-damaged');
  expect(result.status).toBe(0);
  for (const name of ['backup_label', 'pg_filenode.map', '16384_fsm', '016384']) {
    expect(result.stderr).toMatch(new RegExp(`^warning: .*/${name}: `, 'm'));
  }
  expect(result.stderr).toContain('left out, by reason: WAL (1), control file (1)');
  expect(parseLines(result.stdout)[0]?.['left_out']).toEqual({
    wal: 1,
    control_file: 1,
    damaged_relation_map: 1,
    partial_page: 1,
    server_state: 1,
    unknown_name: 1,
    version: 2,
  });
});

test('an LSN of 0/0 is wrong usage, one below that of a page a finding', async () => {
  const bytes = pages(1, 1);
  new DataView(bytes.buffer).setUint32(4, 0x2000, true);
  const directory = fabricateCluster({ 'base/5/16384': bytes });
  const out = temporaryDirectory();
  expect((await importInto(out, directory, '--lsn', '0/0')).status).toBe(2);
  const below = await importInto(out, directory, '--lsn', '0/1FF8', '--json');
  expect(below).toMatchObject({ status: 1, stdout: '' });
  expect(parseError(below)['code']).toBe('out-of-range');
  expect(readdirSync(out)).toEqual([]);
  const taken = await importInto(out, directory, '--lsn', '0/1FF8', '--allow-unclean');
  expect(taken.status).toBe(0);
  expect(taken.stderr).toContain('warning: 1 page is newer than the layer');
});

import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
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

test('an existing layer is not replaced', async () => {
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

const STATE = {
  'pg_xact/0000': pages(1, 7),
  'pg_multixact/members/0000': pages(1, 8),
  'pg_multixact/offsets/0000': pages(1, 9),
  'pg_twophase/00000000000002F9': 'prepared',
};

describe('--layout remote', () => {
  test('a cluster becomes a timeline that every command reads', async () => {
    const out = join(temporaryDirectory(), 'bucket');
    const cluster = fabricateCluster({ ...FILES, ...STATE });
    const result = await importInto(out, cluster, '--layout', 'remote');
    expect(result.status).toBe(0);
    expect(result.stderr).toContain('prepared transaction');
    const [line] = parseLines(result.stdout);
    const below = `${out}/tenants/${'ab'.repeat(16)}/timelines/${'11'.repeat(16)}`;
    expect(line).toMatchObject({
      layers: [
        {
          path: expect.stringMatching(/__00000000016C3560-00000001$/),
          name: expect.stringMatching(/__00000000016C3560-00000001$/),
        },
      ],
      index_part: `${below}/index_part.json-00000001`,
      lsn: '00000000016C3560',
      left_out: { two_phase_files: 1, version: 2 },
    });
    const checked = await runCli(['check', out, '--deep']);
    expect(checked.status).toBe(0);
    const page = await runCli(['export', 'page', out, 'rel=1663/5/16384', 'blkno=2']);
    expect(page.stdoutBytes).toEqual(Buffer.from(FILES['base/5/16384'].subarray(16384)));
    const again = await importInto(out, cluster, '--layout', 'remote');
    expect(again.status).toBe(1);
    expect(again.stderr).toContain('the timeline exists');
  });

  test('shards have an index each, and the classic way has the prepared transaction', async () => {
    const out = temporaryDirectory();
    const cluster = fabricateCluster({ ...FILES, ...STATE }, { redoLsn: 0x16c_3560n });
    const flags = ['--layout', 'remote', '--classic', '--shard-count', '2', '--stripe-size', '1'];
    const result = await importInto(out, cluster, ...flags, '--generation', '0000000a');
    expect(result.status).toBe(0);
    const [line] = parseLines(result.stdout);
    expect(line?.['index_part']).toEqual([
      expect.stringMatching(/-0002\/timelines\/.*\/index_part.json-0000000a$/),
      expect.stringMatching(/-0102\/timelines\/.*\/index_part.json-0000000a$/),
    ]);
    const state = await runCli(['get', out, 'xid=761', '--raw']);
    expect(state.stdout).toBe('prepared');
    expect((await runCli(['check', out, '--deep'])).status).toBe(0);
  });

  test('an output inside of the data directory is refused, even if it is not there yet', async () => {
    const cluster = fabricateCluster(FILES);
    const result = await importInto(join(cluster, 'new/out'), cluster, '--layout', 'remote');
    expect(result.status).toBe(2);
    expect(readdirSync(cluster)).not.toContain('new');
  });

  test('a cluster that was not shut down is refused, and nothing is made', async () => {
    const out = join(temporaryDirectory(), 'out');
    const cluster = fabricateCluster({ ...FILES, ...STATE, 'standby.signal': '' });
    const result = await importInto(out, cluster, '--layout', 'remote');
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('standby.signal');
    expect(existsSync(out)).toBe(false);
    const allowed = await importInto(out, cluster, '--layout', 'remote', '--allow-unclean');
    expect(allowed.status).toBe(0);
    expect(allowed.stderr).toContain('standby.signal');
  });

  test.each([
    [['--classic']],
    [['--shard-count', '2']],
    [['--verify-checksums']],
    [['--layout', 'remote', '--shard-count', '256']],
    [['--layout', 'remote', '--stripe-size', '0']],
    [['--layout', 'remote', '--layer-size', '8191']],
    [['--layout', 'remote', '--jobs', '0']],
    [['--layout', 'remote', '-j', '65']],
    [['--layout', 'remote', '--verify-checksums', '--skip-checksums']],
  ])('import pgdata --layout remote with %j is wrong usage', async (flags) => {
    const out = temporaryDirectory();
    const result = await importInto(out, fabricateCluster(FILES), ...flags);
    expect(result.status).toBe(2);
    expect(readdirSync(out)).toEqual([]);
  });

  test('a bucket needs the layout', async () => {
    const result = await importInto('s3://bucket/prefix', fabricateCluster(FILES));
    expect(result.status).toBe(2);
    expect(result.stderr).toContain('--layout remote');
  });
});

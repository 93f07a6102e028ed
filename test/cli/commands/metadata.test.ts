import {
  copyFileSync,
  lstatSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { GOLDEN_DIRECTORY } from '../../support/golden.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from '../support.ts';

describe('metadata', () => {
  const golden = (name: string) => join(GOLDEN_DIRECTORY, 'layers', name);
  let directory = '';
  let file = '';

  beforeEach(() => {
    directory = temporaryDirectory();
    file = join(directory, 'metadata');
    copyFileSync(golden('16-metadata-v3/metadata-0'), file);
  });

  test('--set rewrites as version 4 and prints the new object', async () => {
    const result = await runCli([
      'metadata',
      file,
      '--set',
      'pg_version=17',
      'initdb_lsn=0/1696000',
      '--set',
      'prev_record_lsn=null',
      '--json',
    ]);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(parseLines(result.stdout)).toEqual([
      {
        format_version: 4,
        stored_format_version: 4,
        checksum: expect.any(Number),
        disk_consistent_lsn: '0000000000000200',
        prev_record_lsn: null,
        ancestor_timeline: '11223344556677881122334455667788',
        ancestor_lsn: '0000000000000000',
        latest_gc_cutoff_lsn: '0000000000000000',
        initdb_lsn: '0000000001696000',
        pg_version: 17,
      },
    ]);
    expect(await runCli(['metadata', file, '--ndjson'])).toEqual(result);
    expect(readdirSync(directory)).toEqual(['metadata']);
    expect(readFileSync(file)).toHaveLength(512);
  });

  test('what Neon writes comes out of --set', async () => {
    copyFileSync(golden('15-metadata-v4/metadata-0'), file);
    const result = await runCli([
      ...['metadata', file, '--set'],
      ...['disk_consistent_lsn=0/16960E8', 'prev_record_lsn=null', 'ancestor_timeline=null'],
      ...['latest_gc_cutoff_lsn=00000000016960E0', 'initdb_lsn=1696000', 'pg_version=14'],
    ]);
    expect(result.status).toBe(0);
    expect(readFileSync(file)).toEqual(readFileSync(golden('15-metadata-v4/metadata-1')));
  });

  test('a link stays a link', async () => {
    const link = join(directory, 'link');
    symlinkSync('metadata', link);
    expect((await runCli(['metadata', link, '--set', 'pg_version=16'])).status).toBe(0);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    const { stdout } = await runCli(['metadata', file, '--json']);
    expect(parseLines(stdout)).toMatchObject([{ pg_version: 16 }]);
  });

  test.each([
    'pg_version=13',
    'pg_version=18',
    'pg_version=1e1',
    'disk_consistent_lsn=0/1',
    'disk_consistent_lsn=null',
    'ancestor_timeline=11',
    'initdb_lsn=xyz',
    'initdb_lsn=',
    'checksum=1',
    'format_version=4',
    '__proto__=1',
  ])('metadata --set %s is wrong usage and changes nothing', async (assignment) => {
    const before = readFileSync(file);
    const result = await runCli(['metadata', file, '--json', '--set', assignment]);
    expect(result).toMatchObject({ status: 2, stdout: '' });
    expect(parseError(result)['code']).toBe('usage');
    expect(readFileSync(file)).toEqual(before);
  });

  test('--set never creates a file', async () => {
    const missing = join(directory, 'missing');
    const result = await runCli(['metadata', missing, '--set', 'pg_version=16', '--json']);
    expect(result).toMatchObject({ status: 3, stdout: '' });
    expect(parseError(result)['code']).toBe('not-found');
    expect(readdirSync(directory)).toEqual(['metadata']);
  });

  test.each<[string, (bytes: Buffer) => Buffer, number, string]>([
    ['a checksum that is wrong', (bytes) => Buffer.from(bytes).fill(1, 0, 1), 1, 'corrupt'],
    ['a file that is too short', (bytes) => bytes.subarray(0, 511), 1, 'truncated'],
    [
      'a version that is unknown',
      (bytes) => Buffer.from(bytes).fill(5, 7, 8),
      4,
      'unsupported-version',
    ],
  ])('metadata reports %s and never rewrites the file', async (_, damage, status, code) => {
    const damaged = damage(readFileSync(file));
    writeFileSync(file, damaged);
    for (const flags of [[], ['--set', 'pg_version=16']]) {
      const result = await runCli(['metadata', file, '--json', ...flags]);
      expect(result).toMatchObject({ status, stdout: '' });
      expect(parseError(result)).toMatchObject({ code, path: file });
    }
    expect(readFileSync(file)).toEqual(damaged);
  });

  test('people see LSNs as Postgres prints them', async () => {
    const { stdout, status } = await runCli(['metadata', file]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/format version +3, read as version 4\n/);
    expect(stdout).toMatch(/prev_record_lsn +0\/100\n/);
  });
});

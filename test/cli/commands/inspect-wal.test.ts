import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { SEGMENTS, segmentBytes, walDirectoryOfTest } from '../golden-wal.ts';
import { parseError, runCli } from '../support.ts';

const [, , , LAST = ''] = SEGMENTS;
const [FIRST = ''] = SEGMENTS;

test('inspect prints the summary of a segment', async () => {
  const path = join(walDirectoryOfTest(), FIRST);
  const { status, stdout, stderr } = await runCli(['inspect', path, '--json']);
  expect(JSON.parse(stdout)).toEqual({
    path,
    kind: 'wal',
    size: 1_048_576,
    pg_version: 15,
    timeline: 1,
    system_identifier: '7713469958143959144',
    segment_size: 1_048_576,
    lsn_start: '0000000001600000',
    lsn_end: '0000000001700000',
    first_record_lsn: '0000000001600028',
    name_matches: true,
  });
  expect([status, stderr]).toEqual([0, '']);
});

test('a segment of a new timeline begins with pages of the old one', async () => {
  const path = join(walDirectoryOfTest(), LAST);
  const { status, stdout } = await runCli(['inspect', path]);
  expect(stdout).toContain('WAL segment of Postgres 15');
  expect(stdout).toContain('agrees with the first page');
  expect(status).toBe(0);
});

test('a segment under another name', async () => {
  const directory = walDirectoryOfTest();
  const renamed = join(directory, 'kept');
  renameSync(join(directory, FIRST), renamed);
  const kept = await runCli(['inspect', renamed, '--json']);
  expect(JSON.parse(kept.stdout)).toMatchObject({ kind: 'wal', name_matches: null });
  expect(kept.status).toBe(0);

  const wrong = join(directory, '000000010000000000000019');
  renameSync(renamed, wrong);
  const result = await runCli(['inspect', wrong, '--json']);
  expect(JSON.parse(result.stdout)).toMatchObject({ kind: 'wal', name_matches: false });
  expect(result.status).toBe(1);
});

test.each([
  ['of zeros', (bytes: Buffer) => bytes.fill(0), 1, 'corrupt'],
  ['that ends within its first header', (bytes: Buffer) => bytes.subarray(0, 30), 1, 'truncated'],
  ['of an unknown version', (bytes: Buffer) => bytes.fill(0xee, 0, 1), 4, 'unsupported-version'],
])(
  'inspect of a segment %s ends with its code and prints nothing',
  async (_, change, expected, code) => {
    const path = join(temporaryDirectory(), FIRST);
    writeFileSync(path, change(segmentBytes(FIRST)));
    const result = await runCli(['inspect', path, '--json']);
    expect([result.status, result.stdout]).toEqual([expected, '']);
    expect(parseError(result)).toMatchObject({ code, path });
  },
);

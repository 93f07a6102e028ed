import { describe, expect, test } from 'vitest';
import { parseLines, runCli } from '../support.ts';

describe('key', () => {
  const BLOCK = '000000067F00000005000040000000000007';

  test.each<[string[], object]>([
    [
      [BLOCK],
      {
        key: BLOCK,
        kind: 'rel_block',
        spcnode: 1663,
        dbnode: 5,
        relnode: 16384,
        fork: 'main',
        blkno: 7,
      },
    ],
    [
      ['rel=1663/5/16384', 'fork=main', 'blkno=7'],
      {
        key: BLOCK,
        kind: 'rel_block',
        spcnode: 1663,
        dbnode: 5,
        relnode: 16384,
        fork: 'main',
        blkno: 7,
      },
    ],
    [
      ['rel=1663/5/16384 fork=vm size'],
      {
        key: '000000067F000000050000400002FFFFFFFF',
        kind: 'rel_size',
        spcnode: 1663,
        dbnode: 5,
        relnode: 16384,
        fork: 'vm',
      },
    ],
    [
      ['slru=clog', 'segno=3', 'blkno=7'],
      {
        key: '010000000000000001000000030000000007',
        kind: 'slru_block',
        slru: 'clog',
        segno: 3,
        blkno: 7,
      },
    ],
    [['xid=740'], { key: '0200000000000000000000000000000002E4', kind: 'twophase', xid: 740 }],
    [
      ['xid=18446744073709551615'],
      {
        key: '02000000000000000000FFFFFFFFFFFFFFFF',
        kind: 'twophase',
        xid: '18446744073709551615',
      },
    ],
    [['control_file'], { key: '030000000000000000000000000000000000', kind: 'control_file' }],
    [['62'.padEnd(36, '0')], { key: '62'.padEnd(36, '0'), kind: 'metadata' }],
    [['FF'.padEnd(36, '0').toLowerCase()], { key: 'FF'.padEnd(36, '0'), kind: 'unknown' }],
  ])('key with %j prints the key and its meaning in JSON', async (words, expected) => {
    const result = await runCli(['key', ...words, '--json']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(parseLines(result.stdout)).toEqual([expected]);
  });

  test('people get the meaning of digits, and the digits of a meaning', async () => {
    const meaning = await runCli(['key', BLOCK.toLowerCase()]);
    expect(meaning.stdout).toMatch(/^block 7 of relation 1663\/5\/16384, main fork\n/);
    const digits = await runCli(['key', 'rel=1663/5/16384', 'fork=main', 'blkno=7']);
    expect(digits).toMatchObject({ status: 0, stdout: `${BLOCK}\n`, stderr: '' });
  });
});

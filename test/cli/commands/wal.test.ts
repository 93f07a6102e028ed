import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import {
  FIRST_LSN,
  SEGMENTS,
  segmentBytes,
  walDirectoryOfTest,
  waldumpText,
} from '../golden-wal.ts';
import { parseError, parseLines, type RunResult, runCli } from '../support.ts';

const OLD_TIMELINE = ['--timeline', '1', '--start', FIRST_LSN];

async function wal(words: readonly string[], directory = walDirectoryOfTest()): Promise<RunResult> {
  return runCli(['wal', directory, ...words]);
}

describe('the text is that of pg_waldump', () => {
  test.each([
    ['all records', [], 'records.txt.br'],
    ['a block of a relation', ['--rel', '1664/0/1213', '--block', '0'], 'block.txt'],
    ['a fork of any relation', ['--fork', 'vm'], 'fork.txt'],
    ['a transaction', ['--xid', '35958'], 'xid.txt'],
    [
      'images in records of a resource manager',
      ['--rmgr', 'heap', '--fullpage'],
      'heap-fullpage.txt',
    ],
    ['statistics', ['--end', '0/18041B0', '--stats'], 'stats.txt'],
    ['statistics by kind', ['--end', '0/18041B0', '--stats=record'], 'stats-record.txt'],
  ])('wal prints the text of pg_waldump for %s', async (_, words, golden) => {
    const { status, stdout } = await wal([...OLD_TIMELINE, ...words]);
    expect(stdout).toBe(waldumpText(golden));
    expect(status).toBe(0);
  });

  test('the text for the second timeline, which the WAL leads to by itself, is that of pg_waldump', async () => {
    const { status, stdout } = await wal(['--start', '0/180E4E0']);
    expect(stdout).toBe(waldumpText('timeline-2.txt'));
    expect(status).toBe(0);
  });
});

test('over both timelines, the records of the first end where the second begins', async () => {
  const { stdout } = await wal(['--start', FIRST_LSN]);
  const first = waldumpText('records.txt.br')
    .split('\n')
    .filter((line) => /lsn: (\S+)/.exec(line) !== null);
  const second = waldumpText('timeline-2.txt');
  const before = first.filter((line) => lsnOf(line) < 0x180e4e0);
  expect(stdout).toBe(`${before.join('\n')}\n${second}`);
});

test('without the history of the second timeline, only its segments are read, and a warning counts the others', async () => {
  const directory = walDirectoryOfTest();
  rmSync(join(directory, '00000002.history'));
  const { stdout, stderr, status } = await wal([], directory);
  expect(status).toBe(0);
  expect(stdout.endsWith(waldumpText('timeline-2.txt'))).toBe(true);
  const older = readdirSync(directory).filter((name) => name.startsWith('00000001'));
  const warning = `warning: ${older.length} segments of older timelines left out: no 00000002.history says`;
  expect(stderr).toContain(warning);
  expect((await wal(['--timeline', '1', '--limit', '1'], directory)).stderr).toBe('');
});

function lsnOf(line: string): number {
  return Number.parseInt(/lsn: 0\/([0-9A-F]+)/.exec(line)?.[1] ?? '0', 16);
}

test('the end of the WAL is a note for people, and no finding', async () => {
  const { status, stderr } = await wal([...OLD_TIMELINE, '--limit', '100000']);
  expect(stderr).toMatch(/^the WAL ends at 0\/180E4E0: .*\n$/);
  expect(status).toBe(0);
});

test('objects have the fields of pg_walinspect', async () => {
  const { stdout, status, stderr } = await wal([
    ...OLD_TIMELINE,
    '--limit',
    '1',
    '--ndjson',
    '--sha256',
  ]);
  expect(parseLines(stdout)).toEqual([
    {
      start_lsn: '0/1600028',
      end_lsn: '0/1600428',
      prev_lsn: '0/1500100',
      xid: 0,
      resource_manager: 'XLOG',
      record_type: 'FPI_FOR_HINT',
      record_length: 1017,
      main_data_length: 0,
      fpi_length: 968,
      description: '',
      blocks: [
        {
          id: 0,
          rel: '1664/0/1262',
          fork: 0,
          blk: 0,
          data_len: 0,
          fpi_len: 968,
          fpi_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        },
      ],
    },
  ]);
  expect([status, stderr]).toEqual([0, '']);
});

test('one document holds the same objects, and statistics are objects, too', async () => {
  const directory = walDirectoryOfTest();
  const lines = await wal([...OLD_TIMELINE, '--limit', '3', '--ndjson'], directory);
  const document = await wal([...OLD_TIMELINE, '--limit', '3', '--json'], directory);
  expect(JSON.parse(document.stdout)).toEqual(parseLines(lines.stdout));
  const statistics = await wal(
    [...OLD_TIMELINE, '--end', '0/18041B0', '--stats', '--ndjson'],
    directory,
  );
  expect(parseLines(statistics.stdout).find(({ name }) => name === 'Gin')).toEqual({
    name: 'Gin',
    records: 2,
    record_bytes: expect.any(Number),
    fpi_bytes: expect.any(Number),
    bytes: expect.any(Number),
  });
});

test('page images become files, named as by pg_waldump', async () => {
  const directory = walDirectoryOfTest();
  const out = join(temporaryDirectory(), 'images');
  const words = [...OLD_TIMELINE, '--fullpage', '--limit', '5', '--ndjson', '--sha256'];
  const { stdout, status } = await wal([...words, '--save-fullpage', out], directory);
  expect(status).toBe(0);
  const digests = parseLines(stdout).flatMap(({ blocks }) =>
    (blocks as { fpi_sha256?: string }[]).flatMap(({ fpi_sha256 }) => fpi_sha256 ?? []),
  );
  const files = readdirSync(out).sort();
  expect(files[0]).toBe('00000001-00000000-01600028.1664.0.1262.0_main');
  const saved = files.map((name) =>
    createHash('sha256')
      .update(readFileSync(join(out, name)))
      .digest('hex'),
  );
  expect(saved).toEqual(digests);

  const again = await wal([...words, '--save-fullpage', out], directory);
  expect(again.status).toBe(1);
  expect(parseError(again)).toMatchObject({ code: 'exists' });
});

describe('damage', () => {
  /** A directory in which one byte of a record is another. */
  function damagedDirectory(): string {
    const directory = walDirectoryOfTest(SEGMENTS.slice(0, 3));
    const bytes = segmentBytes(SEGMENTS[0] as string);
    bytes[0x28 + 100] = (bytes[0x28 + 100] ?? 0) ^ 1;
    writeFileSync(join(directory, SEGMENTS[0] as string), bytes);
    return directory;
  }

  test('damage is a line in its place, and the end', async () => {
    const { stdout, status, stderr } = await wal([...OLD_TIMELINE, '--ndjson'], damagedDirectory());
    expect(parseLines(stdout)).toEqual([
      { lsn: '0/1600028', error: expect.objectContaining({ code: 'corrupt' }) },
    ]);
    expect([status, stderr]).toEqual([1, '']);
  });

  test('damage is passed over on demand', async () => {
    const { stdout, status } = await wal(
      [...OLD_TIMELINE, '--ndjson', '--skip-corrupt'],
      damagedDirectory(),
    );
    const [first, second, ...rest] = parseLines(stdout);
    expect(first).toEqual({
      lsn: '0/1600028',
      resumes_at: expect.stringMatching(/^0\/160[0-9A-F]{4}$/),
      error: expect.objectContaining({ code: 'corrupt' }),
    });
    expect(second).toMatchObject({ xid: expect.any(Number) });
    expect(rest.length).toBeGreaterThan(1500);
    expect(status).toBe(1);
  });

  test('damage is shown to people in red, and counted in no statistics', async () => {
    const directory = damagedDirectory();
    const coloured = await runCli(['wal', directory, ...OLD_TIMELINE], {
      environment: { FORCE_COLOR: '1' },
    });
    expect(coloured.stdout).toContain('\u001b[31mdamaged at 0/1600028: ');
    const counted = await wal([...OLD_TIMELINE, '--stats'], directory);
    expect(counted.stderr).toMatch(/^error\[corrupt\]: .*\n$/);
    expect(counted.status).toBe(1);
  });

  test('a missing segment is a gap', async () => {
    const directory = walDirectoryOfTest([SEGMENTS[0] as string, SEGMENTS[2] as string]);
    const { stdout, status } = await wal([...OLD_TIMELINE, '--ndjson'], directory);
    expect(parseLines(stdout).at(-1)).toMatchObject({ error: { code: 'gap' } });
    expect(status).toBe(1);
  });

  test('damage of the magic of a page is damage, not an unknown version', async () => {
    const directory = walDirectoryOfTest(SEGMENTS.slice(0, 3));
    const bytes = segmentBytes(SEGMENTS[0] as string);
    bytes[8192] = 0x7f;
    writeFileSync(join(directory, SEGMENTS[0] as string), bytes);
    const { stdout, status } = await wal([...OLD_TIMELINE, '--ndjson'], directory);
    expect(parseLines(stdout).at(-1)).toMatchObject({ error: { code: 'corrupt' } });
    expect(status).toBe(1);
  });
});

describe('sources', () => {
  test('files, in any order, are one WAL', async () => {
    const directory = walDirectoryOfTest();
    const paths = [SEGMENTS[2], SEGMENTS[0], SEGMENTS[1]].map((name) =>
      join(directory, String(name)),
    );
    const { stdout } = await runCli([
      'wal',
      '--stats',
      ...paths,
      '--start',
      FIRST_LSN,
      '--end',
      '0/18041B0',
    ]);
    expect(stdout).toBe(waldumpText('stats.txt'));
  });

  test('standard input is a segment', async () => {
    const stdin = segmentBytes(SEGMENTS[0] as string);
    const { stdout, status } = await runCli(['wal', '-', '--limit', '1'], { stdin });
    expect(stdout).toBe(`${waldumpText('records.txt.br').split('\n')[0]}\n`);
    expect(status).toBe(0);
  });

  test('a directory without WAL, and a path that is not there: could not look', async () => {
    const empty = temporaryDirectory();
    const none = await runCli(['wal', empty, '--json']);
    expect([none.status, parseError(none)['code']]).toEqual([3, 'not-found']);
    const missing = await runCli(['wal', join(empty, 'missing'), '--json']);
    expect([missing.status, parseError(missing)['code']]).toEqual([3, 'not-found']);
  });

  test.each([
    ['of something else is damage', [0x5a, 0x5a], 1],
    ['of another version is told apart from damage', [0x18, 0xd1], 4],
  ])('wal of a file %s', async (_, magic, expected) => {
    const path = join(temporaryDirectory(), 'file');
    const bytes = Buffer.alloc(8192, 0x5a);
    bytes.set(magic);
    writeFileSync(path, bytes);
    const { status, stdout } = await runCli(['wal', path]);
    expect([status, stdout]).toEqual([expected, '']);
  });
});

describe('wrong usage', () => {
  test.each([
    [['--block', '0'], /--rel/],
    [['--rmgr', 'Haep'], /did you mean "heap"|Heap/i],
    [['--rmgr', 'unknown'], /unknown resource manager/],
    [['--timeline', '0'], /1 to 4294967295/],
    [['--stats=recrod'], /--stats: expected rmgr, record or a path of WAL, found "recrod"/],
    [['--xid', '-1'], /integer/],
    [['--xid', '4294967296'], /0 to 4294967295/],
    [['--rel', '1/2/3', '--block', '4294967296'], /0 to 4294967295/],
    [['--start', '0/2', '--end', '0/1'], /range/],
    [['--save-fullpage', '-'], /directory/],
  ])(
    'wal with %j is wrong usage, and the message says what was expected',
    async (words, message) => {
      const { status, stderr, stdout } = await wal(words);
      expect([status, stdout]).toEqual([2, '']);
      expect(stderr).toMatch(message);
    },
  );

  test('the help says what --stats alone prints', async () => {
    const { stdout } = await runCli(['wal', '--help']);
    expect(stdout.replace(/\s+/g, ' ')).toMatch(/--stats \[rows\] .* \(preset: "rmgr"\)/);
  });

  test('standard input cannot be followed', async () => {
    const { status, stderr } = await runCli(['wal', '-', '--follow'], { stdin: '' });
    expect(status).toBe(2);
    expect(stderr).toContain('--follow needs a path');
  });

  test('wal without a path is wrong usage', async () => {
    const { status, stderr } = await runCli(['wal', '--stats']);
    expect(status).toBe(2);
    expect(stderr).toMatch(/path/);
  });

  test('standard input that is named twice', async () => {
    const { status, stderr } = await runCli(['wal', '-', '-']);
    expect([status, stderr]).toEqual([
      2,
      'error[usage]: standard input is named twice, but can be read only once\n',
    ]);
  });

  test('images inside the WAL directory', async () => {
    const directory = walDirectoryOfTest();
    const { status } = await wal(['--save-fullpage', join(directory, 'images')], directory);
    expect(status).toBe(2);
    expect(readdirSync(directory)).not.toContain('images');
  });
});

test('an interrupted --save-fullpage ends when no file is being written', async () => {
  const interruption = new AbortController();
  const images = join(temporaryDirectory(), 'images');
  const words = ['wal', walDirectoryOfTest(), ...OLD_TIMELINE, '--save-fullpage', images];
  const { status } = await runCli(words, {
    signal: interruption.signal,
    onFirstOutput: () => interruption.abort(),
  });
  const names = readdirSync(images);
  expect(status).toBe(130);
  expect(names.filter((name) => name.includes('___temp'))).toEqual([]);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(readdirSync(images)).toEqual(names);
});

test('a growing directory is followed until the interruption', async () => {
  const [first = '', second = ''] = SEGMENTS;
  const directory = walDirectoryOfTest([first]);
  const interruption = new AbortController();
  const expected = waldumpText('records.txt.br')
    .split('\n')
    .filter((line) => line !== '' && lsnOf(line) < 0x1800000);
  // The last record of the first segment may end in the second one.
  const linesOfFirst = expected.filter((line) => lsnOf(line) < 0x1700000).length - 1;
  let lineCount = 0;
  const { stdout, status } = await runCli(['wal', directory, ...OLD_TIMELINE, '--follow'], {
    signal: interruption.signal,
    onOutput: (chunk) => {
      const before = lineCount;
      lineCount += chunk.toString('latin1').split('\n').length - 1;
      const reaches = (count: number): boolean => before < count && lineCount >= count;
      if (reaches(linesOfFirst)) {
        writeFileSync(join(directory, second), segmentBytes(second));
      }
      // It looks for more every 250 ms.
      if (reaches(expected.length)) setTimeout(() => interruption.abort(), 300);
    },
  });
  expect(status).toBe(130);
  expect(stdout.split('\n').slice(0, -1)).toEqual(expected);
});

test.each([
  ['--json', (stdout: string) => JSON.parse(stdout).length],
  ['--stats', (stdout: string) => Number(/^Total +(\d+) /m.exec(stdout)?.[1])],
])(
  'followed WAL that is interrupted has complete output with %s',
  async (format, countOf) => {
    const [first = ''] = SEGMENTS;
    const directory = walDirectoryOfTest([first]);
    const whole = await runCli(['wal', directory, ...OLD_TIMELINE, '--json']);
    const count = JSON.parse(whole.stdout).length;
    const words = ['wal', directory, ...OLD_TIMELINE, '--follow', format];
    let printed = Number.NaN;
    // On a slow machine, the end of the WAL is reached late.
    for (const delayMs of [300, 1000, 3000, 9000]) {
      const { stdout, status } = await runCli(words, { signal: AbortSignal.timeout(delayMs) });
      expect(status).toBe(130);
      printed = stdout === '' ? Number.NaN : countOf(stdout);
      if (printed === count) break;
    }
    expect(printed).toBe(count);
  },
  30_000,
);

test('segments that are named are followed to the end of the last one', async () => {
  const [first = '', second = ''] = SEGMENTS;
  const directory = walDirectoryOfTest([first, second]);
  const path = join(directory, first);
  writeFileSync(path, segmentBytes(first).subarray(0, 65536));
  const expected = walDirectoryOfTest([first]);
  let hasGrown = false;
  const { stdout, stderr, status } = await runCli(['wal', path, '--follow'], {
    signal: AbortSignal.timeout(20_000),
    onOutput: () => {
      if (!hasGrown) writeFileSync(path, segmentBytes(first));
      hasGrown = true;
    },
  });
  expect(status).toBe(0);
  expect(stdout).toBe((await runCli(['wal', expected])).stdout);
  expect(stderr).toContain(`expected segment ${second}`);
}, 30_000);

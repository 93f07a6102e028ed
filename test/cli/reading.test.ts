/** inspect, dump, get and export page on a small layer of each kind. */
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { corruptFiles } from '../support/golden.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseError, parseLines, type RunResult, runCli } from './support.ts';

const key = (block: number) =>
  `000000067F000000050000400000${block.toString(16).toUpperCase().padStart(8, '0')}`;
const IDS = {
  tenant_id: '00'.repeat(16),
  timeline_id: '11'.repeat(16),
  key_start: key(0),
  key_end: key(9),
};
const DELTA = { kind: 'delta', ...IDS, lsn_start: '0/100', lsn_end: '0/900' };
const IMAGE = { kind: 'image', ...IDS, lsn: '0/500' };
const PAGE = 'c0de'.repeat(4096);

let directory = '';
let delta = '';
let image = '';

beforeEach(async () => {
  directory = temporaryDirectory();
  delta = await build(DELTA, [
    { key: key(1), lsn: '0/100', value: { type: 'image', hex: PAGE } },
    { key: key(1), lsn: '0/200', value: { type: 'wal', will_init: false, hex: 'aabb' } },
    { key: key(2), lsn: '0/300', value: { type: 'clear_vm', new: 1, old: null, flags: 3 } },
    { key: key(4), lsn: '0/400', value: { type: 'wal', will_init: true, hex: '' } },
    {
      key: key(5),
      lsn: '0/800',
      value: { type: 'aux_file', path: '\x1b]0;\u202e', content: '00' },
    },
  ]);
  image = await build(IMAGE, [
    { key: key(1), hex: PAGE },
    { key: key(3), hex: '' },
    { key: key(8), hex: '1234' },
  ]);
});

async function build(header: object, entries: object[]): Promise<string> {
  const stdin = [header, ...entries].map((line) => JSON.stringify(line)).join('\n');
  const result = await runCli(['build', '--out', directory], { stdin });
  return String(parseLines(result.stdout)[0]?.['path']);
}

async function dumpKeys(...words: string[]): Promise<unknown[]> {
  const result = await runCli(['dump', ...words, '--ndjson']);
  expect(result).toMatchObject({ status: 0, stderr: '' });
  return parseLines(result.stdout).map((line) => `${String(line['key']).at(-1)}@${line['lsn']}`);
}

const lsn = (text: string) => text.padStart(16, '0');

test('get shows a record that has bytes inside as one line', async () => {
  const { stdout } = await runCli(['get', delta, key(5)]);
  expect(stdout).toContain('\n{"type":"aux_file","path":"\\u001b]0;\\u202e","content":"00"}\n');
});

describe('dump', () => {
  const all = () => [
    `1@${lsn('100')}`,
    `1@${lsn('200')}`,
    `2@${lsn('300')}`,
    `4@${lsn('400')}`,
    `5@${lsn('800')}`,
  ];

  test.each<[string[], number, number]>([
    [[], 0, 5],
    [['--key-start', key(2)], 2, 5],
    [['--key-start', key(2).toLowerCase()], 2, 5],
    [['--key-end', key(2)], 0, 2],
    [['--key-start', key(1), '--key-end', key(4)], 0, 3],
    [['--key-start', key(6)], 5, 5],
    [['--key-start', key(4), '--key-end', key(4)], 0, 0],
    [['--key-start', key(4), '--key-end', key(2)], 0, 0],
    [['--lsn-start', '0/200'], 1, 5],
    [['--lsn-end', '200'], 0, 1],
    [['--lsn-start', '0000000000000200', '--lsn-end', '0/400'], 1, 3],
    [['--lsn-start', '0/400', '--lsn-end', '0/400'], 0, 0],
    [['--limit', '2'], 0, 2],
    [['--limit', '0'], 0, 0],
    [['--limit', '99'], 0, 5],
    [['--key-start', key(1), '--lsn-start', '0/200', '--limit', '1'], 1, 2],
  ])('a delta with %j', async (flags, from, to) => {
    expect(await dumpKeys(delta, ...flags)).toEqual(all().slice(from, to));
  });

  test.each<[string[], string[]]>([
    [[], ['1', '3', '8']],
    [
      ['--lsn-start', '0/500'],
      ['1', '3', '8'],
    ],
    [['--lsn-start', '0/501'], []],
    [['--lsn-end', '0/500'], []],
    [
      ['--lsn-end', '0/501', '--key-start', key(3)],
      ['3', '8'],
    ],
  ])('an image layer with %j', async (flags, blocks) => {
    expect(await dumpKeys(image, ...flags)).toEqual(
      blocks.map((block) => `${block}@${lsn('500')}`),
    );
  });

  test('an array of nothing is an array', async () => {
    const result = await runCli(['dump', delta, '--json', '--limit', '0']);
    expect(result).toMatchObject({ status: 0, stdout: '[]\n' });
  });

  test('the fields of a line have their order', async () => {
    const { stdout } = await runCli(['dump', image, '--ndjson', '--limit', '1']);
    expect(stdout).toMatch(
      /^\{"key":"[0-9A-F]{36}","lsn":"0{13}500","will_init":true,"offset":8192,"stored_len":\d+,"len":8192,"compressed":true,"type":"image"\}\n$/,
    );
  });

  test('values that people see hold no control characters', async () => {
    const shown = await runCli(['dump', delta, '--values', 'json'], {
      terminal: true,
      columns: 300,
      environment: { NO_COLOR: '1' },
    });
    expect(shown.stdout).toContain('\\u001b]0;\\u202e');
    expect(shown.stdout.replaceAll('\n', '')).toMatch(/^[\x20-\x7e]+$/);
  });

  test.each(['none', 'hex', 'sha256', 'json'])(
    'people see a table with values %s',
    async (values) => {
      const { stdout, status } = await runCli(['dump', delta, '--values', values]);
      const lines = stdout.trimEnd().split('\n');
      expect([status, lines.length]).toEqual([0, 6]);
      expect(lines[0]).toMatch(/^KEY +LSN +TYPE +OFFSET +STORED +LENGTH/);
      expect(lines[1]).toMatch(/^[0-9A-F]{36} {2}0\/100 {2}image .* 8,208 +8,204 /);
    },
  );
});

describe('get', () => {
  test.each<[string, string[], number, string]>([
    ['the newest', [key(1)], 0, lsn('200')],
    ['the newest at an LSN', [key(1), '--lsn', '0/200'], 0, lsn('200')],
    ['an older one', [key(1), '--lsn', '0/1FF'], 0, lsn('100')],
    ['nothing that old', [key(1), '--lsn', '0/FF'], 1, ''],
    ['no such key', [key(3)], 1, ''],
    ['a key below the layer', ['0'.repeat(36)], 1, ''],
    ['a key above the layer', ['F'.repeat(36)], 1, ''],
    ['fields', ['rel=1663/5/16384', 'blkno=4'], 0, lsn('400')],
  ])('of %s in a delta', async (_, words, status, found) => {
    const result = await runCli(['get', delta, ...words, '--json']);
    expect(result).toMatchObject({ status, stderr: '' });
    if (status === 1) expect(result.stdout).toBe('{"found":false}\n');
    else expect(parseLines(result.stdout)).toMatchObject([{ found: true, lsn: found }]);
  });

  test.each<[string[], number]>([
    [[key(1)], 0],
    [[key(1), '--lsn', '0/500'], 0],
    [[key(1), '--lsn', '0/4FF'], 1],
    [[key(2)], 1],
    [[key(3)], 0],
  ])('of %j in an image layer', async (words, status) => {
    expect((await runCli(['get', image, ...words, '--ndjson'])).status).toBe(status);
  });

  test('the line is that of dump, with the bytes', async () => {
    const dumped = await runCli([
      'dump',
      delta,
      '--ndjson',
      '--values',
      'hex',
      '--lsn-start',
      '0/300',
      '--limit',
      '1',
    ]);
    const found = await runCli(['get', delta, key(2), '--json']);
    expect(found.stdout).toBe(dumped.stdout.replace('{', '{"found":true,'));
  });

  test.each<[string, () => string, string, string]>([
    ['an image of a delta', () => delta, `${key(1)} --lsn 0/100`, PAGE],
    ['a WAL record', () => delta, key(1), 'aabb'],
    ['a WAL record of no bytes', () => delta, key(4), ''],
    ['another record, serialized', () => delta, key(2), '000000010000000101000000010003'],
    ['an image', () => image, key(8), '1234'],
    ['an image of no bytes', () => image, key(3), ''],
  ])('--raw of %s', async (_, layer, words, hex) => {
    const result = await runCli(['get', layer(), ...words.split(' '), '--raw']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdoutBytes.toString('hex')).toBe(hex);
  });

  test('--raw of nothing is an error', async () => {
    const result = await runCli(['get', delta, key(3), '--raw']);
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(result.stderr).toMatch(/^error\[not-found\]: /);
  });

  test('--raw does not go to a terminal', async () => {
    const result = await runCli(['get', delta, key(1), '--raw'], { terminal: true });
    expect(result).toMatchObject({ status: 2, stdout: '' });
  });

  test('people see the start of the bytes, without control characters', async () => {
    const page = await runCli(['get', image, key(1)]);
    expect(page.status).toBe(0);
    expect(page.stdout).toContain('block 1 of relation 1663/5/16384, main fork');
    expect(page.stdout).toContain('00000000  c0 de c0 de');
    expect(page.stdout).toContain('7,936 more bytes');
    const aux = await runCli(['get', delta, key(5)]);
    expect(aux.stdout.replaceAll('\n', '')).toMatch(/^[\x20-\x7e]+$/);
  });
});

describe('export page', () => {
  test('writes the bytes of an image to standard output', async () => {
    for (const words of [
      [image, key(1)],
      [delta, key(1), '--lsn', '0/100'],
      [image, 'rel=1663/5/16384', 'blkno=1'],
    ]) {
      const result = await runCli(['export', 'page', ...words]);
      expect(result).toMatchObject({ status: 0, stderr: '' });
      expect(result.stdoutBytes.toString('hex')).toBe(PAGE);
    }
  });

  test('writes or replaces a file', async () => {
    const out = join(temporaryDirectory(), 'page.bin');
    for (const _ of ['new', 'replaced']) {
      const result = await runCli(['export', 'page', image, key(1), '--out', out], {
        terminal: true,
      });
      expect(result).toMatchObject({ status: 0, stdout: '', stderr: '' });
      expect(readFileSync(out).toString('hex')).toBe(PAGE);
      writeFileSync(out, 'something else');
    }
    expect(readdirSync(join(out, '..'))).toEqual(['page.bin']);
  });

  test.each<[string, () => string[], string]>([
    ['a record', () => [delta, key(1)], 'needs-redo'],
    ['a record that begins a page', () => [delta, key(4)], 'needs-redo'],
    ['an empty image', () => [image, key(3)], 'out-of-range'],
    ['an image that is not a page', () => [image, key(8)], 'out-of-range'],
    ['nothing', () => [image, key(2)], 'not-found'],
    ['nothing that old', () => [image, key(1), '--lsn', '0/4FF'], 'not-found'],
  ])('of %s is an error', async (_, words, code) => {
    const result = await runCli(['export', 'page', ...words(), '--json']);
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(parseError(result)['code']).toBe(code);
  });

  test('cuts the timestamp off a page of the transaction status', async () => {
    const clog = `010000000000000001000000000000000000`;
    const path = await build({ ...IMAGE, key_start: '0'.repeat(36), key_end: 'F'.repeat(36) }, [
      { key: clog, hex: `${PAGE}0011223344556677` },
    ]);
    const result = await runCli(['export', 'page', path, 'slru=clog', 'segno=0', 'blkno=0']);
    expect(result.status).toBe(0);
    expect(result.stdoutBytes.toString('hex')).toBe(PAGE);
  });
});

describe('a name that contradicts the summary', () => {
  const wrongName = `${key(0)}-${key(9)}__0000000000000600`;

  test('inspect prints and exits 1, verify reports, dump, get and index go on', async () => {
    const path = join(directory, wrongName);
    renameSync(image, path);
    const inspected = await runCli(['inspect', path, '--json']);
    expect(inspected).toMatchObject({ status: 1, stderr: '' });
    expect(parseLines(inspected.stdout)[0]).toMatchObject({ name_matches: false, lsn: lsn('500') });

    const verified = await runCli(['verify', path, '--json']);
    expect(verified.status).toBe(1);
    expect(JSON.parse(verified.stdout)).toMatchObject({
      ok: false,
      files: [{ errors: 1, entries: 3 }],
    });

    const expectWarning = ({ status, stderr }: RunResult) => {
      expect(status).toBe(0);
      expect(parseLines(stderr)).toEqual([{ warning: { message: expect.any(String), path } }]);
    };
    const dumped = await runCli(['dump', path, '--ndjson']);
    expectWarning(dumped);
    expect(parseLines(dumped.stdout)).toHaveLength(3);
    const nothing = [
      ['--limit', '0'],
      ['--key-start', key(8), '--key-end', key(7)],
      ['--lsn-end', '0/1'],
    ];
    for (const words of [...nothing, ['--key-start', key(9)]]) {
      expectWarning(await runCli(['dump', path, '--ndjson', ...words]));
    }
    expectWarning(await runCli(['get', path, key(1), '--json']));
    expectWarning(await runCli(['index', path, '--json']));
  });

  test.each([
    ['layer.bin', null, 0],
    [`${key(0)}-${key(9)}__500`, true, 0],
    [`${key(0)}-${key(9)}__0000000000000500-v1-0000002a`, true, 0],
    [`${key(0)}-${key(9)}__0000000000000500-00000001`, true, 0],
    [`${key(0).toLowerCase()}-${key(9).toLowerCase()}__0000000000000500`, true, 0],
    [`${key(1)}-${key(9)}__0000000000000500`, false, 1],
    [`${key(0)}-${key(8)}__0000000000000500`, false, 1],
    [`${key(0)}-${key(9)}__0000000000000500-0000000000000501`, false, 1],
  ])('%s is %s', async (name, matches, status) => {
    const path = join(temporaryDirectory(), name);
    writeFileSync(path, readFileSync(image));
    const result = await runCli(['inspect', path, '--json']);
    expect(result.status).toBe(status);
    expect(parseLines(result.stdout)).toMatchObject([{ path, name_matches: matches }]);
  });
});

describe('a path that is not a file', () => {
  test.each(['inspect', 'dump', 'index', 'verify', 'metadata', 'get', 'export page'])(
    '%s says so with 3',
    async (command) => {
      const words = command.split(' ');
      const rest = command === 'get' || command === 'export page' ? [key(1)] : [];
      mkdirSync(join(directory, 'dir'));
      symlinkSync('nowhere', join(directory, 'dangling'));
      const names = command === 'verify' ? ['missing', 'dangling'] : ['missing', 'dangling', 'dir'];
      for (const name of names) {
        const path = join(directory, name);
        const result = await runCli([...words, path, ...rest, '--json']);
        expect([result.status, result.stdout.includes('found')]).toEqual([3, false]);
        expect(parseError(result)).toMatchObject({ path });
      }
      const device = await runCli([...words, '/dev/zero', ...rest, '--json']);
      expect(device.status).toBe(3);
      expect(parseError(device)).toMatchObject({ code: 'io', path: '/dev/zero' });
    },
  );
});

test('a damaged row says what is wrong, and neither the path nor its columns again', async () => {
  const path = corruptFiles().find((file) => file.id === '40-blob-len-past-eof')?.path ?? '';
  const { status, stdout } = await runCli(['dump', path]);
  expect(status).toBe(1);
  const row = stdout.split('\n').find((line) => line.includes('damaged'));
  expect(row).toMatch(
    / 8351 +blob reaches beyond the values: expected an end at or before 147456,/,
  );
  expect(row).not.toContain('blob-len-past-eof');
});

test('damage outside of the LSNs that are wanted is not told', async () => {
  const path = corruptFiles().find((file) => file.id === '40-blob-len-past-eof')?.path ?? '';
  for (const words of [
    ['--lsn-end', '0000000001000010'],
    ['--lsn-start', '00000000012DFB31'],
  ]) {
    const result = await runCli(['dump', path, '--ndjson', ...words]);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdout).not.toContain('error');
  }
  const damaged = await runCli(['dump', path, '--ndjson', '--lsn-start', '00000000012DFB30']);
  expect(damaged.status).toBe(1);
});

test('inspect for people', async () => {
  const result = await runCli(['inspect', delta]);
  expect(result).toMatchObject({ status: 0, stderr: '' });
  expect(result.stdout).toContain('delta layer, format version 3');
  expect(result.stdout).toContain('0/100 up to 0/900 (not included)');
  expect(result.stdout).toContain('agrees with the summary');
});

test('a reader that goes away is success', async () => {
  const result = await runCli(['dump', delta, '--ndjson'], {
    stdoutFailure: { errno: 'EPIPE', afterBytes: 0 },
  });
  expect(result).toMatchObject({ status: 0, stderr: '' });
});

test('standard output that is full is 3', async () => {
  const result = await runCli(['dump', delta, '--ndjson'], {
    stdoutFailure: { errno: 'ENOSPC', afterBytes: 0 },
  });
  expect(result.status).toBe(3);
  expect(parseError(result)).toMatchObject({ code: 'io' });
});

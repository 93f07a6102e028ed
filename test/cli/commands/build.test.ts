import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { parseError, parseLines, type RunOptions, type RunResult, runCli } from '../support.ts';

const KEY = '000000067F00000005000040000000000000';
const NEXT_KEY = '000000067F00000005000040000000000001';
const END_KEY = '000000067F00000005000040000000000010';
const DELTA_NAME = `${KEY}-${END_KEY}__0000000001000000-0000000002000000`;
const IMAGE_NAME = `${KEY}-${END_KEY}__0000000001000000`;

const IDS = {
  tenant_id: '00112233445566778899AABBCCDDEEFF',
  timeline_id: 'ffeeddccbbaa99887766554433221100',
  key_start: KEY,
  key_end: END_KEY,
};
const DELTA = { kind: 'delta', ...IDS, lsn_start: '0000000001000000', lsn_end: '0/2000000' };
const IMAGE = { kind: 'image', ...IDS, lsn: '0/1000000' };
const ENTRY = { key: KEY, lsn: '0/1000010', value: { type: 'image', hex: '00ff' } };
const PAGE = { key: KEY, hex: 'ab'.repeat(8192) };

function ndjson(...lines: unknown[]): string {
  return lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n');
}

async function build(
  lines: unknown[],
  { flags = [], ...options }: RunOptions & { flags?: string[] } = {},
): Promise<RunResult & { out: string; files: string[] }> {
  const out = temporaryDirectory();
  const result = await runCli(['build', '--out', out, ...flags], {
    stdin: ndjson(...lines),
    ...options,
  });
  return { ...result, out, files: readdirSync(out) };
}

describe('build', () => {
  test('build reports the first error, even if the temporary file cannot be deleted', async () => {
    const out = temporaryDirectory();
    async function* stdin(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(ndjson(DELTA, ''));
      while (readdirSync(out).length === 0) await new Promise((resolve) => setImmediate(resolve));
      for (const name of readdirSync(out)) {
        rmSync(join(out, name));
        mkdirSync(join(out, name));
      }
      yield Buffer.from('{"key":7}');
    }
    const result = await runCli(['build', '--out', out, '--json'], { stdin: stdin() });
    expect(result.status).toBe(2);
    expect(parseError(result)['code']).toBe('invalid-input');
  });

  test('build prints one line about a delta layer', async () => {
    const result = await build([DELTA, ENTRY]);
    expect(result).toMatchObject({ status: 0, stderr: '', files: [DELTA_NAME] });
    expect(result.stdout).toBe(
      `{"path":"${join(result.out, DELTA_NAME)}","name":"${DELTA_NAME}","size":24576,` +
        '"entries":1,"index_start_blk":2,"index_root_blk":0}\n',
    );
    const header = await runCli(['inspect', join(result.out, DELTA_NAME), '--json']);
    expect(parseLines(header.stdout)[0]).toMatchObject({
      tenant_id: IDS.tenant_id.toLowerCase(),
      timeline_id: IDS.timeline_id,
    });
  });

  test('build takes keys, LSNs and digits of either case, blank lines and CRLF', async () => {
    const entry = {
      ...ENTRY,
      key: KEY.toLowerCase(),
      lsn: '1000010',
      value: { type: 'wal', will_init: true, hex: 'aBcD' },
    };
    const result = await build([`${JSON.stringify(DELTA)}\r\n\n  \r`, entry, '']);
    expect(result).toMatchObject({ status: 0, files: [DELTA_NAME] });
    const dump = await runCli([
      'dump',
      join(result.out, DELTA_NAME),
      '--ndjson',
      '--values',
      'json',
    ]);
    expect(parseLines(dump.stdout)).toMatchObject([
      { key: KEY, will_init: true, value: { type: 'wal', hex: 'abcd' } },
    ]);
  });

  test('build stores raw values unchanged', async () => {
    const raw = (key: string, will_init: boolean, hex: string) => ({
      ...ENTRY,
      key,
      value: { type: 'raw', will_init, hex },
    });
    const valid = '000000000000000000000001aa';
    const { out, status } = await build([
      DELTA,
      raw(KEY, true, valid),
      raw(NEXT_KEY, false, 'ffff'),
    ]);
    expect(status).toBe(0);
    const dump = await runCli(['dump', join(out, DELTA_NAME), '--ndjson', '--values', 'hex']);
    expect(dump.status).toBe(1);
    const [first, second] = parseLines(dump.stdout);
    expect(first).toMatchObject({ type: 'image', will_init: true, hex: valid });
    expect(second).toMatchObject({ key: NEXT_KEY, error: { code: 'truncated' } });
  });

  test.each([
    [[], 1],
    [['--zstd', '-5'], 1],
    [['--zstd=-5'], 1],
    [['--zstd', '-7'], 1],
    [['--zstd', '0'], 1],
    [['--zstd', '22'], 1],
    [['--no-compress'], 0],
  ])('build compresses images as asked by the flags %j', async (flags, compressed) => {
    const { out, status, stderr } = await build([IMAGE, PAGE], { flags });
    expect([status, stderr]).toEqual([0, '']);
    const dump = await runCli(['dump', join(out, IMAGE_NAME), '--ndjson', '--values', 'hex']);
    const [line] = parseLines(dump.stdout);
    expect(line).toMatchObject({ compressed: compressed === 1, len: 8192, hex: PAGE.hex });
  });

  test('level 0 is level 3', async () => {
    const noise = Buffer.from(
      Array.from({ length: 8192 }, (_, at) => (at * at * 31) >> 5),
    ).toString('hex');
    const bytesOf = async (level: string) => {
      const { out } = await build([IMAGE, { key: KEY, hex: noise }], { flags: ['--zstd', level] });
      return readFileSync(join(out, IMAGE_NAME));
    };
    expect(await bytesOf('0')).toEqual(await bytesOf('3'));
  });

  test('build warns that --zstd does nothing for a delta', async () => {
    const people = await build([DELTA, ENTRY], { flags: ['--zstd', '3'] });
    expect(people).toMatchObject({ status: 0, files: [DELTA_NAME] });
    expect(people.stderr).toMatch(/^warning: .*--zstd/);
    const programs = await build([DELTA, ENTRY], { flags: ['--zstd', '3', '--json'] });
    expect(parseLines(programs.stderr)).toMatchObject([{ warning: {} }]);
    expect(await build([DELTA, ENTRY], { flags: ['--no-compress'] })).toMatchObject({ stderr: '' });
  });

  test('build puts the generation into the name', async () => {
    const { files } = await build([DELTA, ENTRY], { flags: ['--generation', '0000002A'] });
    expect(files).toEqual([`${DELTA_NAME}-v1-0000002a`]);
  });

  test('build reads a file, and - for standard input', async () => {
    const out = temporaryDirectory();
    const spec = join(temporaryDirectory(), 'spec.ndjson');
    writeFileSync(spec, ndjson(DELTA, ENTRY));
    expect((await runCli(['build', spec, '--out', out])).status).toBe(0);
    const stdin = ndjson(IMAGE, PAGE);
    expect((await runCli(['build', '-', '--out', out], { stdin })).status).toBe(0);
    expect(readdirSync(out).sort()).toEqual([IMAGE_NAME, DELTA_NAME].sort());
  });
});

describe('input that is not the NDJSON of build', () => {
  test.each<[string, unknown[]]>([
    ['nothing', []],
    ['blank lines', ['', ' ']],
    ['no object', [DELTA, '[]']],
    ['half an object', [DELTA, '{"key":']],
    ['no kind', [IDS]],
    ['an unknown kind', [{ ...DELTA, kind: 'delt' }]],
    ['a header without LSNs', [{ kind: 'delta', ...IDS }]],
    ['an image header with the LSNs of a delta', [{ ...DELTA, kind: 'image' }]],
    ['a tenant of 31 digits', [{ ...DELTA, tenant_id: '0'.repeat(31) }]],
    ['a timeline that is a number', [{ ...DELTA, timeline_id: 7 }]],
    ['a key of 35 digits', [{ ...DELTA, key_start: KEY.slice(1) }]],
    ['an LSN that is a number', [{ ...DELTA, lsn_start: 1 }]],
    ['an LSN of 17 digits', [{ ...DELTA, lsn_end: '0'.repeat(17) }]],
    ['an entry without a key', [DELTA, { ...ENTRY, key: undefined }]],
    ['an entry without an LSN', [DELTA, { ...ENTRY, lsn: undefined }]],
    ['an entry without a value', [DELTA, { ...ENTRY, value: undefined }]],
    ['a value that is a text', [DELTA, { ...ENTRY, value: 'image' }]],
    ['an unknown value', [DELTA, { ...ENTRY, value: { type: 'wal2' } }]],
    ['an odd number of digits', [DELTA, { ...ENTRY, value: { type: 'image', hex: '0' } }]],
    ['a page without digits', [IMAGE, { key: KEY }]],
    ['a damaged entry of a dump', [DELTA, { key: KEY, lsn: '0/1000010', error: {} }]],
    ['a second bad line', [DELTA, ENTRY, { key: NEXT_KEY }]],
  ])('build of %s is refused with 2, and nothing is left', async (_, lines) => {
    const result = await build(lines, { flags: ['--json'] });
    expect(result).toMatchObject({ status: 2, stdout: '', files: [] });
    expect(parseError(result)['code']).toBe('invalid-input');
  });

  test('build names the line and the file of what is wrong', async () => {
    const spec = join(temporaryDirectory(), 'spec.ndjson');
    writeFileSync(spec, ndjson(DELTA, ENTRY, '', { key: NEXT_KEY }));
    const result = await runCli(['build', spec, '--out', temporaryDirectory(), '--json']);
    const { message, path } = parseError(result);
    expect(path).toBe(spec);
    expect(message).toContain('line 4: field lsn is missing');
  });
});

describe('input that a layer cannot hold', () => {
  const at = (key: string, lsn: string) => ({ ...ENTRY, key, lsn });

  test.each<[string, string, unknown[]]>([
    ['no entries', 'empty', [DELTA]],
    ['keys that descend', 'out-of-order', [DELTA, at(NEXT_KEY, '0/1000010'), at(KEY, '0/1000010')]],
    ['LSNs that descend', 'out-of-order', [DELTA, at(KEY, '0/1000020'), at(KEY, '0/1000010')]],
    ['an entry twice', 'out-of-order', [DELTA, ENTRY, ENTRY]],
    ['a key at the end of the range', 'out-of-range', [DELTA, at(END_KEY, '0/1000010')]],
    ['an LSN at the end of the range', 'out-of-range', [DELTA, at(KEY, '0/2000000')]],
    ['an LSN below the range', 'out-of-range', [DELTA, at(KEY, '0/FFFFFF')]],
    ['a key range that is empty', 'out-of-range', [{ ...DELTA, key_end: KEY }, ENTRY]],
    ['an LSN range that is empty', 'out-of-range', [{ ...DELTA, lsn_end: '0/1000000' }, ENTRY]],
    ['pages that descend', 'out-of-order', [IMAGE, { ...PAGE, key: NEXT_KEY }, PAGE]],
    ['a page out of range', 'out-of-range', [IMAGE, { ...PAGE, key: END_KEY }]],
  ])('build of %s fails as %s with 1, and nothing is left', async (_, code, lines) => {
    const result = await build(lines, { flags: ['--json'] });
    expect(result).toMatchObject({ status: 1, stdout: '', files: [] });
    expect(parseError(result)['code']).toBe(code);
  });
});

describe('build does not touch', () => {
  test('build of a layer whose file has the name already fails', async () => {
    const out = temporaryDirectory();
    writeFileSync(join(out, DELTA_NAME), 'mine');
    const result = await runCli(['build', '--out', out, '--json'], { stdin: ndjson(DELTA, ENTRY) });
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(parseError(result)).toMatchObject({ code: 'exists', path: join(out, DELTA_NAME) });
    expect(readdirSync(out)).toEqual([DELTA_NAME]);
    expect(readFileSync(join(out, DELTA_NAME), 'utf8')).toBe('mine');
    const people = await runCli(['build', '--out', out], { stdin: ndjson(DELTA, ENTRY) });
    expect(people.stderr).toMatch(/^error\[exists\]: /);
  });

  test('build into a directory that is not there fails', async () => {
    const out = join(temporaryDirectory(), 'missing');
    const result = await runCli(['build', '--out', out, '--json'], { stdin: ndjson(DELTA, ENTRY) });
    expect(result).toMatchObject({ status: 3, stdout: '' });
    expect(parseError(result)['code']).toBe('not-found');
  });
});

test('build of a spec that cannot be read is 3', async () => {
  const directory = temporaryDirectory();
  for (const spec of [directory, join(directory, 'missing')]) {
    const result = await runCli(['build', spec, '--out', directory, '--json']);
    expect(result).toMatchObject({ status: 3, stdout: '' });
    expect(parseError(result)['path']).toBe(spec);
  }
});

test('build of standard input that fails is 3, and nothing is left', async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(ndjson(DELTA, ENTRY, ''));
    throw Object.assign(new Error('read failed'), { code: 'EIO' });
  }
  const result = await build([], { stdin: failing(), flags: ['--json'] });
  expect(result).toMatchObject({ status: 3, stdout: '', files: [] });
  expect(parseError(result)['code']).toBe('io');
});

test('build that is interrupted is 130, and nothing is left', async () => {
  const interruption = new AbortController();
  const out = join(temporaryDirectory(), 'out');
  mkdirSync(out);
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(ndjson(DELTA, ENTRY, ''));
    while (readdirSync(out).length === 0) await new Promise(setImmediate);
    interruption.abort();
    await new Promise(() => {});
  }
  const result = await runCli(['build', '--out', out, '--json'], {
    stdin: endless(),
    signal: interruption.signal,
  });
  expect(result).toMatchObject({ status: 130, stdout: '' });
  expect(parseError(result)['code']).toBe('aborted');
  expect(readdirSync(out)).toEqual([]);
});

test('100,000 lines arrive in chunks of any size', async () => {
  const count = 100_000;
  const header = { ...DELTA, key_end: `${KEY.slice(0, 26)}FFFFFFFFFF` };
  const line = (at: number) =>
    `{"key":"${KEY.slice(0, 28)}${at.toString(16).padStart(8, '0')}","lsn":"0/1000010","value":{"type":"wal","will_init":false,"hex":"00"}}\n`;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    const text = `${JSON.stringify(header)}\n${Array.from({ length: count }, (_, at) => line(at)).join('')}`;
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += 10_007) yield bytes.subarray(at, at + 10_007);
  }
  const result = await build([], { stdin: chunks() });
  expect(result.status).toBe(0);
  expect(parseLines(result.stdout)).toMatchObject([{ entries: count }]);
});

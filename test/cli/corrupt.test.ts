/** Damaged files, through every command that reads them. */
import { describe, expect, test } from 'vitest';
import { corruptFiles } from '../support/golden.ts';
import { parseError, parseLines, runCli } from './support.ts';

const FILES = corruptFiles();
const UNKNOWN_VERSION = '12-version-4';
/** Its summary can be read, but contradicts the name. */
const WRONG_KIND = '11-image-magic-in-delta';
/** Only their summary is damaged. */
const LEFT = new Set([UNKNOWN_VERSION, WRONG_KIND, '10-wrong-magic', '18-summary-lsn-reversed']);
/** Their summary names a place for the index that is not in the file. */
const MISPLACED = /^(05|06|08|14|16)-/;
/** Nothing of their index is left. */
const BLOBS_ALONE = /^06-/;

function filesThat(...classes: string[]) {
  return FILES.filter((file) => classes.includes(file.expect)).map(
    (file) => [file.id, file] as const,
  );
}

describe.each(filesThat('open'))('%s cannot be opened', (id, { path }) => {
  const status = id === UNKNOWN_VERSION ? 4 : 1;

  const all = id === WRONG_KIND ? ['dump', 'index'] : ['inspect', 'dump', 'index'];
  const commands = LEFT.has(id) ? all.filter((command) => command === 'inspect') : all;

  test.each(commands)(
    '%s of a layer that cannot be opened says so on standard error',
    async (command) => {
      const result = await runCli([command, path, '--ndjson']);
      expect(result).toMatchObject({ status, stdout: '' });
      expect(parseError(result)).toMatchObject({ path });
      expect(parseLines(result.stderr)).toHaveLength(1);
      if (id === UNKNOWN_VERSION) expect(parseError(result)['code']).toBe('unsupported-version');
    },
  );

  test.runIf(LEFT.has(id))('dump says so first, and shows every entry', async () => {
    const { status: dumped, stdout } = await runCli(['dump', path, '--ndjson']);
    expect(dumped).toBe(status);
    const [first, ...entries] = parseLines(stdout);
    expect(Object.keys(first ?? {})).toEqual(['error']);
    expect(entries.filter((line) => 'key' in line && 'type' in line)).toHaveLength(entries.length);
    expect(entries).toHaveLength(1500);
  });

  test.runIf(LEFT.has(id))('index shows every block', async () => {
    const result = await runCli(['index', path, '--ndjson']);
    expect(result.status).toBe(status);
    expect(parseLines(result.stdout).at(-1)).toMatchObject({ level: 1 });
    expect(parseError(result)).toMatchObject({ path });
  });

  test('verify lists the damage', async () => {
    const result = await runCli(['verify', path, '--json']);
    expect(result).toMatchObject({ status, stderr: '' });
    const { ok, files } = JSON.parse(result.stdout);
    expect([ok, files[0].ok, files[0].errors > 0]).toEqual([false, false, true]);
  });
});

describe.each(filesThat('index'))('%s has a damaged index', (id, { path }) => {
  test('inspect shows the summary, and reports an index that is not in the file', async () => {
    const result = await runCli(['inspect', path, '--json']);
    expect(result.status).toBe(MISPLACED.test(id) ? 1 : 0);
    expect(parseLines(result.stdout)).toHaveLength(1);
    if (MISPLACED.test(id)) expect(parseError(result)).toMatchObject({ path });
    else expect(result.stderr).toBe('');
  });

  test('dump shows the block and every entry that is left, or only the error', async () => {
    const result = await runCli(['dump', path, '--ndjson']);
    expect(result.status).toBe(1);
    const lines = parseLines(result.stdout);
    if (id.startsWith('05-')) {
      expect(lines).toEqual([]);
      expect(parseError(result)).toMatchObject({ path });
    } else if (BLOBS_ALONE.test(id)) {
      expect(Object.keys(lines[0] ?? {})).toEqual(['block', 'error']);
      expect(Object.keys(lines[1] ?? {})).toEqual(['offset', 'stored_len', 'len', 'type']);
      expect(lines[1]?.['offset']).toBe(8192);
    } else {
      expect(result.stderr).toBe('');
      const errors = lines.filter((line) => 'error' in line);
      expect(errors).toHaveLength(1);
      expect(Object.keys(errors[0] ?? {})).toEqual(['block', 'error']);
      expect(lines.length).toBeGreaterThan(500);
    }
    const json = await runCli(['dump', path, '--json']);
    if (lines.length === 0) expect(json).toEqual(result);
    else expect(JSON.parse(json.stdout)).toEqual(lines);
  });

  test('verify lists the damage', async () => {
    const result = await runCli(['verify', path, '--ndjson']);
    expect(result).toMatchObject({ status: 1, stderr: '' });
    expect(parseLines(result.stdout)).toMatchObject([{ path, ok: false }]);
  });
});

describe.each(filesThat('entry', 'strict'))('%s has a damaged entry', (_, { path }) => {
  test.each(['none', 'hex', 'sha256', 'json'])(
    'dump --values %s shows it in its place',
    async (values) => {
      const result = await runCli(['dump', path, '--ndjson', '--values', values]);
      expect(result).toMatchObject({ status: 1, stderr: '' });
      const errors = parseLines(result.stdout).filter((line) => 'error' in line);
      expect(errors).toHaveLength(1);
      expect(errors[0]?.['error']).toMatchObject({ path });
    },
  );

  test('verify lists the damage', async () => {
    const result = await runCli(['verify', path, '--json']);
    expect(result).toMatchObject({ status: 1, stderr: '' });
    expect(JSON.parse(result.stdout)).toMatchObject({
      ok: false,
      files: [{ ok: false, errors: 1 }],
    });
  });

  test('people see it in red', async () => {
    const result = await runCli(['dump', path], { terminal: true });
    expect(result.status).toBe(1);
    expect(result.stdout.replaceAll('\x1b', '')).toMatch(/\[31m.* damaged .*\[39m\n/);
  });
});

describe.each(filesThat('entry'))('%s', (id, { path }) => {
  test(`dump and get name key and LSN of the damaged entry of ${id}`, async () => {
    const { stdout } = await runCli(['dump', path, '--ndjson']);
    const damaged = parseLines(stdout).find((line) => 'error' in line);
    expect(Object.keys(damaged ?? {})).toEqual(['key', 'lsn', 'offset', 'error']);
    expect(damaged?.['error']).toMatchObject({ key: damaged?.['key'], lsn: damaged?.['lsn'] });
    const words = ['get', path, String(damaged?.['key']), '--lsn', String(damaged?.['lsn'])];
    const json = await runCli([...words, '--json']);
    expect(json).toMatchObject({ status: 1, stdout: '' });
    expect(parseError(json)).toMatchObject({ key: damaged?.['key'], lsn: damaged?.['lsn'] });
    expect(await runCli([...words, '--raw'])).toMatchObject({ status: 1, stdout: '' });
  });
});

describe.each(filesThat('accept'))('%s', (id, { path }) => {
  test(`${id}, which is unusual, is read, and verify warns about it`, async () => {
    expect(await runCli(['dump', path])).toMatchObject({ status: 0, stderr: '' });
    const result = await runCli(['verify', path, '--json']);
    expect(result.status).toBe(0);
    const { ok, files } = JSON.parse(result.stdout);
    expect([ok, files[0].ok, files[0].errors]).toEqual([true, true, 0]);
    expect(files[0].warnings).toBeGreaterThan(0);
    expect(files[0].findings[0].severity).toBe('warning');
  });
});

describe.each(filesThat('undetectable'))('%s', (id, { path }) => {
  test(`${id}, whose change nothing can detect, passes as valid`, async () => {
    expect((await runCli(['dump', path])).status).toBe(0);
    expect((await runCli(['verify', path])).status).toBe(0);
  });
});

test('inspect shows a summary that contradicts the name', async () => {
  const { path = '' } = FILES.find((file) => file.id === WRONG_KIND) ?? {};
  const result = await runCli(['inspect', path, '--json']);
  expect(result.status).toBe(1);
  expect(parseError(result)).toMatchObject({ code: 'out-of-range', path });
  expect(parseLines(result.stdout)).toMatchObject([{ kind: 'image', name_matches: false }]);
});

test.each(FILES.map((file) => [file.id, file] as const))(
  'get of %s never says that a key that was there is not',
  async (_, { path, probe }) => {
    const [key = '', lsn] = probe;
    const words = lsn === undefined ? [] : ['--lsn', lsn];
    const result = await runCli(['get', path, key, ...words, '--json']);
    expect(result.stdout).not.toContain('"found":false');
    if (result.status !== 0) expect(result.stdout).toBe('');
  },
);

test('several files have the strongest status', async () => {
  const path = (id: string) => FILES.find((file) => file.id === id)?.path ?? id;
  const valid = path('09-trailing-garbage');
  const damaged = path('10-wrong-magic');
  const newer = path(UNKNOWN_VERSION);
  const verify = async (...paths: string[]) => (await runCli(['verify', ...paths])).status;
  expect(await verify(valid)).toBe(0);
  expect(await verify(valid, newer)).toBe(4);
  expect(await verify(newer, damaged, valid)).toBe(1);
  expect(await verify(damaged, '/no/such/file', newer)).toBe(3);
});

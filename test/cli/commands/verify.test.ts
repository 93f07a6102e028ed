import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { corruptFiles, goldenLayers } from '../../support/golden.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from '../support.ts';

const VALID = goldenLayers().map((layer) => layer.path);
const DAMAGED = corruptFiles().find((file) => file.id === '27-num-children-huge')?.path ?? '';
const UNORDERED = corruptFiles().find((file) => file.id === '22-child-earlier-block')?.path ?? '';

function copyInto(directory: string, ...paths: string[]): string[] {
  mkdirSync(directory, { recursive: true });
  return paths.map((path) => {
    const target = join(directory, basename(path));
    copyFileSync(path, target);
    return target;
  });
}

test('of several files, that one could not be read is reported at the end', async () => {
  const directory = temporaryDirectory();
  const paths = copyInto(directory, ...VALID.slice(0, 2));
  const valid = await runCli(['verify', ...paths]);
  expect(valid.stdout).toMatch(/\n2 files, [^\n]*: all valid\n$/);
  const missing = await runCli(['verify', ...paths, join(directory, 'missing')]);
  expect(missing.status).toBe(3);
  expect(missing.stdout).toMatch(/: no errors, but some files could not be read\n$/);
});

test('several files with warnings are not called valid', async () => {
  const path = corruptFiles().find((file) => file.id === '09-trailing-garbage')?.path ?? '';
  const result = await runCli(['verify', path, VALID[0] ?? '']);
  expect(result.status).toBe(0);
  expect(result.stdout).toMatch(/\n2 files, [^\n]*: no errors, 1 warning\n$/);
});

test('an unknown version has its exit status, even if no finding is listed', async () => {
  const path = corruptFiles().find((file) => file.id === '12-version-4')?.path ?? '';
  const result = await runCli(['verify', path, '--max-findings', '0', '--json']);
  expect(result.status).toBe(4);
  expect(JSON.parse(result.stdout).files[0]).toMatchObject({ ok: false, findings: [], errors: 1 });
});

describe('a directory', () => {
  test('a directory is walked in byte order of the names, deeper ones in their place', async () => {
    const root = temporaryDirectory();
    const [first = '', second = ''] = VALID;
    const files = [
      ...copyInto(join(root, 'B'), second),
      ...copyInto(join(root, 'a', 'deep'), first),
      ...copyInto(join(root, 'a', 'deep.er'), second),
      ...copyInto(join(root, 'é'), first),
    ];
    const result = await runCli(['verify', root, '--ndjson']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(parseLines(result.stdout).map((line) => line['path'])).toEqual(files);
    const document = await runCli(['verify', `${root}/`, '--json']);
    expect(JSON.parse(document.stdout)).toEqual({ ok: true, files: parseLines(result.stdout) });
  });

  test('verify of a directory names what writers left and counts the rest', async () => {
    const root = temporaryDirectory();
    const [path = ''] = VALID;
    copyInto(root, path);
    const leftovers = [
      'ephemeral-7',
      `${basename(path)}.0.___temp`,
      `${basename(path)}.temp_download`,
    ];
    for (const name of [...leftovers, 'metadata', 'notes\x1b[2J'])
      writeFileSync(join(root, name), '');
    symlinkSync('.', join(root, 'loop'));
    symlinkSync(path, join(root, 'linked'));

    const result = await runCli(['verify', root]);
    expect(result.status).toBe(0);
    for (const name of leftovers) expect(result.stderr).toContain(join(root, name));
    expect(result.stderr).toContain('3 other files');
    expect(result.stderr).not.toContain('\x1b');
    expect(result.stderr).toContain(`${join(root, 'loop')}: a link to a directory, not followed`);
    expect(result.stdout).toMatch(/^ok .* entries/);

    const json = await runCli(['verify', root, '--json']);
    expect(JSON.parse(json.stdout).files).toHaveLength(1);
    expect(parseLines(json.stderr).map((line) => Object.keys(line))).toEqual([
      ['warning'],
      ['warning'],
      ['warning'],
      ['warning'],
      ['warning'],
    ]);
  });

  test('a directory has a file read whose name could be that of a delta or of an image', async () => {
    const root = temporaryDirectory();
    const [path = ''] = VALID;
    const [keys = ''] = basename(path).split('__');
    const ambiguous = join(root, `${keys}__01000000-02000000`);
    copyFileSync(path, ambiguous);
    const { stdout } = await runCli(['verify', root, '--ndjson']);
    expect(parseLines(stdout)).toMatchObject([{ path: ambiguous }]);
  });

  test('a directory has its links to layers read, with the damaged and the dangling ones reported', async () => {
    const root = temporaryDirectory();
    const store = temporaryDirectory();
    const [path = ''] = VALID;
    const name = basename(path);
    const target = join(store, name);
    copyFileSync(path, target);
    symlinkSync(target, join(root, name));
    const valid = await runCli(['verify', root, '--ndjson']);
    expect(valid).toMatchObject({ status: 0, stderr: '' });
    expect(parseLines(valid.stdout)).toMatchObject([{ path: join(root, name), ok: true }]);
    writeFileSync(target, new Uint8Array(9000));
    expect(await runCli(['verify', root])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('layerfile salvage'),
    });
    rmSync(target);
    const dangling = await runCli(['verify', root, '--ndjson']);
    expect(dangling.status).toBe(3);
    expect(parseError(dangling)).toMatchObject({ code: 'not-found', path: join(root, name) });
  });

  test('verify of a directory of downloads that did not finish finds no layer, and names each', async () => {
    const root = temporaryDirectory();
    const [path = ''] = VALID;
    for (const suffix of ['-v1-00000001.temp_download', '.temp_download']) {
      writeFileSync(join(root, basename(path) + suffix), new Uint8Array(9000));
    }
    const result = await runCli(['verify', root]);
    expect(result).toMatchObject({ status: 0, stdout: '' });
    expect(result.stderr.match(/a download that did not finish, not read/g)).toHaveLength(2);
    expect(result.stderr).toContain('no layer found');
  });

  test('verify of a directory without a layer is clean, with a warning', async () => {
    const root = temporaryDirectory();
    const people = await runCli(['verify', root]);
    expect(people).toMatchObject({ status: 0, stdout: '' });
    expect(people.stderr).toMatch(/^warning: no layer/);
    const json = await runCli(['verify', root, '--json']);
    expect(json.status).toBe(0);
    expect(JSON.parse(json.stdout)).toEqual({ ok: true, files: [] });
    expect(await runCli(['verify', root, '--ndjson'])).toMatchObject({ status: 0, stdout: '' });
  });

  test('verify of a directory with damage exits with 1, and reads all files', async () => {
    const root = temporaryDirectory();
    copyInto(root, ...VALID.slice(0, 2), DAMAGED);
    const result = await runCli(['verify', root, '--json']);
    expect(result).toMatchObject({ status: 1, stderr: '' });
    const { ok, files } = JSON.parse(result.stdout);
    expect([ok, files.length]).toEqual([false, 3]);
  });

  test('a link to a directory is followed when it is named', async () => {
    const root = temporaryDirectory();
    copyInto(join(root, 'layers'), ...VALID.slice(0, 1));
    symlinkSync('layers', join(root, 'link'));
    const result = await runCli(['verify', join(root, 'link'), '--ndjson']);
    expect(parseLines(result.stdout)).toHaveLength(1);
  });
});

describe('a file', () => {
  test('a file that is named is read, whatever its name', async () => {
    const path = join(temporaryDirectory(), 'ephemeral-1');
    copyFileSync(VALID[0] ?? '', path);
    const result = await runCli(['verify', path, '--ndjson']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(parseLines(result.stdout)).toMatchObject([{ path, ok: true }]);
  });

  test('a file that is not a layer is damage', async () => {
    const path = join(temporaryDirectory(), 'text');
    writeFileSync(path, 'no layer');
    const result = await runCli(['verify', path, '--ndjson']);
    expect(result).toMatchObject({ status: 1, stderr: '' });
    expect(parseLines(result.stdout)).toMatchObject([
      {
        path,
        ok: false,
        bytes: 8,
        errors: 1,
        findings: [{ severity: 'error', code: 'truncated' }],
      },
    ]);
  });

  test('a file that is missing is 3, and the others are still read', async () => {
    const missing = join(temporaryDirectory(), 'missing');
    const [path = ''] = VALID;
    const result = await runCli(['verify', missing, path, '--json']);
    expect(result.status).toBe(3);
    expect(parseError(result)).toMatchObject({ code: 'not-found', path: missing });
    expect(JSON.parse(result.stdout)).toMatchObject({ ok: false, files: [{ path, ok: true }] });
  });

  test.each([
    [[], 557],
    [['--max-findings', '3'], 3],
    [['--max-findings', '0'], 0],
  ])(
    'verify with %j prints as many findings as that allows, and counts all',
    async (flags, listed) => {
      const result = await runCli(['verify', UNORDERED, '--ndjson', ...flags]);
      const [report = {}] = parseLines(result.stdout);
      const findings = report['findings'];
      const counted = Number(report['errors']) + Number(report['warnings']);
      expect(Array.isArray(findings) && findings.length).toBe(Math.min(listed, counted));
      expect(report).toMatchObject({ ok: false });
      expect(result.status).toBe(1);
    },
  );

  test('people see findings below it, and a summary of several', async () => {
    const [path = ''] = VALID;
    const result = await runCli(['verify', path, DAMAGED, '--max-findings', '1']);
    expect(result.status).toBe(1);
    expect(result.stdout).toMatch(/^ok {7}/);
    expect(result.stdout).toMatch(/\ndamaged {2}.*\n {2}error\[corrupt\]: .*\n/);
    expect(result.stdout).toMatch(/\n2 files, .*: 1 damaged\n$/);
  });
});

test('an interruption is 130', async () => {
  const signal = AbortSignal.abort();
  const result = await runCli(['verify', ...VALID, '--json'], { signal });
  expect(result.status).toBe(130);
  expect(parseError(result)['code']).toBe('aborted');
});

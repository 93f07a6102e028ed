/** What an overwrite keeps of the file that it replaces, beyond mode and owner. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { canCopyAttributes } from '../../src/virtual-file/copy-attributes.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { storageErrorOf } from '../support/storage-errors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const { PATH = '' } = process.env;
const HAS_COPY = await canCopyAttributes();
const HAS_LISTS = HAS_COPY && process.getuid?.() === 0 && canSetList();

let directory = '';
let path = '';
beforeEach(() => {
  directory = temporaryDirectory();
  path = join(directory, 'file');
});
afterEach(() => {
  process.env['PATH'] = PATH;
});

function setList(file: string): void {
  fs.chownSync(file, 1234, 2345);
  execFileSync('setfacl', ['--set', 'u::rw,u:nobody:rw,g::-,m::rw,o::-', file]);
}

function canSetList(): boolean {
  try {
    const file = join(fs.mkdtempSync('/tmp/layerfile-acl-'), 'file');
    fs.writeFileSync(file, '');
    setList(file);
    fs.rmSync(join(file, '..'), { recursive: true });
    return true;
  } catch {
    return false;
  }
}

function listOf(file: string): string {
  return execFileSync('getfacl', ['-cpn', file], { encoding: 'utf8' });
}

/** A `cp` that the process finds first. */
function putBefore(script: string): void {
  const programs = join(directory, 'programs');
  fs.mkdirSync(programs);
  fs.writeFileSync(join(programs, 'cp'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  process.env['PATH'] = `${programs}:${PATH}`;
}

describe.runIf(HAS_LISTS)('an access control list', () => {
  test("an access control list is kept with preserve: 'all', and a denied group gains nothing", async () => {
    fs.writeFileSync(path, 'old');
    setList(path);
    const before = listOf(path);
    await overwriteFile(path, 'new', { preserve: 'all' });
    expect(listOf(path)).toBe(before);
    expect(fs.readFileSync(path, 'utf8')).toBe('new');
    expect(fs.statSync(path)).toMatchObject({ uid: 1234, gid: 2345 });
    expect(fs.readdirSync(directory)).toEqual(['file']);
  });

  test('an access control list never lets a user open the temporary file who may not open the old one', async () => {
    fs.writeFileSync(path, 'old');
    setList(path);
    const before = listOf(path);
    // Some versions of cp set the mode before the list: this one stops in between, and looks.
    const log = join(directory, 'log');
    putBefore(`
      for target; do :; done
      for word; do case $word in /*) [ "$source" ] || source=$word;; esac; done
      [ "$1" = --help ] && exec /bin/cp "$@"
      echo "$(stat -c '%a' "$target")" >> ${log}
      chown --reference="$source" "$target"; chmod --reference="$source" "$target"
      echo "$(stat -c '%a %s' "$target")" >> ${log}
      /bin/cp "$@" || exit
      getfacl -cpn "$target" | grep -v '^$' | tr '\\n' ' ' >> ${log}; echo >> ${log}`);
    await overwriteFile(path, 'new content', { preserve: 'all' });
    const [, first, , created, second, last] = fs.readFileSync(log, 'utf8').split('\n');
    expect(created).toBe('600');
    // The empty file may have any rights; the one with the content has none for others yet.
    expect(first).toBe('660 0');
    expect(second).toBe('600 11');
    expect(last).toContain('group::--- mask::--- other::---');
    expect(listOf(path)).toBe(before);
  });

  test('an access control list is lost by default', async () => {
    fs.writeFileSync(path, 'old');
    setList(path);
    await overwriteFile(path, 'new');
    expect(listOf(path)).not.toContain('mask');
  });
});

describe.runIf(HAS_COPY)("preserve: 'all'", () => {
  test.each([0o600, 0o640, 0o666, 0o755, 0o1644])('preserving all keeps mode %o', async (mode) => {
    fs.writeFileSync(path, 'old');
    fs.chmodSync(path, mode);
    await overwriteFile(path, 'new', { preserve: 'all' });
    expect(fs.statSync(path).mode & 0o7777).toBe(mode);
  });

  test('preserving all gives the file the time of its new content', async () => {
    fs.writeFileSync(path, 'old');
    fs.utimesSync(path, 1, 1);
    await overwriteFile(path, 'new', { preserve: 'all' });
    expect(fs.statSync(path).mtimeMs).toBeGreaterThan(1e9);
  });

  test('preserving all is nothing special where there was no file, or a symbolic link', async () => {
    putBefore('exit 1');
    await overwriteFile(path, 'new', { preserve: 'all', mode: 0o600 });
    expect(fs.statSync(path).mode & 0o7777).toBe(0o600);
    fs.symlinkSync('file', `${path}-link`);
    await overwriteFile(`${path}-link`, 'new', { preserve: 'all' });
    expect(fs.lstatSync(`${path}-link`).isFile()).toBe(true);
  });

  test.each([
    ['fails', 'echo no such option >&2; exit 1', /no such option/],
    ['is killed', 'kill -9 $$', /cp/],
  ])('preserving all changes nothing where the program %s', async (_, script, message) => {
    fs.writeFileSync(path, 'old', { mode: 0o640 });
    putBefore(script);
    const error = await storageErrorOf(overwriteFile(path, 'new', { preserve: 'all' }));
    expect(error).toMatchObject({ code: 'io', outcome: 'not-applied' });
    expect(error.message).toMatch(message);
    expect(fs.readFileSync(path, 'utf8')).toBe('old');
    expect(fs.readdirSync(directory).sort()).toEqual(['file', 'programs']);
  });

  test('preserving all changes nothing if the program is missing', async () => {
    fs.writeFileSync(path, 'old');
    process.env['PATH'] = directory;
    expect(await canCopyAttributes()).toBe(false);
    const error = await storageErrorOf(overwriteFile(path, 'new', { preserve: 'all' }));
    expect(error).toMatchObject({ code: 'io', errno: 'ENOENT', outcome: 'not-applied' });
    expect(fs.readFileSync(path, 'utf8')).toBe('old');
    expect(fs.readdirSync(directory)).toEqual(['file']);
  });
});

test("a file system without attributes refuses preserve: 'all' and changes nothing", async () => {
  const fileSystem = new MemoryFileSystem();
  fileSystem.createFile('/file', new Uint8Array(3));
  const openFiles = new OpenFiles({ fileSystem });
  const error = await storageErrorOf(overwriteFile('/file', 'x', { openFiles, preserve: 'all' }));
  expect(error).toMatchObject({ code: 'invalid-input', outcome: 'not-applied' });
  expect(fileSystem.paths()).toEqual(['/file']);
  expect(fileSystem.contentOf('/file')).toHaveLength(3);
});

test.each([
  ['mode', Number.NaN],
  ['mode', -1],
  ['mode', 0o10000],
  ['mode', 0.5],
  ['mode', '644'],
  ['mode', null],
  ['preserve', 'everything'],
  ['preserve', true],
])('an option %s of %s is invalid input, whether or not there is a file', async (name, value) => {
  const fileSystem = new MemoryFileSystem();
  const openFiles = new OpenFiles({ fileSystem });
  const error = await storageErrorOf(overwriteFile('/file', 'x', { openFiles, [name]: value }));
  expect(error).toMatchObject({ code: 'invalid-input', outcome: 'not-applied' });
  expect(error.message).toContain(name);
  expect(fileSystem.operationCount).toBe(0);
});

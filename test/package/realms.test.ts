/**
 * The built package among values and errors of another realm, and beside another copy of itself:
 * `programs/realms.mjs` has the situations.
 */
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { resultOf, startNode } from '../support/programs.ts';

const DIST = fileURLToPath(new URL('../../dist', import.meta.url));
const PROGRAM = fileURLToPath(new URL('programs/realms.mjs', import.meta.url));
/** Inside the project, so that a copy of the package finds the packages that it needs. */
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/layerfile-tests', import.meta.url));

const RESULTS: Record<string, unknown> = {
  'a new file is written, and then replaced': 'new',
  'bytes of another realm are the content of a file': 'hi',
  'a missing file is not-found': { code: 'not-found', errno: 'ENOENT' },
  'a directory in place of a file is io': { code: 'io', errno: 'EISDIR' },
  'keys and values of another realm make a delta layer': { ok: true, entries: 2 },
  'a batch of arrays of another realm makes a delta layer': { ok: true, entries: 200 },
  'pages of another realm make an image layer': { ok: true, entries: 2 },
  'an ephemeral layer takes values of another realm': 112,
  'a damaged layer of another realm is corrupt': { code: 'corrupt', isKnownOutside: true },
  'a document of another realm comes back': {
    first: 1,
    deep: [1, 2],
    none: null,
    big: '9223372036854775808',
  },
  'an instance of a class is refused in a document': 'invalid-input',
  'settings with times of another realm come back': [
    'since = 1970-01-01T00:00:00.000Z',
    'list = [ 1970-01-01T00:00:01.000Z ]',
    'local = 2020-01-02T03:04:05.000',
  ],
  'a signal of another realm ends a write': { code: 'aborted', cause: 'enough' },
  'errors of either copy are known to the other': [true, true, true, true, false],
  'a file system of the other copy serves a writer': {
    content: 'content',
    code: 'sync-failed',
    outcome: 'not-applied',
  },
  'open files of the other copy serve a reader': 100,
  'a source of the other copy is read': 'hello',
  'an error of a file system without a code is io, with its message': { code: 'io', isSaid: true },
};

describe.each([
  ['in a vm context with the packages that it needs', () => 'inside'],
  ['in a vm context without the packages that it needs', () => 'outside'],
  ['from a copy of its files', copyPackageTo],
])('the package loaded %s', (place, whereOf) => {
  let results: Record<string, unknown>;

  beforeAll(async () => {
    mkdirSync(CACHE, { recursive: true });
    const directory = mkdtempSync(join(CACHE, 'realms-'));
    const flags = ['--experimental-vm-modules', '--no-warnings'];
    const where = whereOf(directory);
    results = await resultOf(startNode([...flags, PROGRAM, DIST, directory, where]));
    return () => rmSync(directory, { recursive: true });
  });

  test.each(Object.keys(RESULTS))(`with the package loaded ${place}, %s`, (situation) => {
    expect(results[situation]).toEqual(RESULTS[situation]);
  });

  test(`with the package loaded ${place}, every situation of realms.mjs is checked here`, () => {
    expect(Object.keys(results)).toEqual(Object.keys(RESULTS));
  });
});

function copyPackageTo(directory: string): string {
  const copy = join(directory, 'dist');
  cpSync(DIST, copy, { recursive: true });
  return copy;
}

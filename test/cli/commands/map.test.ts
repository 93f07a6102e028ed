/** `map`, in the built program: its page needs what the build puts beside it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { NAME, remoteLayout } from '../../support/map-layouts.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const PROGRAM = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));
function run(cwd: string, words: readonly string[], input = '') {
  return spawnSync(process.execPath, [PROGRAM, ...words], { cwd, input, encoding: 'utf8' });
}

describe('the command', () => {
  test('map writes a page and prints one line', () => {
    const cwd = temporaryDirectory();
    writeFileSync(join(cwd, 'names'), `${NAME}\r\nno-layer\n\n`);
    const { status, stdout, stderr } = run(cwd, ['map', 'names', '--out', 'map.html', '--json']);
    const { size } = statSync(join(cwd, 'map.html'));
    expect(JSON.parse(stdout)).toEqual({ path: 'map.html', layers: 1, size });
    expect(JSON.parse(stderr)).toEqual({
      warning: {
        message: expect.stringMatching(
          /^1 name is not on the map: no-layer: not the name of a layer$/,
        ),
      },
    });
    expect(status).toBe(0);
    expect(readFileSync(join(cwd, 'map.html'), 'utf8')).toMatch(/^<!doctype html>/);
  });

  test('map writes to standard output what it writes to a file', () => {
    const cwd = temporaryDirectory();
    const words = ['map', '-', '--title', 'one', '--branch', '0/15', '--branch', '0/16'];
    const piped = run(cwd, [...words, '--out', '-'], NAME);
    run(cwd, [...words, '--out', 'map.html'], NAME);
    expect(piped.stdout).toBe(readFileSync(join(cwd, 'map.html'), 'utf8'));
    expect(piped.stdout).toContain('"branchLsns":["0000000000000015","0000000000000016"]');
  });

  test('the command map refuses to write over its source', () => {
    const cwd = temporaryDirectory();
    writeFileSync(join(cwd, 'names'), NAME);
    symlinkSync('names', join(cwd, 'link'));
    const { status, stderr } = run(cwd, ['map', 'names', '--out', 'link']);
    expect([status, stderr]).toEqual([2, expect.stringContaining('the output is the input')]);
    expect(readFileSync(join(cwd, 'names'), 'utf8')).toBe(NAME);
  });

  test.each([
    [['map', '--out', 'map.html'], 2],
    [['map', 'names'], 2],
    [['map', 'missing', '--out', 'map.html'], 3],
    [['map', 'index_part.json', '--out', 'map.html'], 1],
    [['map', '-', '--out', 'map.html', '--branch', 'x'], 2],
  ])('the command %j ends with status %i and leaves no page', (words, status) => {
    const cwd = temporaryDirectory();
    writeFileSync(join(cwd, 'index_part.json'), '{"version":15}');
    const result = run(cwd, words);
    expect(result.status).toBe(status);
    expect(result.stdout).toBe('');
    expect(() => statSync(join(cwd, 'map.html'))).toThrow(/ENOENT/);
  });

  test('the command map labels the steps by what their paths do not share', () => {
    const { parent } = remoteLayout();
    const html = execFileSync(process.execPath, [PROGRAM, 'map', parent, '--out', '-'], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    expect(html.match(/"label":"[^"]*"/g)).toEqual([
      '"label":"index_part.json"',
      '"label":"index_part.json-00000002"',
      '"label":"index_part.json-0000000a"',
    ]);
  });
});

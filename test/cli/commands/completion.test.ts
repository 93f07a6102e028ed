import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { runCli } from '../support.ts';

/** Words that bash would offer for the last one. */
async function completions(...words: string[]): Promise<string[]> {
  const { stdout } = await runCli(['completion', 'bash']);
  const quoted = ['layerfile', ...words].map((word) => `'${word}'`).join(' ');
  const script = `${stdout}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _layerfile
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const cwd = temporaryDirectory();
  return execFileSync('bash', ['-c', script], { cwd, encoding: 'utf8' }).trim().split('\n');
}

describe('the completion of bash', () => {
  test.each([
    [['che'], ['check']],
    [['check', '--dee'], ['--deep']],
    [['import', 'pg'], ['pgdata']],
    [['import', 'pgdata', '--tena'], ['--tenant']],
    [['space', 'DIR', '--by', 'f'], ['fork']],
    [['wa'], ['wal']],
    [['wal', '--skip'], ['--skip-corrupt']],
    [['completion', '--h'], ['--help']],
  ])('the completion of %j in bash is %j', async (words, expected) => {
    expect(await completions(...words)).toEqual(expected);
  });
});

test.each(['zsh', 'fish'])('the completion of %s names every command', async (shell) => {
  const { status, stdout } = await runCli(['completion', shell]);
  expect(status).toBe(0);
  for (const name of ['inspect', 'check', 'space', 'ls', 'wal', 'pgdata']) {
    expect(stdout).toContain(name);
  }
});

test('an unknown shell is wrong usage', async () => {
  expect(await runCli(['completion', 'tcsh'])).toMatchObject({ status: 2, stdout: '' });
});

test('man pages are in step with the help', async () => {
  const directory = temporaryDirectory();
  expect((await runCli(['man-pages', directory])).status).toBe(0);
  const pages = readdirSync(directory);
  expect(pages).toEqual(
    expect.arrayContaining(['layerfile.1', 'layerfile-import-pgdata.1', 'layerfile-wal.1']),
  );
  for (const page of pages) {
    const text = readFileSync(join(directory, page), 'utf8').replaceAll('\\', '');
    const path = page === 'layerfile.1' ? [] : page.slice(10, -2).split(/-(?!part|shards)/);
    const { stdout } = await runCli([...path, '--help']);
    const flags = [...stdout.matchAll(/^ {2}(-[^\s].*?)(?: {2,}|$)/gm)].map(([, flag]) => flag);
    expect(flags.length, page).toBeGreaterThan(0);
    for (const flag of flags) expect(text, page).toContain(`.B ${flag}\n`);
    const [, examples = ''] = stdout.split('\nExamples:\n');
    expect(text).toContain(examples.trim().split('\n')[0] ?? '');
  }
});

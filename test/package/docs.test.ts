/**
 * The examples in `docs` are run. A block marked `console` is a shell session: each line after `$ ` is
 * a command, and what follows it is all that the command prints. The blocks of one page share a
 * directory that is empty at first, but for those that a comment sends to a directory of the project.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Session {
  readonly page: string;
  readonly line: number;
  /** Relative to the project. */
  readonly directory: string | undefined;
  readonly commands: readonly { readonly command: string; readonly output: string }[];
}

const PAGES = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
const SESSIONS = PAGES.map((page) => ({ page, sessions: sessionsOf(page) })).filter(
  ({ sessions }) => sessions.length > 0,
);

test('the format page and the page of the command have examples', () => {
  expect(SESSIONS.map(({ page }) => page)).toEqual(expect.arrayContaining(['format.md']));
});

describe.each(SESSIONS)('the examples of $page', ({ sessions }) => {
  test('print what the page shows', () => {
    const cwd = temporaryDirectory();
    for (const { directory, commands, page, line } of sessions) {
      for (const { command, output } of commands) {
        const printed = shell(command, directory === undefined ? cwd : join(ROOT, directory));
        expect(`${page}:${line}\n${printed}`).toBe(`${page}:${line}\n${output}`);
      }
    }
  });
});

function sessionsOf(page: string): Session[] {
  const text = readFileSync(join(ROOT, 'docs', page), 'utf8');
  const blocks = text.matchAll(/(?:<!-- run in (.*) -->\n)?```console\n([\s\S]*?)```/g);
  return [...blocks].map((block) => ({
    page,
    line: text.slice(0, block.index).split('\n').length,
    directory: block[1],
    commands: commandsOf(block[2] ?? ''),
  }));
}

/** A command goes on in the next line behind a backslash. */
function commandsOf(session: string): { command: string; output: string }[] {
  return session
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const end = /(?<!\\)\n/.exec(part)?.index ?? part.length;
      return { command: part.slice(0, end), output: part.slice(end + 1) };
    });
}

/** Standard output and standard error together, as a terminal shows them. */
function shell(command: string, cwd: string): string {
  const bin = join(temporaryDirectory(), 'bin');
  mkdirSync(bin);
  const program = `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, 'dist/cli.js')}" "$@"\n`;
  writeFileSync(join(bin, 'layerfile'), program, { mode: 0o755 });
  return execFileSync('sh', ['-c', `exec 2>&1\n${command}\ntrue`], {
    cwd,
    encoding: 'utf8',
    env: { PATH: `${bin}${delimiter}${process.env['PATH']}`, NO_COLOR: '1', LANG: 'C.UTF-8' },
  });
}

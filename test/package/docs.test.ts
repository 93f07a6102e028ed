/**
 * The examples in `docs` are run. A block marked `console` is a shell session: each line after `$ ` is
 * a command, and what follows it is all that the command prints. The blocks of one page share a
 * directory that is empty at first, but for `pg_wal`, which is that of a real server, and for those that a comment sends to a
 * directory of the project.
 * A block with a file name is that file. `$PROJECT` is the project's directory.
 *
 * A command of plain words runs in this process, on the sources; the others, which need a shell, on the built program.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import type { OutputStream } from '../../src/cli/output.ts';
import { run } from '../../src/cli/run.ts';
import { goldenWal } from '../support/golden-wal.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Example {
  readonly place: string;
  readonly kind: 'file' | 'session';
  /** Name of the file, or where the session runs, relative to the project. */
  readonly name: string | undefined;
  readonly text: string;
}

const PAGES = readdirSync(join(ROOT, 'docs'))
  .filter((name) => name.endsWith('.md'))
  .map((page) => ({ page, examples: examplesOf(page) }))
  .filter(({ examples }) => examples.length > 0);

test('the page of the format and the page of the command have examples', () => {
  const pages = PAGES.map(({ page }) => page);
  expect(pages).toEqual(expect.arrayContaining(['cli.md', 'format.md']));
});

test.each(PAGES)('the commands of $page print what it shows', async ({ examples }) => {
  const cwd = temporaryDirectory();
  mkdirSync(join(cwd, 'pg_wal'));
  for (const { name, bytes } of goldenWal(15).files) {
    if (name !== undefined) writeFileSync(join(cwd, 'pg_wal', name), bytes);
  }
  for (const { kind, name, text, place } of examples) {
    if (kind === 'file') {
      writeFileSync(join(cwd, name ?? ''), text);
      continue;
    }
    for (const { command, output } of commandsOf(text)) {
      const directory = name === undefined ? cwd : join(ROOT, name);
      const isPlain = PLAIN_COMMAND.test(command);
      const printed = isPlain ? await runHere(command, directory) : shell(command, directory);
      expect(`${place}: ${command}\n${printed}`).toBe(`${place}: ${command}\n${output}`);
    }
  }
});

function examplesOf(page: string): Example[] {
  const text = readFileSync(join(ROOT, 'docs', page), 'utf8');
  const blocks = text.matchAll(
    /(?:<!-- run in (.*) -->\n)?```(?:console|ndjson (.*))\n([\s\S]*?)```/g,
  );
  return [...blocks].map(([block, directory, file, content = '']) => ({
    place: `${page}:${text.slice(0, text.indexOf(block)).split('\n').length}`,
    kind: file === undefined ? 'session' : 'file',
    name: file ?? directory,
    text: content,
  }));
}

/** A command continues on the next line after a backslash. */
function commandsOf(session: string): { command: string; output: string }[] {
  return session
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const end = /(?<!\\)\n/.exec(part)?.index ?? part.length;
      return { command: part.slice(0, end), output: part.slice(end + 1) };
    });
}

const PLAIN_COMMAND = /^layerfile(?: [\w./=:@,+-]+)*$/;

/** As `shell`. */
async function runHere(command: string, cwd: string): Promise<string> {
  const chunks: Buffer[] = [];
  const stream: OutputStream = {
    on: () => undefined,
    write: (chunk, done) => {
      chunks.push(Buffer.from(chunk));
      setImmediate(done);
      return true;
    },
  };
  const before = process.cwd();
  onTestFinished(() => process.chdir(before));
  process.chdir(cwd);
  await run(command.split(' ').slice(1), {
    stdin: async function* () {},
    stdinIsTerminal: false,
    stdinSize: undefined,
    stdout: stream,
    stderr: stream,
    stdoutIsFile: false,
    environment: { NO_COLOR: '1' },
    signal: new AbortController().signal,
  });
  process.chdir(before);
  return Buffer.concat(chunks).toString();
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
    env: { PATH: `${bin}${delimiter}${process.env['PATH']}`, NO_COLOR: '1', PROJECT: ROOT },
  });
}

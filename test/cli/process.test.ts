/** The built program as a process of its own: pipes, signals, devices. `npm test` builds it first. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { goldenLayers } from '../support/golden.ts';
import { CAN_LIST_DESCRIPTORS, openBelow } from '../support/open-descriptors.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { parseError, parseLines } from './support.ts';

const PROGRAM = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const LARGE =
  goldenLayers().find((layer) => layer.manifest.case === '07-delta-2-level')?.path ?? '';
const PAGES =
  goldenLayers().find((layer) => layer.manifest.case === '11-image-uncompressed')?.path ?? '';
const PAGE_KEY = 'rel=1663/5/16384 blkno=24';
const HEADER = JSON.stringify({
  kind: 'delta',
  tenant_id: '00'.repeat(16),
  timeline_id: '11'.repeat(16),
  key_start: '0'.repeat(36),
  key_end: 'F'.repeat(36),
  lsn_start: '0/1',
  lsn_end: '0/2',
});
const ENTRY = `{"key":"${'0'.repeat(36)}","lsn":"0/1","value":{"type":"image","hex":""}}`;

interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(...words: string[]): ChildProcess & { readonly finished: Promise<Finished> } {
  return watch(spawn(process.execPath, [PROGRAM, ...words]));
}

/** A line for bash, in which `layerfile` is the program. */
function shell(line: string): Promise<Finished> {
  const definition = `layerfile() { "${process.execPath}" "${PROGRAM}" "$@"; }`;
  return watch(spawn('bash', ['-c', `${definition}\n${line}`])).finished;
}

function watch(child: ChildProcess): ChildProcess & { readonly finished: Promise<Finished> } {
  const texts = [child.stdout, child.stderr].map(async (stream) => {
    let text = '';
    for await (const chunk of stream ?? []) text += chunk;
    return text;
  });
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      Promise.all(texts).then(
        ([stdout = '', stderr = '']) => resolve({ status, stdout, stderr }),
        reject,
      );
    });
  });
  return Object.assign(child, { finished });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

test.each([
  ['get', `layerfile get layer ${PAGE_KEY} --raw`],
  ['dump', 'layerfile dump layer --ndjson'],
  ['index', 'layerfile index layer --ndjson'],
  ['inspect', 'layerfile inspect layer --json'],
  ['layout', 'layerfile layout layer --ndjson'],
  ['verify', 'layerfile verify layer --ndjson'],
  ['verify below a directory', 'layerfile verify . --ndjson'],
  ['export page', `layerfile export page layer ${PAGE_KEY}`],
  ['export page to /dev/stdout', `layerfile export page layer ${PAGE_KEY} --out /dev/stdout`],
])('standard output is not appended to the layer that is read: %s', async (_, line) => {
  const directory = temporaryDirectory();
  const name = basename(PAGES);
  copyFileSync(PAGES, join(directory, name));
  symlinkSync(name, join(directory, 'layer'));
  const { status, stderr } = await shell(`cd '${directory}' && ${line} >> layer`);
  expect(status).toBe(2);
  expect(stderr).toContain('the output is the input');
  expect(readFileSync(join(directory, name)).equals(readFileSync(PAGES))).toBe(true);
});

test('a spec on standard input is not overwritten by the layer of its name', async () => {
  const directory = temporaryDirectory();
  const spec = join(directory, 'spec');
  writeFileSync(spec, `${HEADER}\n${ENTRY}\n`);
  const built = await shell(`layerfile build --out '${directory}' < '${spec}'`);
  const { path } = JSON.parse(built.stdout);
  writeFileSync(path, `${HEADER}\n${ENTRY}\n`);
  const { status } = await shell(`layerfile build --out '${directory}' < '${path}'`);
  expect(status).toBe(2);
  expect(readFileSync(path, 'utf8')).toBe(`${HEADER}\n${ENTRY}\n`);
});

test('the program can be executed as a file', () => {
  expect(readFileSync(PROGRAM, 'utf8').split('\n')[0]).toBe('#!/usr/bin/env node');
});

describe('a start', () => {
  /** What a process loads of Node takes most of the time that it needs to start. */
  test.each(['--version', '--help'])(
    'a start for %s loads nothing that only a command needs',
    async (word) => {
      const preload = `data:text/javascript,process.on('exit', () =>
      console.error(process.moduleLoadList.join()))`;
      const child = watch(spawn(process.execPath, ['--import', preload, PROGRAM, word]));
      const { status, stderr } = await child.finished;
      expect(status).toBe(0);
      expect(stderr).toContain('NativeModule tty');
      for (const name of ['crypto', 'fs/promises', 'zlib', 'worker_threads']) {
        expect(stderr.split(',')).not.toContain(`NativeModule ${name}`);
      }
    },
  );
});

describe('pipes', () => {
  test('a reader that takes one line and goes is success', async () => {
    const { status, stdout, stderr } = await shell(
      `layerfile dump '${LARGE}' --ndjson --values hex | head -n 1; exit "\${PIPESTATUS[0]}"`,
    );
    expect([status, stderr]).toEqual([0, '']);
    expect(parseLines(stdout)).toHaveLength(1);
  });

  test('a slow reader gets everything', async () => {
    const { status, stdout } = await shell(
      `layerfile dump '${LARGE}' --ndjson --values hex | (sleep 0.2; cat) | wc -l`,
    );
    expect([status, stdout.trim()]).toEqual([0, '2400']);
  });

  test('a layer goes through dump and build', async () => {
    const out = temporaryDirectory();
    const { status } = await shell(
      `set -o pipefail; (layerfile inspect '${LARGE}' --json
        layerfile dump '${LARGE}' --ndjson --values json) | layerfile build --out '${out}'`,
    );
    expect(status).toBe(0);
    const [name = ''] = readdirSync(out);
    expect(readFileSync(join(out, name))).toEqual(readFileSync(LARGE));
  });

  test('a device that is full is an error', async () => {
    const { status, stderr } = await shell(`layerfile dump '${LARGE}' --ndjson > /dev/full`);
    expect(status).toBe(3);
    expect(
      parseError({ status: 3, stdout: '', stdoutBytes: Buffer.alloc(0), stderr }),
    ).toMatchObject({ code: 'io', message: 'cannot write to standard output (ENOSPC)' });
  });

  test('a file that cannot take all of the last write is an error', async () => {
    const file = join(temporaryDirectory(), 'dump');
    const { status, stderr } = await shell(
      `ulimit -f 1; layerfile dump '${LARGE}' --ndjson --limit 20 > '${file}'`,
    );
    expect(status).toBe(3);
    expect(parseLines(stderr)).toMatchObject([{ error: { code: 'io' } }]);
    expect(readFileSync(file).length).toBe(1024);
  });

  test('a directory as input of build has the status of a failed look', async () => {
    const { status, stderr } = await shell(`layerfile build --out '${temporaryDirectory()}' < /`);
    expect([status, stderr]).toEqual([3, 'error[io]: standard input: cannot read (EISDIR)\n']);
  });

  test('a page goes to a device, a FIFO, or through a symbolic link', async () => {
    const directory = temporaryDirectory();
    const page = await shell(
      `layerfile export page '${PAGES}' rel=1663/5/16384 blkno=24 | sha256sum`,
    );
    // By way of a link of its own, so that no mistake can replace the system's.
    symlinkSync('/dev/fd/1', join(directory, 'out'));
    const there = await shell(
      `set -o pipefail; cd '${directory}'
       layerfile export page '${PAGES}' rel=1663/5/16384 blkno=24 --out out | sha256sum`,
    );
    expect([there.status, there.stdout]).toEqual([0, page.stdout]);
    const linked = await shell(
      `cd '${directory}'; echo old > target; ln -s target link
       layerfile export page '${PAGES}' rel=1663/5/16384 blkno=24 --out link
       sha256sum < target; test -L link && echo 'still a link'`,
    );
    expect(linked.stdout).toBe(`${page.stdout}still a link\n`);
  });

  test('an error ends the program although its input continues', async () => {
    const child = start('build', '--out', temporaryDirectory());
    child.stdin?.write('no header\n');
    const { status, stdout } = await child.finished;
    expect([status, stdout]).toEqual([2, '']);
  });
});

describe('a FIFO', () => {
  test('a FIFO where a layer is wanted is refused without waiting', async () => {
    const fifo = join(temporaryDirectory(), `${'0'.repeat(36)}-${'F'.repeat(36)}__01`);
    execFileSync('mkfifo', [fifo]);
    const results = await Promise.all(
      [
        ['inspect', fifo],
        ['dump', fifo],
        ['verify', fifo],
        ['verify', join(fifo, '..')],
      ].map((words) => start(...words).finished),
    );
    expect(results.map((result) => result.status)).toEqual([3, 3, 3, 3]);
  });

  test('a FIFO may carry the input of build', async () => {
    const out = temporaryDirectory();
    const lines = `${HEADER}\\n${ENTRY}\\n`;
    const { status } = await shell(`layerfile build <(printf '%b' '${lines}') --out '${out}'`);
    expect([status, readdirSync(out).length]).toEqual([0, 1]);
  });
});

describe('a signal', () => {
  test('a signal ends a dump whose reader does not read', async () => {
    const child = spawn(process.execPath, [PROGRAM, 'dump', LARGE, '--ndjson', '--values', 'hex']);
    await once(child.stdout, 'readable');
    await new Promise((resolve) => setTimeout(resolve, 100));
    child.kill('SIGINT');
    const [status] = await once(child, 'exit');
    expect(status).toBe(130);
    child.stdout.destroy();
  });

  test('a signal ends build while its FIFO has no writer', async () => {
    const fifo = join(temporaryDirectory(), 'spec');
    execFileSync('mkfifo', [fifo]);
    const child = start('build', fifo, '--out', temporaryDirectory());
    await (CAN_LIST_DESCRIPTORS
      ? until(() => openBelow(fifo, child.pid).length > 0)
      : new Promise((resolve) => setTimeout(resolve, 2000)));
    child.kill('SIGINT');
    const { status, stderr } = await child.finished;
    expect([status, stderr]).toEqual([130, 'error[aborted]: interrupted\n']);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)(
    '%s ends build with 130 and leaves nothing',
    async (signal) => {
      const out = temporaryDirectory();
      const child = start('build', '--out', out, '--json');
      child.stdin?.write(`${HEADER}\n${ENTRY}\n`);
      await until(() => readdirSync(out).length > 0);
      child.kill(signal);
      const { status, stdout, stderr } = await child.finished;
      expect([status, stdout]).toEqual([130, '']);
      expect(parseLines(stderr)).toMatchObject([{ error: { code: 'aborted' } }]);
      expect(readdirSync(out)).toEqual([]);
    },
  );
});

/** Whether who made a temporary file is still running, told by the real /proc. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { ownerOf } from '../../src/virtual-file/leftover-names.ts';
import { systemOwners } from '../../src/virtual-file/owners.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import {
  bundledProgram,
  PERMISSION_FLAG,
  resultOf,
  startNode,
  startProgram,
} from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const HAS_PROC = existsSync('/proc/thread-self');

test('an owner is 28 hex digits, the same each time', () => {
  expect(systemOwners.own()).toMatch(/^[\da-f]{28}$/);
  expect(systemOwners.own()).toBe(systemOwners.own());
  expect(systemOwners.stateOf(systemOwners.own())).toBe('running');
});

describe.runIf(HAS_PROC)('an owner', () => {
  const own = systemOwners.own();
  const ofThread = (thread: number, start = own.slice(18)): string =>
    own.slice(0, 10) + thread.toString(16).padStart(8, '0') + start;

  test('an owner of another boot, pid namespace or machine is unknown', () => {
    expect(systemOwners.stateOf(`0123456789${own.slice(10)}`)).toBe('unknown');
    expect(systemOwners.stateOf('0'.repeat(28))).toBe('unknown');
  });

  test('an owner whose number now belongs to another thread has ended', () => {
    expect(systemOwners.stateOf(ofThread(process.pid, '00000000ff'))).toBe('ended');
  });

  test('an owner whose number no thread has, has ended', () => {
    expect(systemOwners.stateOf(ofThread(0x7fff_fff0))).toBe('ended');
  });

  test('an owner is running as long as its process is, and has ended before its exit status is collected', async () => {
    // The shell does not ask: its child stays a zombie.
    const shell = spawn('sh', ['-c', 'sleep 60 & echo $!; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      const [line] = await once(shell.stdout, 'data');
      const child = Number(String(line));
      const stat = (): string => readFileSync(`/proc/${child}/stat`, 'latin1');
      const start = Number(stat().split(') ')[1]?.split(' ')[19]).toString(16).padStart(10, '0');
      expect(systemOwners.stateOf(ofThread(child, start))).toBe('running');
      await until(() => readFileSync(`/proc/${shell.pid}/comm`, 'latin1') === 'sleep\n');
      process.kill(child, 'SIGKILL');
      await until(() => stat().includes(') Z '));
      expect(systemOwners.stateOf(ofThread(child, start))).toBe('ended');
    } finally {
      shell.kill('SIGKILL');
    }
  });

  test('an owner that is a worker thread has ended with it, though the process continues', async () => {
    const program = await bundledProgram(new URL('programs/owner.ts', import.meta.url));
    const worker = new Worker(program);
    const [owner] = await once(worker, 'message');
    expect(owner).not.toBe(own);
    expect(systemOwners.stateOf(owner)).toBe('running');
    await worker.terminate();
    expect(systemOwners.stateOf(owner)).toBe('ended');
  });

  test('an owner that is a process has ended once it was killed, and its file goes with the next overwrite', async () => {
    const program = await bundledProgram(new URL('programs/owner.ts', import.meta.url));
    const path = join(temporaryDirectory(), 'file');
    const running = startProgram(program, path);
    const temporary = (): string => readdirSync(join(path, '..')).join();
    for await (const _ of running.lines) break;
    const owner = ownerOf(temporary()) ?? '';
    expect(systemOwners.stateOf(owner)).toBe('running');
    running.child.kill('SIGKILL');
    await running.ended;
    expect(systemOwners.stateOf(owner)).toBe('ended');
    await overwriteFile(path, 'new');
    expect(temporary()).toBe('file');
  });
});

test('without /proc an owner is a process, and is never said to have ended', async () => {
  // Without links: `node_modules` may be one, and its target is not permitted then.
  const program = realpathSync(await bundledProgram(new URL('programs/owner.ts', import.meta.url)));
  const permissions = [PERMISSION_FLAG, `--allow-fs-read=${dirname(program)}/*`];
  const running = startNode(['--no-warnings', ...permissions, program]);
  const { own, states } = await resultOf<{ own: string; states: string[] }>(running);
  const number = running.child.pid?.toString(16).padStart(8, '0');
  expect(own).toBe(`0000000000${number}0000000000`);
  expect(states).toEqual(['running', 'running', 'unknown', 'unknown']);
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

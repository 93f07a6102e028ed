/** Threads: terminated in the middle of their writes, and concurrently with each other. */

import { pbkdf2 } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { seededChoices } from '../../src/testing/choices.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { CAN_LIST_DESCRIPTORS, openBelow } from '../support/open-descriptors.ts';
import { bundledProgram } from '../support/programs.ts';
import { rounds } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import {
  checkDirectory,
  type Durable,
  NOTHING,
  numbersAfter,
  prepareDirectory,
  recover,
  withMessages,
} from './check-directory.ts';
import type { OverwritingThreadInput } from './programs/overwriting-thread.ts';
import type { WriterInput, WriterMessage } from './writing.ts';

const ROUNDS = rounds(12);
/** If no end before came at a time at which it shows something. */
const MOST_ROUNDS = 60;

test('a terminated thread leaves complete files, all that it acknowledged, and no descriptor', async () => {
  const program = await bundledProgram(new URL('programs/writer-thread.ts', import.meta.url));
  const directory = realpathSync(temporaryDirectory());
  prepareDirectory(directory);
  let durable: Durable = NOTHING;
  let leftoverCount = 0;
  const isEnough = (): boolean => durable.layers.size > 0 && leftoverCount > 0;
  for (let round = 0; round < (isEnough() ? ROUNDS : MOST_ROUNDS); round += 1) {
    const input: WriterInput = {
      directory,
      ...numbersAfter(durable),
      recover: false,
      seed: round,
    };
    const worker = new Worker(program, { workerData: input });
    const choose = seededChoices(round);
    const messages: WriterMessage[] = [];
    worker.on('message', (message: WriterMessage) => messages.push(message));
    for (let count = choose(12); count >= 0; count -= 1) await once(worker, 'message');
    await new Promise((resolve) => setTimeout(resolve, choose(6)));
    await worker.terminate();
    if (CAN_LIST_DESCRIPTORS) expect(openBelow(directory)).toEqual([]);
    const found = await checkDirectory(directory, withMessages(durable, messages));
    leftoverCount += found.leftovers.length;
    await recover(directory, found);
    durable = found;
  }
  expect(durable.layers.size).toBeGreaterThan(0);
  expect(leftoverCount).toBeGreaterThan(0);
});

test.runIf(CAN_LIST_DESCRIPTORS)(
  'a thread that is terminated while its files wait to be closed leaves no descriptor',
  async () => {
    const program = await bundledProgram(new URL('programs/closing-thread.ts', import.meta.url));
    const directory = realpathSync(temporaryDirectory());
    const worker = new Worker(program, { workerData: directory });
    await once(worker, 'message');
    expect(openBelow(directory).length).toBe(8);
    const busy = Array.from({ length: THREADS_OF_POOL }, holdThread);
    worker.postMessage('close');
    await once(worker, 'message');
    await worker.terminate();
    expect(openBelow(directory)).toEqual([]);
    await Promise.all(busy);
  },
);

test('threads that overwrite one file concurrently: it is complete at any time, and nothing is left', async () => {
  const program = await bundledProgram(new URL('programs/overwriting-thread.ts', import.meta.url));
  const directory = realpathSync(temporaryDirectory(MEMORY_DISK));
  const path = join(directory, 'file');
  const length = 300_000;
  const content = (byte: number): Uint8Array => new Uint8Array(length).fill(byte);
  const whole = [0, 1, 2, 3].map((byte) => Buffer.from(content(byte)));
  await overwriteFile(path, content(0));
  const threads = [1, 2].map((byte) => {
    const workerData: OverwritingThreadInput = { path, byte, length, count: 300 };
    return new Worker(program, { workerData });
  });
  let isOver = false;
  const errors = Promise.all(threads.map((thread) => once(thread, 'message'))).finally(() => {
    isOver = true;
  });
  const seen = new Set<number>();
  while (!isOver) {
    const found = readFileSync(path);
    seen.add(whole.findIndex((one) => one.equals(found)));
    await overwriteFile(path, content(3));
  }
  expect(await errors).toEqual([[[]], [[]]]);
  expect(seen).not.toContain(-1);
  expect(seen.size).toBeGreaterThan(1);
  expect(readdirSync(directory)).toEqual(['file']);
});

/** Where there is one: it is not the device that is tried here. */
const MEMORY_DISK = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

const THREADS_OF_POOL = 4;

/** All threads of the process share one pool. */
function holdThread(): Promise<Buffer> {
  return promisify(pbkdf2)('password', 'salt', 200_000, 64, 'sha512');
}

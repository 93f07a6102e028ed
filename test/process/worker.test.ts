/** A thread that is terminated in the middle of its writes, while the process goes on. */

import { once } from 'node:events';
import { realpathSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { seededChoices } from '../support/choices.ts';
import { CAN_LIST_DESCRIPTORS, openBelow } from '../support/open-descriptors.ts';
import { bundledProgram } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import {
  checkDirectory,
  type Durable,
  NOTHING,
  prepareDirectory,
  recover,
  withMessages,
} from './check-directory.ts';
import type { WriterInput, WriterMessage } from './writing.ts';

const ROUNDS = 20;

test('a terminated thread leaves whole files, all that it acknowledged, and no descriptor', async () => {
  const program = await bundledProgram(new URL('programs/writer-thread.ts', import.meta.url));
  const directory = realpathSync(temporaryDirectory());
  prepareDirectory(directory);
  let durable: Durable = NOTHING;
  let leftoverCount = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const input: WriterInput = {
      directory,
      firstLayer: Math.max(-1, ...durable.layers) + 1,
      firstFileVersion: durable.fileVersion + 1,
      firstMetadataVersion: durable.metadataVersion + 1,
      recover: false,
      seed: round,
    };
    const worker = new Worker(program, { workerData: input });
    const messages: WriterMessage[] = [];
    worker.on('message', (message: WriterMessage) => messages.push(message));
    await once(worker, 'message');
    await new Promise((resolve) => setTimeout(resolve, seededChoices(round)(40)));
    await worker.terminate();
    if (CAN_LIST_DESCRIPTORS) expect(openBelow(directory)).toEqual([]);
    const found = await checkDirectory(directory, withMessages(durable, messages));
    leftoverCount += found.leftovers.length;
    await recover(directory, found);
    durable = found;
  }
  expect(durable.layers.size).toBeGreaterThan(ROUNDS / 4);
  expect(leftoverCount).toBeGreaterThan(0);
});

/**
 * Ends of a process other than kill -9. `process.exit` and an uncaught throw still carry out what
 * is queued, without any callback; SIGTERM carries out nothing, abort some of it.
 *
 * Each end has rounds until layers, files and leftovers were found, two at the least. With LAYERFILE_KILL_ROUNDS it has
 * five at the least.
 */
import { expect, test } from 'vitest';
import { seededChoices } from '../../src/testing/choices.ts';
import { bundledProgram, startProgram } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import {
  checkDirectory,
  type Durable,
  expectAtMostOneUntold,
  NOTHING,
  numbersAfter,
  prepareDirectory,
  recover,
  withMessages,
} from './check-directory.ts';
import type { ProcessInput } from './programs/writer.ts';
import type { WriterMessage } from './writing.ts';

const ENDS = [
  { name: 'process.exit', end: 'exit', status: 0, signal: null },
  { name: 'an uncaught throw', end: 'throw', status: 1, signal: null },
  { name: 'process.abort', end: 'abort', status: null, signal: 'SIGABRT' },
  { name: 'SIGTERM', end: 'none', status: null, signal: 'SIGTERM' },
] as const;

const LEAST_ROUNDS = process.env['LAYERFILE_KILL_ROUNDS'] === undefined ? 2 : 5;
const MOST_ROUNDS = 20;

test.each(ENDS)(
  'a writer that ends by $name leaves whole files and all that it acknowledged',
  async ({ end, status, signal }) => {
    const program = await bundledProgram(new URL('programs/writer.ts', import.meta.url));
    const directory = temporaryDirectory();
    prepareDirectory(directory);
    let durable: Durable = NOTHING;
    let leftoverCount = 0;
    for (let round = 0; round < MOST_ROUNDS; round += 1) {
      const choose = seededChoices(round);
      const endAfterMessages = 2 + choose(12);
      const endAfterMs = choose(6);
      const input: ProcessInput = {
        directory,
        ...numbersAfter(durable),
        recover: false,
        seed: round,
        end,
        endAfterMessages,
        endAfterMs,
      };
      const running = startProgram(program, input);
      const messages: WriterMessage[] = [];
      for await (const line of running.lines) {
        const message: WriterMessage = JSON.parse(line);
        messages.push(message);
        if (end === 'none' && messages.length === endAfterMessages) {
          setTimeout(() => running.child.kill('SIGTERM'), endAfterMs);
        }
      }
      const ended = await running.ended;
      expect({ status: ended.status, signal: ended.signal }).toEqual({ status, signal });
      durable = withMessages(durable, messages);
      const found = await checkDirectory(directory, durable);
      expectAtMostOneUntold(found, durable);
      leftoverCount += found.leftovers.length;
      await recover(directory, found);
      durable = found;
      const isAllFound = durable.layers.size > 0 && durable.fileVersion > 0 && leftoverCount > 0;
      if (isAllFound && round + 1 >= LEAST_ROUNDS) break;
    }
    expect(durable.layers.size).toBeGreaterThan(0);
    expect(durable.fileVersion).toBeGreaterThan(0);
    expect(leftoverCount).toBeGreaterThan(0);
  },
);

/**
 * kill -9 at random times. The kernel keeps what was written, so this shows the order of names and
 * contents, acknowledgements and recovery; what a power cut takes is shown in memory, in test/crash.
 *
 * LAYERFILE_KILL_ROUNDS sets how often, LAYERFILE_KILL_SEED which moments are aimed at.
 */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Choose, seededChoices } from '../../src/testing/choices.ts';
import { bundledProgram, type Running, startProgram } from '../support/programs.ts';
import { HAS_ALL_ROUNDS } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import {
  checkDirectory,
  type Durable,
  deleteOldLayers,
  expectAtMostOneUntold,
  NOTHING,
  numbersAfter,
  prepareDirectory,
  recover,
  withMessages,
} from './check-directory.ts';
import type { ProcessInput } from './programs/writer.ts';
import type { WriterMessage } from './writing.ts';

const ROUNDS = Number(process.env['LAYERFILE_KILL_ROUNDS'] ?? (HAS_ALL_ROUNDS ? 30 : 12));
const SEED = Number(process.env['LAYERFILE_KILL_SEED'] ?? Date.now() % 1_000_000);

/** Rounds go on until layers and leftovers were seen often enough to show something, at most so often. */
const MOST_ROUNDS = 3 * ROUNDS;

/** Directories, each with one writer at a time, so that the starts of processes overlap. */
const LANES = 4;

const SLOWEST_ROUND_MS = 1000;

test(`a writer killed ${ROUNDS} times leaves complete files, all that it acknowledged, and leftovers`, {
  timeout: 300_000 + MOST_ROUNDS * SLOWEST_ROUND_MS,
}, async () => {
  const program = await bundledProgram(new URL('programs/writer.ts', import.meta.url));
  const root = temporaryDirectory();
  const total = { rounds: 0, layers: 0, overwrites: 0, untold: 0, leftovers: 0 };
  const isEnough = (): boolean => Math.min(total.layers, total.leftovers) > ROUNDS / 4;
  const workLane = async (lane: number): Promise<void> => {
    const directory = join(root, String(lane));
    mkdirSync(directory);
    prepareDirectory(directory);
    let durable = NOTHING;
    for (let round = lane; round < (isEnough() ? ROUNDS : MOST_ROUNDS); round += LANES) {
      const choose = seededChoices(SEED * 1_000_000 + round);
      try {
        durable = await playRound({ program, directory, durable, choose, round });
      } catch (error) {
        throw new Error(`round ${round} of seed ${SEED}`, { cause: error });
      }
    }
  };
  const playRound = async (start: RoundStart): Promise<Durable> => {
    const { directory, durable: before, choose } = start;
    const messages = await runUntilKilled(start);
    const durable = withMessages(before, messages);
    const found = await checkDirectory(directory, durable);
    expectAtMostOneUntold(found, durable);
    total.rounds += 1;
    total.layers += durable.layers.size - before.layers.size;
    total.overwrites += durable.fileVersion - before.fileVersion;
    total.overwrites += durable.metadataVersion - before.metadataVersion;
    total.untold += found.layers.size - durable.layers.size;
    total.leftovers += found.leftovers.length;
    // Else the next writer recovers, and may be killed while it does.
    if (choose(2) === 0) await recover(directory, found);
    return deleteOldLayers(directory, found);
  };
  await Promise.all(Array.from({ length: LANES }, (_, lane) => workLane(lane)));
  console.info(
    `kill -9: ${total.rounds} rounds (seed ${SEED}): ${total.layers} layers and ` +
      `${total.overwrites} overwrites acknowledged, all there; ${total.untold} layers whole ` +
      `though not acknowledged yet; ${total.leftovers} leftovers removed`,
  );
  expect(total.rounds).toBeGreaterThanOrEqual(ROUNDS);
  // Else the kills came at the wrong times, and the test shows nothing.
  expect(total.layers).toBeGreaterThan(ROUNDS / 4);
  expect(total.leftovers).toBeGreaterThan(ROUNDS / 4);
});

interface RoundStart {
  readonly program: string;
  readonly directory: string;
  readonly durable: Durable;
  readonly choose: Choose;
  readonly round: number;
}

/** What the writer told before it was killed. */
async function runUntilKilled(start: RoundStart): Promise<WriterMessage[]> {
  const { program, directory, durable, choose, round } = start;
  const input: ProcessInput = {
    directory,
    ...numbersAfter(durable),
    recover: true,
    seed: round,
    end: 'none',
    endAfterMessages: 0,
    endAfterMs: 0,
  };
  const running = startProgram(program, input);
  const messages: WriterMessage[] = [];
  const kill = killer(running, choose);
  kill.told(0);
  for await (const line of running.lines) {
    const message: WriterMessage = JSON.parse(line);
    messages.push(message);
    kill.told(messages.length);
  }
  const { signal, stderr } = await running.ended;
  expect({ signal, stderr }).toEqual({ signal: 'SIGKILL', stderr: '' });
  return messages;
}

/** Aims at the start and recovery, at any moment of the writing, or right after a message. */
function killer({ child }: Running, choose: Choose) {
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  const aim = (['start', 'any', 'any', 'message', 'message'] as const)[choose(5)] ?? 'any';
  const messageCount = aim === 'start' ? 0 : 1 + choose(aim === 'any' ? 10 : 20);
  const delayMs = choose(aim === 'start' ? 100 : 10) + choose(1000) / 1000;
  return {
    /** How many messages there were. */
    told(count: number): void {
      if (count !== messageCount) return;
      if (aim === 'message') kill();
      else setTimeout(kill, delayMs);
    },
  };
}

/**
 * An abort at any await: descriptors, temporary files, listeners and memory return to where they
 * were, and what is on disk is what the callers were promised.
 *
 *   LAYERFILE_ABORTS   how many; default 125, and 500 with LAYERFILE_ROUNDS=all
 *   LAYERFILE_ABORT_SEED   first seed; default 1
 */
import { getEventListeners } from 'node:events';
import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { type Choose, seededChoices } from '../../src/testing/choices.ts';
import type { FileSystemOperation, FileSystemOperationKind } from '../../src/testing/faults.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { overwriteFile } from '../../src/write-once/overwrite.ts';
import { turns } from '../support/gate.ts';
import { blockKey, IDS, KEY_RANGE, LSN_RANGE } from '../support/layers.ts';
import { CAN_LIST_DESCRIPTORS, openBelow } from '../support/open-descriptors.ts';
import { rounds } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { checkContents, filesOf } from './checks.ts';
import { freshStart } from './crash-points.ts';
import { visitCrashStates } from './crash-states.ts';
import { firstOf, type MakeScenario, randomDelays, type Scenario } from './scenario.ts';
import { SCENARIOS } from './scenarios/all.ts';
import { verifyDelta } from './scenarios/readers.ts';
import { READING_SCENARIOS } from './scenarios/reads.ts';

const ABORTS = Number(process.env['LAYERFILE_ABORTS'] ?? rounds(500));
const FIRST_SEED = Number(process.env['LAYERFILE_ABORT_SEED'] ?? '1');

const OPERATIONS: ReadonlyMap<string, MakeScenario> = new Map([
  ...SCENARIOS,
  ['verify', verifyDelta],
  ...READING_SCENARIOS,
]);

/** An abort comes N turns of the microtask queue after an operation began, at most. */
const MAXIMUM_TURNS = 24;

/** Where an abort comes, instead of at an operation. */
const AT_THE_START = -1;

/** Of the delays with which the order of operations was taken down. */
const ORDER_SEED = 1;

/** A moment of a run. */
interface Moment {
  /** Which operation of the file system begins, from 0 on. */
  readonly operation: number;
  /** Turns of the microtask queue after it; with none, it is under way. */
  readonly turns: number;
}

describe.each([...OPERATIONS])('%s', (kind, make) => {
  const count = Math.ceil(ABORTS / OPERATIONS.size);

  test(`the operation ${kind} leaves nothing when it is aborted at any await, ${count} times`, async () => {
    let scenario = await make(seededChoices(FIRST_SEED));
    let order = await momentsOf(scenario);
    const kinds = new Set(order.map(({ kind: operationKind }) => operationKind));
    const hit = new Set<FileSystemOperationKind | undefined>();
    expect(order).not.toEqual([]);
    for (let number = 0; number < Math.max(count, kinds.size); number += 1) {
      const seed = FIRST_SEED + number;
      const random = seededChoices(seed);
      if (number >= kinds.size && number % 50 === 49) {
        scenario = await make(random);
        order = await momentsOf(scenario);
      }
      try {
        const moment = momentOf(number, order, kinds.size, random);
        hit.add(await abortOnce(scenario, random, moment));
      } catch (error) {
        throw new Error(`${kind}, LAYERFILE_ABORT_SEED=${FIRST_SEED}, ${number}: ${error}`, {
          cause: error,
        });
      }
    }
    expect([...kinds].filter((one) => !hit.has(one))).toEqual([]);
  }, 3_600_000);
});

/** First in the middle of an operation of each kind, then after each operation, and at the start. */
function momentOf(
  number: number,
  order: readonly FileSystemOperation[],
  kindCount: number,
  random: Choose,
): Moment {
  const operation = order[number % (order.length + 1)]?.index ?? AT_THE_START;
  return { operation, turns: number < kindCount ? 0 : random(MAXIMUM_TURNS) };
}

/**
 * Returns: the kind of the operation after which the abort came; undefined if there was none, or if
 * the run was over by then.
 */
async function abortOnce(
  scenario: Scenario,
  random: Choose,
  moment: Moment,
): Promise<FileSystemOperationKind | undefined> {
  const { fileSystem, ledger } = freshStart(scenario);
  const before = filesOf(fileSystem);
  const openFiles = new OpenFiles({ fileSystem });
  const controller = new AbortController();
  const { signal } = controller;
  let isOver = false;
  let hit: FileSystemOperationKind | undefined;
  const abort = (kind?: FileSystemOperationKind): void => {
    if (!isOver) hit = kind;
    controller.abort(new Error('enough'));
  };
  const abortLater = (kind?: FileSystemOperationKind): void => {
    if (moment.turns === 0) abort(kind);
    else void turns(moment.turns).then(() => abort(kind));
  };
  // In the middle of an operation: with other delays another one may have its number.
  const delays = randomDelays(moment.turns === 0 ? ORDER_SEED : random(0xffff));
  const answer = firstOf(scenario.intercept?.(), delays);
  fileSystem.intercept = (operation) => {
    if (operation.index === moment.operation) abortLater(operation.kind);
    return answer(operation);
  };
  if (moment.operation === AT_THE_START) abortLater();
  await scenario.run({ fileSystem, openFiles, ledger, signal });
  isOver = true;
  fileSystem.intercept = undefined;

  expect(getEventListeners(signal, 'abort')).toEqual([]);
  expect(fileSystem.openPaths).toEqual([]);
  const files = filesOf(fileSystem);
  const leftovers = checkContents(files, ledger.allowed, scenario.directories);
  const ours = leftovers.filter((path) => before.get(path) === undefined);
  expect(ours).toEqual([]);
  await visitCrashStates(fileSystem, 3, random, async ({ disk }) => {
    checkContents(filesOf(disk), ledger.allowed, scenario.directories);
    return true;
  });
  return hit;
}

/** The operations of a run that nobody aborts: one of each kind, then the others. */
async function momentsOf(scenario: Scenario): Promise<FileSystemOperation[]> {
  const { fileSystem, ledger } = freshStart(scenario);
  const { signal } = new AbortController();
  const operations: FileSystemOperation[] = [];
  const answer = firstOf(scenario.intercept?.(), randomDelays(ORDER_SEED));
  fileSystem.intercept = (operation) => {
    operations.push(operation);
    return answer(operation);
  };
  await scenario.run({ fileSystem, openFiles: new OpenFiles({ fileSystem }), ledger, signal });
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  const seen = new Set<FileSystemOperationKind>();
  const isFirst = operations.map(({ kind }) => !seen.has(kind) && seen.add(kind).size > 0);
  return [
    ...operations.filter((_, index) => isFirst[index]),
    ...operations.filter((_, index) => !isFirst[index]),
  ];
}

/** Bytes, for 160 aborts. */
const MAXIMUM_GROWTH = 560 * 1024;

test('memory does not grow with the number of aborts', async () => {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const make = OPERATIONS.get('ephemeral');
  const scenario = await make?.(seededChoices(3));
  if (scenario === undefined) throw new Error('no such scenario');
  const order = await momentsOf(scenario);
  const random = seededChoices(7);
  const abortMany = async (): Promise<number> => {
    for (let number = 0; number < 80; number += 1) {
      await abortOnce(scenario, random, momentOf(number, order, 0, random));
    }
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    // Aligned memory belongs to an object that the first collection takes away.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
  };
  await abortMany();
  // The runner of the tests needs memory now and then; what an abort leaves, it leaves each time.
  const growths: number[] = [];
  do {
    const before = await abortMany();
    await abortMany();
    growths.push((await abortMany()) - before);
  } while (growths.length < 4 && Math.min(...growths) >= MAXIMUM_GROWTH);
  expect(Math.min(...growths)).toBeLessThan(MAXIMUM_GROWTH);
});

test.runIf(CAN_LIST_DESCRIPTORS)(
  'on a real disk neither files nor descriptors nor timers are left',
  async () => {
    const directory = temporaryDirectory();
    const random = seededChoices(1);
    const resources = process.getActiveResourcesInfo().length;
    for (let round = 0; round < rounds(60); round += 1) {
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(), random(8));
      await Promise.allSettled([
        writeLayer(directory, controller.signal),
        overwriteFile(`${directory}/file`, 'x'.repeat(9000), { signal: controller.signal }),
      ]);
      clearTimeout(timer);
      expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
      expect(readdirSync(directory).filter((name) => name.includes('___temp'))).toEqual([]);
      expect(openBelow(directory)).toEqual([]);
    }
    // The test runner has timers of its own, which come and go.
    await expect.poll(() => process.getActiveResourcesInfo().length).toBeLessThanOrEqual(resources);
  },
);

async function writeLayer(directory: string, signal: AbortSignal): Promise<void> {
  const { start } = LSN_RANGE;
  const openFiles = new OpenFiles({ capacity: 2 });
  const options = { directory, ...IDS, keyRange: KEY_RANGE, lsnRange: LSN_RANGE };
  await using writer = await DeltaLayerWriter.create({
    ...options,
    bufferSize: 4096,
    syncEvery: 8192,
    openFiles,
    signal,
  });
  for (let block = 0; block < 50; block += 1) {
    await writer.put(blockKey(block), start, { type: 'image', bytes: new Uint8Array(1000) });
  }
  await writer.finish();
}

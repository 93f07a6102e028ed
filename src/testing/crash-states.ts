/**
 * The states that one crash may leave: all of them where they are few, otherwise the two extremes and
 * a sample in which single changes are lost or kept alone more often than chance would have it, since
 * that is where stores fail.
 */
import {
  checkArray,
  checkCount,
  checkObject,
  checkOneOf,
  checkOptions,
  memberOf,
} from '../check-options.ts';
import {
  answerOf,
  type Choose,
  everyChoice,
  loseEverything,
  loseNothing,
  seededChoices,
} from './choices.ts';
import type { MemoryFileSystem } from './memory-file-system.ts';

/** One state that a crash may leave. */
export interface CrashState {
  /** The file system after the crash; all of it is durable. */
  readonly disk: MemoryFileSystem;
  /** The answers that led here, for `replayCrash`. */
  readonly choices: readonly number[];
}

/** Options of `crashStates`. */
export interface CrashStatesOptions {
  /** Maximum number of states; default 256. */
  readonly limit?: number | undefined;
  /** Source of the sample; default `seededChoices(1)`, so that two runs see the same states. */
  readonly random?: Choose | undefined;
}

/** The largest number of states that are enumerated rather than sampled. */
const MAXIMUM_ENUMERATED = 256;

/**
 * Crashes a file system in many ways. The file system itself does not change.
 *
 * @returns every state, if there are at most `limit` and at most 256 of them; otherwise `limit` states,
 * some of which may be equal: first the newest, then the durable one, then a sample
 * @throws `invalid-input` if `limit` is not an integer from 1, or `random` answers with anything but an integer from 0
 * to `n - 1`
 * @example
 * for (const { disk: after, choices } of crashStates(disk)) {
 *   assert.ok(isIntact(after), `replayCrash(disk, [${choices}])`);
 * }
 */
export function crashStates(
  disk: MemoryFileSystem,
  options: CrashStatesOptions = {},
): Generator<CrashState, void, undefined> {
  checkDisk(disk);
  checkOptions(options, { limit: true, random: 'function' });
  const { limit = 256, random = seededChoices(1) } = options;
  checkCount('limit', limit, { from: 1 });
  const isEnumerated = disk.countCrashStates() <= Math.min(limit, MAXIMUM_ENUMERATED);
  return isEnumerated ? enumerate(disk) : sample(disk, limit, (n) => answerOf(random, n));
}

/**
 * One state of `crashStates` again.
 *
 * @param choices the `choices` of that state; questions that they do not answer get the durable state
 */
export function replayCrash(disk: MemoryFileSystem, choices: readonly number[]): CrashState {
  checkDisk(disk);
  checkArray('choices', choices);
  for (const choice of Array.from(choices)) checkCount('choice', choice);
  return crash(
    disk,
    byIndex((at, n) => Math.min(choices[at] ?? 0, n - 1)),
  );
}

function checkDisk(disk: MemoryFileSystem): void {
  checkObject('disk', disk);
  if (typeof memberOf(disk, 'operationCount') !== 'number') {
    checkOneOf('disk', undefined, ['MemoryFileSystem']);
  }
}

function* enumerate(disk: MemoryFileSystem): Generator<CrashState, void, undefined> {
  for (const choose of everyChoice()) yield crash(disk, choose);
}

function* sample(
  disk: MemoryFileSystem,
  limit: number,
  random: Choose,
): Generator<CrashState, void, undefined> {
  let count = 0;
  for (const choose of sampledChoices(disk, random)) {
    yield crash(disk, choose);
    count += 1;
    if (count === limit) return;
  }
}

function* sampledChoices(disk: MemoryFileSystem, random: Choose): Generator<Choose> {
  yield loseNothing;
  yield loseEverything;
  const questions = crash(disk, loseNothing).choices.length;
  for (;;) {
    for (let batch = 0; batch < 8; batch += 1) yield biased(random, questions);
    const one = random(Math.max(1, questions));
    yield byIndex((at, n) => (at === one ? random(n - 1) : n - 1));
    yield byIndex((at, n) => (at === one ? 1 + random(n - 1) : 0));
  }
}

function crash(disk: MemoryFileSystem, choose: Choose): CrashState {
  const choices: number[] = [];
  const crashed = disk.crash((n) => {
    const choice = choose(n);
    choices.push(choice);
    return choice;
  });
  return { disk: crashed, choices };
}

const PERCENT_BEFORE = [5, 50, 95, 100, 100, 100];
const PERCENT_AFTER = [5, 30, 50, 70, 95];

/**
 * Names are asked about before contents. Up to a random question the newest state is likely, often
 * certain, and another likelihood holds after it: most states then have names whose contents are in
 * doubt.
 */
function biased(random: Choose, questions: number): Choose {
  const border = random(questions + 1);
  const before = PERCENT_BEFORE[random(PERCENT_BEFORE.length)] ?? 0;
  const after = PERCENT_AFTER[random(PERCENT_AFTER.length)] ?? 0;
  return byIndex((at, n) => {
    const keepNewest = random(100) < (at < border ? before : after);
    return keepNewest ? n - 1 : random(n);
  });
}

function byIndex(choose: (index: number, n: number) => number): Choose {
  let index = -1;
  return (n) => {
    index += 1;
    return choose(index, n);
  };
}

/**
 * The states that one crash may leave: all of them where they are few; else the extremes and a sample
 * from a seed, in which single changes are lost or kept alone more often than chance would have it.
 */
import type { Choose } from '../../src/virtual-file/memory-file.ts';
import type { MemoryFileSystem } from '../../src/virtual-file/memory-file-system.ts';
import { forEveryChoice } from '../support/choices.ts';
import { pick } from './scenario.ts';

export interface CrashState {
  readonly disk: MemoryFileSystem;
  /** What was answered to each question of `crash`, for a replay. */
  readonly choices: readonly number[];
}

/** Where there are no more, every one of them is visited. */
const EXHAUSTIVE = 256;

/** A sample ends when so many states in a row were known. */
const MAXIMUM_REPETITIONS = 32;

/** Visits at most about `count` states. The visitor tells whether it had not seen the state before. */
export async function visitCrashStates(
  disk: MemoryFileSystem,
  count: number,
  random: Choose,
  visit: (state: CrashState) => Promise<boolean>,
): Promise<void> {
  if (disk.crashStates() <= Math.min(count, EXHAUSTIVE)) {
    const all: CrashState[] = [];
    forEveryChoice((choose) => all.push(crash(disk, choose)));
    for (const state of all) await visit(state);
    return;
  }
  let visited = 0;
  let repetitions = 0;
  for (const state of sample(disk, random)) {
    repetitions = (await visit(state)) ? 0 : repetitions + 1;
    visited += 1;
    if (visited >= count || repetitions > MAXIMUM_REPETITIONS) return;
  }
}

function* sample(disk: MemoryFileSystem, random: Choose): Generator<CrashState> {
  const newest = crash(disk, (n) => n - 1);
  const questions = newest.choices.length;
  yield newest;
  yield crash(disk, () => 0);
  for (;;) {
    for (let batch = 0; batch < 8; batch += 1) yield crash(disk, biased(random, questions));
    const one = random(questions);
    yield crash(
      disk,
      byIndex((at, n) => (at === one ? random(n - 1) : n - 1)),
    );
    yield crash(
      disk,
      byIndex((at, n) => (at === one ? 1 + random(n - 1) : 0)),
    );
  }
}

/** The state that these choices lead to; the oldest of what they do not answer. */
export function replay(disk: MemoryFileSystem, choices: readonly number[]): CrashState {
  return crash(
    disk,
    byIndex((at, n) => Math.min(choices[at] ?? 0, n - 1)),
  );
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

/**
 * Names are asked about before contents. Up to a random question the newest is likely, often sure,
 * and behind it another likelihood holds: most states then have names whose contents are in doubt.
 */
function biased(random: Choose, questions: number): Choose {
  const border = random(questions + 1);
  const before = pick(random, [5, 50, 95, 100, 100, 100]);
  const behind = pick(random, [5, 30, 50, 70, 95]);
  return byIndex((at, n) => {
    const keepNewest = random(100) < (at < border ? before : behind);
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

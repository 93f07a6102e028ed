/** Visits the states of one crash, and ends a sample that finds nothing new. */
import type { Choose } from '../../src/testing/choices.ts';
import { type CrashState, crashStates } from '../../src/testing/crash-states.ts';
import type { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';

/** A visit ends after this number of known states in a row, unless all states are few. */
const MAXIMUM_REPETITIONS = 32;

/** Visits at most `count` states. The visitor returns whether it had not seen the state before. */
export async function visitCrashStates(
  disk: MemoryFileSystem,
  count: number,
  random: Choose,
  visit: (state: CrashState) => Promise<boolean>,
): Promise<void> {
  const isFew = disk.countCrashStates() <= count;
  let repetitions = 0;
  for (const state of crashStates(disk, { limit: count, random })) {
    repetitions = (await visit(state)) ? 0 : repetitions + 1;
    if (!isFew && repetitions > MAXIMUM_REPETITIONS) return;
  }
}

/**
 * After a crash at any moment: what was acknowledged is there, what was not is there whole or not at
 * all, and what is left over can be told and removed.
 *
 *   LAYERFILE_CRASH_STATES   how many distinct states to reach; default 50,000
 *   LAYERFILE_CRASH_SEED     first seed; default 1
 *   LAYERFILE_CRASH_REPLAY   looks at one state only: the path that a failure has printed
 *
 * Two states are distinct if their trees differ: the names in the directories that are written to, or
 * bytes under one of them. A tree counts once, whichever runs and crashes lead to it.
 */
import { expect, test } from 'vitest';
import { exploreRun, replayState, type Tally } from './crash-exploration.ts';
import { DistinctTrees } from './distinct-trees.ts';
import { SCENARIOS } from './scenarios/all.ts';

const {
  LAYERFILE_CRASH_STATES: states = '50000',
  LAYERFILE_CRASH_SEED: seed = '1',
  LAYERFILE_CRASH_REPLAY: replayPath,
} = process.env;

if (replayPath === undefined) {
  test(`every crash leaves what was promised, in ${states} distinct states`, async () => {
    const tallies = await explore(Number(states), Number(seed));
    report(tallies);
    expect(total(tallies).distinct).toBeGreaterThanOrEqual(Number(states));
  }, 86_400_000);
} else {
  test(`replays ${replayPath}`, async () => {
    await replayState(replayPath, SCENARIOS);
  });
}

/** Scenarios with so many states that one run in so many is enough. */
const RARE: ReadonlyMap<string, number> = new Map([
  ['ephemeral', 2],
  ['delta-with-large-index', 10],
  ['side-by-side', 12],
]);

/** One run of each scenario after the other, until there are enough states. */
async function explore(enough: number, firstSeed: number): Promise<Map<string, Tally>> {
  const tallies = new Map<string, Tally>();
  const trees = new DistinctTrees();
  for (let seedOfRun = firstSeed; trees.count < enough; seedOfRun += 1) {
    for (const [kind, make] of SCENARIOS) {
      if (seedOfRun % (RARE.get(kind) ?? 1) !== 0) continue;
      const tally = await exploreRun({ kind, seed: seedOfRun, make }, trees);
      tallies.set(kind, sum(tallies.get(kind), tally));
    }
  }
  return tallies;
}

function sum(left: Tally | undefined, right: Tally): Tally {
  if (left === undefined) return right;
  return {
    runs: left.runs + right.runs,
    points: left.points + right.points,
    states: left.states + right.states,
    distinct: left.distinct + right.distinct,
    recoveries: left.recoveries + right.recoveries,
  };
}

function total(tallies: ReadonlyMap<string, Tally>): Tally {
  const none = { runs: 0, points: 0, states: 0, distinct: 0, recoveries: 0 };
  return [...tallies.values()].reduce(sum, none);
}

function report(tallies: ReadonlyMap<string, Tally>): void {
  console.table(Object.fromEntries([...tallies, ['all', total(tallies)]]));
}

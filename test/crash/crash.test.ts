/**
 * After a crash at any moment: what was acknowledged is there, what was not is there whole or not at
 * all, and what is left over can be told and removed.
 *
 *   LAYERFILE_CRASH_STATES   how many distinct states to reach; default 1,250, and 5,000 with LAYERFILE_ROUNDS=all
 *   LAYERFILE_CRASH_SEED     first seed; default 1
 *   LAYERFILE_CRASH_THREADS  how many explore; default 1
 *   LAYERFILE_CRASH_REPLAY   looks at one state only: the path that a failure has printed
 *
 * Two states are distinct if their trees differ: the names in the directories that are written to, or
 * bytes under one of them. A tree counts once, whichever runs and crashes lead to it.
 */
import { expect, test } from 'vitest';
import { rounds } from '../support/rounds.ts';
import { type Explored, replayState, type Task } from './crash-exploration.ts';
import { DistinctTrees } from './distinct-trees.ts';
import { startExplorers } from './explorers.ts';
import { SCENARIOS } from './scenarios/all.ts';

const {
  LAYERFILE_CRASH_STATES: states = `${rounds(5000)}`,
  LAYERFILE_CRASH_SEED: seed = '1',
  LAYERFILE_CRASH_THREADS: threads = '1',
  LAYERFILE_CRASH_REPLAY: replayPath,
} = process.env;

if (replayPath === undefined) {
  test(`every crash leaves what was promised, in ${states} distinct states`, async () => {
    const tallies = await explore(Number(states), tasks(Number(seed)));
    report(tallies);
    expect(total(tallies).distinct).toBeGreaterThanOrEqual(Number(states));
    expect([...tallies.keys()].sort()).toEqual(KINDS);
  }, 86_400_000);
} else {
  test(`replays ${replayPath}`, async () => {
    await replayState(replayPath, SCENARIOS);
  });
}

/** Scenarios with so many states that one run in N is enough, the first among them. */
const RARE: ReadonlyMap<string, number> = new Map([
  ['ephemeral', 4],
  ['delta-with-large-index', 10],
  ['side-by-side', 12],
  ['removal-beside-writer', 6],
  ['two-processes', 2],
]);

/** A small sample has few states of each moment, so that it has moments of all scenarios. */
const STATES_PER_POINT = Number(states) < 25_000 ? 40 : 200;

const KINDS = [...SCENARIOS.keys()].sort();

/** One run of each scenario after the other, without end. */
function* tasks(firstSeed: number): Generator<Task, never> {
  for (let seedOfRun = firstSeed; ; seedOfRun += 1) {
    for (const kind of SCENARIOS.keys()) {
      const isFirst = seedOfRun === firstSeed;
      if (isFirst || seedOfRun % (RARE.get(kind) ?? 1) === 0) {
        yield { kind, seed: seedOfRun, statesPerPoint: STATES_PER_POINT };
      }
    }
  }
}

interface Tally {
  runs: number;
  points: number;
  states: number;
  /** Trees that no run before had shown. */
  distinct: number;
  recoveries: number;
}

/** Until there are enough states of all scenarios. */
async function explore(
  enough: number,
  upcoming: Generator<Task, never>,
): Promise<Map<string, Tally>> {
  const tallies = new Map<string, Tally>();
  const trees = new DistinctTrees();
  const note = (kind: string, explored: Explored): void => {
    const distinct = trees.add(explored.trees);
    tallies.set(kind, sum(tallies.get(kind) ?? NONE, { runs: 1, ...explored, distinct }));
  };
  const explorers = await startExplorers(Number(threads));
  try {
    await Promise.all(
      explorers.map(async (explorer) => {
        while (trees.count < enough || tallies.size < KINDS.length) {
          const { value: task } = upcoming.next();
          note(task.kind, await explorer.explore(task));
        }
      }),
    );
  } finally {
    await Promise.all(explorers.map((explorer) => explorer.end()));
  }
  return tallies;
}

const NONE: Tally = { runs: 0, points: 0, states: 0, distinct: 0, recoveries: 0 };

function sum(left: Tally, right: Tally): Tally {
  return {
    runs: left.runs + right.runs,
    points: left.points + right.points,
    states: left.states + right.states,
    distinct: left.distinct + right.distinct,
    recoveries: left.recoveries + right.recoveries,
  };
}

function total(tallies: ReadonlyMap<string, Tally>): Tally {
  return [...tallies.values()].reduce(sum, NONE);
}

function report(tallies: ReadonlyMap<string, Tally>): void {
  console.table(Object.fromEntries([...tallies, ['all', total(tallies)]]));
}

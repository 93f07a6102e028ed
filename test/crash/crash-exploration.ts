/**
 * Explores what crashes leave of a scenario: at each of its crash points every state, or a sample,
 * and from some of these states the recovery, with crashes of its own.
 *
 * A run is decided by the kind of the scenario and a seed; a state by the number of the point and
 * the answers to what the crash asks:
 *
 *   kind/seed/point/choices               a crash of the scenario
 *   kind/seed/point/choices/point/choices a crash of the recovery from that state
 */

import { type Choose, seededChoices } from '../../src/testing/choices.ts';
import { type CrashState, replayCrash } from '../../src/testing/crash-states.ts';
import type { Intercept } from '../../src/testing/faults.ts';
import type { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { removeLeftovers } from '../../src/write-once/leftovers.ts';
import {
  checkContents,
  checkReadable,
  checkRecovery,
  type Files,
  filesOf,
  foundContent,
} from './checks.ts';
import { type CrashPoint, crashPointsOf, freshStart } from './crash-points.ts';
import { visitCrashStates } from './crash-states.ts';
import { fingerprintOf } from './distinct-trees.ts';
import { type Allowed, type Content, Ledger } from './ledger.ts';
import { type MakeScenario, pick, type Scenario } from './scenario.ts';

/** What is explored at a time. */
export interface Task {
  readonly kind: string;
  readonly seed: number;
  /** At most; by default what the budget says. */
  readonly statesPerPoint?: number;
}

export interface Explored {
  readonly points: number;
  /** Trees that were checked; one is checked again where more, or less, had been promised. */
  readonly states: number;
  /** States from which the recovery was run with crashes in between. */
  readonly recoveries: number;
  /** Fingerprints of the different trees. */
  readonly trees: Float64Array;
}

export interface Budget {
  /** States of each crash point, where there are more. */
  readonly statesPerPoint: number;
  readonly statesPerPointOfRecovery: number;
  /** One in N states is recovered from with crashes in between. */
  readonly statesPerRecovery: number;
  /** One in N states is read as a user would, though the same content was read before. */
  readonly statesPerRead: number;
}

export const BUDGET: Budget = {
  statesPerPoint: 200,
  statesPerPointOfRecovery: 8,
  statesPerRecovery: 150,
  statesPerRead: 50,
};

const FAULTS = ['EIO', 'ENOSPC', 'EMFILE', 'EACCES'];

interface Run {
  readonly name: string;
  readonly scenario: Scenario;
  readonly faults: Intercept | undefined;
  /** For what is sampled. */
  readonly random: Choose;
}

async function makeRun(kind: string, seed: number, make: MakeScenario): Promise<Run> {
  const random = seededChoices(seed);
  const scenario = await make(random);
  const faults = random(3) === 0 ? failOnce(random(60), pick(random, FAULTS)) : undefined;
  return { name: `${kind}/${seed}`, scenario, faults, random };
}

function failOnce(index: number, errno: string): Intercept {
  return (operation) => (operation.index === index ? { fail: errno } : undefined);
}

/** Throws at the first state that is wrong, with the path to it. */
export async function exploreRun(
  { kind, seed, statesPerPoint }: Task,
  scenarios: ReadonlyMap<string, MakeScenario>,
  budget: Budget = BUDGET,
): Promise<Explored> {
  const run = await makeRun(kind, seed, makerOf(kind, scenarios));
  const trees = new Set<number>();
  const exploration = new Exploration(run, trees, budget);
  const points = await crashPointsOf(run.scenario, freshStart(run.scenario), {
    faults: run.faults,
  });
  for (const point of points) {
    const count = statesPerPoint ?? budget.statesPerPoint;
    await exploration.explore(`${run.name}/${point.index}`, point, count);
  }
  const { states, recoveries } = exploration;
  return { points: points.length, states, recoveries, trees: Float64Array.from(trees) };
}

class Exploration {
  states = 0;
  recoveries = 0;
  readonly #run: Run;
  readonly #trees: Set<number>;
  readonly #budget: Budget;
  /** What was checked already: trees, by what had been promised. */
  readonly #checked = new Map<Allowed, Set<number>>();
  /** Contents of the ledger that were read as a user would. */
  readonly #read = new Set<Content>();

  constructor(run: Run, trees: Set<number>, budget: Budget) {
    this.#run = run;
    this.#trees = trees;
    this.#budget = budget;
  }

  async explore(pathOfPoint: string, point: CrashPoint, count: number): Promise<void> {
    const { random } = this.#run;
    await visitCrashStates(point.disk, count, random, async (state) => {
      const files = filesOf(state.disk);
      if (!this.#isNew(files, point.allowed)) return false;
      this.states += 1;
      const path = `${pathOfPoint}/${state.choices.join('.')}`;
      const recovers = random(this.#budget.statesPerRecovery) === 0;
      const crashed = recovers ? state.disk.clone() : undefined;
      await explained(path, point, () => this.#check(state, files, point.allowed));
      if (crashed !== undefined) await this.#exploreRecovery(path, point, crashed);
      return true;
    });
  }

  #isNew(files: Files, allowed: Allowed): boolean {
    const fingerprint = fingerprintOf(files, this.#run.scenario.directories);
    this.#trees.add(fingerprint);
    const checked = this.#checked.get(allowed) ?? new Set();
    if (checked.has(fingerprint)) return false;
    this.#checked.set(allowed, checked.add(fingerprint));
    return true;
  }

  async #check({ disk }: CrashState, files: Files, allowed: Allowed): Promise<void> {
    const { scenario, random } = this.#run;
    const leftovers = checkContents(files, allowed, scenario.directories);
    const isSampled = random(this.#budget.statesPerRead) === 0;
    const paths = [...allowed].filter(([path, contents]) => {
      const content = foundContent(files.get(path), contents);
      const isRead = this.#read.has(content) && !isSampled && !scenario.readsEveryState;
      this.#read.add(content);
      return content !== undefined && !isRead;
    });
    await checkReadable(
      disk,
      scenario,
      paths.map(([path]) => path),
    );
    await checkRecovery(disk, files, leftovers, scenario.directories);
  }

  async #exploreRecovery(
    path: string,
    point: CrashPoint,
    crashed: MemoryFileSystem,
  ): Promise<void> {
    this.recoveries += 1;
    const { scenario } = this.#run;
    const points = await explained(path, point, () =>
      crashPointsOfRecovery(scenario, crashed, point.allowed),
    );
    const recovery = new Exploration(this.#run, this.#trees, {
      ...this.#budget,
      statesPerRecovery: Number.MAX_SAFE_INTEGER,
    });
    for (const pointOfRecovery of points) {
      const pathOfPoint = `${path}/${pointOfRecovery.index}`;
      await recovery.explore(pathOfPoint, pointOfRecovery, this.#budget.statesPerPointOfRecovery);
    }
    this.states += recovery.states;
  }
}

/** After a crash: the leftovers are removed, and the work begins again on what is there. */
function crashPointsOfRecovery(
  scenario: Scenario,
  disk: MemoryFileSystem,
  allowed: Allowed,
): Promise<CrashPoint[]> {
  const recovery: Scenario = {
    ...scenario,
    run: async (on) => {
      const { openFiles, signal } = on;
      for (const directory of scenario.directories) {
        await removeLeftovers(directory, { openFiles, signal });
      }
      await scenario.run(on);
    },
  };
  return crashPointsOf(recovery, { fileSystem: disk, ledger: ledgerOf(disk, allowed) });
}

/** What is there after the crash is durable, whatever had been promised before. */
function ledgerOf(disk: MemoryFileSystem, allowed: Allowed): Ledger {
  const ledger = new Ledger();
  const files = filesOf(disk);
  for (const [path, contents] of allowed) {
    ledger.settle(path, foundContent(files.get(path), contents));
  }
  return ledger;
}

/** Looks at one state again, by the path that a failure has printed. */
export async function replayState(
  path: string,
  scenarios: ReadonlyMap<string, MakeScenario>,
): Promise<void> {
  const [kind = '', seed = '', ...steps] = path.split('/');
  const { scenario, faults } = await makeRun(kind, Number(seed), makerOf(kind, scenarios));
  let points = await crashPointsOf(scenario, freshStart(scenario), { faults });
  for (let step = 0; step < steps.length; step += 2) {
    const point = points[Number(steps[step])];
    if (point === undefined) throw new Error(`${path}: the run has ${points.length} points`);
    const choices = (steps[step + 1] ?? '').split('.').map(Number);
    const state = replayCrash(point.disk, choices);
    const isLast = step + 2 >= steps.length;
    if (isLast) await explained(path, point, () => checkAll(state.disk, scenario, point.allowed));
    else points = await crashPointsOfRecovery(scenario, state.disk, point.allowed);
  }
}

function makerOf(kind: string, scenarios: ReadonlyMap<string, MakeScenario>): MakeScenario {
  const make = scenarios.get(kind);
  if (make === undefined) throw new Error(`${kind}: no such scenario`);
  return make;
}

async function checkAll(
  disk: MemoryFileSystem,
  scenario: Scenario,
  allowed: Allowed,
): Promise<void> {
  const files = filesOf(disk);
  const leftovers = checkContents(files, allowed, scenario.directories);
  const paths = [...allowed.keys()].filter((path) => files.has(path));
  await checkReadable(disk, scenario, paths);
  await checkRecovery(disk, files, leftovers, scenario.directories);
}

async function explained<T>(path: string, point: CrashPoint, check: () => Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    throw new Error(`${what}\n  ${point.label}\n  LAYERFILE_CRASH_REPLAY=${path}`, {
      cause: error,
    });
  }
}

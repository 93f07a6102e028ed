/** Runs a scenario and keeps the disk as it is around every operation that changes it. */
import type { Intercept } from '../../src/testing/faults.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { type Allowed, Ledger } from './ledger.ts';
import { observed } from './observed-file-system.ts';
import { firstOf, type Scenario } from './scenario.ts';

/** A moment at which the system may crash. */
export interface CrashPoint {
  /** Counts the points of the run. */
  readonly index: number;
  readonly label: string;
  readonly disk: MemoryFileSystem;
  /** What the callers were promised until now. */
  readonly allowed: Allowed;
}

export interface Start {
  readonly fileSystem: MemoryFileSystem;
  readonly ledger: Ledger;
}

/** The disk and the ledger from which the scenario starts. */
export function freshStart(scenario: Scenario): Start {
  const fileSystem = new MemoryFileSystem();
  const ledger = new Ledger();
  scenario.prepare(fileSystem, ledger);
  return { fileSystem, ledger };
}

/**
 * Before and after every operation that changes the disk, and whenever a caller was promised something.
 * A moment at which nothing has changed since the last one is not kept again.
 */
export async function crashPointsOf(
  scenario: Scenario,
  { fileSystem, ledger }: Start,
  options: { readonly faults?: Intercept | undefined } = {},
): Promise<CrashPoint[]> {
  const points: CrashPoint[] = [];
  let inFlight = 0;
  let changed = true;
  const keep = (label: string): void => {
    if (!changed && inFlight === 0) return;
    changed = false;
    const disk = fileSystem.clone();
    points.push({ index: points.length, label, disk, allowed: ledger.allowed });
  };
  const fileSystemOfScenario = observed(fileSystem, {
    before: (operation) => {
      keep(`before ${operation}`);
      inFlight += 1;
    },
    after: (operation) => {
      inFlight -= 1;
      changed = true;
      keep(`after ${operation}`);
    },
  });
  ledger.onChange = (event) => {
    changed = true;
    keep(event);
  };
  const openFiles = new OpenFiles({ fileSystem: fileSystemOfScenario });
  fileSystem.intercept = firstOf(options.faults, scenario.intercept?.());
  await scenario.run({ fileSystem: fileSystemOfScenario, openFiles, ledger });
  fileSystem.intercept = undefined;
  changed = true;
  keep('at the end');
  if (fileSystem.openCount > 0) throw new Error(`open at the end: ${fileSystem.openPaths}`);
  return points;
}

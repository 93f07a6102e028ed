/**
 * Runs a scenario while the disk fails, and checks what must hold once everything has settled,
 * whatever the faults were.
 */
import type { StorageError } from '../../src/errors.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import type { FaultAction, FileSystemOperation, Intercept } from '../../src/testing/faults.ts';
import type { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { rounds } from '../support/rounds.ts';
import { checkContents, type Files, filesOf } from './checks.ts';
import { freshStart } from './crash-points.ts';
import { visitCrashStates } from './crash-states.ts';
import type { Ledger } from './ledger.ts';
import { type Disk, firstOf, type Scenario } from './scenario.ts';
import { withoutAlias } from './scenarios/bystanders.ts';

export interface FaultyRun {
  /** In the order in which they began. */
  readonly operations: readonly FileSystemOperation[];
  /** What is there in the end. */
  readonly files: Files;
}

/** Crash states that are looked at when all has settled. */
const CRASH_STATES = rounds(12);

/** Approximate number of operations of a long scenario that fail one by one, unless all are wanted. */
const FAILING_OPERATIONS = rounds(60);

/** Of each kind, at its start. */
const FIRST_OF_KIND = rounds(6);

/** Nothing here waits for a clock: what takes so long waits for ever. */
const HANG_MS = 20_000;

/** What opening a directory can say; other errors are those of its sync. */
const OPENING_ERRNOS = ['EMFILE', 'ENFILE', 'EACCES', 'ENOENT'];

/**
 * The operations that fail one by one: LAYERFILE_FAULTS=all stands for all; by default a sample where there are many, with
 * the first ones of every kind and the last one.
 */
export function failingOperations(
  operations: readonly FileSystemOperation[],
): readonly FileSystemOperation[] {
  const step = Math.ceil(operations.length / FAILING_OPERATIONS);
  if (ALL || step < 2) return operations;
  const counts = new Map<string, number>();
  return operations.filter(({ kind }, at) => {
    const count = counts.get(kind) ?? 0;
    counts.set(kind, count + 1);
    return count < FIRST_OF_KIND || at % step === 0 || at === operations.length - 1;
  });
}

const ALL = process.env['LAYERFILE_FAULTS'] === 'all';

/**
 * Throws where a promise was broken: something hangs, stays open or is left over, an acknowledged
 * content is not there or may be lost, or a failed sync is tried again.
 */
export async function runWithFaults(
  scenario: Scenario,
  faults: Intercept,
  options: Pick<Disk, 'mustSucceed'> = {},
): Promise<FaultyRun> {
  const { fileSystem, ledger } = freshStart(scenario);
  const before = filesOf(fileSystem);
  const fatal: StorageError[] = [];
  const openFiles = new OpenFiles({ fileSystem, onFatalError: (error) => fatal.push(error) });
  const watch = new Watch(fileSystem);
  const answer = firstOf(faults, scenario.intercept?.());
  fileSystem.intercept = (operation) => watch.note(operation, answer(operation));
  await settles(scenario.run({ fileSystem, openFiles, ledger, ...options }));
  fileSystem.intercept = undefined;
  watch.check(fatal.length);
  if (fileSystem.openCount > 0) throw new Error(`still open: ${fileSystem.openPaths}`);
  checkTidied(fileSystem, { scenario, ledger, before, undeleted: watch.undeleted });
  await visitCrashStates(fileSystem, CRASH_STATES, seededChoices(1), async ({ disk }) => {
    checkContents(filesOf(disk), ledger.allowed, scenario.directories);
    return true;
  });
  return { operations: watch.operations, files: filesOf(fileSystem) };
}

/** What went wrong on purpose, and what was done in spite of it. */
class Watch {
  readonly operations: FileSystemOperation[] = [];
  /** Files whose deletion was made to fail. */
  readonly undeleted = new Set<string>();
  readonly #fileSystem: MemoryFileSystem;
  /** Files whose sync was made to fail, and not deleted since. */
  readonly #poisoned = new Set<string>();
  #isFatal = false;
  #hasFailedClose = false;
  #problem: string | undefined;

  constructor(fileSystem: MemoryFileSystem) {
    this.#fileSystem = fileSystem;
  }

  note(operation: FileSystemOperation, action: FaultAction | undefined): FaultAction | undefined {
    this.operations.push(operation);
    const { kind } = operation;
    const path = withoutAlias(operation.path);
    const isSync = kind === 'sync' || kind === 'sync-data';
    if (isSync && this.#poisoned.has(path)) this.#problem ??= `${path}: synced again`;
    if (kind === 'unlink' && action?.fail === undefined) this.#poisoned.delete(path);
    if (action?.fail === undefined) return action;
    if (isSync) this.#poisoned.add(path);
    if (kind === 'unlink' && action.fail !== 'ENOENT') this.undeleted.add(path);
    if (kind === 'unlink' && this.#fileSystem.paths().includes(path)) this.undeleted.add(path);
    const isBroken = action.fail === 'EIO' || action.fail === 'EROFS';
    const isLost = kind === 'sync-directory' && !OPENING_ERRNOS.includes(action.fail);
    this.#isFatal ||= isBroken || isSync || isLost;
    this.#hasFailedClose ||= kind === 'close';
    return action;
  }

  /** The hook for fatal errors is called once, if there was one. */
  check(fatalErrorCount: number): void {
    if (this.#problem !== undefined) throw new Error(this.#problem);
    const expected = this.#isFatal ? 1 : 0;
    if (fatalErrorCount === expected) return;
    // When the table closes a file to make room, an error may be that of a late write.
    if (fatalErrorCount === 1 && this.#hasFailedClose) return;
    throw new Error(`fatal errors told: ${fatalErrorCount}, expected ${expected}`);
  }
}

/** Contents are as the callers were promised, and no unfinished file is left that could be deleted. */
function checkTidied(
  fileSystem: MemoryFileSystem,
  {
    scenario,
    ledger,
    before,
    undeleted,
  }: {
    readonly scenario: Scenario;
    readonly ledger: Ledger;
    readonly before: Files;
    readonly undeleted: ReadonlySet<string>;
  },
): void {
  const files = filesOf(fileSystem);
  for (const path of checkContents(files, ledger.allowed, scenario.directories)) {
    const old = before.get(path);
    const isOld = old !== undefined && Buffer.compare(old, files.get(path) ?? old) === 0;
    if (!isOld && !undeleted.has(path)) throw new Error(`${path}: left over`);
  }
}

async function settles(running: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('hangs')), HANG_MS);
  });
  try {
    await Promise.race([running, hang]);
  } finally {
    clearTimeout(timer);
  }
}

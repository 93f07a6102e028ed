/** Runs that store timelines, cut at every operation of the file system and failed at many. */
import { isStorageError } from '../../src/errors.ts';
import { loseEverything, seededChoices } from '../../src/testing/choices.ts';
import type { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import { IndexPart } from '../../src/timeline/index-part/index-part.ts';

/** The long run looks at more states, and fails every operation. */
const IS_LONG = process.env['LAYERFILE_FAULTS'] === 'all';
const CRASHES = IS_LONG ? 20 : 2;
export const SEED = 20_261_129;

export type Files = ReadonlyMap<string, Uint8Array>;

/** A place with an index, and what is appended to the names of its layers. */
interface IndexedPlace {
  readonly directory: string;
  readonly generation: string;
}

/** Throws unless every file has its final content, and each index that is there has its layers. */
export function checkStored(
  files: Files,
  final: Files,
  { isChecked, places }: { isChecked: (path: string) => boolean; places: readonly IndexedPlace[] },
): void {
  for (const [path, content] of files) {
    if (!isChecked(path) || path.endsWith('.___temp')) continue;
    const expected = final.get(path);
    if (expected === undefined || Buffer.compare(expected, content) !== 0) {
      throw new Error(`${path}: ${content.length} bytes, expected ${expected?.length}`);
    }
  }
  for (const { directory, generation } of places) {
    const content = files.get(`${directory}/index_part.json-${generation}`);
    if (content === undefined) continue;
    for (const [name, { fileSize }] of IndexPart.parse(content).fields.layers) {
      const layer = files.get(`${directory}/${name}-${generation}`);
      if (layer?.length !== Number(fileSize)) throw new Error(`${name}: missing`);
    }
  }
}

/** Checks what survives a crash before each operation of a run. Returns: the number of states. */
export async function checkCrashes(
  disk: MemoryFileSystem,
  run: () => Promise<void>,
  check: (survived: MemoryFileSystem) => void,
): Promise<number> {
  let states = 0;
  disk.intercept = ({ index }) => {
    check(disk.crash(loseEverything));
    for (let number = 0; number < CRASHES; number += 1) {
      check(disk.crash(seededChoices(SEED + index * CRASHES + number)));
    }
    states += 1 + CRASHES;
    return undefined;
  };
  await run();
  disk.intercept = undefined;
  return states;
}

interface FailingRuns<S> {
  /** One in N operations fails, unless the run is long. */
  readonly failEvery: number;
  readonly prepared: () => Promise<S> | S;
  readonly diskOf: (started: S) => MemoryFileSystem;
  readonly run: (started: S) => Promise<void>;
  readonly check: (disk: MemoryFileSystem) => void;
  /** Runs again on what survived a crash after the failure. */
  readonly repeat: (survived: MemoryFileSystem, started: S) => Promise<void>;
}

const FAILING = new Set(['write', 'sync', 'sync-data', 'link', 'sync-directory', 'rename']);

/** Fails an operation of each run, checks what is there, and repeats the run. Returns: the number of errors. */
export async function checkFailures<S>(runs: FailingRuns<S>): Promise<number> {
  let failures = 0;
  const step = IS_LONG ? 1 : runs.failEvery;
  for (let failing = 0; ; failing += step) {
    const started = await runs.prepared();
    const disk = runs.diskOf(started);
    let count = -1;
    disk.intercept = ({ kind }) => {
      if (!FAILING.has(kind)) return undefined;
      count += 1;
      return count === failing ? { fail: 'EIO' } : undefined;
    };
    const error = await runs.run(started).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    disk.intercept = undefined;
    runs.check(disk);
    if (count < failing) return failures;
    if (error === undefined) continue;
    if (!isStorageError(error)) throw error;
    failures += 1;
    // The machine has started again: a directory whose sync failed stays failed in a process.
    const survived = disk.crash(seededChoices(SEED + failing));
    runs.check(survived);
    await runs.repeat(survived, started);
    runs.check(survived);
  }
}

/**
 * The table of descriptors never closes a file with unsynced writes: it syncs it first, or keeps it.
 * The error of a late write would be told to nobody, and the next sync would report success.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isStorageError } from '../../src/errors.ts';
import { seededChoices } from '../../src/testing/choices.ts';
import { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import type { FileSystem, OpenFile } from '../../src/virtual-file/file-system.ts';
import { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { systemError } from '../../src/virtual-file/system-error.ts';
import { VirtualFile } from '../../src/virtual-file/virtual-file.ts';
import { turns } from '../support/gate.ts';
import { rounds } from '../support/rounds.ts';
import { firstOf, randomDelays } from './scenario.ts';

const FILES = 6;
const OPERATIONS = [
  'write',
  'write',
  'read',
  'sync',
  'sync-data',
  'set-length',
  'set-ownership',
  'stat',
] as const;

interface Step {
  readonly file: number;
  readonly operation: (typeof OPERATIONS)[number];
  /** Goes on without waiting for it. */
  readonly isBackground: boolean;
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    file: fc.nat(FILES - 1),
    operation: fc.constantFrom(...OPERATIONS),
    isBackground: fc.boolean(),
  }),
  { minLength: 10, maxLength: 60 },
);

/** Tells of every close of a file that has changed since its last sync. */
class Guard {
  readonly violations: string[] = [];
  mostOpen = 0;
  /** Files whose owner closes them, or lost them to a failed sync: they may go as they are. */
  readonly released = new Set<string>();
  readonly #systemLimit: number;
  #open = 0;

  constructor(systemLimit: number) {
    this.#systemLimit = systemLimit;
  }

  guard(inner: FileSystem): FileSystem {
    return {
      open: async (path, options) => {
        await turns(4);
        if (this.#open >= this.#systemLimit) throw systemError('open file', path, 'EMFILE');
        this.#open += 1;
        this.mostOpen = Math.max(this.mostOpen, this.#open);
        return this.#guardFile(await inner.open(path, options), path);
      },
      rename: (source, target) => inner.rename(source, target),
      link: (source, target) => inner.link(source, target),
      unlink: (path) => inner.unlink(path),
      stat: (path) => inner.stat(path),
      readDirectory: (path) => inner.readDirectory(path),
      syncDirectory: (path) => inner.syncDirectory(path),
    };
  }

  #guardFile(inner: OpenFile, path: string): OpenFile {
    let changes = 0;
    let synced = 0;
    const changing = async <T>(change: Promise<T>): Promise<T> => {
      const result = await change;
      changes += 1;
      return result;
    };
    const syncing = async (sync: () => Promise<void>): Promise<void> => {
      const covered = changes;
      try {
        await sync();
        synced = covered;
      } catch (error) {
        this.released.add(path);
        throw error;
      }
    };
    return {
      read: (target, offset) => inner.read(target, offset),
      write: (source, offset) => changing(inner.write(source, offset)),
      setLength: (length) => changing(inner.setLength(length)),
      setOwnership: (ownership) => changing(inner.setOwnership(ownership)),
      sync: () => syncing(() => inner.sync()),
      syncData: () => syncing(() => inner.syncData()),
      stat: () => inner.stat(),
      close: async () => {
        if (changes > synced && !this.released.has(path)) this.violations.push(path);
        await inner.close();
        this.#open -= 1;
      },
    };
  }
}

interface World {
  readonly capacity: number;
  readonly seed: number;
  readonly steps: readonly Step[];
  /** One in N syncs fails; none with 0. */
  readonly failingSyncs: number;
  /** Maximum number of descriptors of the system. */
  readonly systemLimit: number;
}

interface Outcome {
  readonly guard: Guard;
  /** How often the hook was called. */
  readonly fatal: number;
  readonly hasFailedSync: boolean;
  readonly openCount: number;
}

async function run(world: World): Promise<Outcome> {
  const { capacity, seed, failingSyncs, systemLimit } = world;
  const random = seededChoices(seed);
  const memory = new MemoryFileSystem();
  memory.createDirectory('/data');
  const guard = new Guard(systemLimit);
  let fatal = 0;
  let hasFailedSync = false;
  const fileSystem = guard.guard(memory);
  const onFatalError = (): void => {
    fatal += 1;
  };
  const openFiles = new OpenFiles({ capacity, fileSystem, onFatalError });
  memory.intercept = firstOf(({ kind }) => {
    const isSync = kind === 'sync' || kind === 'sync-data';
    const fails = isSync && failingSyncs > 0 && random(failingSyncs) === 0;
    hasFailedSync ||= fails;
    return fails ? { fail: 'EIO' } : undefined;
  }, randomDelays(seed));
  const files = await openAll(openFiles);
  const background: Promise<unknown>[] = [];
  for (const step of world.steps) {
    const done = reported(apply(files[step.file], step, random));
    if (step.isBackground) background.push(done);
    else await done;
  }
  await Promise.all(background);
  for (const file of files) {
    guard.released.add(file.path);
    await reported(file.close());
  }
  return { guard, fatal, hasFailedSync, openCount: memory.openCount };
}

/** With a table of one slot, every file that is opened beside it shows. */
async function openAll(openFiles: OpenFiles): Promise<VirtualFile[]> {
  const options = { read: true, write: true, createNew: true, openFiles };
  const paths = Array.from({ length: FILES }, (_, number) => `/data/${number}`);
  return Promise.all(paths.map((path) => VirtualFile.open(path, options)));
}

async function apply(
  file: VirtualFile | undefined,
  { operation }: Step,
  random: (n: number) => number,
): Promise<unknown> {
  const offset = random(3) * 4096;
  switch (operation) {
    case 'write':
      return file?.writeAllAt(new Uint8Array(100).fill(random(255)), offset);
    case 'read':
      return file?.readAt(new Uint8Array(100), offset);
    case 'sync':
      return file?.sync();
    case 'sync-data':
      return file?.syncData();
    case 'set-length':
      return file?.setLength(random(9000));
    case 'set-ownership':
      return file?.setOwnership({ mode: 0o600, userId: 0, groupId: 0 });
    case 'stat':
      return file?.stat();
  }
}

async function reported(operation: Promise<unknown>): Promise<void> {
  try {
    await operation;
  } catch (error) {
    if (!isStorageError(error)) throw error;
  }
}

describe('a table of descriptors', () => {
  const worlds = {
    capacity: fc.integer({ min: 1, max: 4 }),
    seed: fc.nat(0xffff),
    steps,
    systemLimit: fc.constantFrom(1, 2, 3, 100),
  };

  test('a table of descriptors closes no file with unsynced writes, and keeps to its capacity', async () => {
    await fc.assert(
      fc.asyncProperty(fc.record({ ...worlds, failingSyncs: fc.constant(0) }), async (world) => {
        const { guard, fatal, openCount } = await run(world);
        expect(guard.violations).toEqual([]);
        expect(guard.mostOpen).toBeLessThanOrEqual(Math.min(world.capacity, world.systemLimit));
        expect({ fatal, openCount }).toEqual({ fatal: 0, openCount: 0 });
      }),
      { numRuns: rounds(300) },
    );
  });

  test('a table of descriptors closes none but those whose sync failed, and reports the first failure', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({ ...worlds, failingSyncs: fc.integer({ min: 2, max: 8 }) }),
        async (world) => {
          const { guard, fatal, hasFailedSync, openCount } = await run(world);
          expect(guard.violations).toEqual([]);
          expect(fatal).toBe(hasFailedSync ? 1 : 0);
          expect(openCount).toBe(0);
        },
      ),
      { numRuns: rounds(300) },
    );
  });
});

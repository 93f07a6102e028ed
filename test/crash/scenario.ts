/**
 * Scenarios: each drives one operation of the library that changes the disk, in a world that a seed
 * decides, and keeps a ledger of what it was promised.
 */
import { isStorageError } from '../../src/errors.ts';
import { type Choose, seededChoices } from '../../src/testing/choices.ts';
import type { FaultAction, Intercept } from '../../src/testing/faults.ts';
import type { MemoryFileSystem } from '../../src/testing/memory-file-system.ts';
import type { FileSystem } from '../../src/virtual-file/file-system.ts';
import type { OpenFiles } from '../../src/virtual-file/open-files.ts';
import { turns } from '../support/gate.ts';
import type { Ledger } from './ledger.ts';

/** What a scenario runs on. */
export interface Disk {
  readonly fileSystem: FileSystem;
  readonly openFiles: OpenFiles;
  readonly ledger: Ledger;
  readonly signal?: AbortSignal | undefined;
  /** Nothing fails on this disk: whoever only reads is to say so if it does. */
  readonly mustSucceed?: boolean | undefined;
}

export interface Scenario {
  readonly kind: string;
  /** Where unfinished files may lie. */
  readonly directories: readonly string[];
  /** Fills the disk, durably, and the ledger. */
  prepare(fileSystem: MemoryFileSystem, ledger: Ledger): void;
  /**
   * Does the work; may run again on a disk that a crash left. An error of the library ends a step,
   * not the scenario; nothing of a step that failed is in use when it goes on.
   */
  run(disk: Disk): Promise<void>;
  /** Reads a whole file under a final name as a user of the library would. */
  read(path: string, openFiles: OpenFiles): Promise<void>;
  /** A name for which several race: one of these contents is there in the end, whole. */
  readonly raced?: { readonly path: string; readonly contents: readonly Uint8Array[] };
  /** It looks at more than the bytes: reading the same content once is not enough. */
  readonly readsEveryState?: boolean;
  /** What the disk does besides, such as writing less than it was asked to; afresh for each run. */
  readonly intercept?: (() => Intercept) | undefined;
}

/** Makes the scenario that belongs to a seed: the same seed, the same scenario. */
export type MakeScenario = (random: Choose) => Promise<Scenario>;

/** Does a step of which nothing is to be remembered; false if the library reported an error. */
export async function succeeds(step: () => Promise<unknown>): Promise<boolean> {
  try {
    await step();
    return true;
  } catch (error) {
    if (isStorageError(error)) return false;
    throw error;
  }
}

/** Closes what was opened. The first error counts; `await using` would make one of another kind. */
export async function closing<R extends { close(): Promise<void> }>(
  resource: R,
  use: (resource: R) => Promise<void>,
): Promise<void> {
  try {
    await use(resource);
  } catch (error) {
    await Promise.allSettled([resource.close()]);
    throw error;
  }
  await resource.close();
}

/** A seed for a generator of its own. */
export function drawSeed(random: Choose): number {
  return random(0xffff_ffff);
}

/** One of the values. */
export function pick<T>(random: Choose, values: readonly T[]): T {
  const value = values[random(values.length)];
  if (value === undefined) throw new Error('nothing to pick from');
  return value;
}

/** From `minimum` to `maximum`. */
export function between(random: Choose, minimum: number, maximum: number): number {
  return minimum + random(maximum - minimum + 1);
}

export function randomBytes(random: Choose, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let word = random(0xffff_ffff) | 1;
  for (let at = 0; at < length; at += 1) {
    word = Math.imul(word, 0x343_fd) + 0x26_9ec3;
    bytes[at] = word >>> 16;
  }
  return bytes;
}

/** Sometimes writes less than asked, so that one write becomes several. */
export function shortWrites(seed: number): Intercept {
  const random = seededChoices(seed);
  return ({ kind, length = 0 }) =>
    kind === 'write' && length > 1 && random(4) === 0
      ? { limit: between(random, 1, length - 1) }
      : undefined;
}

/** Each operation takes its own time, counted in turns of the event loop's microtasks. */
export function randomDelays(seed: number): Intercept {
  const random = seededChoices(seed);
  return () => ({ delay: turns(random(8)) });
}

export const LINK_UNSUPPORTED: Intercept = ({ kind }) =>
  kind === 'link' ? { fail: 'EPERM' } : undefined;

/** The first that has something to say decides. */
export function firstOf(...intercepts: (Intercept | undefined)[]): Intercept {
  return (operation): FaultAction | undefined => {
    for (const intercept of intercepts) {
      const action = intercept?.(operation);
      if (action !== undefined) return action;
    }
    return undefined;
  };
}

/** What concerns one name happens one after the other, in the order of the calls. */
import { basename, dirname } from 'node:path';
import { isStorageError, throwIfAborted } from '../errors.ts';
import { unlessAborted } from '../unless-aborted.ts';
import type { FileSystem } from './file-system.ts';

/** For each owner the end of the last turn of each name; entries go when nobody waits. */
const lastTurns = new WeakMap<object, Map<string, Promise<void>>>();

export interface Turn {
  /** Names of different owners are independent. */
  readonly owner: object;
  readonly name: string;
  readonly signal?: AbortSignal | undefined;
}

/** Throws: `aborted` if the signal fires while others have their turn; else what the action does. */
export async function inTurn<T>(turn: Turn, action: () => Promise<T>): Promise<T> {
  const { owner, name, signal } = turn;
  const turns = lastTurns.get(owner) ?? new Map<string, Promise<void>>();
  lastTurns.set(owner, turns);
  const previous = turns.get(name);
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  turns.set(name, finished);
  const end = (): void => {
    if (turns.get(name) === finished) turns.delete(name);
    finish();
  };
  try {
    if (previous === undefined) throwIfAborted(signal);
    else await unlessAborted(previous, signal);
  } catch (error) {
    // Whoever gives up waiting does not let the next one in before the previous one has finished.
    void Promise.resolve(previous).then(end);
    throw error;
  }
  try {
    return await action();
  } finally {
    end();
  }
}

/**
 * The directory's identity and the name in it, so that two paths through symbolic links that lead
 * to one file have their turns one after the other.
 */
export async function trueName(fileSystem: FileSystem, path: string): Promise<string> {
  return `${await identityOfDirectory(fileSystem, dirname(path))}/${basename(path)}`;
}

export async function identityOfDirectory(fileSystem: FileSystem, path: string): Promise<string> {
  const { identity } = await fileSystem.stat(`${path}/.`).catch((error: unknown) => {
    throw isStorageError(error) ? error.with({ path }) : error;
  });
  return identity;
}

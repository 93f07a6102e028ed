/** Runs the actions for one name one after the other, in the order of the calls. */
import { basename, dirname } from 'node:path';
import { isStorageError, throwIfAborted } from '../errors.ts';
import { unlessAborted } from '../on-abort.ts';
import type { FileSystem } from './file-system.ts';

/** For each owner, the end of the last turn of each name; removed when that turn ends. */
const lastTurns = new WeakMap<object, Map<string, Promise<void>>>();

export interface Turn {
  /** Names of different owners are independent. */
  readonly owner: object;
  readonly name: string;
  readonly signal?: AbortSignal | undefined;
}

/** Throws: `aborted` if the signal fires during the wait; otherwise as the action. */
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
    // The next turn still waits for the previous one.
    void Promise.resolve(previous).then(end);
    throw error;
  }
  try {
    return await action();
  } finally {
    end();
  }
}

/** The identity of the directory and the name in it: the same for all paths to one file. */
export async function trueName(fileSystem: FileSystem, path: string): Promise<string> {
  return `${await identityOfDirectory(fileSystem, dirname(path))}/${basename(path)}`;
}

export async function identityOfDirectory(fileSystem: FileSystem, path: string): Promise<string> {
  const { identity } = await fileSystem.stat(`${path}/.`).catch((error: unknown) => {
    throw isStorageError(error) ? error.with({ path }) : error;
  });
  return identity;
}

/** What concerns one name happens one after the other, in the order of the calls. */
import { basename, dirname } from 'node:path';
import { StorageError } from '../errors.ts';
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
  const turns = lastTurns.get(turn.owner) ?? new Map<string, Promise<void>>();
  lastTurns.set(turn.owner, turns);
  const previous = turns.get(turn.name) ?? Promise.resolve();
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  // Whoever gives up waiting does not let the next one in before the previous one has finished.
  const end = Promise.all([previous, finished]).then(() => {
    if (turns.get(turn.name) === end) turns.delete(turn.name);
  });
  turns.set(turn.name, end);
  try {
    await unlessAborted(previous, turn.signal);
    return await action();
  } finally {
    finish();
  }
}

/**
 * The directory's identity and the name in it, so that two paths through symbolic links that lead
 * to one file have their turns one after the other.
 */
export async function trueName(fileSystem: FileSystem, path: string): Promise<string> {
  const directory = dirname(path);
  const { identity } = await fileSystem.stat(`${directory}/.`).catch((error: unknown) => {
    throw error instanceof StorageError ? error.with({ path: directory }) : error;
  });
  return `${identity}/${basename(path)}`;
}

/** What a crash may leave behind in a directory of ours, and its removal. */
import { isStorageError, throwIfAborted } from '../errors.ts';
import { absolutePath, pathIn } from '../virtual-file/absolute-path.ts';
import type { DirectoryEntry, FileSystem } from '../virtual-file/file-system.ts';
import { isLeftoverName, ownerOf } from '../virtual-file/leftover-names.ts';
import { OpenFiles } from '../virtual-file/open-files.ts';
import type { OwnerState } from '../virtual-file/owners.ts';

export interface RemoveLeftoversOptions {
  /** Default: the table that the process shares. */
  readonly openFiles?: OpenFiles | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Removes unfinished layers and overwrites (`*.___temp`) and scratch files of ephemeral layers
 * (`ephemeral-` and hex digits) from one directory. Only regular files are removed, never
 * directories or symbolic links, whatever their names; subdirectories are not visited.
 *
 * Files of a thread that is still running are kept. That can be told of threads of this machine and
 * pid namespace, by /proc; without /proc, of processes. It cannot be told of other machines and
 * containers, of a pageserver, and of earlier versions: their files are removed.
 *
 * Requires: no writer of which that cannot be told is at work in the directory. Call it before the
 * first writer starts.
 * Returns: the paths of the removed files, in byte order of their names.
 * Throws: `not-found` (no such directory), `io`, `sync-failed`, `aborted`; calling it again goes on.
 * Durability: once it resolves, a crash brings back no file that was removed, by this call or by one
 * that did not come to its end, and takes away no name that the directory shows: whoever was killed
 * may have made it without a sync.
 */
export async function removeLeftovers(
  directory: string,
  options: RemoveLeftoversOptions = {},
): Promise<string[]> {
  const { openFiles = OpenFiles.shared(), signal } = options;
  throwIfAborted(signal, directory);
  const absolute = absolutePath(directory);
  openFiles.fileSystem.checkCanSync?.();
  const stateOf = rememberedStates(openFiles);
  const removed: string[] = [];
  const entries = await openFiles.report(openFiles.fileSystem.readDirectory(absolute));
  for (const { name, kind } of entries) {
    if (kind !== 'file' || !isLeftoverName(name) || stateOf(name) === 'running') continue;
    throwIfAborted(signal, directory);
    if (await remove(pathIn(absolute, name), openFiles)) removed.push(pathIn(directory, name));
  }
  await openFiles.syncDirectory(absolute);
  return removed;
}

/** Entries of a directory for which one overwrite in it pays the price of looking at them. */
const ENTRIES_PER_OVERWRITE = 64;

/** By the identity of a directory: overwrites until the next look. Large directories only. */
const pausesOf = new WeakMap<FileSystem, Map<string, number>>();

/**
 * For every overwrite: removes the files of threads that have certainly ended, those of any target.
 * Directories of up to 63 entries are looked through each time, larger ones more rarely, so that
 * the average cost of it stays the same. What fails here is not the caller's failure.
 */
export async function removeLeftoversOfEnded(
  openFiles: OpenFiles,
  directory: { readonly path: string; readonly identity: string },
): Promise<void> {
  const { fileSystem } = openFiles;
  const pauses = pausesOf.get(fileSystem) ?? new Map<string, number>();
  pausesOf.set(fileSystem, pauses);
  const pause = pauses.get(directory.identity) ?? 0;
  if (pause > 0) {
    pauses.set(directory.identity, pause - 1);
    return;
  }
  // One look at a time.
  pauses.set(directory.identity, Number.POSITIVE_INFINITY);
  let entries: DirectoryEntry[] = [];
  try {
    entries = await openFiles.report(fileSystem.readDirectory(directory.path));
    const stateOf = rememberedStates(openFiles);
    for (const { name, kind } of entries) {
      if (kind !== 'file' || stateOf(name) !== 'ended') continue;
      await remove(pathIn(directory.path, name), openFiles);
    }
  } catch (error) {
    if (!isStorageError(error)) throw error;
  } finally {
    const next = Math.floor(entries.length / ENTRIES_PER_OVERWRITE);
    if (next > 0) pauses.set(directory.identity, next);
    else pauses.delete(directory.identity);
  }
}

/** The state of the owner that a name tells; the system is asked once for each owner. */
function rememberedStates({ owners }: OpenFiles): (name: string) => OwnerState {
  const states = new Map<string, OwnerState>();
  return (name) => {
    const owner = ownerOf(name);
    if (owner === undefined) return 'unknown';
    const state = states.get(owner) ?? owners.stateOf(owner);
    states.set(owner, state);
    return state;
  };
}

/** False if somebody else was faster. */
async function remove(path: string, openFiles: OpenFiles): Promise<boolean> {
  try {
    await openFiles.report(openFiles.fileSystem.unlink(path));
    return true;
  } catch (error) {
    if (isStorageError(error, 'not-found')) return false;
    throw error;
  }
}

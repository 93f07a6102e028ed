/** Removes the files that a crash may leave. */
import {
  checkOpenFiles,
  checkOptions,
  checkSignal,
  checkText,
  type KnownOptions,
} from '../check-options.ts';
import { isStorageError, throwIfAborted } from '../errors.ts';
import { absolutePath, pathIn } from '../virtual-file/absolute-path.ts';
import type { DirectoryEntry, FileSystem } from '../virtual-file/file-system.ts';
import { isLeftoverName, ownerOf } from '../virtual-file/leftover-names.ts';
import { OpenFiles } from '../virtual-file/open-files.ts';
import type { OwnerState } from '../virtual-file/owners.ts';

/** Options of `removeLeftovers`. */
export interface RemoveLeftoversOptions {
  /** Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
  /** Stops before the next removal. */
  readonly signal?: AbortSignal | undefined;
}

const OPTIONS: KnownOptions<RemoveLeftoversOptions> = {
  openFiles: true,
  signal: true,
};

/**
 * Removes unfinished layers and overwrites (`*.___temp`) and scratch files of ephemeral layers
 * (`ephemeral-` and hex digits) from one directory. Only regular files are removed, never
 * directories or symbolic links, whatever their names; subdirectories are not visited.
 *
 * Files of a running thread are kept. This is known, by /proc, for threads of this machine and pid
 * namespace; without /proc, for processes. It is unknown for other machines and containers, for a
 * pageserver, and for earlier versions: their files are removed. So no such writer may be active in the
 * directory: call this before the first writer starts.
 *
 * Durability: once it resolves, a crash brings back no file removed by this call or by an interrupted
 * one, and every name that the directory shows is durable, including those that a killed process
 * created without a sync.
 * @returns the paths of the removed files, in byte order of their names
 * @throws StorageError `not-found` (no such directory), `io`, `sync-failed`, `aborted`; calling it again
 *   continues
 * @example
 * await removeLeftovers('tenants/1'); // at startup
 */
export async function removeLeftovers(
  directory: string,
  options: RemoveLeftoversOptions = {},
): Promise<string[]> {
  checkText('directory', directory);
  checkOptions(options, OPTIONS);
  checkOpenFiles(options.openFiles);
  checkSignal(options.signal);
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

/** Number of directory entries that one overwrite may examine on average. */
const ENTRIES_PER_OVERWRITE = 64;

/** Overwrites until the next look, by the identity of the directory. Large directories only. */
const pausesOf = new WeakMap<FileSystem, Map<string, number>>();

/**
 * Called by every overwrite: removes the temporary files, of any target, whose threads have certainly
 * ended. Directories of up to 63 entries are examined every time, larger ones less often, so that the
 * average cost stays the same. Failures are ignored.
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

/** The state of the owner in a name; looked up once for each owner. */
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

/** False if the file is already gone. */
async function remove(path: string, openFiles: OpenFiles): Promise<boolean> {
  try {
    await openFiles.report(openFiles.fileSystem.unlink(path));
    return true;
  } catch (error) {
    if (isStorageError(error, 'not-found')) return false;
    throw error;
  }
}

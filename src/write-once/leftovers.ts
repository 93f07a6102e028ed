/** What a crash may leave behind in a directory of ours, and its removal. */
import { isStorageError, throwIfAborted } from '../errors.ts';
import { absolutePath, pathIn } from '../virtual-file/absolute-path.ts';
import { isLeftoverName } from '../virtual-file/leftover-names.ts';
import { OpenFiles } from '../virtual-file/open-files.ts';

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
 * Requires: nobody writes in the directory, since an unfinished file looks like one that a crash
 * left. Call it before the first writer starts.
 * Returns: the paths of the removed files, in byte order of their names.
 * Throws: `not-found` (no such directory), `io`, `aborted`; calling it again goes on.
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
  const mark = openFiles.directoryMark();
  const removed: string[] = [];
  const entries = await openFiles.report(openFiles.fileSystem.readDirectory(absolute));
  for (const { name, kind } of entries) {
    if (kind !== 'file' || !isLeftoverName(name)) continue;
    throwIfAborted(signal, directory);
    if (await remove(pathIn(absolute, name), openFiles)) removed.push(pathIn(directory, name));
  }
  await openFiles.syncDirectory(absolute, mark);
  return removed;
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

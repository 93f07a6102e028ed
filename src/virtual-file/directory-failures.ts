/**
 * Which directories could not be synced, and when.
 *
 * A failed sync loses changes of names that were made before it, whoever made them, and the next one
 * reports success all the same. So whoever changes names takes a mark before, and their sync counts
 * for nothing if another one failed since. Changes made after the failure are synced as ever.
 */
import type { StorageError } from '../errors.ts';
import type { FileSystem } from './file-system.ts';

/** A moment in the life of a directory. */
export type DirectoryMark = number;

interface Failures {
  readonly count: number;
  readonly last: StorageError;
}

/** For all tables of descriptors over one file system; an entry only where a sync failed. */
const failuresOf = new WeakMap<FileSystem, Map<string, Failures>>();

export function directoryMark(fileSystem: FileSystem, path: string): DirectoryMark {
  return failuresOf.get(fileSystem)?.get(path)?.count ?? 0;
}

export function noteDirectoryFailure(
  fileSystem: FileSystem,
  path: string,
  error: StorageError,
): void {
  const failures = failuresOf.get(fileSystem) ?? new Map<string, Failures>();
  failuresOf.set(fileSystem, failures);
  failures.set(path, { count: directoryMark(fileSystem, path) + 1, last: error });
}

export function throwIfDirectoryFailed(
  fileSystem: FileSystem,
  path: string,
  since: DirectoryMark,
): void {
  const failures = failuresOf.get(fileSystem)?.get(path);
  if (failures !== undefined && failures.count > since) throw failures.last;
}

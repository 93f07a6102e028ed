/**
 * Files whose sync has failed: what was written to them may be gone, and a later sync reports
 * success all the same. So they are known by their identity, to whoever opens them again, by
 * whatever path, until the library deletes them or creates a file that gets the identity.
 */
import type { StorageError } from '../errors.ts';
import type { FileSystem } from './file-system.ts';

/** By identity. */
export type PoisonedFiles = Map<string, StorageError>;

/** For all tables of descriptors over one file system. */
const poisonedFilesOf = new WeakMap<FileSystem, PoisonedFiles>();

export function poisonedFiles(fileSystem: FileSystem): PoisonedFiles {
  const known = poisonedFilesOf.get(fileSystem) ?? new Map();
  poisonedFilesOf.set(fileSystem, known);
  return known;
}

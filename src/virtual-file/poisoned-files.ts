/**
 * Files whose sync has failed: written data may be lost, and a later sync reports success all the same.
 * They are remembered by identity, so that they cannot be opened again by any path, until the library
 * deletes them or creates a file that gets the same identity.
 */
import type { StorageError } from '../errors.ts';
import type { FileSystem } from './file-system.ts';

/** By identity. */
export type PoisonedFiles = Map<string, StorageError>;

/** Shared by all descriptor tables of one file system. */
const poisonedFilesOf = new WeakMap<FileSystem, PoisonedFiles>();

export function poisonedFiles(fileSystem: FileSystem): PoisonedFiles {
  const known = poisonedFilesOf.get(fileSystem) ?? new Map();
  poisonedFilesOf.set(fileSystem, known);
  return known;
}

/**
 * Which directories could not be synced, and when.
 *
 * A failed sync loses changes of names that were made before it, whoever made them, and the next one
 * reports success all the same. So whoever changes names takes a mark before, and their sync counts
 * for nothing if another one of the same directory failed since. Changes made after the failure are
 * synced as ever.
 *
 * Several paths may lead to one directory, so what counts is its identity. It is looked up only
 * where a sync has failed; where it cannot be, any directory may be the one.
 */
import type { StorageError } from '../errors.ts';
import type { FileSystem } from './file-system.ts';

/** A moment: how many syncs of directories had failed. */
export type DirectoryMark = number;

interface Failure {
  /** From 1 on. */
  readonly number: number;
  readonly error: StorageError;
  /** Of the directory; undefined where nobody knows. */
  readonly identity: Promise<string | undefined>;
}

interface Failures {
  count: number;
  /** Those that may still matter: the last one of each directory. */
  readonly last: Set<Failure>;
}

/** For all tables of descriptors over one file system; an entry only where a sync failed. */
const failuresOf = new WeakMap<FileSystem, Failures>();

export function directoryMark(fileSystem: FileSystem): DirectoryMark {
  return failuresOf.get(fileSystem)?.count ?? 0;
}

/** Counts at once, so that no sync that ends meanwhile is taken for sound. */
export function noteDirectoryFailure(
  fileSystem: FileSystem,
  path: string,
  error: StorageError,
): void {
  const failures = failuresOf.get(fileSystem) ?? { count: 0, last: new Set() };
  failuresOf.set(fileSystem, failures);
  failures.count += 1;
  const identity = identityOf(fileSystem, path);
  const failure: Failure = { number: failures.count, error, identity };
  failures.last.add(failure);
  void identity.then((known) => forgetEarlier(failures, failure, known));
}

/**
 * Throws the error of a sync of the directory that has failed since the mark; a promise only where
 * one of any directory has.
 */
export function throwIfDirectoryFailed(
  fileSystem: FileSystem,
  path: string,
  since: DirectoryMark,
): Promise<void> | undefined {
  const failures = failuresOf.get(fileSystem);
  if (failures === undefined || failures.count === since) return undefined;
  return throwIfAmong(failures, { fileSystem, path, since });
}

interface DirectoryQuestion {
  readonly fileSystem: FileSystem;
  readonly path: string;
  readonly since: DirectoryMark;
}

async function throwIfAmong(
  failures: Failures,
  { fileSystem, path, since }: DirectoryQuestion,
): Promise<void> {
  const identity = await identityOf(fileSystem, path);
  for (const failure of [...failures.last]) {
    if (failure.number <= since) continue;
    const failed = await failure.identity;
    const isOther = failed !== undefined && identity !== undefined && failed !== identity;
    if (!isOther) throw failure.error;
  }
}

/** The list stays as short as there are directories. */
async function forgetEarlier(
  failures: Failures,
  failure: Failure,
  identity: string | undefined,
): Promise<void> {
  for (const other of [...failures.last]) {
    if (other.number < failure.number && (await other.identity) === identity) {
      failures.last.delete(other);
    }
  }
}

async function identityOf(fileSystem: FileSystem, path: string): Promise<string | undefined> {
  const found = await fileSystem.stat(`${path}/.`).catch(() => undefined);
  return found?.identity;
}

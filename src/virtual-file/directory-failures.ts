/**
 * Syncs of directories, and which of them have failed. A failed sync may lose any name changed before
 * it, and the next sync still reports success. So a failure is final, as it is for a file: no
 * later sync of the directory succeeds in this process.
 *
 * Several paths may lead to one directory, so failures are kept by identity. It is looked up only after
 * a failure. If the look-up fails, any directory may be the one that failed.
 */
import { isStorageError, type StorageError } from '../errors.ts';
import type { FileSystem } from './file-system.ts';
import { syncLimiter } from './limiter.ts';
import { isSyncUnsupported } from './system-error.ts';

interface Failure {
  readonly error: StorageError;
  /** Of the directory; undefined if the look-up failed. */
  readonly identity: Promise<string | undefined>;
}

/**
 * Shared by all descriptor tables of one file system. A directory has at most one entry for each of its
 * syncs that were in flight together.
 */
const failuresOf = new WeakMap<FileSystem, Failure[]>();

/**
 * Syncs the directory, unless an earlier sync of it failed. A file system that cannot sync directories
 * counts as having synced it.
 *
 * Throws: `sync-failed`; `not-found` or `io` if the directory could not be opened.
 */
export async function syncDirectoryOnce(fileSystem: FileSystem, path: string): Promise<void> {
  await syncLimiter.enter();
  try {
    await throwIfDirectoryFailed(fileSystem, path);
    await fileSystem.syncDirectory(path).catch((error: unknown) => {
      if (isSyncUnsupported(error)) return;
      if (isStorageError(error, 'sync-failed')) noteDirectoryFailure(fileSystem, path, error);
      throw error;
    });
    // Of two syncs in flight, the system may report the loss to only one.
    await throwIfDirectoryFailed(fileSystem, path);
  } finally {
    syncLimiter.leave();
  }
}

/** Takes effect synchronously, so that it also counts for syncs in flight. */
function noteDirectoryFailure(fileSystem: FileSystem, path: string, error: StorageError): void {
  const failures = failuresOf.get(fileSystem) ?? [];
  failuresOf.set(fileSystem, failures);
  failures.push({ error, identity: identityOf(fileSystem, path) });
}

/** Throws the error of an earlier failed sync of the directory. */
export async function throwIfDirectoryFailed(fileSystem: FileSystem, path: string): Promise<void> {
  const failures = failuresOf.get(fileSystem);
  if (failures === undefined) return;
  const identity = await identityOf(fileSystem, path);
  for (const failure of failures) {
    const failed = await failure.identity;
    const isOther = failed !== undefined && identity !== undefined && failed !== identity;
    if (!isOther) throw failure.error;
  }
}

async function identityOf(fileSystem: FileSystem, path: string): Promise<string | undefined> {
  const found = await fileSystem.stat(`${path}/.`).catch(() => undefined);
  return found?.identity;
}

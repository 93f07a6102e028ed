/** Directories whose names survive a crash: a file in a directory is lost with the name of any directory above it. */
import { dirname } from 'node:path';
import { isStorageError } from '../errors.ts';
import type { OpenFiles } from './open-files.ts';

/** Permission bits of a new directory, before the umask. */
const DIRECTORY_MODE = 0o777;

/** Errors of a directory that may be used but not read, so that it cannot be synced. */
const UNREADABLE: ReadonlySet<string> = new Set(['EACCES', 'EPERM']);

/**
 * Makes a directory, and those above it that are missing. Does nothing if it exists, or if the file system makes no
 * directories.
 *
 * Durability: the names of the directories that it made survive a crash.
 * @throws `io`, `sync-failed`.
 */
export async function makeDirectories(path: string, openFiles: OpenFiles): Promise<void> {
  const { fileSystem } = openFiles;
  const { makeDirectory } = fileSystem;
  if (makeDirectory === undefined) return;
  const parent = dirname(path);
  const make = () => openFiles.report(makeDirectory.call(fileSystem, path, DIRECTORY_MODE));
  try {
    await make();
  } catch (error) {
    if (isStorageError(error, 'exists')) return;
    if (!isStorageError(error, 'not-found') || parent === path) throw error;
    await makeDirectories(parent, openFiles);
    // Once more only: a file system such as /proc says again that something is missing.
    await make().catch((again: unknown) => {
      if (!isStorageError(again, 'exists')) throw again;
    });
  }
  await openFiles.syncDirectory(parent);
}

/**
 * The names of a directory and of all directories below it. Each is synced once, even if it existed before: a process
 * may have ended between making a directory and syncing its name, and another call may be about to sync it.
 */
export class DurableDirectories {
  readonly #root: string;
  readonly #openFiles: OpenFiles;
  readonly #syncs = new Map<string, Promise<void>>();

  /** @param root An absolute path. */
  constructor(root: string, openFiles: OpenFiles) {
    this.#root = root;
    this.#openFiles = openFiles;
  }

  /**
   * Makes the names durable that lead from the root to a directory, and that of the root.
   *
   * Requires: `path` is the root, or a path of an existing directory below it.
   *
   * @throws `io`, `sync-failed`.
   */
  sync(path: string): Promise<void> {
    const known = this.#syncs.get(path);
    if (known !== undefined) return known;
    const syncing = this.#syncName(path);
    this.#syncs.set(path, syncing);
    // The next call tries again.
    syncing.catch(() => this.#syncs.delete(path));
    return syncing;
  }

  async #syncName(path: string): Promise<void> {
    const parent = dirname(path);
    if (path === this.#root) return this.#syncAbove(parent);
    await this.sync(parent);
    await this.#openFiles.syncDirectory(parent);
  }

  /** The directory above the root is the caller's: it need not be readable. */
  async #syncAbove(parent: string): Promise<void> {
    try {
      await this.#openFiles.syncDirectory(parent);
    } catch (error) {
      if (!isStorageError(error, 'io') || !UNREADABLE.has(error.errno ?? '')) throw error;
    }
  }
}

/** The entry of one VirtualFile in the table of open descriptors. */
import { assert } from '../assert.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { closeQuietly } from './close-quietly.ts';
import { type DirectFileContext, openDirectFile } from './direct-file.ts';
import type { FileStat, FileSystem, OpenFile, OpenOptions, SyncOpenFile } from './file-system.ts';
import { Limiter, syncLimiter } from './limiter.ts';
import { isForbidden } from './system-error.ts';

export interface DescriptorOptions extends OpenOptions {
  readonly durability: 'sync' | 'scratch';
  /** `immutable`: when reopened, size and modification time must be unchanged, too. */
  readonly content: 'immutable' | 'mutable';
}

/** Knows how to reopen the file, whether it has unsynced writes, and whether it is poisoned. */
export class Descriptor {
  /** From the root. */
  readonly path: string;
  openFile: OpenFile | undefined;
  /** The result of `stat` when the file was first opened. Reopening must find the same file. */
  opened: FileStat | undefined;
  /** An opening or eviction in progress. */
  settling: Promise<unknown> | undefined;
  pins = 0;
  recentlyUsed = false;
  #poisonedBy: StorageError | undefined;
  /** All poisoned files of the file system; set once the file has been opened. */
  #poisonedFiles: PoisonedFiles | undefined;
  #options: OpenOptions;
  readonly #scratch: boolean;
  readonly #isImmutable: boolean;
  readonly #syncs = new Limiter(1);
  /** Counts finished writes; those up to `#syncedWrites` are on the device. */
  #writes = 0;
  #syncedWrites = 0;

  constructor(path: string, { durability, content, ...options }: DescriptorOptions) {
    this.path = path;
    this.#options = options;
    this.#scratch = durability === 'scratch';
    this.#isImmutable = content === 'immutable';
  }

  /** See `FileStat`; undefined until the file has been opened. */
  get identity(): string | undefined {
    return this.opened?.identity;
  }

  /** Never true of a scratch file. */
  get hasUnsyncedWrites(): boolean {
    return this.#writes > this.#syncedWrites && !this.#scratch;
  }

  get needsSync(): boolean {
    return this.hasUnsyncedWrites && this.poisonedBy === undefined;
  }

  /** The failed sync of the file, through any handle: written data may be lost. */
  get poisonedBy(): StorageError | undefined {
    const known = this.#poisonedFiles;
    if (known !== undefined && known.size > 0 && this.identity !== undefined) {
      this.#poisonedBy ??= known.get(this.identity);
    }
    return this.#poisonedBy;
  }

  noteWrite(): void {
    this.#writes += 1;
  }

  /** Opens the file: at first with the caller's options, later without creation and truncation. */
  async open(context: DirectFileContext): Promise<OpenFile> {
    const { fileSystem } = context;
    const openFile = await (this.#options.direct
      ? openDirectFile(context, this.path, this.#options)
      : fileSystem.open(this.path, this.#options));
    try {
      this.#checkIdentity(openFile.opened ?? (await openFile.stat()));
      this.#poisonedFiles = poisonedFiles(fileSystem);
      // A new file cannot be a poisoned one.
      if (this.#options.createNew) this.forgetPoison();
      this.throwIfPoisoned();
    } catch (error) {
      // The first error is thrown.
      await Promise.allSettled([openFile.close()]);
      // Deletes only a file that this call has created and nothing else can have written.
      if (this.#options.createNew) await Promise.allSettled([fileSystem.unlink(this.path)]);
      throw error;
    }
    const { read = false, write = false, direct = false } = this.#options;
    this.#options = { read, write, direct };
    return openFile;
  }

  /**
   * Reopens the file synchronously, for buffered reads even if `direct`: the bytes are the same.
   * Requires: the file has been opened before, and the file system has `openSync`.
   */
  openSync(fileSystem: FileSystem): SyncOpenFile {
    const { read = false, write = false } = this.#options;
    const openFile = fileSystem.openSync?.(this.path, { read, write });
    assert(openFile?.opened !== undefined, 'a file that is held can be opened synchronously');
    try {
      this.#checkIdentity(openFile.opened);
      this.throwIfPoisoned();
      return openFile;
    } catch (error) {
      closeQuietly(openFile);
      throw error;
    }
  }

  throwIfPoisoned(): void {
    if (this.poisonedBy !== undefined) throw this.poisonedBy;
  }

  /**
   * Makes durable every write that finished before the call. A failure poisons the file. One sync runs
   * at a time, since the system reports lost pages to only one of two in flight.
   */
  async syncThrough(openFile: OpenFile, how: 'sync' | 'sync-data'): Promise<void> {
    await this.#syncs.enter();
    try {
      this.throwIfPoisoned();
      const covered = this.#writes;
      await syncLimiter.enter();
      try {
        await (how === 'sync' ? openFile.sync() : openFile.syncData());
      } catch (error) {
        if (isForbidden(error)) throw error;
        throw this.poison(error);
      } finally {
        syncLimiter.leave();
      }
      // The failure may have been reported to a sync through another descriptor instead.
      this.throwIfPoisoned();
      this.#syncedWrites = covered;
    } finally {
      this.#syncs.leave();
    }
  }

  /** Marks the file as poisoned; returns the error of every later call. */
  poison(cause: unknown): StorageError {
    this.#poisonedBy ??= new StorageError('sync-failed', {
      what: 'sync failed; data written since the last sync may be lost',
      path: this.path,
      errno: isStorageError(cause) ? cause.errno : undefined,
      cause,
    });
    if (this.identity !== undefined) this.#poisonedFiles?.set(this.identity, this.#poisonedBy);
    return this.#poisonedBy;
  }

  /** After the file was deleted: a new file may get its identity. */
  forgetPoison(): void {
    if (this.identity !== undefined) this.#poisonedFiles?.delete(this.identity);
  }

  #checkIdentity(opened: FileStat): void {
    this.opened ??= opened;
    if (opened.identity !== this.opened.identity) {
      throw new StorageError('io', { what: 'file was replaced while in use', path: this.path });
    }
    if (this.#isImmutable && !hasSameContent(opened, this.opened)) {
      throw new StorageError('io', { what: 'file was changed while in use', path: this.path });
    }
  }
}

/** Judged by size and modification time; the change time would move with each link. */
function hasSameContent(one: FileStat, other: FileStat): boolean {
  return one.size === other.size && one.modificationTime === other.modificationTime;
}

/** By identity. */
type PoisonedFiles = Map<string, StorageError>;

/** Shared by all descriptor tables of one file system. */
const poisonedFilesOf = new WeakMap<FileSystem, PoisonedFiles>();

/**
 * Files whose sync has failed: written data may be lost, but a later sync reports success.
 * They are remembered by identity, so that they cannot be opened again by any path, until the library
 * deletes them or creates a file that gets the same identity.
 */
function poisonedFiles(fileSystem: FileSystem): PoisonedFiles {
  const known = poisonedFilesOf.get(fileSystem) ?? new Map();
  poisonedFilesOf.set(fileSystem, known);
  return known;
}

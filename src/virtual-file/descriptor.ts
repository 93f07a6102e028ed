/** One file's place in the table of open descriptors. */
import { assert } from '../assert.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { closeQuietly } from './close-quietly.ts';
import { type DirectFileContext, openDirectFile } from './direct-file.ts';
import type { FileStat, FileSystem, OpenFile, OpenOptions, SyncOpenFile } from './file-system.ts';
import { Limiter, syncLimiter } from './limiter.ts';
import { type PoisonedFiles, poisonedFiles } from './poisoned-files.ts';
import { isForbidden } from './system-error.ts';

export interface DescriptorOptions extends OpenOptions {
  readonly durability: 'sync' | 'scratch';
  /** `immutable`: size and time of the last write are those of the first opening, too. */
  readonly content: 'immutable' | 'mutable';
}

/**
 * One VirtualFile's place in the table: how to open it again, whether it has unsynced writes, and
 * whether it is poisoned.
 */
export class Descriptor {
  /** From the root. */
  readonly path: string;
  openFile: OpenFile | undefined;
  /** The file when it was opened for the first time: the same one for as long as it is in use. */
  opened: FileStat | undefined;
  /** Opening or eviction under way. */
  settling: Promise<unknown> | undefined;
  pins = 0;
  recentlyUsed = false;
  #poisonedBy: StorageError | undefined;
  /** Of the file system, once the file was opened. */
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

  /** As `FileStat` has it, once the file was opened. */
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

  /**
   * Why no later operation may succeed: a sync of the file failed, whoever called it, so what was
   * written may be gone.
   */
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

  /** The first time with the caller's options; later without creation and truncation. */
  async open(context: DirectFileContext): Promise<OpenFile> {
    const { fileSystem } = context;
    const openFile = await (this.#options.direct
      ? openDirectFile(context, this.path, this.#options)
      : fileSystem.open(this.path, this.#options));
    try {
      this.#checkIdentity(openFile.opened ?? (await openFile.stat()));
      this.#poisonedFiles = poisonedFiles(fileSystem);
      // A file that was created by this call is none of those that are known.
      if (this.#options.createNew) this.forgetPoison();
      this.throwIfPoisoned();
    } catch (error) {
      // The first error counts.
      await Promise.allSettled([openFile.close()]);
      // Only a file that this very call has created is deleted: nobody else can have written it.
      if (this.#options.createNew) await Promise.allSettled([fileSystem.unlink(this.path)]);
      throw error;
    }
    const { read = false, write = false, direct = false } = this.#options;
    this.#options = { read, write, direct };
    return openFile;
  }

  /**
   * Opens the file again, synchronously, and not directly: the same bytes come either way.
   * Requires: it was opened before, over a file system that has `openSync`.
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
   * Writes that finished before the call are durable once this resolves; a failure poisons. One
   * sync at a time, because the system tells only one of two in flight that pages were lost.
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
      // By a sync of the same file through another descriptor, which was told in its place.
      this.throwIfPoisoned();
      this.#syncedWrites = covered;
    } finally {
      this.#syncs.leave();
    }
  }

  /** Marks the file as lost; returns the error that every later call gets. */
  poison(cause: unknown): StorageError {
    this.#poisonedBy ??= new StorageError('sync-failed', {
      what: 'sync failed; what was written since the last one may be lost',
      path: this.path,
      errno: isStorageError(cause) ? cause.errno : undefined,
      cause,
    });
    if (this.identity !== undefined) this.#poisonedFiles?.set(this.identity, this.#poisonedBy);
    return this.#poisonedBy;
  }

  /** The file is gone, and another one may get its identity. */
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

/** As far as size and time tell. The time of the last change of the inode moves with each link. */
function hasSameContent(one: FileStat, other: FileStat): boolean {
  return one.size === other.size && one.modificationTime === other.modificationTime;
}

/**
 * The bounded table of open descriptors of one file system.
 *
 * A `Descriptor` belongs to one VirtualFile and may be open or closed. An operation pins it, and opens
 * it if needed. If the table is full, a clock hand finds a victim: an unpinned descriptor that has not
 * been used since the hand's last visit, preferably a clean one. A victim with unsynced writes is synced
 * before it is closed, because the system cannot report a failed write-back once the last descriptor is
 * closed. If every slot is pinned, opening waits. A synchronous read cannot wait: it takes the slot of a
 * clean file, or briefly opens a descriptor beyond the capacity.
 */
import { assert } from '../assert.ts';
import { checkCount, checkOptions } from '../check-options.ts';
import { isStorageError, type StorageError } from '../errors.ts';
import { unlessAborted } from '../on-abort.ts';
import { absolutePath } from './absolute-path.ts';
import { closeQuietly } from './close-quietly.ts';
import type { Descriptor } from './descriptor.ts';
import { syncDirectoryOnce } from './directory-failures.ts';
import type { FileSystem, OpenFile, SyncOpenFile } from './file-system.ts';
import { checkedFileSystem } from './foreign-file-system.ts';
import { Limiter } from './limiter.ts';
import { nodeFileSystem } from './node-file-system.ts';
import { type Owners, systemOwners } from './owners.ts';
import { isFatal, isOutOfDescriptors } from './system-error.ts';
import { WaitingLine } from './waiting-line.ts';

/** Options of `new OpenFiles`. */
export interface OpenFilesOptions {
  /** Maximum number of open files; default 1,024. */
  readonly capacity?: number | undefined;
  /** Default: `nodeFileSystem`. */
  readonly fileSystem?: FileSystem | undefined;
  /**
   * Called once, at the first EIO, EROFS or failed sync, so that an application can exit. An exception
   * from it becomes an uncaught exception, and does not affect the operation that failed.
   */
  readonly onFatalError?: ((error: StorageError) => void) | undefined;
}

const OPTIONS = { capacity: true, fileSystem: true, onFatalError: 'function' } as const;

const DEFAULT_CAPACITY = 1024;

/** How long an operation keeps the system descriptor that it opens. */
type Hold = 'until-closed' | 'during-call';

/**
 * A bounded table of open descriptors. Any number of VirtualFiles may share it; it closes and reopens
 * their descriptors as needed.
 *
 * @example
 * const openFiles = new OpenFiles({ capacity: 64, onFatalError: () => process.exit(1) });
 */
export class OpenFiles {
  /** Maximum number of open files. */
  readonly capacity: number;
  /** The file system; one provided by the caller is wrapped so that its results are checked. */
  readonly fileSystem: FileSystem;
  readonly #onFatalError: ((error: StorageError) => void) | undefined;
  /** Open descriptors, in clock order. */
  readonly #slots: Descriptor[] = [];
  /** Slots that are open, or are being opened or closed. */
  #used = 0;
  #hand = 0;
  #fatalErrorSeen = false;
  readonly #waiting = new WaitingLine();
  readonly #directorySyncs = new Limiter(2);
  /** System descriptors that are open, being opened or being closed, including directories. */
  #held = 0;
  /** Number of descriptors closed so far. */
  #releasedCount = 0;
  /** Admits one operation at a time that must make room because the system has no descriptor left. */
  readonly #scarcity = new Limiter(1);
  #announceRoom: (() => void) | undefined;
  readonly #throwNoted = (error: unknown): never => {
    throw this.noteError(error);
  };

  static #shared: OpenFiles | undefined;

  /** The table used wherever none is given; one for each process or thread. */
  static shared(): OpenFiles {
    OpenFiles.#shared ??= new OpenFiles();
    return OpenFiles.#shared;
  }

  /** @throws StorageError `invalid-input` if the capacity is not a positive integer */
  constructor(options: OpenFilesOptions = {}) {
    checkOptions(options, OPTIONS);
    const { capacity = DEFAULT_CAPACITY } = options;
    checkCount('capacity of the descriptor table', capacity, { from: 1 });
    this.capacity = capacity;
    const { fileSystem = nodeFileSystem } = options;
    this.fileSystem = fileSystem === nodeFileSystem ? fileSystem : checkedFileSystem(fileSystem);
    this.#onFatalError = options.onFatalError;
  }

  /** Number of open files. */
  get openCount(): number {
    return this.#slots.length;
  }

  /**
   * Keeps the descriptor open until `unpin`. Returns a promise only if it must be opened first; the
   * signal ends the wait for a slot.
   * @internal
   */
  pin(descriptor: Descriptor, signal?: AbortSignal): OpenFile | Promise<OpenFile> {
    const { openFile } = descriptor;
    if (openFile === undefined) return this.#openAndPin(descriptor, signal);
    descriptor.pins += 1;
    descriptor.recentlyUsed = true;
    return openFile;
  }

  /** @internal */
  unpin(descriptor: Descriptor): void {
    assert(descriptor.pins > 0, 'pins and unpins are paired');
    descriptor.pins -= 1;
    if (descriptor.pins === 0) this.#wakeNext();
  }

  /**
   * Reads synchronously, and reopens the file if needed.
   * Requires: the file has been opened before, and the file system has `openSync`.
   * @internal
   */
  readSync(descriptor: Descriptor, target: Uint8Array, offset: number): number {
    const { openFile } = descriptor;
    if (openFile?.readSync === undefined) return this.#openAndReadSync(descriptor, target, offset);
    descriptor.recentlyUsed = true;
    return openFile.readSync(target, offset);
  }

  /** Waits for an opening or eviction in progress. @internal */
  async whenSettled(descriptor: Descriptor): Promise<void> {
    while (descriptor.settling !== undefined) await descriptor.settling;
  }

  /** Closes the descriptor without a sync. Requires: not pinned. @internal */
  close(descriptor: Descriptor): Promise<void> {
    const { settling, openFile } = descriptor;
    if (settling !== undefined) return settling.then(() => this.close(descriptor));
    if (openFile === undefined) return Promise.resolve();
    assert(descriptor.pins === 0, 'a pinned descriptor is not closed');
    return this.#closeSlot(descriptor, openFile);
  }

  /** The owners of temporary files in the file system. @internal */
  get owners(): Owners {
    return this.fileSystem.owners ?? systemOwners;
  }

  /**
   * Makes creations, renames and removals in a directory durable. At most two directories are synced at
   * a time. A failed sync is final: every later call for the directory, by any path, rejects with
   * the same error. If the file system cannot sync directories, the call succeeds, and names are as
   * durable as the file system itself makes them.
   *
   * @throws StorageError `sync-failed`; `not-found` or `io` if the directory could not be opened
   */
  async syncDirectory(path: string): Promise<void> {
    const absolute = absolutePath(path);
    const syncOnce = (): Promise<void> => syncDirectoryOnce(this.fileSystem, absolute);
    await this.#directorySyncs.enter();
    try {
      await this.#retryWhenOutOfDescriptors(syncOnce, 'during-call');
    } catch (error) {
      throw this.noteError(error);
    } finally {
      this.#directorySyncs.leave();
    }
  }

  /** Waits for an operation of the file system, and reports a fatal error to the hook. @internal */
  report<T>(operation: Promise<T>): Promise<T> {
    return operation.catch(this.#throwNoted);
  }

  /** Reports the first fatal error to the hook; returns the error. @internal */
  noteError(error: unknown): unknown {
    if (isStorageError(error) && isFatal(error)) this.#reportFatalError(error);
    return error;
  }

  #reportFatalError(error: StorageError): void {
    if (this.#fatalErrorSeen) return;
    this.#fatalErrorSeen = true;
    try {
      this.#onFatalError?.(error);
    } catch (thrown) {
      // An uncaught exception, thrown separately, so that the failed operation can clean up.
      queueMicrotask(() => {
        throw thrown;
      });
    }
  }

  #openAndPin(descriptor: Descriptor, signal: AbortSignal | undefined): Promise<OpenFile> {
    if (descriptor.settling !== undefined) return this.#pinOnceSettled(descriptor);
    const opening = this.#openPinned(descriptor, signal);
    descriptor.settling = opening;
    return opening;
  }

  async #pinOnceSettled(descriptor: Descriptor): Promise<OpenFile> {
    await this.whenSettled(descriptor);
    return this.pin(descriptor);
  }

  /** Opens and pins in one step, so that a new file is not evicted before its first use. */
  async #openPinned(descriptor: Descriptor, signal: AbortSignal | undefined): Promise<OpenFile> {
    try {
      while (this.#used >= this.capacity) await this.#makeRoom(signal);
    } catch (error) {
      descriptor.settling = undefined;
      throw error;
    }
    this.#used += 1;
    try {
      const { fileSystem } = this;
      const context = { fileSystem, noteError: (error: unknown) => this.noteError(error) };
      const open = (): Promise<OpenFile> => descriptor.open(context);
      const openFile = await this.#retryWhenOutOfDescriptors(open, 'until-closed', signal);
      descriptor.openFile = openFile;
      descriptor.pins += 1;
      descriptor.recentlyUsed = true;
      this.#slots.push(descriptor);
      return openFile;
    } catch (error) {
      this.#freeSlot();
      throw this.noteError(error);
    } finally {
      descriptor.settling = undefined;
    }
  }

  /** Frees a slot or waits for one. Another operation may take it first, so the caller checks again. */
  #makeRoom(signal: AbortSignal | undefined): Promise<void> {
    const victim = this.#findVictim();
    return victim === undefined
      ? this.#waiting.wait(signal, () => this.#wakeNext())
      : unlessAborted(this.#evict(victim), signal);
  }

  #freeSlot(): void {
    this.#used -= 1;
    this.#wakeNext();
  }

  #wakeNext(): void {
    this.#announceRoom?.();
    this.#waiting.wakeNext();
  }

  /** Two laps clear marks and look for a clean victim; a third also accepts a dirty one. */
  #findVictim(): Descriptor | undefined {
    const count = this.#slots.length;
    for (let step = 0; step < 3 * count; step += 1) {
      this.#hand = (this.#hand + 1) % count;
      const candidate = this.#slots[this.#hand];
      assert(candidate !== undefined, 'the hand points to a slot');
      if (candidate.pins > 0 || candidate.settling !== undefined) continue;
      if (candidate.recentlyUsed && step < 2 * count) {
        candidate.recentlyUsed = false;
        continue;
      }
      if (candidate.needsSync && step < 2 * count) continue;
      return candidate;
    }
    return undefined;
  }

  /** Never rejects: a failure poisons the victim. */
  async #evict(victim: Descriptor): Promise<void> {
    const { openFile } = victim;
    assert(openFile !== undefined, 'a victim is open');
    const eviction = this.#syncAndClose(victim, openFile);
    victim.settling = eviction;
    await eviction;
  }

  async #syncAndClose(victim: Descriptor, openFile: OpenFile): Promise<void> {
    try {
      if (victim.needsSync) {
        victim.openFile = undefined;
        await victim.syncThrough(openFile, 'sync');
      }
    } catch (error) {
      this.noteError(error);
    }
    try {
      await this.#closeSlot(victim, openFile);
    } catch (error) {
      victim.poison(error);
    } finally {
      victim.settling = undefined;
    }
  }

  async #closeSlot(descriptor: Descriptor, openFile: OpenFile): Promise<void> {
    this.#removeSlot(descriptor);
    try {
      await openFile.close();
    } catch (error) {
      throw this.noteError(error);
    } finally {
      this.#noteClosed();
    }
  }

  #removeSlot(descriptor: Descriptor): void {
    descriptor.openFile = undefined;
    const index = this.#slots.indexOf(descriptor);
    assert(index >= 0, 'an open descriptor has a slot');
    this.#slots.splice(index, 1);
  }

  #noteClosed(): void {
    this.#held -= 1;
    this.#releasedCount += 1;
    this.#freeSlot();
  }

  #openAndReadSync(descriptor: Descriptor, target: Uint8Array, offset: number): number {
    const hasSlot = descriptor.settling === undefined && this.#takeSlotSync();
    let openFile: SyncOpenFile;
    try {
      openFile = this.#openSyncWithRoom(descriptor);
    } catch (error) {
      if (hasSlot) this.#freeSlot();
      throw error;
    }
    if (!hasSlot) {
      try {
        return openFile.readSync(target, offset);
      } finally {
        closeQuietly(openFile);
      }
    }
    descriptor.openFile = openFile;
    descriptor.recentlyUsed = true;
    this.#held += 1;
    this.#slots.push(descriptor);
    return openFile.readSync(target, offset);
  }

  #takeSlotSync(): boolean {
    if (this.#used >= this.capacity && !this.#evictSync()) return false;
    this.#used += 1;
    return true;
  }

  /** On EMFILE and ENFILE, closes clean files that are not in use, one at a time. */
  #openSyncWithRoom(descriptor: Descriptor): SyncOpenFile {
    for (;;) {
      try {
        return descriptor.openSync(this.fileSystem);
      } catch (error) {
        if (!isOutOfDescriptors(error) || !this.#evictSync()) throw error;
      }
    }
  }

  /** Closes a clean file that is not in use; false if there is none. */
  #evictSync(): boolean {
    const victim = this.#findVictim();
    const { openFile } = victim ?? {};
    if (victim === undefined || victim.needsSync || openFile?.closeSync === undefined) return false;
    this.#removeSlot(victim);
    try {
      openFile.closeSync();
    } catch (error) {
      victim.poison(this.noteError(error));
    } finally {
      this.#noteClosed();
    }
    return true;
  }

  /**
   * On EMFILE and ENFILE, closes descriptors of the table, one at a time, and tries again. If all are
   * in use or being opened, waits for one. Fails only if the table holds none. One operation at a time
   * does this; the others wait in line. The signal ends the waits.
   */
  #retryWhenOutOfDescriptors<T>(
    operation: () => Promise<T>,
    hold: Hold,
    signal?: AbortSignal,
  ): Promise<T> {
    return this.#attempt(operation, hold).catch(async (error: unknown) => {
      if (!isOutOfDescriptors(error)) throw error;
      await this.#scarcity.enter(signal);
      try {
        return await this.#attemptWithRoom(operation, hold, signal);
      } finally {
        this.#scarcity.leave();
      }
    });
  }

  /** Each iteration but the last ends with a released descriptor or the end of another operation. */
  async #attemptWithRoom<T>(
    operation: () => Promise<T>,
    hold: Hold,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    for (;;) {
      const releasedBefore = this.#releasedCount;
      try {
        return await this.#attempt(operation, hold);
      } catch (error) {
        if (!isOutOfDescriptors(error)) throw error;
        // A descriptor may have been released during the attempt.
        if (this.#releasedCount > releasedBefore) continue;
        const victim = this.#findVictim();
        if (victim !== undefined) await unlessAborted(this.#evict(victim), signal);
        else if (this.#held > 0) await unlessAborted(this.#untilRoom(), signal);
        else throw error;
      }
    }
  }

  async #attempt<T>(operation: () => Promise<T>, hold: Hold): Promise<T> {
    this.#held += 1;
    try {
      const result = await operation();
      if (hold === 'during-call') {
        this.#held -= 1;
        this.#releasedCount += 1;
      }
      return result;
    } catch (error) {
      this.#held -= 1;
      if (!isOutOfDescriptors(error)) this.#releasedCount += 1;
      throw error;
    } finally {
      this.#announceRoom?.();
    }
  }

  #untilRoom(): Promise<void> {
    return new Promise((resolve) => {
      this.#announceRoom = resolve;
    });
  }
}

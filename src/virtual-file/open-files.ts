/**
 * The bounded table of open descriptors, over one file system.
 *
 * A `Descriptor` belongs to one VirtualFile and may be open or not. An operation pins it, which
 * opens it when needed; when the table is full, a clock hand finds an unpinned victim that was not
 * used since the hand's last visit. Clean victims come first; one with unsynced writes is synced
 * before it is closed, because a failed write-back is reported to nobody once the last descriptor
 * is gone. When every slot is pinned, opening waits. A synchronous read cannot wait: it takes the slot
 * of a clean file, or opens its own for the moment beyond the capacity.
 */
import { assert } from '../assert.ts';
import { checkCount } from '../check-options.ts';
import { isStorageError, type StorageError } from '../errors.ts';
import { unlessAborted } from '../unless-aborted.ts';
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

export interface OpenFilesOptions {
  /** Most files open at once; default 1,024. */
  readonly capacity?: number | undefined;
  /** Default: the real one. */
  readonly fileSystem?: FileSystem | undefined;
  /**
   * Called once, at the first EIO, EROFS or failed sync, so that an application can end. What it
   * throws is an uncaught exception, and changes nothing for the operation that failed.
   */
  readonly onFatalError?: ((error: StorageError) => void) | undefined;
}

const DEFAULT_CAPACITY = 1024;

/** How long an operation that opens something keeps its descriptor of the system. */
type Hold = 'until-closed' | 'during-call';

export class OpenFiles {
  readonly capacity: number;
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
  /** Descriptors of the system that are open, or being opened or closed, directories included. */
  #held = 0;
  /** Counts descriptors that were closed. */
  #givenBack = 0;
  /** The one operation that found no descriptor and makes room for itself. */
  readonly #scarcity = new Limiter(1);
  #tellOfRoom: (() => void) | undefined;
  readonly #throwNoted = (error: unknown): never => {
    throw this.noteError(error);
  };

  static #shared: OpenFiles | undefined;

  /** The table of everyone who does not bring one. */
  static shared(): OpenFiles {
    OpenFiles.#shared ??= new OpenFiles();
    return OpenFiles.#shared;
  }

  constructor(options: OpenFilesOptions = {}) {
    const { capacity = DEFAULT_CAPACITY } = options;
    checkCount('capacity of the descriptor table', capacity, { from: 1 });
    this.capacity = capacity;
    const { fileSystem = nodeFileSystem } = options;
    this.fileSystem = fileSystem === nodeFileSystem ? fileSystem : checkedFileSystem(fileSystem);
    this.#onFatalError = options.onFatalError;
  }

  /** Descriptors open now. */
  get openCount(): number {
    return this.#slots.length;
  }

  /**
   * Keeps the descriptor open until `unpin`; opens it first where needed.
   * Returns at once, without a promise, when it is open already. The signal ends the wait for room.
   */
  pin(descriptor: Descriptor, signal?: AbortSignal): OpenFile | Promise<OpenFile> {
    const { openFile } = descriptor;
    if (openFile === undefined) return this.#openAndPin(descriptor, signal);
    descriptor.pins += 1;
    descriptor.recentlyUsed = true;
    return openFile;
  }

  unpin(descriptor: Descriptor): void {
    assert(descriptor.pins > 0, 'pins and unpins are paired');
    descriptor.pins -= 1;
    if (descriptor.pins === 0) this.#wakeNext();
  }

  /**
   * Reads synchronously; opens the file first where needed.
   * Requires: it was opened before, over a file system that has `openSync`.
   */
  readSync(descriptor: Descriptor, target: Uint8Array, offset: number): number {
    const { openFile } = descriptor;
    if (openFile?.readSync === undefined) return this.#openAndReadSync(descriptor, target, offset);
    descriptor.recentlyUsed = true;
    return openFile.readSync(target, offset);
  }

  /** Waits for an eviction in progress. Requires: not pinned, and not being opened. */
  async whenSettled(descriptor: Descriptor): Promise<void> {
    while (descriptor.settling !== undefined) await descriptor.settling;
  }

  /** Closes the descriptor without a sync. Requires: not pinned. */
  close(descriptor: Descriptor): Promise<void> {
    const { settling, openFile } = descriptor;
    if (settling !== undefined) return settling.then(() => this.close(descriptor));
    if (openFile === undefined) return Promise.resolve();
    assert(descriptor.pins === 0, 'a pinned descriptor is not closed');
    return this.#closeSlot(descriptor, openFile);
  }

  /** Who makes temporary files in the file system. */
  get owners(): Owners {
    return this.fileSystem.owners ?? systemOwners;
  }

  /**
   * Makes changes of names in one directory durable; at most two directories at a time. A failure
   * is final: every later call for the directory rejects with it, whatever path leads there. Where
   * the file system says that it cannot sync directories, it succeeds: names are then as durable as
   * the file system makes them.
   *
   * Throws: `sync-failed`; `not-found` or `io` if the directory could not be opened.
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

  /** Waits for an operation of the file system; tells the hook of a fatal error. */
  report<T>(operation: Promise<T>): Promise<T> {
    return operation.catch(this.#throwNoted);
  }

  /** Tells the hook of the first fatal error; returns the error. */
  noteError(error: unknown): unknown {
    if (isStorageError(error) && isFatal(error)) this.#tellFatalError(error);
    return error;
  }

  #tellFatalError(error: StorageError): void {
    if (this.#fatalErrorSeen) return;
    this.#fatalErrorSeen = true;
    try {
      this.#onFatalError?.(error);
    } catch (thrown) {
      // An uncaught exception of its own: the operation that failed goes on to tidy up.
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

  /** Pinned from the first moment, so that nobody closes a new file before it was used. */
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

  /** Of one slot, or waits for one; others may have been faster, so look again. */
  #makeRoom(signal: AbortSignal | undefined): Promise<void> {
    const victim = this.#findVictim();
    return victim === undefined
      ? this.#untilWoken(signal)
      : unlessAborted(this.#evict(victim), signal);
  }

  #freeSlot(): void {
    this.#used -= 1;
    this.#wakeNext();
  }

  /** Until something was unpinned or closed. */
  #untilWoken(signal: AbortSignal | undefined): Promise<void> {
    return this.#waiting.wait(signal, () => this.#wakeNext());
  }

  #wakeNext(): void {
    this.#tellOfRoom?.();
    this.#waiting.wakeNext();
  }

  /** Two laps look for a clean victim and take the mark off; a third takes a dirty one, too. */
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

  /** Never rejects: what fails here belongs to the victim, and poisons it. */
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
    this.#givenBack += 1;
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

  /** EMFILE and ENFILE: gives back descriptors of clean files that nobody uses, one at a time. */
  #openSyncWithRoom(descriptor: Descriptor): SyncOpenFile {
    for (;;) {
      try {
        return descriptor.openSync(this.fileSystem);
      } catch (error) {
        if (!isOutOfDescriptors(error) || !this.#evictSync()) throw error;
      }
    }
  }

  /** Closes a clean file that nobody uses; false if there is none. */
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
   * EMFILE and ENFILE: gives back descriptors of the table, one at a time, and tries again. Where
   * all of them are in use, or on the way to a slot, waits until one is not. An error only when the
   * table has none left to give. One operation at a time does so; the others wait in line. The signal
   * ends the waits.
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

  /** Each turn but the last ends with a descriptor given back, or with another operation. */
  async #attemptWithRoom<T>(
    operation: () => Promise<T>,
    hold: Hold,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    for (;;) {
      const givenBack = this.#givenBack;
      try {
        return await this.#attempt(operation, hold);
      } catch (error) {
        if (!isOutOfDescriptors(error)) throw error;
        // There may be room since the system was asked.
        if (this.#givenBack > givenBack) continue;
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
        this.#givenBack += 1;
      }
      return result;
    } catch (error) {
      this.#held -= 1;
      if (!isOutOfDescriptors(error)) this.#givenBack += 1;
      throw error;
    } finally {
      this.#tellOfRoom?.();
    }
  }

  #untilRoom(): Promise<void> {
    return new Promise((resolve) => {
      this.#tellOfRoom = resolve;
    });
  }
}

/**
 * A file that keeps no descriptor of its own: each operation borrows one from the table, which
 * opens the file again, without creating or truncating it, if it was closed in between.
 *
 * Any number of reads, writes and syncs may be in flight at once. A sync covers the writes whose
 * promises had settled when it was called. After a failed sync the file is poisoned: every later
 * call rejects with that error, because a second sync would report success for lost data. That holds
 * for all that have the file open, and for who opens it again in this process.
 */
import { isPromise } from 'node:util/types';
import { assert } from '../assert.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { absolutePath } from './absolute-path.ts';
import { alignedBytes } from './aligned-memory.ts';
import { Descriptor } from './descriptor.ts';
import type { FileStat, IoMode, OpenFile, Ownership } from './file-system.ts';
import { HeldFile } from './held-file.ts';
import { OpenFiles } from './open-files.ts';
import { isInterrupted } from './system-error.ts';
import { checkedOptions, type VirtualFileOptions } from './virtual-file-options.ts';

/** libuv retries most calls that a signal interrupts, but not reads. */
const MAXIMUM_INTERRUPTIONS = 16;

export class VirtualFile {
  readonly path: string;
  readonly openFiles: OpenFiles;
  readonly ioMode: IoMode;
  readonly #descriptor: Descriptor;
  #closing: Promise<void> | undefined;
  #operations = 0;
  /** A call has rejected with the failure of a sync. */
  #hasReportedPoison = false;
  #whenIdle: (() => void) | undefined;

  /**
   * Opens a regular file. A relative path means what it means now, wherever the process goes.
   *
   * Throws: `not-found`, `exists` (createNew), `io` (also for directories, FIFOs and devices),
   * `invalid-input` (neither read nor write, truncation without write, immutable content with write,
   * or an option that is no choice), `aborted`, and then nothing was created.
   * Durability: a created file's name is durable once its directory is synced.
   */
  static async open(path: string, options: VirtualFileOptions): Promise<VirtualFile> {
    const { openFiles = OpenFiles.shared(), ioMode = 'buffered', signal } = options;
    const descriptorOptions = checkedOptions(options);
    const descriptor = new Descriptor(absolutePath(path), descriptorOptions);
    const file = new VirtualFile(path, { openFiles, descriptor, ioMode });
    try {
      await file.#borrow(signal);
    } catch (error) {
      // It may be open, and poisoned since. The first error counts.
      await Promise.allSettled([file.close()]);
      throw error;
    }
    if (options.truncate) descriptor.noteWrite();
    file.#giveBack();
    return file;
  }

  private constructor(
    path: string,
    options: {
      readonly openFiles: OpenFiles;
      readonly descriptor: Descriptor;
      readonly ioMode: IoMode;
    },
  ) {
    this.path = path;
    this.openFiles = options.openFiles;
    this.ioMode = options.ioMode;
    this.#descriptor = options.descriptor;
  }

  /** Memory that large transfers of this file are fastest with; zeros. */
  newBuffer(length: number): Uint8Array {
    return this.ioMode === 'direct' ? alignedBytes(length) : new Uint8Array(length);
  }

  /** As `FileStat` has it, without asking the system. */
  get identity(): string | undefined {
    return this.#descriptor.identity;
  }

  /** Fills the target from `offset`; returns fewer bytes only at the end of the file. */
  async readAt(target: Uint8Array, offset: number): Promise<number> {
    checkOffset(offset, this.path);
    const borrowed = this.#borrow();
    const file = isPromise(borrowed) ? await borrowed : borrowed;
    // Not by `#run`: small reads are many, and each function that waits in between costs as much.
    try {
      let done = 0;
      for (let interruptions = 0; done < target.length; ) {
        const rest = done === 0 ? target : target.subarray(done);
        try {
          const length = await file.read(rest, offset + done);
          if (length === 0) break;
          done += length;
        } catch (error) {
          interruptions += 1;
          if (!isInterrupted(error) || interruptions > MAXIMUM_INTERRUPTIONS) throw error;
        }
      }
      return done;
    } catch (error) {
      throw this.#noted(error);
    } finally {
      this.#giveBack();
    }
  }

  /** Fills the target from `offset`. Throws `truncated` when the file ends first. */
  async readExactAt(target: Uint8Array, offset: number): Promise<void> {
    const length = await this.readAt(target, offset);
    if (length < target.length) {
      throw new StorageError('truncated', {
        what: 'file ends early',
        path: this.path,
        offset: offset + length,
        expected: `${target.length} bytes from offset ${offset}`,
        actual: `${length}`,
      });
    }
  }

  /**
   * Writes all of the source at `offset`.
   *
   * Requires: the source stays unchanged until the promise settles.
   * Throws: `io`, and then any part of the range may have been written.
   * Durability: none before `sync`.
   */
  writeAllAt(source: Uint8Array, offset: number): Promise<void> {
    return this.#run((file) => this.#writeFully(file, source, offset));
  }

  /**
   * Content and metadata of all settled writes are durable; the file's name may not be.
   *
   * Covered are the writes of every VirtualFile of this process that has, or had, the file open: one is
   * never closed with unsynced writes, except a `scratch` file or by `discard`. What an earlier process,
   * or other code, has written and closed without a sync is not: where the system failed to write that
   * back, it may have told nobody, and this resolves all the same.
   *
   * Throws: `sync-failed`, and so does every later call, `open` of the same file included, until the
   * library has deleted it. A file that others have deleted is known by its identity. Where the file
   * system keeps no times of creation, one that they create and that gets the same inode is taken for
   * it; one that `createNew` creates is not.
   */
  sync(): Promise<void> {
    return this.#run((file) => this.#descriptor.syncThrough(file, 'sync'));
  }

  /** As `sync`, without metadata that reading does not need, such as times. */
  syncData(): Promise<void> {
    return this.#run((file) => this.#descriptor.syncThrough(file, 'sync-data'));
  }

  /** Cuts the file, or extends it with zeros. */
  async setLength(length: number): Promise<void> {
    checkOffset(length, this.path);
    await this.#run(async (file) => {
      await file.setLength(length);
      this.#descriptor.noteWrite();
    });
  }

  async setOwnership(ownership: Ownership): Promise<void> {
    await this.#run(async (file) => {
      await file.setOwnership(ownership);
      this.#descriptor.noteWrite();
    });
  }

  /** The file as it was when `open` had opened it, before it was truncated. */
  get opened(): FileStat {
    const { opened } = this.#descriptor;
    assert(opened !== undefined, 'open resolves after the file was looked up');
    return opened;
  }

  stat(): Promise<FileStat> {
    return this.#run((file) => file.stat());
  }

  /** The whole content, as a fresh array. Throws `too-large` above the limit. */
  async readToEnd({ maximumLength }: { readonly maximumLength: number }): Promise<Uint8Array> {
    const { size } = await this.stat();
    // The other way round, a limit that is no number would be none.
    if (!(size <= maximumLength)) {
      throw new StorageError('too-large', {
        what: 'file',
        path: this.path,
        expected: `at most ${maximumLength} bytes`,
        actual: `${size}`,
      });
    }
    const content = new Uint8Array(size);
    await this.readExactAt(content, 0);
    return content;
  }

  /**
   * Makes synchronous reads possible until it is released; `close` waits for that. The descriptor may
   * be closed in between, as ever: then a read opens the file again, synchronously.
   *
   * Throws: `invalid-input` where the file system has no synchronous calls; `io`.
   */
  async hold(): Promise<HeldFile> {
    const borrowed = this.#borrow();
    const file = isPromise(borrowed) ? await borrowed : borrowed;
    this.openFiles.unpin(this.#descriptor);
    if (file.readSync === undefined || this.openFiles.fileSystem.openSync === undefined) {
      this.#endOperation();
      throw cannotReadAtOnce(this.path);
    }
    return new HeldFile({
      path: this.path,
      readSync: (target, offset) => this.#readSync(target, offset),
      release: () => this.#endOperation(),
    });
  }

  /** After the file was deleted. */
  forgetPoison(): void {
    this.#descriptor.forgetPoison();
  }

  /**
   * Waits for the operations in flight, syncs what was written since the last sync, and gives the
   * descriptor back. Later calls throw `closed`; closing again is harmless.
   *
   * Once no descriptor is left, a failure to write back is told to nobody, not even by a sync of the
   * file that is opened again. A `scratch` file is not synced.
   *
   * Throws: `sync-failed`, and the file is closed and poisoned, see `sync`; `io`.
   * Durability: as `sync`.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close('sync');
    return this.#closing;
  }

  /**
   * As `close`, but syncs nothing: for a file that is to be deleted.
   * Durability: none, and a sync of the file that is opened again may promise what is lost.
   */
  discard(): Promise<void> {
    this.#closing ??= this.#close('discard');
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(unsynced: 'sync' | 'discard'): Promise<void> {
    if (this.#operations > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    const descriptor = this.#descriptor;
    try {
      if (unsynced === 'sync') await this.#syncUnsynced();
    } catch (error) {
      // The first error counts.
      await Promise.allSettled([this.openFiles.close(descriptor)]);
      throw this.#noted(error);
    }
    await this.openFiles.close(descriptor);
  }

  async #syncUnsynced(): Promise<void> {
    const descriptor = this.#descriptor;
    // An eviction syncs the file itself, and may fail.
    await this.openFiles.whenSettled(descriptor);
    if (!descriptor.hasUnsyncedWrites) return;
    const { poisonedBy } = descriptor;
    if (poisonedBy !== undefined) {
      if (this.#hasReportedPoison) return;
      throw poisonedBy;
    }
    const file = await this.openFiles.pin(descriptor);
    try {
      await descriptor.syncThrough(file, 'sync');
    } finally {
      this.openFiles.unpin(descriptor);
    }
  }

  async #run<T>(operation: (file: OpenFile) => Promise<T>): Promise<T> {
    const borrowed = this.#borrow();
    const file = isPromise(borrowed) ? await borrowed : borrowed;
    try {
      return await operation(file);
    } catch (error) {
      throw this.#noted(error);
    } finally {
      this.#giveBack();
    }
  }

  async #writeFully(file: OpenFile, source: Uint8Array, offset: number): Promise<void> {
    checkOffset(offset, this.path);
    try {
      for (let done = 0; done < source.length; ) {
        const rest = done === 0 ? source : source.subarray(done);
        const length = await file.write(rest, offset + done);
        if (length === 0) throw noProgress(this.path, offset + done, rest.length);
        done += length;
      }
    } finally {
      this.#descriptor.noteWrite();
    }
  }

  #readSync(target: Uint8Array, offset: number): number {
    checkOffset(offset, this.path);
    const { poisonedBy } = this.#descriptor;
    if (poisonedBy !== undefined) throw this.#noted(poisonedBy);
    for (let interruptions = 0; ; interruptions += 1) {
      try {
        return this.openFiles.readSync(this.#descriptor, target, offset);
      } catch (error) {
        const isRepeated = isInterrupted(error) && interruptions < MAXIMUM_INTERRUPTIONS;
        if (!isRepeated) throw this.#noted(error);
      }
    }
  }

  /**
   * Pins the descriptor for one operation, until `#giveBack`; a promise only where it must be opened
   * first.
   */
  #borrow(signal?: AbortSignal): OpenFile | Promise<OpenFile> {
    if (this.#closing !== undefined) {
      throw new StorageError('closed', { what: 'file is closed', path: this.path });
    }
    // Before it is pinned, since opening it again may fail for another reason.
    const { poisonedBy } = this.#descriptor;
    if (poisonedBy !== undefined) throw this.#noted(poisonedBy);
    this.#operations += 1;
    const pinned = this.openFiles.pin(this.#descriptor, signal);
    return isPromise(pinned) ? this.#whenPinned(pinned) : pinned;
  }

  async #whenPinned(pinned: Promise<OpenFile>): Promise<OpenFile> {
    let file: OpenFile;
    try {
      file = await pinned;
    } catch (error) {
      this.#endOperation();
      throw this.#noted(error);
    }
    // The sync of an eviction may have failed in between.
    const { poisonedBy } = this.#descriptor;
    if (poisonedBy === undefined) return file;
    this.#giveBack();
    throw this.#noted(poisonedBy);
  }

  /** Tells the hook of a fatal error; returns the error, with the path that the caller gave. */
  #noted(error: unknown): unknown {
    if (isStorageError(error, 'sync-failed')) this.#hasReportedPoison = true;
    const { path } = this.#descriptor;
    const isOther = path !== this.path && isStorageError(error) && error.path === path;
    return this.openFiles.noteError(isOther ? error.with({ path: this.path }) : error);
  }

  #giveBack(): void {
    this.openFiles.unpin(this.#descriptor);
    this.#endOperation();
  }

  #endOperation(): void {
    this.#operations -= 1;
    if (this.#operations === 0) this.#whenIdle?.();
  }
}

function cannotReadAtOnce(path: string): StorageError {
  return new StorageError('invalid-input', {
    what: 'synchronous reads',
    path,
    expected: 'a file system that has them',
  });
}

function noProgress(path: string, offset: number, length: number): StorageError {
  return new StorageError('io', {
    what: 'write made no progress',
    path,
    offset,
    expected: `${length} bytes written`,
    actual: '0',
  });
}

function checkOffset(offset: number, path: string): void {
  if (Number.isSafeInteger(offset) && offset >= 0) return;
  throw new StorageError('out-of-range', {
    what: 'file offset',
    path,
    expected: 'an integer from 0 to 2^53 - 1',
    actual: String(offset),
  });
}

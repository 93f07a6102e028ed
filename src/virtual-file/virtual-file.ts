/** Complete reads and writes, syncs and poisoning, over the table of descriptors. */
import { constants } from 'node:buffer';
import { isPromise } from 'node:util/types';
import { assert } from '../assert.ts';
import { checkCount } from '../check-options.ts';
import { isStorageError, StorageError, tooLarge } from '../errors.ts';
import { absolutePath } from './absolute-path.ts';
import { alignedBytes } from './aligned-memory.ts';
import { Descriptor } from './descriptor.ts';
import type { FileStat, IoMode, OpenFile, Ownership } from './file-system.ts';
import { checkOffset, checkOwnership, checkTransfer } from './file-system-checks.ts';
import { HeldFile } from './held-file.ts';
import { OpenFiles } from './open-files.ts';
import { isInterrupted } from './system-error.ts';
import { checkedMaximum, checkedOptions, type VirtualFileOptions } from './virtual-file-options.ts';

/** libuv retries most calls that a signal interrupts, but not reads. */
const MAXIMUM_INTERRUPTIONS = 16;

/**
 * A file without a permanent descriptor: each operation borrows one from the table, which reopens the
 * file if needed, without creating or truncating it.
 *
 * Any number of reads, writes and syncs may be in flight. A sync covers the writes whose promises had
 * settled when it was called. A failed sync poisons the file: every later call rejects with
 * `sync-failed`, because a second sync would report success for lost data. This holds for every handle
 * of the file, and for every later `open` of it in this process.
 *
 * @example
 * await using file = await VirtualFile.open('data', { write: true, createNew: true });
 * await file.writeAllAt(bytes, 0);
 * await file.sync();
 */
export class VirtualFile {
  /** As given to `open`. */
  readonly path: string;
  /** The table that the descriptor belongs to. */
  readonly openFiles: OpenFiles;
  /** See `VirtualFileOptions`. */
  readonly ioMode: IoMode;
  readonly #descriptor: Descriptor;
  #closing: Promise<void> | undefined;
  #operations = 0;
  /** A call has rejected with `sync-failed`. */
  #hasReportedPoison = false;
  #whenIdle: (() => void) | undefined;

  /**
   * Opens a regular file. A relative path is resolved now, and unaffected by a later change of the
   * working directory.
   *
   * Durability: the name of a created file is durable once its directory is synced.
   * @throws StorageError `not-found`, `exists` (createNew), `io` (also for directories, FIFOs and
   *   devices), `sync-failed` (the file is poisoned), `aborted` (nothing was created), `invalid-input`
   *   (options that are invalid or contradict each other)
   */
  static async open(path: string, options: VirtualFileOptions): Promise<VirtualFile> {
    const descriptorOptions = checkedOptions(options);
    const { openFiles = OpenFiles.shared(), ioMode = 'buffered', signal } = options;
    const descriptor = new Descriptor(absolutePath(path), descriptorOptions);
    const file = new VirtualFile(path, { openFiles, descriptor, ioMode });
    try {
      await file.#acquire(signal);
    } catch (error) {
      // It may be open, and poisoned since. The first error is thrown.
      await Promise.allSettled([file.close()]);
      throw error;
    }
    if (options.truncate) descriptor.noteWrite();
    file.#release();
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

  /**
   * Returns zeroed memory that suits large transfers of this file.
   * @throws StorageError `invalid-input` for a length that no array has
   */
  newBuffer(length: number): Uint8Array {
    checkCount('length of a buffer', length, { to: constants.MAX_LENGTH });
    return this.ioMode === 'direct' ? alignedBytes(length) : new Uint8Array(length);
  }

  /** The identity of the file (see `FileStat`), without a system call. @internal */
  get identity(): string | undefined {
    return this.#descriptor.identity;
  }

  /**
   * Reads at `offset` until the target is full or the file ends.
   * @returns the number of bytes read; fewer than `target.length` only at the end of the file
   * @throws StorageError `io`, `out-of-range`, `closed`, `sync-failed`
   */
  async readAt(target: Uint8Array, offset: number): Promise<number> {
    checkTransfer(target, offset, this.path);
    const acquired = this.#acquire();
    const file = isPromise(acquired) ? await acquired : acquired;
    // Without `#run`: small reads are frequent, and each async function in between costs as much.
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
      this.#release();
    }
  }

  /**
   * Fills the target from `offset`.
   * @throws StorageError `truncated` if the file ends first; otherwise as `readAt`
   */
  async readExactAt(target: Uint8Array, offset: number): Promise<void> {
    const length = await this.readAt(target, offset);
    if (length < target.length) {
      throw new StorageError('truncated', {
        what: 'file is truncated',
        path: this.path,
        offset: offset + length,
        expected: `${target.length} bytes from offset ${offset}`,
        actual: `${length}`,
      });
    }
  }

  /**
   * Writes the complete source at `offset`.
   *
   * Durability: none before `sync`.
   * @param source must not change until the promise settles
   * @throws StorageError `io` (any part may have been written), `out-of-range`, `closed`,
   *   `sync-failed`
   */
  writeAllAt(source: Uint8Array, offset: number): Promise<void> {
    return this.#run((file) => this.#writeFully(file, source, offset));
  }

  /**
   * Makes content and metadata of all settled writes durable, but not the file's name.
   *
   * This covers the writes of every VirtualFile of this process that has or had the file open: one is
   * never closed with unsynced writes, except a `scratch` file or by `discard`. It does not cover what
   * an earlier process, or other code, wrote and closed without a sync: if the system failed to write
   * that back, it may never report so, and this call still resolves.
   *
   * After a failure every later call rejects, including `open` of the same file, until the library has
   * deleted it. If other code deletes the file and creates another one that reuses its inode number, on
   * a file system without birth times, that file is refused, too; one created by `createNew` is not.
   *
   * @throws StorageError `sync-failed`, `closed`; `io` if Node's permission model forbids syncing
   */
  sync(): Promise<void> {
    return this.#run((file) => this.#descriptor.syncThrough(file, 'sync'));
  }

  /** As `sync`, but without metadata that reading does not need, such as timestamps. */
  syncData(): Promise<void> {
    return this.#run((file) => this.#descriptor.syncThrough(file, 'sync-data'));
  }

  /**
   * Cuts the file, or extends it with zeros.
   *
   * Durability: none before `sync`.
   * @throws StorageError `io`, `out-of-range`, `closed`, `sync-failed`
   */
  async setLength(length: number): Promise<void> {
    checkOffset(length, this.path);
    await this.#run(async (file) => {
      await file.setLength(length);
      this.#descriptor.noteWrite();
    });
  }

  /**
   * Sets owner and permission bits.
   *
   * Durability: none before `sync`.
   * @throws StorageError `io`, `closed`, `sync-failed`
   */
  async setOwnership(ownership: Ownership): Promise<void> {
    checkOwnership(ownership);
    await this.#run(async (file) => {
      await file.setOwnership(ownership);
      this.#descriptor.noteWrite();
    });
  }

  /** The result of `stat` when the file was first opened, before any truncation. @internal */
  get opened(): FileStat {
    const { opened } = this.#descriptor;
    assert(opened !== undefined, 'open resolves after the file was looked up');
    return opened;
  }

  /**
   * Describes the file as it is now.
   * @throws StorageError `io`, `closed`, `sync-failed`
   */
  stat(): Promise<FileStat> {
    return this.#run((file) => file.stat());
  }

  /**
   * Reads the complete content.
   * @returns a new array
   * @throws StorageError `too-large` if the file has more than `maximumLength` bytes, before anything is
   *   read; otherwise as `readExactAt`
   */
  async readToEnd(options: { readonly maximumLength: number }): Promise<Uint8Array> {
    const maximumLength = checkedMaximum(options);
    const { size } = await this.stat();
    // Written so that a limit of NaN is not treated as no limit.
    if (!(size <= maximumLength)) {
      throw tooLarge('file', { maximum: maximumLength, actual: size, path: this.path });
    }
    const content = new Uint8Array(size);
    await this.readExactAt(content, 0);
    return content;
  }

  /**
   * Allows synchronous reads until the result is released; `close` waits for that. The descriptor may
   * still be closed meanwhile: then the next read reopens the file synchronously.
   *
   * @throws StorageError `invalid-input` if the file system has no synchronous calls; `io`, `closed`,
   *   `sync-failed`
   * @internal
   */
  async hold(): Promise<HeldFile> {
    const acquired = this.#acquire();
    const file = isPromise(acquired) ? await acquired : acquired;
    this.openFiles.unpin(this.#descriptor);
    if (file.readSync === undefined || this.openFiles.fileSystem.openSync === undefined) {
      this.#endOperation();
      throw cannotReadSync(this.path);
    }
    return new HeldFile({
      path: this.path,
      readSync: (target, offset) => this.#readSync(target, offset),
      release: () => this.#endOperation(),
    });
  }

  /** Called after the file was deleted. @internal */
  forgetPoison(): void {
    this.#descriptor.forgetPoison();
  }

  /**
   * Waits for the operations in flight, syncs unsynced writes, and releases the descriptor. Later calls
   * reject with `closed`. Idempotent.
   *
   * It syncs because the system cannot report a failed write-back once the last descriptor is closed,
   * not even to a sync of the reopened file. A `scratch` file is not synced.
   *
   * Durability: as `sync`.
   * @throws StorageError `sync-failed` (the file is closed, and poisoned as by `sync`), unless an
   *   earlier call has already rejected with it; `io`
   */
  close(): Promise<void> {
    this.#closing ??= this.#close('sync');
    return this.#closing;
  }

  /**
   * As `close`, but without a sync: for a file that will be deleted.
   *
   * Durability: none. A sync of the reopened file may succeed although data was lost.
   * @throws StorageError `io`
   * @internal
   */
  discard(): Promise<void> {
    this.#closing ??= this.#close('discard');
    return this.#closing;
  }

  /** As `close`. */
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
      // The first error is thrown.
      await Promise.allSettled([this.openFiles.close(descriptor)]);
      throw this.#noted(error);
    }
    await this.openFiles.close(descriptor);
  }

  async #syncUnsynced(): Promise<void> {
    const descriptor = this.#descriptor;
    // An eviction in progress syncs the file, and may fail.
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
    const acquired = this.#acquire();
    const file = isPromise(acquired) ? await acquired : acquired;
    try {
      return await operation(file);
    } catch (error) {
      throw this.#noted(error);
    } finally {
      this.#release();
    }
  }

  async #writeFully(file: OpenFile, source: Uint8Array, offset: number): Promise<void> {
    checkTransfer(source, offset, this.path);
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
   * Pins the descriptor for one operation, until `#release`. Returns a promise only if the file must be
   * opened first.
   */
  #acquire(signal?: AbortSignal): OpenFile | Promise<OpenFile> {
    if (this.#closing !== undefined) {
      throw new StorageError('closed', { what: 'file is closed', path: this.path });
    }
    // Checked first, since reopening the file may fail for another reason.
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
    // The sync of an eviction may have failed meanwhile.
    const { poisonedBy } = this.#descriptor;
    if (poisonedBy === undefined) return file;
    this.#release();
    throw this.#noted(poisonedBy);
  }

  /** Reports a fatal error to the hook; returns the error with the path as given by the caller. */
  #noted(error: unknown): unknown {
    if (isStorageError(error, 'sync-failed')) this.#hasReportedPoison = true;
    const { path } = this.#descriptor;
    const isOther = path !== this.path && isStorageError(error) && error.path === path;
    return this.openFiles.noteError(isOther ? error.with({ path: this.path }) : error);
  }

  #release(): void {
    this.openFiles.unpin(this.#descriptor);
    this.#endOperation();
  }

  #endOperation(): void {
    this.#operations -= 1;
    if (this.#operations === 0) this.#whenIdle?.();
  }
}

function cannotReadSync(path: string): StorageError {
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

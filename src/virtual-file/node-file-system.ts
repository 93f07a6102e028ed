/**
 * The real file system, over node:fs.
 *
 * Uses raw descriptor numbers and callbacks instead of FileHandles: a read costs a third. This is safe
 * because `close` waits for all operations in flight on the number, so that no write can reach another
 * file that was given the same number.
 *
 * Opening never blocks (O_NONBLOCK, so that four FIFOs cannot occupy the thread pool) and refuses
 * anything but a regular file. Truncation happens after that check.
 */
import * as fs from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { checkMode, checkText } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { birthTimeOf } from './birth-times.ts';
import { closeQuietly } from './close-quietly.ts';
import { copyAttributes } from './copy-attributes.ts';
import type {
  DirectoryEntry,
  FileKind,
  FileStat,
  FileSystem,
  OpenFile,
  OpenOptions,
  Ownership,
  SyncOpenFile,
} from './file-system.ts';
import {
  checkOffset,
  checkOpenOptions,
  checkOwnership,
  checkTransfer,
} from './file-system-checks.ts';
import { byBytesOf } from './name-order.ts';
import { directorySyncError, fromNodeError, isForbidden, systemError } from './system-error.ts';

/** The real file system. */
export const nodeFileSystem: FileSystem = {
  async open(path: string, options: OpenOptions): Promise<OpenFile> {
    checkOpenOptions(options);
    if (options.direct && !HAS_DIRECT) throw systemError('open file directly', path, 'EINVAL');
    const descriptor = await call<number>('open file', path, (done) =>
      fs.open(path, openFlags(options), options.mode ?? 0o666, done),
    );
    const file = new NodeOpenFile(path, descriptor);
    try {
      file.opened = await file.stat();
      const { kind } = file.opened;
      if (kind !== 'file') throw notRegular(path, kind);
      if (options.truncate) await file.setLength(0);
      return file;
    } catch (error) {
      // The first error is thrown.
      await Promise.allSettled([file.close()]);
      if (options.createNew) await Promise.allSettled([nodeFileSystem.unlink(path)]);
      throw error;
    }
  },

  openSync(path: string, options: OpenOptions): SyncOpenFile {
    checkOpenOptions(options);
    if (options.createNew || options.truncate) {
      const expected = 'neither createNew nor truncate';
      throw new StorageError('invalid-input', { what: 'options of openSync', path, expected });
    }
    if (options.direct && !HAS_DIRECT) throw systemError('open file directly', path, 'EINVAL');
    const descriptor = callSync('open file', path, () =>
      fs.openSync(path, openFlags(options), options.mode ?? 0o666),
    );
    const file = new NodeOpenFile(path, descriptor);
    try {
      file.opened = file.statSync();
      const { kind } = file.opened;
      if (kind !== 'file') throw notRegular(path, kind);
      return file;
    } catch (error) {
      closeQuietly(file);
      throw error;
    }
  },

  rename(source: string, target: string): Promise<void> {
    return call<void>('rename file', source, (done) => {
      checkText('target', target);
      fs.rename(source, target, done);
    });
  },

  link(source: string, target: string): Promise<void> {
    return call<void>('link file', target, (done) => {
      checkText('source', source);
      fs.link(source, target, done);
    });
  },

  unlink(path: string): Promise<void> {
    return call<void>('remove file', path, (done) => fs.unlink(path, done));
  },

  async stat(path: string): Promise<FileStat> {
    const stats = await call<fs.BigIntStats>('look up file', path, (done) =>
      fs.lstat(path, BIGINT, done),
    );
    return describe(stats, path);
  },

  async readDirectory(path: string): Promise<DirectoryEntry[]> {
    const entries = await call<fs.Dirent[]>('read directory', path, (done) =>
      fs.readdir(path, { withFileTypes: true }, done),
    );
    return entries
      .map((entry) => ({ name: entry.name, kind: kindOf(entry) }))
      .sort(byBytesOf(({ name }) => name));
  },

  makeDirectory(path: string, mode: number): Promise<void> {
    return call<void>('create directory', path, (done) => {
      checkMode(mode);
      fs.mkdir(path, mode, done);
    });
  },

  removeDirectory(path: string): Promise<void> {
    return call<void>('remove directory', path, (done) => fs.rmdir(path, done));
  },

  checkCanSync(): void {
    if (process.platform === 'win32') {
      throw cannotSync('Windows does not sync directories', 'ENOTSUP');
    }
    if (isSyncForbidden()) {
      throw cannotSync('the permission model of Node forbids fsync', 'ERR_ACCESS_DENIED');
    }
  },

  async syncDirectory(path: string): Promise<void> {
    const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY;
    const descriptor = await call<number>('open directory', path, (done) =>
      fs.open(path, flags, done),
    );
    const closeDirectory = (): Promise<void> =>
      closeDescriptor('close directory', path, descriptor);
    try {
      await call<void>('sync directory', path, (done) => fs.fsync(descriptor, done));
    } catch (error) {
      // The first error is thrown: an error of closing would mean that nothing was lost.
      await Promise.allSettled([closeDirectory()]);
      throw isForbidden(error) ? error : directorySyncError(path, error);
    }
    await closeDirectory();
  },

  copyAttributes,
};

/** Inode and device numbers may exceed 2^53. */
const BIGINT = { bigint: true } as const;

class NodeOpenFile implements SyncOpenFile {
  opened: FileStat | undefined;
  readonly #path: string;
  readonly #descriptor: number;
  #inFlight = 0;
  #closed = false;
  #whenIdle: (() => void) | undefined;

  constructor(path: string, descriptor: number) {
    this.#path = path;
    this.#descriptor = descriptor;
  }

  read(target: Uint8Array, offset: number): Promise<number> {
    return this.#run<number>('read file', (done) => {
      checkTransfer(target, offset, this.#path);
      fs.read(this.#descriptor, target, 0, transferLength(target), offset, done);
    });
  }

  readSync(target: Uint8Array, offset: number): number {
    this.#throwIfClosed();
    checkTransfer(target, offset, this.#path);
    try {
      return fs.readSync(this.#descriptor, target, 0, transferLength(target), offset);
    } catch (error) {
      throw fromNodeError('read file', this.#path, error);
    }
  }

  statSync(): FileStat {
    this.#throwIfClosed();
    const stats = callSync('look up file', this.#path, () =>
      fs.fstatSync(this.#descriptor, BIGINT),
    );
    return describe(stats, this.#path);
  }

  closeSync(): void {
    this.#throwIfClosed();
    if (this.#inFlight > 0) {
      const expected = 'no operation in flight';
      throw new StorageError('invalid-input', { what: 'closeSync', path: this.#path, expected });
    }
    this.#closed = true;
    callSync('close file', this.#path, () => fs.closeSync(this.#descriptor));
  }

  write(source: Uint8Array, offset: number): Promise<number> {
    return this.#run<number>('write file', (done) => {
      checkTransfer(source, offset, this.#path);
      fs.write(this.#descriptor, source, 0, transferLength(source), offset, done);
    });
  }

  sync(): Promise<void> {
    return this.#run<void>('sync file', (done) => fs.fsync(this.#descriptor, done));
  }

  syncData(): Promise<void> {
    return this.#run<void>('sync file', (done) => fs.fdatasync(this.#descriptor, done));
  }

  setLength(length: number): Promise<void> {
    return this.#run<void>('set length of file', (done) => {
      checkOffset(length, this.#path);
      fs.ftruncate(this.#descriptor, length, done);
    });
  }

  async setOwnership(ownership: Ownership): Promise<void> {
    checkOwnership(ownership);
    const { mode, userId, groupId } = ownership;
    await this.#run<void>('set owner of file', (done) =>
      fs.fchown(this.#descriptor, userId, groupId, done),
    );
    await this.#run<void>('set mode of file', (done) => fs.fchmod(this.#descriptor, mode, done));
  }

  async stat(): Promise<FileStat> {
    const stats = await this.#run<fs.BigIntStats>('look up file', (done) =>
      fs.fstat(this.#descriptor, BIGINT, done),
    );
    return describe(stats, this.#path);
  }

  async close(): Promise<void> {
    this.#throwIfClosed();
    this.#closed = true;
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    await this.#close();
  }

  #close(): Promise<void> {
    return closeDescriptor('close file', this.#path, this.#descriptor);
  }

  #run<T>(action: string, start: (done: Callback<T>) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#throwIfClosed();
      this.#inFlight += 1;
      const done: Callback<T> = (error, result) => {
        this.#inFlight -= 1;
        if (this.#inFlight === 0) this.#whenIdle?.();
        if (error) reject(fromNodeError(action, this.#path, error));
        else resolve(result as T);
      };
      try {
        start(done);
      } catch (error) {
        // As in `call`: node:fs throws synchronously for an argument that no system call accepts.
        done(error);
      }
    });
  }

  /** The system may have given the number of a closed descriptor to another file. */
  #throwIfClosed(): void {
    if (!this.#closed) return;
    throw new StorageError('closed', { what: 'file is closed', path: this.#path });
  }
}

/**
 * Terminating a worker thread cancels its queued operations of the thread pool. A close among them would
 * never happen, and the process would leak the descriptor. So a worker closes synchronously.
 */
function closeDescriptor(action: string, path: string, descriptor: number): Promise<void> {
  return call<void>(action, path, (done) => {
    if (isMainThread) fs.close(descriptor, done);
    else {
      fs.closeSync(descriptor);
      done(undefined);
    }
  });
}

/** node:fs refuses transfers of 2 GiB or more. The callers loop. */
const MAXIMUM_TRANSFER_LENGTH = 1024 * 1024 * 1024;

function transferLength(bytes: Uint8Array): number {
  return Math.min(bytes.length, MAXIMUM_TRANSFER_LENGTH);
}

type Callback<T> = (error: unknown, result?: T) => void;

function call<T>(action: string, path: string, start: (done: Callback<T>) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    checkText('path', path);
    try {
      start((error, result) => {
        if (error) reject(fromNodeError(action, path, error));
        else resolve(result as T);
      });
    } catch (error) {
      // node:fs throws synchronously for a path that no system call accepts, such as one with a NUL.
      reject(fromNodeError(action, path, error));
    }
  });
}

function callSync<T>(action: string, path: string, run: () => T): T {
  checkText('path', path);
  try {
    return run();
  } catch (error) {
    throw fromNodeError(action, path, error);
  }
}

/** Not on macOS and Windows. */
const HAS_DIRECT = fs.constants.O_DIRECT !== undefined;

function openFlags(options: OpenOptions): number {
  const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK } = fs.constants;
  const access = options.write ? (options.read ? O_RDWR : O_WRONLY) : O_RDONLY;
  const direct = options.direct ? fs.constants.O_DIRECT : 0;
  const creation = options.createNew ? O_CREAT | O_EXCL : options.create ? O_CREAT : 0;
  return access | creation | direct | O_NONBLOCK;
}

function describe(stats: fs.BigIntStats, path: string): FileStat {
  if (stats.size > Number.MAX_SAFE_INTEGER) throw largerThanNumbers(stats.size, path);
  return {
    kind: kindOf(stats),
    size: Number(stats.size),
    mode: Number(stats.mode) & 0o7777,
    userId: Number(stats.uid),
    groupId: Number(stats.gid),
    identity: identityOf(stats, path),
    modificationTime: stats.mtimeNs,
    allocatedSize: Number(stats.blocks) * STAT_BLOCK_SIZE,
  };
}

/** The unit of `blocks` in `stat`, whatever the block size of the file system. */
const STAT_BLOCK_SIZE = 512;

function identityOf(stats: fs.BigIntStats, path: string): string {
  const born = birthTimeOf(stats, path);
  return born === undefined ? `${stats.dev}:${stats.ino}` : `${stats.dev}:${stats.ino}:${born}`;
}

function kindOf(entry: fs.BigIntStats | fs.Dirent): FileKind {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'directory';
  if (entry.isSymbolicLink()) return 'symbolic-link';
  return 'other';
}

/** Converting such a size to a number would round it. */
function largerThanNumbers(size: bigint, path: string): StorageError {
  return new StorageError('too-large', {
    what: 'file',
    path,
    expected: 'at most 2^53 - 1 bytes',
    actual: `${size}`,
  });
}

const NO_DESCRIPTOR = 2 ** 31 - 1;

/** Tries the call each time: Node's permission model cannot be queried for it. */
function isSyncForbidden(): boolean {
  if (process.permission === undefined) return false;
  try {
    fs.fsyncSync(NO_DESCRIPTOR);
    return false;
  } catch (error) {
    return isForbidden(fromNodeError('sync file', undefined, error));
  }
}

function cannotSync(reason: string, errno: string): StorageError {
  return new StorageError('io', { what: `files cannot be made durable: ${reason}`, errno });
}

function notRegular(path: string, kind: FileKind): Error {
  const errno = kind === 'directory' ? 'EISDIR' : 'EINVAL';
  return systemError('open: not a regular file', path, errno);
}

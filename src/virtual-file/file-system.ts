/**
 * The interface to a file system, narrow enough for a complete fake. `node-file-system.ts` is the real
 * one, `testing/memory-file-system.ts` the one for tests.
 *
 * Reads and writes may be short, as system calls are; `virtual-file.ts` loops. Every method rejects
 * with a StorageError: `not-found` (ENOENT), `exists` (EEXIST), otherwise `io`, each with `path` and
 * `errno`.
 */
import type { Owners } from './owners.ts';

/**
 * A file system that files can be opened in. Errors other than StorageErrors are wrapped, as `io` or by
 * their `code`, such as `ENOENT`.
 */
export interface FileSystem {
  /**
   * Opens a regular file; anything else (directory, FIFO, device) is refused with `io`. If the call
   * fails, it leaves no file that it created with `createNew`.
   */
  open(path: string, options: OpenOptions): Promise<OpenFile>;
  /**
   * Opens an existing file synchronously; `opened` of the result is set. Optional: without it, files
   * cannot be read synchronously.
   */
  openSync?(path: string, options: OpenOptions): SyncOpenFile;
  /**
   * Renames a file; atomically replaces `target` if it exists. A file system with `makeDirectory` also renames
   * directories, and atomically replaces an empty one, but no other.
   */
  rename(source: string, target: string): Promise<void>;
  /** Gives the file a second name; `exists` if `target` is taken. */
  link(source: string, target: string): Promise<void>;
  /** Removes the name of a file or symbolic link, but never a directory. */
  unlink(path: string): Promise<void>;
  /** Describes the file, directory or other object of this name. A symbolic link is not followed. */
  stat(path: string): Promise<FileStat>;
  /** The entries of a directory, ordered by the bytes of their names. */
  readDirectory(path: string): Promise<DirectoryEntry[]>;
  /**
   * Makes creations, renames and removals in the directory durable. Rejects with `sync-failed` if the
   * sync itself failed; any other error means that nothing was lost.
   */
  syncDirectory(path: string): Promise<void>;
  /**
   * Makes a directory; `exists` if anything has the name. Optional: without it, no directory can be written.
   * `mode` has the permission bits, before the umask.
   */
  makeDirectory?(path: string, mode: number): Promise<void>;
  /** Removes an empty directory. Optional, as `makeDirectory`. */
  removeDirectory?(path: string): Promise<void>;
  /**
   * Throws `io` if files are known not to be syncable here, before anything is changed. Optional, for a
   * file system that can always sync.
   */
  checkCanSync?(): void;
  /**
   * Copies mode, owner, access control lists and extended attributes from `source` to the file
   * `target`, but neither content nor timestamps. At no time may a user open `target` who may not open
   * `source`. Optional: without it, `preserve: 'all'` is refused.
   */
  copyAttributes?(source: string, target: string): Promise<void>;
  /**
   * Tells which temporary files still have a running owner. Default: the threads of this machine.
   * @internal
   */
  readonly owners?: Owners | undefined;
}

/**
 * Whether large transfers use the system's cache (`buffered`) or bypass it where the file system can
 * (`direct`). Content and durability are the same.
 */
export type IoMode = 'buffered' | 'direct';

export const IO_MODES: readonly IoMode[] = ['buffered', 'direct'];

/** How a file is opened. */
export interface OpenOptions {
  /** Open for reading. */
  readonly read?: boolean;
  /** Open for writing. */
  readonly write?: boolean;
  /** Create the file if it is missing. */
  readonly create?: boolean;
  /** Create the file; fail with `exists` if anything, even a symbolic link, has the name. */
  readonly createNew?: boolean;
  /** Cut the file to length 0. Requires `write`. */
  readonly truncate?: boolean;
  /**
   * Bypass the system's cache: memory address, offset and length of each transfer must be multiples of
   * 4,096 bytes. If the file system cannot do so, opening the file or the first transfer rejects with
   * `io` and EINVAL.
   */
  readonly direct?: boolean;
  /** Permission bits of a created file, before the umask; default 0o666. */
  readonly mode?: number | undefined;
}

/** One open descriptor. The caller awaits every operation before it closes the file. */
export interface OpenFile {
  /** The result of `stat` when the file was opened, if it was called. */
  readonly opened?: FileStat | undefined;
  /** Reads at most `target.length` bytes at `offset`; returns how many, 0 at the end of the file. */
  read(target: Uint8Array, offset: number): Promise<number>;
  /** As `read`, synchronously. Optional. */
  readSync?(target: Uint8Array, offset: number): number;
  /** Writes at most `source.length` bytes at `offset`; returns how many. */
  write(source: Uint8Array, offset: number): Promise<number>;
  /** Forces content and metadata to the device. */
  sync(): Promise<void>;
  /** Forces content, and the metadata needed to read it, to the device. */
  syncData(): Promise<void>;
  /** Cuts the file, or extends it with zeros. */
  setLength(length: number): Promise<void>;
  /** Sets owner and permission bits. */
  setOwnership(ownership: Ownership): Promise<void>;
  /** Describes the file. */
  stat(): Promise<FileStat>;
  /** Closes the descriptor. */
  close(): Promise<void>;
  /** As `close`, synchronously. Requires: no operation is in flight. */
  closeSync?(): void;
}

/** An open file with synchronous calls. */
export type SyncOpenFile = OpenFile & Required<Pick<OpenFile, 'readSync' | 'closeSync'>>;

/** Permission bits and owner of a file. */
export interface Ownership {
  /** Permission bits, at most 0o7777. */
  readonly mode: number;
  /** Id of the owner. */
  readonly userId: number;
  /** Id of the group. */
  readonly groupId: number;
}

/** The kind of an entry of a directory; FIFOs, sockets and devices are `other`. */
export type FileKind = 'file' | 'directory' | 'symbolic-link' | 'other';

export const FILE_KINDS: readonly FileKind[] = ['file', 'directory', 'symbolic-link', 'other'];

/** What `stat` returns. */
export interface FileStat extends Ownership {
  /** What the name stands for. */
  readonly kind: FileKind;
  /** Bytes. */
  readonly size: number;
  /**
   * Device, inode number and, if the file system stores it, birth time. All names of a file share it,
   * and writing or renaming does not change it. A later file has another identity, unless it reuses the
   * inode number on a file system without birth times.
   */
  readonly identity: string;
  /** When the content last changed, in nanoseconds since 1970; undefined if unknown. */
  readonly modificationTime?: bigint | undefined;
  /** Bytes stored on disk, without the holes of a sparse file; undefined if unknown. */
  readonly allocatedSize?: number | undefined;
}

/** One name in a directory. */
export interface DirectoryEntry {
  /** Name in the directory. */
  readonly name: string;
  /** What the name stands for. */
  readonly kind: FileKind;
}

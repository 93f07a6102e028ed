/**
 * The file system that everything above is written against: narrow, so that a fake can be
 * complete. `node-file-system.ts` is the real one, `memory-file-system.ts` the one for tests.
 *
 * Reads and writes may be short, as the system's are; `virtual-file.ts` loops. Every method
 * rejects with a StorageError: `not-found` (ENOENT), `exists` (EEXIST), otherwise `io`, each with
 * `path` and `errno`.
 */
import type { Owners } from './owners.ts';

export interface FileSystem {
  /**
   * Opens a regular file; anything else (directory, FIFO, device) is refused with `io`. A call that
   * fails leaves no file that it has created with `createNew`.
   */
  open(path: string, options: OpenOptions): Promise<OpenFile>;
  /**
   * As `open`, synchronously, for a file that exists already; its `opened` is there. A file
   * system that cannot do so has no such method, and its files are not held for synchronous reads.
   */
  openSync?(path: string, options: OpenOptions): SyncOpenFile;
  /** Replaces `target` in one step. */
  rename(source: string, target: string): Promise<void>;
  /** Gives the file a second name; `exists` if `target` is taken. */
  link(source: string, target: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Describes the name itself: a symbolic link is not followed. */
  stat(path: string): Promise<FileStat>;
  /** The entries of a directory in byte order of their names. */
  readDirectory(path: string): Promise<DirectoryEntry[]>;
  /**
   * Makes creations, renames and removals in the directory durable. Rejects with `sync-failed` if the
   * directory was opened and its sync failed; another error means that nothing was lost.
   */
  syncDirectory(path: string): Promise<void>;
  /**
   * Throws `io` where it is known that no file can be made durable here, so that nothing is begun.
   * A file system that can always sync has no such method.
   */
  checkCanSync?(): void;
  /**
   * Gives the file `target` what `source` has besides its content and times: mode, owner, access
   * control lists and extended attributes. Nobody who may not open `source` can open `target`
   * meanwhile. Without it, `preserve: 'all'` is refused.
   */
  copyAttributes?(source: string, target: string): Promise<void>;
  /** Who makes temporary files here; by default the threads of this machine. */
  readonly owners?: Owners | undefined;
}

/**
 * How large transfers of a file are made: by way of the system's cache, or past it, where the file
 * system can. The same bytes are written, and are as durable after a sync.
 */
export type IoMode = 'buffered' | 'direct';

export const IO_MODES: readonly IoMode[] = ['buffered', 'direct'];

export interface OpenOptions {
  readonly read?: boolean;
  readonly write?: boolean;
  /** Create the file if it is missing. */
  readonly create?: boolean;
  /** Create the file; fail with `exists` if anything, even a symbolic link, has the name. */
  readonly createNew?: boolean;
  readonly truncate?: boolean;
  /**
   * Reads and writes pass by the system's cache: memory, offset and length of each must be multiples
   * of 4,096 bytes. Where the file system has no such thing, opening the file or the first transfer
   * rejects with `io` and EINVAL.
   */
  readonly direct?: boolean;
  /** Permission bits of a created file, cut by the umask; default 0o666. */
  readonly mode?: number | undefined;
}

/** One open descriptor. The caller awaits every operation before it closes the file. */
export interface OpenFile {
  /** What `stat` gave when the file was opened, where that had to be looked up. */
  readonly opened?: FileStat | undefined;
  /** Reads at most `target.length` bytes at `offset`; returns how many, 0 at the end. */
  read(target: Uint8Array, offset: number): Promise<number>;
  /** As `read`, at once. A file system that cannot has no such method. */
  readSync?(target: Uint8Array, offset: number): number;
  /** Writes at most `source.length` bytes at `offset`; returns how many. */
  write(source: Uint8Array, offset: number): Promise<number>;
  /** Content and metadata reach the device. */
  sync(): Promise<void>;
  /** Content, and the metadata needed to read it, reach the device. */
  syncData(): Promise<void>;
  setLength(length: number): Promise<void>;
  /** Permission bits and owner of the file, as for a file that takes another's place. */
  setOwnership(ownership: Ownership): Promise<void>;
  stat(): Promise<FileStat>;
  close(): Promise<void>;
  /** As `close`, synchronously. Requires: no operation is in flight. */
  closeSync?(): void;
}

/** One that can be used without waiting. */
export type SyncOpenFile = OpenFile & Required<Pick<OpenFile, 'readSync' | 'closeSync'>>;

export interface Ownership {
  readonly mode: number;
  readonly userId: number;
  readonly groupId: number;
}

export type FileKind = 'file' | 'directory' | 'symbolic-link' | 'other';

export interface FileStat extends Ownership {
  readonly kind: FileKind;
  /** Bytes. */
  readonly size: number;
  /**
   * Device, inode and, where the file system keeps it, time of creation: the same for all names of a
   * file for as long as it exists, whatever is written or renamed, and another one for its successor.
   * Without a time of creation, a successor that is given the same inode has the same identity.
   */
  readonly identity: string;
  /** When the content was changed last, in nanoseconds since 1970, where that is known. */
  readonly modificationTime?: bigint | undefined;
  /** Bytes that are stored, where that is known; holes of a sparse file are not. */
  readonly allocatedSize?: number | undefined;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly kind: FileKind;
}

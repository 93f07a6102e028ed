/**
 * A file system in memory, for tests of faults and crashes.
 *
 *   const fileSystem = new MemoryFileSystem();
 *   fileSystem.createDirectory('/data');
 *   fileSystem.intercept = ({ kind }) => (kind === 'sync' ? { fail: 'EIO' } : undefined);
 *   const openFiles = new OpenFiles({ fileSystem });
 *   ...
 *   const after = fileSystem.crash((n) => Math.floor(Math.random() * n));
 *
 * It is as strict as a real system may be: every unsynced 4 KiB chunk, length and directory change may
 * or may not survive a crash, in any combination. Syncing a file does not make its name durable. Not
 * modelled: stale bytes in new files, torn 4 KiB chunks, renamed or removed directories, and permissions
 * other than those to change an owner.
 *
 * Operations except synchronous reads take effect one turn after the call, so that bytes changed before
 * the promise settles are written as changed, as on a real system.
 */
import { checkChoice } from '../check-options.ts';
import type { FaultAction, FileSystemOperation, Intercept } from './faults.ts';
import type {
  DirectoryEntry,
  FileStat,
  FileSystem,
  OpenFile,
  OpenOptions,
  Ownership,
  SyncOpenFile,
} from './file-system.ts';
import { trustFileSystem } from './foreign-file-system.ts';
import type { Choose, MemoryFile } from './memory-file.ts';
import { BIRTH_TIMES, describeNode, MemoryOpenFile } from './memory-open-file.ts';
import { MemoryDirectory, type MemoryNode, MemoryTree, type Place } from './memory-tree.ts';
import { byBytesOf } from './name-order.ts';
import type { Owners } from './owners.ts';
import {
  DIRECTORY_OPENING_ERRNOS,
  directorySyncError,
  fromNodeError,
  isSyncUnsupported,
  systemError,
} from './system-error.ts';

/** Options of `new MemoryFileSystem`. */
export interface MemoryFileSystemOptions {
  /** See `MemoryFileSystem.intercept`. */
  readonly intercept?: Intercept | undefined;
  /** The acting user; 0, the default, may change owners. */
  readonly userId?: number | undefined;
  /** The acting group; default 0. */
  readonly groupId?: number | undefined;
  /** Removed from the mode of created files; default 0o022. */
  readonly umask?: number | undefined;
  /**
   * Whether direct transfers are supported (and refused only if unaligned), refused when a file is
   * opened, or refused at each transfer. Default `supported`.
   */
  readonly directTransfers?: (typeof DIRECT_TRANSFERS)[number] | undefined;
  /**
   * Whether birth times are part of a file's identity. New files reuse the inode numbers of deleted ones,
   * as on ext4; with `none`, nothing distinguishes the two. Default `kept`.
   */
  readonly birthTimes?: (typeof BIRTH_TIMES)[number] | undefined;
}

/** The namespace part of owners; differs from every real one. */
const WORLD = 'feedfeedfe';

const DIRECT_TRANSFERS = ['supported', 'refused-at-open', 'refused-at-transfer'] as const;

/**
 * A file system in memory that can fail on request, and shows what a crash leaves. Any number of
 * operations may be in flight; each is atomic.
 */
export class MemoryFileSystem implements FileSystem {
  /** Called before each operation; what it returns is injected. */
  intercept: Intercept | undefined;
  readonly #options: MemoryFileSystemOptions;
  readonly #userId: number;
  readonly #groupId: number;
  readonly #umask: number;
  /**
   * Owners in this file system are running; those in the one it was copied from have ended. The digits
   * of the thread id do not matter.
   * @internal
   */
  readonly owners: Owners = {
    own: () => `${WORLD}00000001${this.#generation.toString(16).padStart(10, '0')}`,
    stateOf: (owner) => {
      if (!owner.startsWith(WORLD)) return 'unknown';
      return owner.slice(-10) === this.owners.own().slice(-10) ? 'running' : 'ended';
    },
  };
  /** Number of copies made since the first file system. */
  #generation = 0;
  #tree = new MemoryTree();
  #operationCount = 0;
  readonly #open = new Set<MemoryOpenFile>();

  /** @throws StorageError `invalid-input` for an invalid option */
  constructor(options: MemoryFileSystemOptions = {}) {
    checkChoice('directTransfers', options.directTransfers, DIRECT_TRANSFERS);
    checkChoice('birthTimes', options.birthTimes, BIRTH_TIMES);
    this.#options = options;
    this.intercept = options.intercept;
    trustFileSystem(this);
    this.#userId = options.userId ?? 0;
    this.#groupId = options.groupId ?? 0;
    this.#umask = options.umask ?? 0o022;
  }

  /** Number of operations since the file system was created. */
  get operationCount(): number {
    return this.#operationCount;
  }

  /** The paths of all open files, as given to `open`. */
  get openPaths(): string[] {
    return [...this.#open].map((file) => file.path);
  }

  /** Number of open descriptors. */
  get openCount(): number {
    return this.#open.size;
  }

  async open(path: string, options: OpenOptions): Promise<OpenFile> {
    await this.#begin({ kind: 'open', path, ...markOf(options) });
    return this.#openAt(path, options);
  }

  openSync(path: string, options: OpenOptions): SyncOpenFile {
    this.#beginSync({ kind: 'open', path, ...markOf(options) });
    const file = this.#openAt(path, options);
    file.opened = file.describe();
    return file;
  }

  async rename(source: string, target: string): Promise<void> {
    await this.#begin({ kind: 'rename', path: source, target });
    const from = this.#tree.locate(source);
    const to = this.#tree.locate(target);
    if (from.node === undefined) throw systemError('rename file', source, 'ENOENT');
    if (from.node.kind === 'directory') throw systemError('rename directory', source, 'EPERM');
    if (to.node === from.directory) throw systemError('rename file', source, 'ENOTEMPTY');
    if (to.node?.kind === 'directory') throw systemError('rename file', source, 'EISDIR');
    // Renaming one name of a file to another keeps both, as POSIX requires.
    if (from.node === to.node) return;
    this.#tree.change([
      { place: from, node: undefined },
      { place: to, node: from.node },
    ]);
  }

  async link(source: string, target: string): Promise<void> {
    await this.#begin({ kind: 'link', path: source, target });
    const { node } = this.#tree.locate(source);
    if (node === undefined) throw systemError('link file', source, 'ENOENT');
    const to = this.#tree.locate(target);
    if (to.node !== undefined) throw systemError('link file', target, 'EEXIST');
    if (node.kind === 'directory') throw systemError('link directory', source, 'EPERM');
    this.#tree.change([{ place: to, node }]);
  }

  async unlink(path: string): Promise<void> {
    await this.#begin({ kind: 'unlink', path });
    const place = this.#tree.locate(path);
    if (place.node === undefined) throw systemError('remove file', path, 'ENOENT');
    if (place.node.kind === 'directory') throw systemError('remove file', path, 'EISDIR');
    this.#tree.change([{ place, node: undefined }]);
  }

  async stat(path: string): Promise<FileStat> {
    await this.#begin({ kind: 'stat', path });
    const { node } = this.#tree.locate(path);
    if (node === undefined) throw systemError('look up file', path, 'ENOENT');
    return this.#describe(node);
  }

  async readDirectory(path: string): Promise<DirectoryEntry[]> {
    await this.#begin({ kind: 'read-directory', path });
    return this.#tree
      .entriesOf(this.#tree.directoryAt(path))
      .map(([name, { kind }]): DirectoryEntry => ({ name, kind }))
      .sort(byBytesOf(({ name }) => name));
  }

  async syncDirectory(path: string): Promise<void> {
    const operation = { kind: 'sync-directory', path } as const;
    const {
      delay,
      fail,
      whileSyncing = !DIRECTORY_OPENING_ERRNOS.has(fail ?? ''),
    } = this.#count(operation);
    await delay;
    const directory = this.#tree.directoryAt(path);
    if (fail === undefined) {
      this.#tree.syncDirectory(directory);
      return;
    }
    const error = systemError('sync directory', path, fail);
    if (!whileSyncing) throw error;
    const failure = directorySyncError(path, error);
    if (!isSyncUnsupported(failure)) this.#tree.failSyncDirectory(directory);
    throw failure;
  }

  /** Creates a directory, already durable. Its parent must exist. */
  createDirectory(path: string): void {
    this.#place(
      path,
      this.#tree.create((identity) => new MemoryDirectory(identity)),
    );
  }

  /** Creates a file, already durable. */
  createFile(path: string, content: Uint8Array, ownership: Partial<Ownership> = {}): void {
    const file = this.#createFileNode({ ...this.#ownership(0o666), ...ownership });
    file.write(content, 0);
    file.sync('all');
    this.#place(path, file);
  }

  /** Creates a symbolic link, already durable; the target need not exist. */
  createSymbolicLink(path: string, target: string): void {
    this.#place(
      path,
      this.#tree.create((identity) => ({ kind: 'symbolic-link', identity, target })),
    );
  }

  /** Creates something that is neither file, directory nor symbolic link, already durable. */
  createSpecialFile(path: string): void {
    this.#place(
      path,
      this.#tree.create((identity) => ({ kind: 'other', identity })),
    );
  }

  /** A copy of the file's content; symbolic links are followed. Not counted as an operation. */
  contentOf(path: string): Uint8Array {
    const { node } = this.#tree.resolve(path);
    if (node?.kind !== 'file') {
      throw systemError('read file', path, node === undefined ? 'ENOENT' : 'EISDIR');
    }
    return node.content.slice();
  }

  /**
   * The content of every file by its path, and by the paths of symbolic links to it, in byte order. The
   * arrays are shared with copies of the file system and must not be changed. Not counted as an
   * operation. Throws if symbolic links form a cycle.
   */
  contents(): Map<string, Uint8Array> {
    const contents = new Map<string, Uint8Array>();
    for (const [path, node] of this.#leaves()) {
      const { node: target } = node.kind === 'symbolic-link' ? this.#tree.resolve(path) : { node };
      if (target?.kind === 'file') contents.set(path, target.content);
    }
    return contents;
  }

  /** Every path except those of directories, in byte order. Not counted as an operation. */
  paths(): string[] {
    return this.#leaves().map(([path]) => path);
  }

  /**
   * An independent copy with the same unsynced changes: the state after the process is killed while the
   * system keeps running. The copy has no open files and no `intercept`, and the owners of existing
   * temporary files have ended.
   */
  clone(): MemoryFileSystem {
    return this.#with(this.#tree.clone());
  }

  /**
   * An independent copy with the state after one crash of the system. `choose` is called once for each
   * change that is not durable: a seeded generator samples states, a counter enumerates them.
   */
  crash(choose: Choose): MemoryFileSystem {
    return this.#with(this.#tree.crash(choose));
  }

  /**
   * An upper bound on the number of states that a crash may leave. It counts changes to files whose names
   * do not survive, about which `crash` does not ask.
   */
  crashStates(): bigint {
    return this.#tree.possibilities().reduce((product, n) => product * BigInt(n), 1n);
  }

  /** Everything but directories, by path, in byte order. */
  #leaves(): [path: string, node: Exclude<MemoryNode, MemoryDirectory>][] {
    const leaves: [path: string, node: Exclude<MemoryNode, MemoryDirectory>][] = [];
    const visit = (directory: MemoryDirectory, prefix: string): void => {
      for (const [name, node] of this.#tree.entriesOf(directory)) {
        if (node.kind === 'directory') visit(node, `${prefix}/${name}`);
        else leaves.push([`${prefix}/${name}`, node]);
      }
    };
    visit(this.#tree.directoryAt('/'), '');
    return leaves.sort(byBytesOf(([path]) => path));
  }

  #with(tree: MemoryTree): MemoryFileSystem {
    const copy = new MemoryFileSystem({ ...this.#options, intercept: undefined });
    copy.#tree = tree;
    copy.#generation = this.#generation + 1;
    return copy;
  }

  async #begin(operation: Omit<FileSystemOperation, 'index'>): Promise<FaultAction> {
    const action = this.#count(operation);
    await action.delay;
    return throwIfFailing(operation, action);
  }

  #beginSync(operation: Omit<FileSystemOperation, 'index'>): FaultAction {
    return throwIfFailing(operation, this.#count(operation));
  }

  #count(operation: Omit<FileSystemOperation, 'index'>): FaultAction {
    const index = this.#operationCount;
    this.#operationCount += 1;
    try {
      return this.intercept?.({ index, ...operation }) ?? {};
    } catch (error) {
      throw fromNodeError(words(operation.kind), operation.path, error);
    }
  }

  #openAt(path: string, options: OpenOptions): MemoryOpenFile {
    const { directTransfers = 'supported' } = this.#options;
    if (options.direct && directTransfers === 'refused-at-open') {
      throw systemError('open file directly', path, 'EINVAL');
    }
    const place = options.createNew ? this.#tree.locate(path) : this.#tree.resolve(path);
    const file = this.#openedFile(path, place, options);
    if (options.truncate && file.length > 0) file.setLength(0);
    const openFile = new MemoryOpenFile({
      path,
      file,
      options,
      refusesDirect: directTransfers !== 'supported',
      begin: (operation) => this.#begin(operation),
      beginSync: (operation) => this.#beginSync(operation),
      checkOwner: (from, to) => this.#checkOwner(path, from, to),
      describe: () => this.#describe(file),
      closed: () => {
        this.#open.delete(openFile);
        file.openers -= 1;
        if (file.openers === 0) this.#tree.release(file);
      },
    });
    file.openers += 1;
    this.#open.add(openFile);
    return openFile;
  }

  #openedFile(path: string, place: Place, options: OpenOptions): MemoryFile {
    const { node } = place;
    if (node !== undefined && options.createNew) throw systemError('create file', path, 'EEXIST');
    if (node?.kind === 'file') return node;
    if (node !== undefined) {
      const errno = node.kind === 'directory' ? 'EISDIR' : 'EINVAL';
      throw systemError('open: not a regular file', path, errno);
    }
    if (!options.create && !options.createNew) throw systemError('open file', path, 'ENOENT');
    const file = this.#createFileNode(this.#ownership(options.mode ?? 0o666));
    this.#tree.change([{ place, node: file }]);
    return file;
  }

  #createFileNode(ownership: Ownership): MemoryFile {
    return this.#tree.createFile(ownership);
  }

  #describe(node: MemoryNode): FileStat {
    return describeNode(node, this.#options.birthTimes ?? 'kept');
  }

  #ownership(mode: number): Ownership {
    return { mode: mode & ~this.#umask, userId: this.#userId, groupId: this.#groupId };
  }

  /** Only the superuser may change owners; other users may change mode and group of their own files. */
  #checkOwner(path: string, from: Ownership, to: Ownership): void {
    if (this.#userId === 0) return;
    const isOwner = from.userId === this.#userId && to.userId === this.#userId;
    const isOwnGroup = to.groupId === from.groupId || to.groupId === this.#groupId;
    if (!isOwner || !isOwnGroup) throw systemError('set owner of file', path, 'EPERM');
  }

  #place(path: string, node: MemoryNode): void {
    const place = this.#tree.locate(path);
    if (place.node !== undefined) throw systemError('create', path, 'EEXIST');
    this.#tree.changeDurably(place, node);
  }
}

function markOf({ direct }: OpenOptions): { readonly direct?: true } {
  return direct ? { direct: true } : {};
}

function throwIfFailing(
  { kind, path }: Omit<FileSystemOperation, 'index'>,
  action: FaultAction,
): FaultAction {
  if (action.fail === undefined) return action;
  throw systemError(words(kind), path, action.fail);
}

function words(kind: string): string {
  return kind.replaceAll('-', ' ');
}

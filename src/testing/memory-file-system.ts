/**
 * A file system in memory that fails and crashes on demand.
 *
 * It is as strict as a system may be: every 4 KiB chunk written, every new length and every change of a
 * directory that has not been synced may or may not survive a crash, in any combination. Syncing a
 * file does not make its name durable. Not modelled: stale bytes in new files, torn 4 KiB chunks,
 * and permissions other than the right to change an owner.
 *
 * Asynchronous operations take effect one turn after the call, so that bytes that change before the
 * promise settles are written changed, as on a real system.
 */
import { checkBytes, checkCallable, checkFunction, checkText } from '../check-options.ts';
import type {
  DirectoryEntry,
  FileStat,
  FileSystem,
  OpenFile,
  OpenOptions,
  Ownership,
  SyncOpenFile,
} from '../virtual-file/file-system.ts';
import { trustFileSystem } from '../virtual-file/foreign-file-system.ts';
import { byBytesOf } from '../virtual-file/name-order.ts';
import type { Owners } from '../virtual-file/owners.ts';
import {
  DIRECTORY_OPENING_ERRNOS,
  directorySyncError,
  fromNodeError,
  isSyncUnsupported,
  systemError,
} from '../virtual-file/system-error.ts';
import { answerOf, type Choose } from './choices.ts';
import {
  checkAction,
  type FaultAction,
  type FileSystemOperation,
  type Intercept,
  throwIfFailing,
  wordsOf,
} from './faults.ts';
import type { MemoryFile } from './memory-file.ts';
import { makeDirectoryIn, removeDirectoryIn, renameIn } from './memory-names.ts';
import { describeNode, MemoryOpenFile } from './memory-open-file.ts';
import {
  checkMemoryOptions,
  checkPartialOwnership,
  type MemoryFileSystemOptions,
  openMark,
} from './memory-options.ts';
import { MemoryDirectory, type MemoryNode, MemoryTree, type Place } from './memory-tree.ts';

/** Prefix of the owners of temporary files here; no real owner begins with it. */
const OWNER_PREFIX = 'feedfeedfe';

/**
 * A file system in memory whose operations can fail, be delayed or be cut short, and that can crash at any
 * moment. It starts with an empty root directory. Any number of operations may be in flight; each takes
 * effect atomically. The methods of `FileSystem`, and those of its open files, count as operations. Use
 * `clone` to keep a moment, and `crashStates` for the states that a crash may leave.
 *
 * @example
 * const disk = new MemoryFileSystem();
 * disk.createDirectory('/data');
 * disk.intercept = ({ kind }) => (kind === 'sync' ? { fail: 'EIO' } : undefined);
 * const openFiles = new OpenFiles({ fileSystem: disk });
 * await overwriteFile('/data/note', 'text', { openFiles });   // rejects with sync-failed
 * disk.crash(loseEverything).paths();                         // []
 */
export class MemoryFileSystem implements FileSystem {
  /** Called before each operation; may be replaced at any time. A copy starts without one. */
  intercept: Intercept | undefined;
  readonly #options: MemoryFileSystemOptions;
  readonly #userId: number;
  readonly #groupId: number;
  readonly #umask: number;
  /**
   * The owners of temporary files. Every writer on this file system counts as one running process; the
   * writers on the file system that it was copied from count as ended.
   */
  readonly owners: Owners = {
    own: () => `${OWNER_PREFIX}00000001${this.#generation.toString(16).padStart(10, '0')}`,
    stateOf: (owner) => {
      if (!owner.startsWith(OWNER_PREFIX)) return 'unknown';
      return owner.slice(-10) === this.owners.own().slice(-10) ? 'running' : 'ended';
    },
  };
  /** Number of copies between the first file system and this one. */
  #generation = 0;
  #tree = new MemoryTree();
  #operationCount = 0;
  readonly #open = new Set<MemoryOpenFile>();

  /** @throws `invalid-input` for an unknown option, or a value that it cannot have */
  constructor(options: MemoryFileSystemOptions = {}) {
    checkMemoryOptions(options);
    this.#options = options;
    this.intercept = options.intercept;
    trustFileSystem(this);
    this.#userId = options.userId ?? 0;
    this.#groupId = options.groupId ?? 0;
    this.#umask = options.umask ?? 0o022;
  }

  /** Number of operations so far, failed ones included. A copy starts at 0. */
  get operationCount(): number {
    return this.#operationCount;
  }

  /** The paths by which the open files were opened; to find descriptors that were not closed. */
  get openPaths(): string[] {
    return [...this.#open].map((file) => file.path);
  }

  /** Number of open files. */
  get openCount(): number {
    return this.#open.size;
  }

  /** As {@link FileSystem.open}. */
  async open(path: string, options: OpenOptions): Promise<OpenFile> {
    await this.#begin({ kind: 'open', path, ...openMark(options) });
    return this.#openAt(path, options);
  }

  /** As `open`, synchronously. Opens missing files, too. */
  openSync(path: string, options: OpenOptions): SyncOpenFile {
    this.#beginSync({ kind: 'open', path, ...openMark(options) });
    const file = this.#openAt(path, options);
    file.opened = file.describe();
    return file;
  }

  /** As {@link FileSystem.rename}. */
  async rename(source: string, target: string): Promise<void> {
    await this.#begin({ kind: 'rename', path: source, target });
    renameIn(this.#tree, source, target);
  }

  /** As {@link FileSystem.link}. */
  async link(source: string, target: string): Promise<void> {
    await this.#begin({ kind: 'link', path: source, target });
    const { node } = this.#tree.locate(source);
    if (node === undefined) throw systemError('link file', source, 'ENOENT');
    const to = this.#tree.locate(target);
    if (to.node !== undefined) throw systemError('link file', target, 'EEXIST');
    if (node.kind === 'directory') throw systemError('link directory', source, 'EPERM');
    this.#tree.change([{ place: to, node }]);
  }

  /** As {@link FileSystem.unlink}. */
  async unlink(path: string): Promise<void> {
    await this.#begin({ kind: 'unlink', path });
    const place = this.#tree.locate(path);
    if (place.node === undefined) throw systemError('remove file', path, 'ENOENT');
    if (place.node.kind === 'directory') throw systemError('remove file', path, 'EISDIR');
    this.#tree.change([{ place, node: undefined }]);
  }

  /** As {@link FileSystem.makeDirectory}; directories have no mode. */
  async makeDirectory(path: string): Promise<void> {
    await this.#begin({ kind: 'make-directory', path });
    makeDirectoryIn(this.#tree, path);
  }

  /** As {@link FileSystem.removeDirectory}. */
  async removeDirectory(path: string): Promise<void> {
    await this.#begin({ kind: 'remove-directory', path });
    removeDirectoryIn(this.#tree, path);
  }

  /** As {@link FileSystem.stat}. */
  async stat(path: string): Promise<FileStat> {
    await this.#begin({ kind: 'stat', path });
    const { node } = this.#tree.locate(path);
    if (node === undefined) throw systemError('look up file', path, 'ENOENT');
    return this.#describe(node);
  }

  /** As {@link FileSystem.readDirectory}. */
  async readDirectory(path: string): Promise<DirectoryEntry[]> {
    await this.#begin({ kind: 'read-directory', path });
    return this.#tree
      .entriesOf(this.#tree.directoryAt(path))
      .map(([name, { kind }]): DirectoryEntry => ({ name, kind }))
      .sort(byBytesOf(({ name }) => name));
  }

  /** As {@link FileSystem.syncDirectory}. */
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

  /** Creates a directory that is durable immediately. Fails as `createFile` does. */
  createDirectory(path: string): void {
    this.#place(path, (identity) => new MemoryDirectory(identity));
  }

  /**
   * Creates a file that is durable immediately.
   *
   * @param ownership default: the acting user, and 0o666 without the bits of the umask
   * @throws `exists` if the name is taken, `not-found` if the parent directory is missing
   */
  createFile(path: string, content: Uint8Array, ownership: Partial<Ownership> = {}): void {
    checkBytes(content, 'content');
    checkPartialOwnership(ownership);
    const place = this.#vacantPlace(path);
    const file = this.#tree.createFile({ ...this.#ownership(0o666), ...ownership });
    file.write(content, 0);
    file.sync('all');
    this.#tree.changeDurably(place, file);
  }

  /**
   * Creates a symbolic link that is durable immediately. Fails as `createFile` does.
   *
   * @param target need not exist
   */
  createSymbolicLink(path: string, target: string): void {
    checkText('target', target);
    this.#place(path, (identity) => ({ kind: 'symbolic-link', identity, target }));
  }

  /** Creates something like a FIFO that is durable immediately. Fails as `createFile` does. */
  createSpecialFile(path: string): void {
    this.#place(path, (identity) => ({ kind: 'other', identity }));
  }

  /**
   * Reads a file, following symbolic links.
   *
   * @returns a copy of the content as readers see it now, durable or not
   * @throws `not-found` if nothing has the name, `io` if it is not a file
   */
  contentOf(path: string): Uint8Array {
    checkText('path', path);
    const { node } = this.#tree.resolve(path);
    if (node?.kind !== 'file') {
      throw systemError('read file', path, node === undefined ? 'ENOENT' : 'EISDIR');
    }
    return node.content.slice();
  }

  /**
   * Reads all files.
   *
   * @returns the contents by path, in byte order of the paths; a file with several names, or with
   * symbolic links to it, appears under each. The arrays are shared with copies of the file system: do not
   * change them
   * @throws `io` if symbolic links form a cycle
   */
  contents(): Map<string, Uint8Array> {
    const contents = new Map<string, Uint8Array>();
    for (const [path, node] of this.#leaves()) {
      const { node: target } = node.kind === 'symbolic-link' ? this.#tree.resolve(path) : { node };
      if (target?.kind === 'file') contents.set(path, target.content);
    }
    return contents;
  }

  /** All paths except those of directories, in byte order. */
  paths(): string[] {
    return this.#leaves().map(([path]) => path);
  }

  /**
   * Copies the file system with its unsynced changes: the state after the process is killed while the
   * system keeps running, and the moment at which `crash` can be called later.
   *
   * @returns an independent copy without open files and without `intercept`; the owners of its temporary
   * files count as ended
   */
  clone(): MemoryFileSystem {
    return this.#with(this.#tree.clone());
  }

  /**
   * Crashes the system. The file system itself does not change.
   *
   * @param choose called once for each decision about changes that are not durable, names before
   * contents: `loseEverything`, `loseNothing`, or a function of `seededChoices` or `everyChoice`
   * @returns an independent copy with what the crash left, all of it durable, without open files and
   * without `intercept`
   * @throws `invalid-input` for a function that answers with anything but an integer from 0 to `n - 1`
   */
  crash(choose: Choose): MemoryFileSystem {
    checkCallable('choose', choose);
    return this.#with(this.#tree.crash((n) => answerOf(choose, n)));
  }

  /**
   * Counts the states that a crash may leave now.
   *
   * @returns an upper bound: changes to files whose names
   * do not survive are counted, though `crash` does not ask about them
   */
  countCrashStates(): bigint {
    return this.#tree.possibilities().reduce((product, n) => product * BigInt(n), 1n);
  }

  /** All nodes except directories, in byte order of their paths. */
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
    checkText('path', operation.path);
    if (operation.target !== undefined) checkText('target', operation.target);
    checkFunction('intercept', this.intercept);
    const index = this.#operationCount;
    this.#operationCount += 1;
    try {
      const action = this.intercept?.({ index, ...operation }) ?? {};
      checkAction(action);
      return action;
    } catch (error) {
      throw fromNodeError(wordsOf(operation.kind), operation.path, error);
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
    const file = this.#tree.createFile(this.#ownership(options.mode ?? 0o666));
    this.#tree.change([{ place, node: file }]);
    return file;
  }

  #describe(node: MemoryNode): FileStat {
    return describeNode(node, this.#options.birthTimes ?? 'kept');
  }

  #ownership(mode: number): Ownership {
    return { mode: mode & ~this.#umask, userId: this.#userId, groupId: this.#groupId };
  }

  /** Only user 0 may change an owner; others may change the mode and group of their own files. */
  #checkOwner(path: string, from: Ownership, to: Ownership): void {
    if (this.#userId === 0) return;
    const isOwner = from.userId === this.#userId && to.userId === this.#userId;
    const isOwnGroup = to.groupId === from.groupId || to.groupId === this.#groupId;
    if (!isOwner || !isOwnGroup) throw systemError('set owner of file', path, 'EPERM');
  }

  #place(path: string, make: (identity: number) => MemoryNode): void {
    const place = this.#vacantPlace(path);
    this.#tree.changeDurably(place, this.#tree.create(make));
  }

  #vacantPlace(path: string): Place {
    checkText('path', path);
    const place = this.#tree.locate(path);
    if (place.node !== undefined) throw systemError('create', path, 'EEXIST');
    return place;
  }
}

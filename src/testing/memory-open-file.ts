/** One open file of the memory file system. */
import { isStorageError } from '../errors.ts';
import { DIRECT_ALIGNMENT, isAligned } from '../virtual-file/aligned-memory.ts';
import type {
  FileStat,
  OpenOptions,
  Ownership,
  SyncOpenFile,
} from '../virtual-file/file-system.ts';
import { checkOffset, checkOwnership, checkTransfer } from '../virtual-file/file-system-checks.ts';
import { systemError } from '../virtual-file/system-error.ts';
import type { FaultAction, FileSystemOperation } from './faults.ts';
import type { MemoryFile } from './memory-file.ts';
import type { MemoryNode } from './memory-tree.ts';

export interface MemoryOpenFileContext {
  readonly path: string;
  readonly file: MemoryFile;
  readonly options: OpenOptions;
  /** Whether direct transfers fail even if they are aligned. */
  readonly refusesDirect: boolean;
  /** Counts the operation and waits for its delay; throws if a fault makes it fail. */
  readonly begin: (operation: Omit<FileSystemOperation, 'index'>) => Promise<FaultAction>;
  /** As `begin`, without the delay. */
  readonly beginSync: (operation: Omit<FileSystemOperation, 'index'>) => FaultAction;
  /** Throws `io` with EPERM unless the acting user may make this change. */
  readonly checkOwner: (from: Ownership, to: Ownership) => void;
  readonly describe: () => FileStat;
  readonly closed: () => void;
}

export class MemoryOpenFile implements SyncOpenFile {
  readonly path: string;
  opened: FileStat | undefined;
  readonly #context: MemoryOpenFileContext;
  readonly #file: MemoryFile;
  #isOpen = true;

  constructor(context: MemoryOpenFileContext) {
    this.path = context.path;
    this.#context = context;
    this.#file = context.file;
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    checkTransfer(target, offset, this.path);
    const { limit } = await this.#begin({ kind: 'read', offset, length: target.length });
    if (!this.#context.options.read) throw systemError('read file', this.path, 'EBADF');
    this.#checkDirect('read file', target, offset);
    return this.#file.read(target.subarray(0, limit), offset);
  }

  readSync(target: Uint8Array, offset: number): number {
    checkTransfer(target, offset, this.path);
    this.#throwIfClosed('read');
    const { path } = this;
    const operation = { kind: 'read', path, offset, length: target.length } as const;
    const { limit } = this.#context.beginSync(operation);
    if (!this.#context.options.read) throw systemError('read file', path, 'EBADF');
    return this.#file.read(target.subarray(0, limit), offset);
  }

  async write(source: Uint8Array, offset: number): Promise<number> {
    checkTransfer(source, offset, this.path);
    const { limit } = await this.#begin({ kind: 'write', offset, length: source.length });
    if (!this.#context.options.write) throw systemError('write file', this.path, 'EBADF');
    this.#checkDirect('write file', source, offset);
    const bytes = source.subarray(0, limit);
    this.#file.write(bytes, offset);
    return bytes.length;
  }

  sync(): Promise<void> {
    return this.#sync('all');
  }

  syncData(): Promise<void> {
    return this.#sync('data');
  }

  async setLength(length: number): Promise<void> {
    checkOffset(length, this.path);
    await this.#begin({ kind: 'set-length', length });
    if (!this.#context.options.write) throw systemError('set length', this.path, 'EINVAL');
    this.#file.setLength(length);
  }

  async setOwnership(ownership: Ownership): Promise<void> {
    checkOwnership(ownership);
    await this.#begin({ kind: 'set-ownership' });
    this.#context.checkOwner(this.#file.ownership, ownership);
    this.#file.setOwnership(ownership);
  }

  async stat(): Promise<FileStat> {
    await this.#begin({ kind: 'stat' });
    return this.describe();
  }

  /** As `stat`, but not counted as an operation. */
  describe(): FileStat {
    return this.#context.describe();
  }

  /** Releases the descriptor even if closing fails, as a real system does. */
  async close(): Promise<void> {
    const closing = this.#begin({ kind: 'close' });
    this.#isOpen = false;
    this.#context.closed();
    await closing;
  }

  closeSync(): void {
    this.#throwIfClosed('close');
    this.#isOpen = false;
    this.#context.closed();
    this.#context.beginSync({ kind: 'close', path: this.path });
  }

  async #sync(what: 'all' | 'data'): Promise<void> {
    try {
      await this.#begin({ kind: what === 'all' ? 'sync' : 'sync-data' });
    } catch (error) {
      if (isStorageError(error)) this.#file.failSync();
      throw error;
    }
    this.#file.sync(what);
  }

  #checkDirect(action: string, bytes: Uint8Array, offset: number): void {
    const { options, refusesDirect } = this.#context;
    if (!options.direct) return;
    const isAlignedRange = offset % DIRECT_ALIGNMENT === 0 && bytes.length % DIRECT_ALIGNMENT === 0;
    if (refusesDirect || !isAlignedRange || !isAligned(bytes)) {
      throw systemError(action, this.path, 'EINVAL');
    }
  }

  #begin(operation: Omit<FileSystemOperation, 'index' | 'path'>): Promise<FaultAction> {
    this.#throwIfClosed(operation.kind);
    const direct = this.#context.options.direct ? ({ direct: true } as const) : {};
    return this.#context.begin({ ...operation, ...direct, path: this.path });
  }

  #throwIfClosed(action: string): void {
    if (!this.#isOpen) throw systemError(`${action}: file is closed`, this.path, 'EBADF');
  }
}

export const BIRTH_TIMES = ['kept', 'none'] as const;

export function describeNode(node: MemoryNode, birthTimes: (typeof BIRTH_TIMES)[number]): FileStat {
  const { kind } = node;
  const ownership =
    kind === 'file' ? node.ownership : { mode: MODE_OF_KIND[kind], userId: 0, groupId: 0 };
  const size =
    kind === 'file' ? node.length : kind === 'symbolic-link' ? Buffer.byteLength(node.target) : 0;
  const modificationTime = kind === 'file' ? BigInt(node.modificationTime) : undefined;
  const identity = identityOf(node, birthTimes);
  return { kind, size, ...ownership, identity, modificationTime };
}

function identityOf(node: MemoryNode, birthTimes: (typeof BIRTH_TIMES)[number]): string {
  if (node.kind !== 'file') return `memory:${node.identity}`;
  return birthTimes === 'none' ? `memory:${node.inode}` : `memory:${node.inode}:${node.identity}`;
}

const MODE_OF_KIND = { directory: 0o755, 'symbolic-link': 0o777, other: 0o666 } as const;

/**
 * A file with two descriptors: one that bypasses the system's cache, for aligned transfers, and an
 * ordinary one for everything else. Both give the same bytes: the system keeps them coherent, and a
 * sync covers the file, so both of them.
 *
 * If the file system refuses direct transfers, on opening or at the first one (as memory and some
 * network file systems do), all transfers use the ordinary descriptor.
 */
import { isStorageError } from '../errors.ts';
import { DIRECT_ALIGNMENT, isAligned } from './aligned-memory.ts';
import { closeQuietly } from './close-quietly.ts';
import type {
  FileStat,
  FileSystem,
  OpenFile,
  OpenOptions,
  Ownership,
  SyncOpenFile,
} from './file-system.ts';

export interface DirectFileContext {
  readonly fileSystem: FileSystem;
  /** Reports a fatal error; returns the error. */
  readonly noteError: (error: unknown) => unknown;
}

/** As `FileSystem.open`. A failure to open the direct descriptor is reported, but not thrown. */
export async function openDirectFile(
  { fileSystem, noteError }: DirectFileContext,
  path: string,
  options: OpenOptions,
): Promise<OpenFile> {
  const { read = false, write = false } = options;
  const ordinary = await fileSystem.open(path, { ...options, direct: false });
  const direct = await unlessFailing(noteError, () =>
    fileSystem.open(path, { read, write, direct: true }),
  );
  if (direct === undefined) return ordinary;
  const isSame = await unlessFailing(noteError, () => isSameFile(ordinary, direct));
  if (isSame === true) return new DirectFile(ordinary, direct);
  await Promise.allSettled([direct.close()]);
  return ordinary;
}

/** Undefined on failure. If it matters, the ordinary descriptor will fail as well. */
async function unlessFailing<T>(
  noteError: (error: unknown) => unknown,
  action: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await action();
  } catch (error) {
    if (isStorageError(noteError(error))) return undefined;
    throw error;
  }
}

/** The file may have been replaced since the first descriptor was opened. */
async function isSameFile(ordinary: OpenFile, direct: OpenFile): Promise<boolean> {
  const one = ordinary.opened ?? (await ordinary.stat());
  const other = direct.opened ?? (await direct.stat());
  return one.identity === other.identity;
}

class DirectFile implements OpenFile {
  readonly #ordinary: OpenFile;
  readonly #direct: OpenFile;
  #isRefused = false;
  readonly opened: FileStat | undefined;
  readonly readSync?: (target: Uint8Array, offset: number) => number;
  readonly closeSync?: () => void;

  constructor(ordinary: OpenFile, direct: OpenFile) {
    this.#ordinary = ordinary;
    this.#direct = direct;
    this.opened = ordinary.opened;
    const readSync = ordinary.readSync?.bind(ordinary);
    if (readSync !== undefined) this.readSync = readSync;
    if (isSync(ordinary) && isSync(direct)) this.closeSync = () => closeBothSync(ordinary, direct);
  }

  read(target: Uint8Array, offset: number): Promise<number> {
    return this.#transfer(target, offset, (file, bytes) => file.read(bytes, offset));
  }

  write(source: Uint8Array, offset: number): Promise<number> {
    return this.#transfer(source, offset, (file, bytes) => file.write(bytes, offset));
  }

  sync(): Promise<void> {
    return this.#ordinary.sync();
  }

  syncData(): Promise<void> {
    return this.#ordinary.syncData();
  }

  setLength(length: number): Promise<void> {
    return this.#ordinary.setLength(length);
  }

  setOwnership(ownership: Ownership): Promise<void> {
    return this.#ordinary.setOwnership(ownership);
  }

  stat(): Promise<FileStat> {
    return this.#ordinary.stat();
  }

  /** Closes both, even if one fails. */
  async close(): Promise<void> {
    const closing = [this.#ordinary.close(), this.#direct.close()];
    for (const closed of await Promise.allSettled(closing)) {
      if (closed.status === 'rejected') throw closed.reason;
    }
  }

  /** Transfers the aligned beginning directly, as a short transfer; the caller continues. */
  async #transfer(
    bytes: Uint8Array,
    offset: number,
    run: (file: OpenFile, bytes: Uint8Array) => Promise<number>,
  ): Promise<number> {
    const length = this.#directLength(bytes, offset);
    if (length === 0) return run(this.#ordinary, bytes);
    try {
      return await run(this.#direct, bytes.subarray(0, length));
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#isRefused = true;
      return run(this.#ordinary, bytes);
    }
  }

  /** How many leading bytes may be transferred directly. */
  #directLength(bytes: Uint8Array, offset: number): number {
    if (this.#isRefused || offset % DIRECT_ALIGNMENT !== 0 || !isAligned(bytes)) return 0;
    return bytes.length - (bytes.length % DIRECT_ALIGNMENT);
  }
}

function isSync(file: OpenFile): file is SyncOpenFile {
  return file.readSync !== undefined && file.closeSync !== undefined;
}

function closeBothSync(one: SyncOpenFile, other: SyncOpenFile): void {
  try {
    one.closeSync();
  } catch (error) {
    closeQuietly(other);
    throw error;
  }
  other.closeSync();
}

function isRefusal(error: unknown): boolean {
  return isStorageError(error) && REFUSALS.has(error.errno ?? '');
}

const REFUSALS: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP']);

/** The file that a writer works on before it is finished. */
import { checkOpenFiles, checkOptions, checkText, type KnownOptions } from '../check-options.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { absolutePath } from './absolute-path.ts';
import type { IoMode } from './file-system.ts';
import { OpenFiles } from './open-files.ts';
import { VirtualFile } from './virtual-file.ts';

/** Options of `TemporaryFile.create`. */
export interface TemporaryFileOptions {
  /** Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
  /** Permission bits, before the umask; default 0o666. */
  readonly mode?: number | undefined;
  /** See `VirtualFileOptions`. Default `sync`. */
  readonly durability?: 'sync' | 'scratch' | undefined;
  /** See `VirtualFileOptions`. Default `buffered`. */
  readonly ioMode?: IoMode | undefined;
  /** Aborts the wait for a descriptor; then nothing was created. */
  readonly signal?: AbortSignal | undefined;
}

const OPTIONS: KnownOptions<TemporaryFileOptions> = {
  openFiles: true,
  mode: true,
  durability: true,
  ioMode: true,
  signal: true,
};

/**
 * A new file that is deleted when abandoned or disposed of, unless it was renamed or kept. Give it its
 * final name with `durableRename` or `publishNew`.
 */
export class TemporaryFile {
  /** The open file. */
  readonly file: VirtualFile;
  #state: 'ours' | 'kept' | 'abandoned' = 'ours';
  #abandoning: Promise<void> | undefined;

  /**
   * Creates the file, open for reading and writing.
   *
   * Durability: none.
   * @throws StorageError `exists` if anything, even a symbolic link, has the name; `io`, also, with
   *   nothing created, if files cannot be synced here (but not for `scratch`); `not-found` (no such
   *   directory), `aborted`, `invalid-input`
   */
  static async create(path: string, options: TemporaryFileOptions = {}): Promise<TemporaryFile> {
    checkText('path', path);
    checkOptions(options, OPTIONS);
    checkOpenFiles(options.openFiles);
    const { openFiles = OpenFiles.shared(), durability, mode, ioMode, signal } = options;
    if (durability !== 'scratch') openFiles.fileSystem.checkCanSync?.();
    const file = await VirtualFile.open(absolutePath(path), {
      read: true,
      write: true,
      createNew: true,
      openFiles,
      durability,
      ioMode,
      mode,
      signal,
    });
    return new TemporaryFile(file);
  }

  private constructor(file: VirtualFile) {
    this.file = file;
  }

  /** The absolute path. */
  get path(): string {
    return this.file.path;
  }

  /**
   * Keeps the file: `abandon` will only close it. Call it after renaming the file by other means.
   * @throws StorageError `closed` if the file was abandoned
   */
  keep(): void {
    if (this.#state === 'abandoned') {
      throw new StorageError('closed', { what: 'temporary file was deleted', path: this.path });
    }
    this.#state = 'kept';
  }

  /**
   * Closes the file and, unless it was kept, deletes it. Idempotent.
   * @throws StorageError `io` if it could not be deleted; of a file that was kept as `VirtualFile.close`
   */
  abandon(): Promise<void> {
    this.#abandoning ??= this.#state === 'kept' ? this.file.close() : this.#closeAndDelete();
    return this.#abandoning;
  }

  /** As `abandon`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.abandon();
  }

  async #closeAndDelete(): Promise<void> {
    this.#state = 'abandoned';
    try {
      await this.file.discard();
    } finally {
      await unlinkIfExists(this.file.openFiles, this.path);
      this.file.forgetPoison();
    }
  }
}

/** Succeeds if the name is already gone. */
export async function unlinkIfExists(openFiles: OpenFiles, path: string): Promise<void> {
  try {
    await openFiles.report(openFiles.fileSystem.unlink(path));
  } catch (error) {
    if (!isStorageError(error, 'not-found')) throw error;
  }
}

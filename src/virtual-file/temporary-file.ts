/** A file that deletes itself unless it is kept: what a writer works on before it is finished. */
import { isStorageError, StorageError } from '../errors.ts';
import { absolutePath } from './absolute-path.ts';
import type { IoMode } from './file-system.ts';
import { OpenFiles } from './open-files.ts';
import { VirtualFile } from './virtual-file.ts';

export interface TemporaryFileOptions {
  readonly openFiles?: OpenFiles | undefined;
  readonly mode?: number | undefined;
  readonly durability?: 'sync' | 'scratch' | undefined;
  readonly ioMode?: IoMode | undefined;
  /** Ends the wait for a descriptor; then nothing was created. */
  readonly signal?: AbortSignal | undefined;
}

export class TemporaryFile {
  readonly file: VirtualFile;
  #state: 'ours' | 'kept' | 'abandoned' = 'ours';
  #abandoning: Promise<void> | undefined;

  /**
   * Creates the file.
   *
   * Throws: `exists` if anything, even a symbolic link, has the name; `io`, with nothing created,
   * where files cannot be synced, unless this one never is.
   */
  static async create(path: string, options: TemporaryFileOptions = {}): Promise<TemporaryFile> {
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

  /** From the root. */
  get path(): string {
    return this.file.path;
  }

  /** The name is no longer ours to delete: the file was renamed, or its name was given up. */
  keep(): void {
    if (this.#state === 'abandoned') {
      throw new StorageError('closed', { what: 'temporary file was deleted', path: this.path });
    }
    this.#state = 'kept';
  }

  /**
   * Closes the file and, unless it was kept, deletes it. Doing so again is harmless.
   * Throws: `io` if it could not be deleted.
   */
  abandon(): Promise<void> {
    this.#abandoning ??= this.#state === 'kept' ? this.file.close() : this.#closeAndDelete();
    return this.#abandoning;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abandon();
  }

  async #closeAndDelete(): Promise<void> {
    this.#state = 'abandoned';
    try {
      await this.file.discard();
    } finally {
      await unlinkIfThere(this.file.openFiles, this.path);
      this.file.forgetPoison();
    }
  }
}

/** Somebody else may have removed the name already. */
export async function unlinkIfThere(openFiles: OpenFiles, path: string): Promise<void> {
  try {
    await openFiles.report(openFiles.fileSystem.unlink(path));
  } catch (error) {
    if (!isStorageError(error, 'not-found')) throw error;
  }
}

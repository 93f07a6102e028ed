/**
 * A directory that is created atomically: it has a temporary name next to its final one until all of it is durable.
 *
 *   PARENT/NAME.{token}.___temp/     while it is made
 *   PARENT/NAME/                     once it is complete: one rename
 *
 * A crash leaves either the complete directory or only a temporary one, which the next output of the same name removes.
 */
import { basename, dirname } from 'node:path';
import { isStorageError, StorageError, throwIfAborted, withOutcome } from '../../errors.ts';
import { absolutePath, pathIn } from '../../virtual-file/absolute-path.ts';
import type { FileSystem } from '../../virtual-file/file-system.ts';
import {
  newToken,
  ownerOf,
  TEMPORARY_SUFFIX,
  temporaryName,
} from '../../virtual-file/leftover-names.ts';
import { Limiter } from '../../virtual-file/limiter.ts';
import type { OpenFiles } from '../../virtual-file/open-files.ts';
import { VirtualFile } from '../../virtual-file/virtual-file.ts';

/** As Postgres makes them: a server refuses a directory that others can read. */
const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

/** Number of files that are synced and closed concurrently. */
const FILES_TOGETHER = 16;

/** What writes directories. */
type DirectoryFileSystem = FileSystem &
  Required<Pick<FileSystem, 'makeDirectory' | 'removeDirectory'>>;

type State = 'open' | 'finished' | 'abandoned';

/** One writer. Paths are relative, with slashes. */
export class DirectoryOutput {
  /** The final path. */
  readonly path: string;
  readonly #temporary: string;
  readonly #openFiles: OpenFiles;
  readonly #fileSystem: DirectoryFileSystem;
  readonly #directories: string[] = [];
  readonly #limiter = new Limiter(FILES_TOGETHER);
  readonly #closing = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  #state: State = 'open';

  /**
   * Makes the temporary directory, and removes those of processes that have ended.
   *
   * @param path The final path; its parent must exist.
   * @throws `exists` if the path is anything but an empty directory; `not-found` without its parent; `io`.
   */
  static async create(path: string, openFiles: OpenFiles): Promise<DirectoryOutput> {
    const fileSystem = directoryFileSystem(openFiles.fileSystem, path);
    fileSystem.checkCanSync?.();
    const target = absolutePath(path).replace(/(?<=.)\/+$/, '');
    await refuseOccupied(fileSystem, target, path);
    const parent = dirname(target);
    await removeLeftovers(openFiles, fileSystem, target);
    const name = temporaryName(basename(target), newToken(openFiles.owners.own()));
    const temporary = pathIn(parent, name);
    await openFiles.report(fileSystem.makeDirectory(temporary, DIRECTORY_MODE));
    return new DirectoryOutput({ path, target, temporary, openFiles, fileSystem });
  }

  readonly #target: string;

  private constructor(parts: {
    readonly path: string;
    readonly target: string;
    readonly temporary: string;
    readonly openFiles: OpenFiles;
    readonly fileSystem: DirectoryFileSystem;
  }) {
    this.path = parts.path;
    this.#target = parts.target;
    this.#temporary = parts.temporary;
    this.#openFiles = parts.openFiles;
    this.#fileSystem = parts.fileSystem;
    this.#directories.push(parts.temporary);
  }

  /** Makes a directory and missing parents. Idempotent. Throws `io`. */
  async makeDirectory(relative: string): Promise<void> {
    const path = pathIn(this.#temporary, relative);
    if (this.#directories.includes(path)) return;
    if (relative.includes('/')) await this.makeDirectory(dirname(relative));
    await this.#openFiles.report(this.#fileSystem.makeDirectory(path, DIRECTORY_MODE));
    this.#directories.push(path);
  }

  /** Writes a whole file. Throws `exists`, `io`, `sync-failed`. */
  async writeFile(relative: string, bytes: Uint8Array): Promise<void> {
    await using file = await this.createFile(relative);
    if (bytes.length > 0) await file.writeAllAt(bytes, 0);
    file.finish();
  }

  /** Creates a file. Throws `exists`, `io`, and errors of earlier files. */
  async createFile(relative: string): Promise<OutputFile> {
    this.#throwIfFailed();
    const file = await VirtualFile.open(pathIn(this.#temporary, relative), {
      ...{ read: true, write: true, createNew: true },
      ...{ mode: FILE_MODE, openFiles: this.#openFiles },
    });
    await this.#limiter.enter();
    return new OutputFile(file, (closing) => this.#watch(closing));
  }

  /**
   * Makes everything durable, and then gives the directory its final name.
   *
   * Durability: the directory survives a crash once this resolves.
   * @throws `sync-failed`, `io` (also if the final name is taken by now), `aborted`. The outcome is `in-doubt` if the
   *   directory has its name, and a crash may take it away.
   */
  async finish(signal: AbortSignal | undefined): Promise<void> {
    await this.#untilClosed();
    this.#throwIfFailed();
    for (const path of this.#directories) {
      throwIfAborted(signal, this.path);
      await this.#openFiles.syncDirectory(path);
    }
    await this.#openFiles.report(this.#fileSystem.rename(this.#temporary, this.#target));
    this.#state = 'finished';
    try {
      await this.#openFiles.syncDirectory(dirname(this.#target));
    } catch (error) {
      throw withOutcome(error, 'in-doubt');
    }
  }

  /** Removes the temporary directory, unless it has its final name. Idempotent. Throws `io`. */
  async abandon(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'abandoned';
    await this.#untilClosed();
    await removeTree(this.#fileSystem, this.#temporary);
  }

  async #untilClosed(): Promise<void> {
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }

  /** The promise never rejects: the next call throws the first failure. */
  #watch(closing: Promise<void>): void {
    const watched = closing
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#limiter.leave();
        this.#closing.delete(watched);
      });
    this.#closing.add(watched);
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/** A file of the directory. It is closed in the background. */
export class OutputFile {
  readonly #file: VirtualFile;
  readonly #watch: (closing: Promise<void>) => void;
  #isEnded = false;

  constructor(file: VirtualFile, watch: (closing: Promise<void>) => void) {
    this.#file = file;
    this.#watch = watch;
  }

  /** Throws `io`, `sync-failed`. */
  writeAllAt(bytes: Uint8Array, offset: number): Promise<void> {
    return this.#file.writeAllAt(bytes, offset);
  }

  /** Extends the file with zeros. Throws `io`, `sync-failed`. */
  setLength(length: number): Promise<void> {
    return this.#file.setLength(length);
  }

  /** Syncs and closes it in the background. */
  finish(): void {
    this.#end(async () => {
      try {
        await this.#file.sync();
      } finally {
        await this.#file.close();
      }
    });
  }

  /** Closes a file that was not finished. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end(() => this.#file.discard());
  }

  #end(close: () => Promise<void>): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#watch(close());
  }
}

function directoryFileSystem(fileSystem: FileSystem, path: string): DirectoryFileSystem {
  if (isDirectoryFileSystem(fileSystem)) return fileSystem;
  throw new StorageError('invalid-input', {
    what: 'the file system cannot make directories',
    path,
  });
}

function isDirectoryFileSystem(fileSystem: FileSystem): fileSystem is DirectoryFileSystem {
  return fileSystem.makeDirectory !== undefined && fileSystem.removeDirectory !== undefined;
}

async function refuseOccupied(fileSystem: FileSystem, target: string, path: string): Promise<void> {
  try {
    const { kind } = await fileSystem.stat(target);
    const isVacant = kind === 'directory' && (await fileSystem.readDirectory(target)).length === 0;
    if (isVacant) return;
  } catch (error) {
    if (isStorageError(error, 'not-found')) return;
    throw error;
  }
  throw new StorageError('exists', {
    what: 'the output exists and is not an empty directory',
    path,
    errno: 'EEXIST',
  });
}

async function removeLeftovers(
  { owners }: OpenFiles,
  fileSystem: DirectoryFileSystem,
  target: string,
): Promise<void> {
  const parent = dirname(target);
  const stem = temporaryName(basename(target), '').slice(0, -TEMPORARY_SUFFIX.length);
  for (const { name, kind } of await fileSystem.readDirectory(parent)) {
    if (kind !== 'directory' || !name.startsWith(stem)) continue;
    const owner = ownerOf(name);
    if (owner === undefined || owners.stateOf(owner) !== 'ended') continue;
    await removeTree(fileSystem, pathIn(parent, name));
  }
}

/** Links are removed, not followed. */
async function removeTree(fileSystem: DirectoryFileSystem, path: string): Promise<void> {
  for (const { name, kind } of await fileSystem.readDirectory(path)) {
    const entry = pathIn(path, name);
    if (kind === 'directory') await removeTree(fileSystem, entry);
    else await fileSystem.unlink(entry);
  }
  await fileSystem.removeDirectory(path);
}

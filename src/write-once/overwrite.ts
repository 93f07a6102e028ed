/**
 * Replaces the content of a small file so that a crash leaves the old content or the new one.
 *
 *   create `{path}.___temp` exclusively               if a crash left one, it is removed first:
 *                                                     only a file or a symbolic link itself
 *   write, set mode and owner where they differ
 *   sync it                                           else the name could stand for less
 *   rename it over the path                           the commit point
 *   sync the directory, and close the file meanwhile  now the new content is durable
 *
 * A thread overwrites one file at a time, in the order of the calls. Threads of a process may
 * overwrite the same file at once, each under a temporary name of its own: the last rename counts.
 * Processes must not: each would take the other's temporary for one that a crash left.
 */
import { basename, dirname } from 'node:path';
import { isUint8Array } from 'node:util/types';
import { isMainThread, threadId } from 'node:worker_threads';
import {
  isStorageError,
  type Outcome,
  StorageError,
  throwIfAborted,
  withOutcome,
} from '../errors.ts';
import { absolutePath, pathIn } from '../virtual-file/absolute-path.ts';
import { durableRename } from '../virtual-file/durable-rename.ts';
import type { FileStat, FileSystem } from '../virtual-file/file-system.ts';
import { isLeftoverName, TEMPORARY_SUFFIX } from '../virtual-file/leftover-names.ts';
import { OpenFiles } from '../virtual-file/open-files.ts';
import { TemporaryFile } from '../virtual-file/temporary-file.ts';
import { inTurn, trueName } from '../virtual-file/turns.ts';

export interface OverwriteOptions {
  /** Default: the table that the process shares. */
  readonly openFiles?: OpenFiles | undefined;
  /** Gives up, with nothing changed, as long as the new content has not taken the name. */
  readonly signal?: AbortSignal | undefined;
  /** Permission bits of a file that did not exist, cut by the umask; default 0o666. */
  readonly mode?: number | undefined;
}

/**
 * Makes `content` (a string as UTF-8) the whole content of the file, which need not exist.
 *
 * Mode and owner of a regular file that is replaced are kept; where the process may not keep the
 * owner, nothing is changed. A symbolic link is replaced itself; it is not followed. The content
 * is copied before the call returns.
 *
 * Throws: `exists` (a directory or special file has the name, or the temporary's), `aborted`,
 * `sync-failed`, `io`, `not-found` (no such directory), `invalid-input` (content that is neither
 * bytes nor Unicode, or the name of a leftover, which `removeLeftovers` would delete). `outcome` of
 * the error tells what is on disk: `not-applied` the old content, `in-doubt` readers see the new
 * content, but a crash may bring the old one back, `durable` the new content, and only tidying up
 * failed.
 * Durability: once it resolves, the new content survives a crash.
 */
export async function overwriteFile(
  path: string,
  content: Uint8Array | string,
  options: OverwriteOptions = {},
): Promise<void> {
  const { openFiles = OpenFiles.shared(), signal, mode } = options;
  const { fileSystem } = openFiles;
  const target = targetOf(path);
  refuseLeftoverName(target);
  const overwrite = new Overwrite({ target, bytes: bytesOf(content), openFiles, signal, mode });
  try {
    await inTurn({ owner: fileSystem, name: target, signal }, async () => {
      const name = await trueName(fileSystem, target);
      await inTurn({ owner: fileSystem, name, signal }, () => overwrite.run());
    });
  } catch (error) {
    throw openFiles.noteError(withDefaults(error, { path: target, outcome: 'not-applied' }));
  }
}

/** From the root, and without a slash at its end. */
function targetOf(path: string): string {
  try {
    const absolute = absolutePath(path);
    return pathIn(dirname(absolute), basename(absolute));
  } catch (error) {
    throw withOutcome(error, 'not-applied');
  }
}

interface OverwriteParameters {
  readonly target: string;
  readonly bytes: Uint8Array;
  readonly openFiles: OpenFiles;
  readonly signal: AbortSignal | undefined;
  readonly mode: number | undefined;
}

class Overwrite {
  readonly #parameters: OverwriteParameters;
  readonly #temporaryPath: string;

  constructor(parameters: OverwriteParameters) {
    this.#parameters = parameters;
    this.#temporaryPath = temporaryPath(parameters.target);
  }

  async run(): Promise<void> {
    const { target, bytes, openFiles, signal } = this.#parameters;
    throwIfAborted(signal);
    const found = await lookUp(openFiles.fileSystem, target);
    if (found?.kind === 'directory' || found?.kind === 'other') throw taken(target, found);
    // Whose mode and owner are kept.
    const replaced = found?.kind === 'file' ? found : undefined;
    const temporary = await this.#createTemporary(replaced);
    try {
      const { file } = temporary;
      await file.writeAllAt(bytes, 0);
      if (replaced !== undefined && !isSameOwnership(file.opened, replaced)) {
        await file.setOwnership(replaced);
      }
      throwIfAborted(signal);
      await durableRename(temporary, target, { signal, afterwards: 'close' });
    } catch (error) {
      // The first error counts. A temporary that cannot be removed is removed by the next run.
      await Promise.allSettled([temporary.abandon()]);
      throw error;
    }
    await temporary.abandon().catch((error: unknown) => {
      throw withDefaults(error, { outcome: 'durable' });
    });
  }

  /** Whether a crash has left one is looked up only where something has the name. */
  #createTemporary(replaced: FileStat | undefined): Promise<TemporaryFile> {
    return this.#createNew(replaced).catch(async (error: unknown) => {
      if (!isStorageError(error, 'exists')) throw error;
      await this.#removeStaleTemporary();
      return this.#createNew(replaced);
    });
  }

  #createNew(replaced: FileStat | undefined): Promise<TemporaryFile> {
    const { openFiles, mode, signal } = this.#parameters;
    const creating = TemporaryFile.create(this.#temporaryPath, {
      openFiles,
      mode: replaced === undefined ? mode : modeUntilOwned(replaced),
      signal,
    });
    return creating.catch(async (error: unknown) => {
      // It may have failed after the file was there.
      if (!isStorageError(error, 'exists')) {
        await Promise.allSettled([this.#removeStaleTemporary()]);
      }
      throw error;
    });
  }

  /** Unlinking never follows a symbolic link, so that what it points to is safe. */
  async #removeStaleTemporary(): Promise<void> {
    const { fileSystem } = this.#parameters.openFiles;
    const found = await lookUp(fileSystem, this.#temporaryPath);
    if (found === undefined) return;
    if (found.kind !== 'file' && found.kind !== 'symbolic-link') {
      throw taken(this.#temporaryPath, found);
    }
    await fileSystem.unlink(this.#temporaryPath);
  }
}

/**
 * Threads know nothing of each other's turns: under one name each would take the other's temporary
 * for a stale one, and give the final name to a file that is not written yet. So a worker thread has
 * a name by its number, under which the next run finds what it left; it leaves the others alone.
 */
function temporaryPath(target: string): string {
  return isMainThread ? `${target}${TEMPORARY_SUFFIX}` : `${target}.${threadId}${TEMPORARY_SUFFIX}`;
}

function lookUp(fileSystem: FileSystem, path: string): Promise<FileStat | undefined> {
  return fileSystem.stat(path).catch((error: unknown) => {
    if (isStorageError(error, 'not-found')) return undefined;
    throw error;
  });
}

function isSameOwnership(left: FileStat, right: FileStat): boolean {
  return left.mode === right.mode && left.userId === right.userId && left.groupId === right.groupId;
}

/**
 * Until it has its owner and group, nobody else may read what may be secret. Where a group may do
 * what everybody may, it does not matter which one it is at first. Its owner must be able to open it
 * again while it is written.
 */
function modeUntilOwned({ mode }: FileStat): number {
  const [special, owner, group, others] = [mode >> 9, (mode >> 6) & 7, (mode >> 3) & 7, mode & 7];
  return special === 0 && owner >= 6 && group === others ? mode : 0o600;
}

function taken(path: string, found: FileStat): StorageError {
  return new StorageError('exists', {
    what: 'the name is taken',
    path,
    expected: 'a regular file or nothing',
    actual: found.kind,
  });
}

function refuseLeftoverName(path: string): void {
  if (!isLeftoverName(basename(path))) return;
  throw new StorageError('invalid-input', {
    what: 'file name',
    path,
    expected: 'one that a crash does not leave behind',
    actual: basename(path),
    outcome: 'not-applied',
  });
}

function bytesOf(content: unknown): Uint8Array {
  if (isUint8Array(content)) return new Uint8Array(content);
  if (typeof content !== 'string') throw invalidContent('Uint8Array or string', typeof content);
  if (/\p{Surrogate}/u.test(content)) throw invalidContent('Unicode', 'a lone surrogate');
  return new TextEncoder().encode(content);
}

/** An ArrayBuffer, say, would otherwise be taken for an empty list. */
function invalidContent(expected: string, actual: string): StorageError {
  return new StorageError('invalid-input', {
    what: 'content',
    expected,
    actual,
    outcome: 'not-applied',
  });
}

/** Adds what the error does not say itself. */
function withDefaults(error: unknown, details: { path?: string; outcome: Outcome }): unknown {
  if (!isStorageError(error)) return error;
  return error.with({
    path: error.path ?? details.path,
    outcome: error.outcome ?? details.outcome,
  });
}

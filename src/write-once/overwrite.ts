/**
 * Replaces the content of a small file so that a crash leaves the old content or the new one.
 *
 *   create `{name}.{token}.___temp` exclusively       a name that nobody else has
 *   write, set mode and owner where they differ
 *   sync it                                           else the name could stand for less
 *   rename it over the path                           the commit point
 *   sync the directory, and close the file meanwhile  now the new content is durable
 *
 * A thread overwrites one file at a time, in the order of the calls. Threads and processes may
 * overwrite the same file at once: the last rename counts. Before that, what threads that have ended
 * left in the directory is removed.
 */
import { basename, dirname } from 'node:path';
import { isUint8Array } from 'node:util/types';
import { checkChoice, checkMode } from '../check-options.ts';
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
import { isLeftoverName, temporaryName } from '../virtual-file/leftover-names.ts';
import { OpenFiles } from '../virtual-file/open-files.ts';
import type { TemporaryFile } from '../virtual-file/temporary-file.ts';
import { identityOfDirectory, inTurn } from '../virtual-file/turns.ts';
import { createUnique } from '../virtual-file/unique-file.ts';
import { removeLeftoversOfEnded } from './leftovers.ts';

export interface OverwriteOptions {
  /** Default: the table that the process shares. */
  readonly openFiles?: OpenFiles | undefined;
  /** Gives up, with nothing changed, as long as the new content has not taken the name. */
  readonly signal?: AbortSignal | undefined;
  /** Permission bits of a file that did not exist, cut by the umask; default 0o666. */
  readonly mode?: number | undefined;
  /**
   * What the new file keeps of the one that it replaces. With `all` it is also given the access
   * control lists and extended attributes, by the system's `cp` (GNU coreutils); where there is no
   * such program, or it fails, nothing is changed. Default `mode-and-owner`.
   */
  readonly preserve?: (typeof PRESERVED)[number] | undefined;
}

const PRESERVED = ['mode-and-owner', 'all'] as const;

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
  const { openFiles = OpenFiles.shared(), signal } = options;
  const { fileSystem } = openFiles;
  const target = notApplied(() => targetOf(path, options));
  const overwrite = new Overwrite({ ...options, target, bytes: bytesOf(content), openFiles });
  try {
    await inTurn({ owner: fileSystem, name: target, signal }, async () => {
      const directory = dirname(target);
      const identity = await identityOfDirectory(fileSystem, directory);
      const name = `${identity}/${basename(target)}`;
      await inTurn({ owner: fileSystem, name, signal }, async () => {
        throwIfAborted(signal);
        fileSystem.checkCanSync?.();
        await removeLeftoversOfEnded(openFiles, { path: directory, identity });
        await overwrite.run();
      });
    });
  } catch (error) {
    throw openFiles.noteError(withDefaults(error, { path: target, outcome: 'not-applied' }));
  }
}

/** From the root, and without a slash at its end. */
function targetOf(path: string, { mode, preserve }: OverwriteOptions): string {
  checkMode(mode);
  checkChoice('preserve', preserve, PRESERVED);
  const absolute = absolutePath(path);
  const target = pathIn(dirname(absolute), basename(absolute));
  refuseLeftoverName(target);
  return target;
}

function notApplied<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw withOutcome(error, 'not-applied');
  }
}

interface OverwriteParameters extends OverwriteOptions {
  readonly target: string;
  readonly bytes: Uint8Array;
  readonly openFiles: OpenFiles;
}

class Overwrite {
  readonly #parameters: OverwriteParameters;

  constructor(parameters: OverwriteParameters) {
    this.#parameters = parameters;
  }

  async run(): Promise<void> {
    const { target, bytes, openFiles, signal } = this.#parameters;
    throwIfAborted(signal);
    const found = await lookUp(openFiles.fileSystem, target);
    if (found?.kind === 'directory' || found?.kind === 'other') throw taken(target, found);
    const replaced = found?.kind === 'file' ? found : undefined;
    const temporary = await this.#createTemporary(replaced);
    try {
      await temporary.file.writeAllAt(bytes, 0);
      if (replaced !== undefined) await this.#keepAttributes(temporary, replaced);
      throwIfAborted(signal);
      await durableRename(temporary, target, { signal, afterwards: 'close' });
    } catch (error) {
      // The first error counts. A temporary that cannot be removed is a leftover.
      await Promise.allSettled([temporary.abandon()]);
      throw error;
    }
    await temporary.abandon().catch((error: unknown) => {
      throw withDefaults(error, { outcome: 'durable' });
    });
  }

  #createTemporary(replaced: FileStat | undefined): Promise<TemporaryFile> {
    const { target, openFiles, preserve, signal } = this.#parameters;
    const pathOf = (token: string): string =>
      pathIn(dirname(target), temporaryName(basename(target), token));
    const keptMode = preserve === 'all' ? 0o600 : replaced && modeUntilOwned(replaced);
    const mode = replaced === undefined ? this.#parameters.mode : keptMode;
    return createUnique(pathOf, { openFiles, mode, signal });
  }

  async #keepAttributes({ file, path }: TemporaryFile, replaced: FileStat): Promise<void> {
    const { target, openFiles, preserve } = this.#parameters;
    if (preserve === 'all') await copyAttributes(openFiles, target, path);
    else if (!isSameOwnership(file.opened, replaced)) await file.setOwnership(replaced);
  }
}

async function copyAttributes(openFiles: OpenFiles, source: string, target: string): Promise<void> {
  const { fileSystem } = openFiles;
  if (fileSystem.copyAttributes !== undefined) {
    return openFiles.report(fileSystem.copyAttributes(source, target));
  }
  throw new StorageError('invalid-input', {
    what: "preserve: 'all'",
    path: source,
    expected: 'a file system that can copy attributes',
  });
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

/**
 * Replaces the content of a small file so that a crash leaves the old content or the new one.
 *
 *   create `{name}.{token}.___temp` exclusively       a unique name
 *   write it, set mode and owner if they differ
 *   sync it                                           so that the name never has less content
 *   rename it over the path                           the commit point
 *   sync the directory, closing the file meanwhile    now the new content is durable
 *
 * Within a thread, overwrites of one file run one after the other, those by one path in the order of the
 * calls. Several threads and processes may overwrite the same file: the last rename counts. First,
 * leftovers of threads that have ended are removed from the directory.
 */
import { basename, dirname } from 'node:path';
import {
  checkChoice,
  checkMode,
  checkOpenFiles,
  checkOptions,
  checkSignal,
  checkText,
  isBytes,
  type KnownOptions,
} from '../check-options.ts';
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

/** Options of `overwriteFile` and the calls based on it. */
export interface OverwriteOptions {
  /** Default: the shared table. */
  readonly openFiles?: OpenFiles | undefined;
  /** Aborts, with nothing changed, until the new content takes the name. */
  readonly signal?: AbortSignal | undefined;
  /** Permission bits of a new file, before the umask; default 0o666. */
  readonly mode?: number | undefined;
  /**
   * What is preserved of the replaced file. `all` includes access control lists and extended attributes,
   * which the system's `cp` (GNU coreutils) copies; if it is missing or fails, nothing is changed.
   * Default `mode-and-owner`.
   */
  readonly preserve?: 'mode-and-owner' | 'all' | undefined;
}

const OPTIONS: KnownOptions<OverwriteOptions> = {
  openFiles: true,
  signal: true,
  mode: true,
  preserve: true,
};

const PRESERVED = ['mode-and-owner', 'all'] as const;

/**
 * Atomically replaces the content of a file, which need not exist.
 *
 * Mode and owner of a replaced regular file are preserved; if the process may not set the owner, nothing
 * is changed. A symbolic link is itself replaced, not followed.
 *
 * Durability: once it resolves, the new content survives a crash.
 * @param content copied before the call returns; a string is encoded as UTF-8
 * @throws StorageError `exists` (a directory or special file has the name), `aborted`, `sync-failed`,
 *   `io`, `not-found` (no such directory), `invalid-input` (content that is neither bytes nor Unicode, or
 *   the name of a leftover, which `removeLeftovers` would delete). Its `outcome` states what is on disk:
 *   `not-applied` the old content; `in-doubt` readers see the new content, but a crash may restore the
 *   old one; `durable` the new content, and only the cleanup failed.
 * @example
 * await overwriteFile('settings.json', JSON.stringify(settings));
 */
export async function overwriteFile(
  path: string,
  content: Uint8Array | string,
  options: OverwriteOptions = {},
): Promise<void> {
  notApplied(() => checkArguments(path, options));
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

function checkArguments(path: string, options: OverwriteOptions): void {
  checkText('path', path);
  checkOptions(options, OPTIONS);
  checkOpenFiles(options.openFiles);
  checkSignal(options.signal);
}

/** The absolute path, without a trailing slash. */
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
      // The first error is thrown. A temporary that cannot be removed is a leftover.
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
 * The content may be secret, so no other user may read the file before owner and group are set. If the
 * group has the same rights as everyone, the initial group does not matter. The owner must be able to
 * reopen the file while it is written.
 */
function modeUntilOwned({ mode }: FileStat): number {
  const [special, owner, group, others] = [mode >> 9, (mode >> 6) & 7, (mode >> 3) & 7, mode & 7];
  return special === 0 && owner >= 6 && group === others ? mode : 0o600;
}

function taken(path: string, found: FileStat): StorageError {
  return new StorageError('exists', {
    what: 'the name is taken',
    path,
    expected: 'a regular file or no file',
    actual: found.kind,
  });
}

function refuseLeftoverName(path: string): void {
  if (!isLeftoverName(basename(path))) return;
  throw new StorageError('invalid-input', {
    what: 'file name',
    path,
    expected: 'a name other than that of a temporary file',
    actual: basename(path),
  });
}

function bytesOf(content: unknown): Uint8Array {
  if (isBytes(content)) return new Uint8Array(content);
  if (typeof content !== 'string') throw invalidContent('Uint8Array or string', typeof content);
  if (/\p{Surrogate}/u.test(content)) throw invalidContent('Unicode', 'a lone surrogate');
  return new TextEncoder().encode(content);
}

/** Without this check, an ArrayBuffer would be treated as an empty list. */
function invalidContent(expected: string, actual: string): StorageError {
  return new StorageError('invalid-input', {
    what: 'content',
    expected,
    actual,
    outcome: 'not-applied',
  });
}

/** Adds the details that the error lacks. */
function withDefaults(error: unknown, details: { path?: string; outcome: Outcome }): unknown {
  if (!isStorageError(error)) return error;
  return error.with({
    path: error.path ?? details.path,
    outcome: error.outcome ?? details.outcome,
  });
}

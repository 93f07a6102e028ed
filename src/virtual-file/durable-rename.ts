/**
 * Gives a finished temporary file its final name. Both ways sync the file first, so that the name never
 * refers to incomplete content, and the directory last, so that the name itself survives a crash.
 * The `outcome` of every error states what is on disk.
 */
import { dirname } from 'node:path';
import { checkChoice, checkObject, checkOptions, checkSignal } from '../check-options.ts';
import {
  abortedError,
  isStorageError,
  type Outcome,
  StorageError,
  withOutcome,
} from '../errors.ts';
import { absolutePath } from './absolute-path.ts';
import { throwIfDirectoryFailed } from './directory-failures.ts';
import type { OpenFiles } from './open-files.ts';
import { type TemporaryFile, unlinkIfExists } from './temporary-file.ts';
import { inTurn, trueName } from './turns.ts';

const ENDS = ['close', 'keep-open'] as const;

/** Options of `durableRename`. */
export interface DurableRenameOptions {
  /** Aborts, with nothing changed, if it has fired by the time the file is synced. */
  readonly signal?: AbortSignal | undefined;
  /**
   * `close` closes the file while its directory is synced; `temporary.abandon()` then returns the
   * outcome of closing. Default `keep-open`.
   */
  readonly afterwards?: 'close' | 'keep-open' | undefined;
}

/**
 * Syncs the temporary file, renames it to `target`, and syncs the directory. An existing file of that
 * name is replaced.
 *
 * Durability: once it resolves, a crash cannot bring the old file back.
 * @param target A relative path is resolved at the call.
 * @throws StorageError, always with `outcome`: `sync-failed`, `io`, `not-found` (the temporary file or
 *   the directory is gone), `aborted`, `closed` (the temporary file was abandoned), `invalid-input`.
 * @example
 * const temporary = await TemporaryFile.create('settings.json.new');
 * await temporary.file.writeAllAt(bytes, 0);
 * await durableRename(temporary, 'settings.json');
 * await temporary.abandon();
 */
export async function durableRename(
  temporary: TemporaryFile,
  target: string,
  options: DurableRenameOptions = {},
): Promise<void> {
  failingWithSync('not-applied', () => {
    checkTemporary(temporary);
    checkOptions(options, { afterwards: true, signal: true });
    checkChoice('afterwards', options.afterwards, ENDS);
    checkSignal(options.signal);
  });
  const absolute = failingWithSync('not-applied', () => absolutePath(target));
  await failingWith('not-applied', makeReady(temporary, absolute));
  await renameSynced(temporary, absolute, options);
}

/**
 * Syncs the temporary file, gives it a name that must be free, and syncs the directory. It uses a link,
 * which fails where a rename would replace. If the file system has no links, the name is checked and
 * the file renamed: within this process the check is safe, but two processes that race could replace
 * each other's file.
 *
 * Durability: once it resolves, the file keeps the name after a crash.
 * @param target A relative path is resolved at the call.
 * @throws StorageError, always with `outcome`: `exists` if the name is taken (that file is untouched),
 *   `sync-failed`, `io`, `not-found`, `closed` (the temporary file was abandoned).
 */
export async function publishNew(temporary: TemporaryFile, target: string): Promise<void> {
  failingWithSync('not-applied', () => checkTemporary(temporary));
  const absolute = failingWithSync('not-applied', () => absolutePath(target));
  await failingWith('not-applied', makeReady(temporary, absolute));
  await linkSynced(temporary, absolute);
}

/**
 * Fills a temporary file, publishes it as `publishNew`, and removes its temporary name.
 *
 * Returns: what `fill` returns. Throws: as `fill` and `publishNew`, after the temporary file was abandoned;
 * `durable` is the outcome of an error of the removal.
 */
export async function publishFilled<T>(
  temporary: TemporaryFile,
  target: string,
  fill: () => T | Promise<T>,
): Promise<T> {
  let filled: T;
  try {
    filled = await fill();
    await publishNew(temporary, target);
  } catch (error) {
    // The first error is thrown. A temporary that cannot be removed is a leftover.
    await Promise.allSettled([temporary.abandon()]);
    throw error;
  }
  await temporary.abandon().catch((error: unknown) => {
    throw withOutcome(error, 'durable');
  });
  return filled;
}

function checkTemporary(temporary: TemporaryFile): void {
  checkObject('temporary', temporary);
  checkObject('temporary', temporary.file);
}

/** Checks everything that must hold before the file takes a name. */
async function makeReady(temporary: TemporaryFile, target: string): Promise<void> {
  const { file } = temporary;
  await file.sync();
  await throwIfDirectoryFailed(file.openFiles.fileSystem, dirname(target));
  await refuseReplaced(temporary);
}

/**
 * Another process may have removed the file as a leftover, and a second file may have its name by now.
 * That file is not the one that was synced, and must not be deleted.
 */
async function refuseReplaced(temporary: TemporaryFile): Promise<void> {
  const { path, file } = temporary;
  const { identity } = await file.openFiles.report(file.openFiles.fileSystem.stat(path));
  if (identity === file.identity) return;
  temporary.keep();
  throw new StorageError('io', { what: 'temporary file was replaced while in use', path });
}

async function linkSynced(temporary: TemporaryFile, target: string): Promise<void> {
  const { openFiles } = temporary.file;
  try {
    await openFiles.report(openFiles.fileSystem.link(temporary.path, target));
  } catch (error) {
    const outcome = await outcomeOfFailedLink(temporary, target);
    if (outcome !== 'applied') {
      if (isLinkUnsupported(error)) return renameToNew(temporary, target);
      throw replacingOutcome(error, outcome);
    }
  }
  await failingWith('in-doubt', openFiles.syncDirectory(dirname(target)));
  await failingWith('durable', unlinkIfExists(openFiles, temporary.path));
  // Fails if the temporary file was abandoned meanwhile, as after a rename.
  failingWithSync('durable', () => temporary.keep());
}

async function renameSynced(
  temporary: TemporaryFile,
  target: string,
  { signal, afterwards }: DurableRenameOptions,
): Promise<void> {
  const { openFiles } = temporary.file;
  if (signal?.aborted) throw replacingOutcome(abortedError(signal, target), 'not-applied');
  const renaming = openFiles.report(openFiles.fileSystem.rename(temporary.path, target));
  await renaming.catch(async (error: unknown) => {
    const outcome = await outcomeOfFailedRename(temporary, target, error);
    if (outcome !== 'applied') throw replacingOutcome(error, outcome);
  });
  failingWithSync('in-doubt', () => temporary.keep());
  if (afterwards === 'close') void Promise.allSettled([temporary.abandon()]);
  await failingWith('in-doubt', openFiles.syncDirectory(dirname(target)));
}

async function renameToNew(temporary: TemporaryFile, target: string): Promise<void> {
  const { openFiles } = temporary.file;
  const { fileSystem } = openFiles;
  try {
    const name = await openFiles.report(trueName(fileSystem, target));
    await inTurn({ owner: fileSystem, name }, async () => {
      await refuseExisting(openFiles, { target });
      await renameSynced(temporary, target, {});
    });
  } catch (error) {
    throw withOutcome(error, 'not-applied');
  }
}

/**
 * Errors of `link` after which a rename may work: file systems without links, Android (EACCES),
 * directory quotas (EXDEV), Windows (EISDIR, UNKNOWN). EPERM and EACCES may also be genuine; then the
 * rename fails in the same way, and its error is reported.
 */
const LINK_UNSUPPORTED: ReadonlySet<string> = new Set([
  'EPERM',
  'EACCES',
  'ENOSYS',
  'ENOTSUP',
  'EOPNOTSUPP',
  'EINVAL',
  'EISDIR',
  'EMLINK',
  'ENOTTY',
  'EXDEV',
  'UNKNOWN',
]);

function isLinkUnsupported(error: unknown): boolean {
  return isStorageError(error) && LINK_UNSUPPORTED.has(error.errno ?? '');
}

/** Throws `exists` if there is a file of this name; `io`. `path` is how the caller named it. */
export async function refuseExisting(
  openFiles: OpenFiles,
  { target, path = target }: { readonly target: string; readonly path?: string },
): Promise<void> {
  try {
    await openFiles.report(openFiles.fileSystem.stat(target));
  } catch (error) {
    if (isStorageError(error, 'not-found')) return;
    throw isStorageError(error) ? error.with({ path }) : error;
  }
  throw new StorageError('exists', { what: 'file already exists', path, errno: 'EEXIST' });
}

type OutcomeOfFailure = 'applied' | 'not-applied' | 'in-doubt';

/**
 * A failed link usually did nothing. Over a network, though, the first reply may have been lost, and
 * the repeated request has found the link that the first one made: then the name is ours.
 */
async function outcomeOfFailedLink(
  temporary: TemporaryFile,
  target: string,
): Promise<OutcomeOfFailure> {
  const isOurs = await isName(target, temporary);
  return isOurs === undefined ? 'in-doubt' : isOurs ? 'applied' : 'not-applied';
}

/** As for a link; but another process may have replaced our file since. */
async function outcomeOfFailedRename(
  temporary: TemporaryFile,
  target: string,
  error: unknown,
): Promise<OutcomeOfFailure> {
  const isOurs = await isName(target, temporary);
  if (isOurs) return 'applied';
  // The temporary file was removed before the rename.
  if (isOurs === false && isStorageError(error, 'not-found')) return 'not-applied';
  return (await isName(temporary.path, temporary)) ? 'not-applied' : 'in-doubt';
}

/** Whether the path is a name of the file; undefined if that cannot be determined. */
async function isName(path: string, { file }: TemporaryFile): Promise<boolean | undefined> {
  const { openFiles } = file;
  try {
    const { identity } = await openFiles.report(openFiles.fileSystem.stat(path));
    return identity === file.identity;
  } catch (error) {
    if (isStorageError(error)) return error.code === 'not-found' ? false : undefined;
    throw error;
  }
}

function failingWith(outcome: Outcome, operation: Promise<void>): Promise<void> {
  return operation.catch((error: unknown) => {
    throw replacingOutcome(error, outcome);
  });
}

/** As `failingWith`, for synchronous operations. */
function failingWithSync<T>(outcome: Outcome, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    throw replacingOutcome(error, outcome);
  }
}

function replacingOutcome(error: unknown, outcome: Outcome): unknown {
  return isStorageError(error) ? error.with({ outcome }) : error;
}

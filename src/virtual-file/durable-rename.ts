/**
 * How a finished temporary file takes its final name. Both ways sync the file first, so that the
 * name never stands for less than the whole content, and the directory last, so that the name
 * itself survives a crash. Every error tells by `outcome` what is on disk.
 */
import { dirname } from 'node:path';
import { checkChoice } from '../check-options.ts';
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
import { type TemporaryFile, unlinkIfThere } from './temporary-file.ts';
import { inTurn, trueName } from './turns.ts';

const ENDS = ['close', 'keep-open'] as const;

export interface DurableRenameOptions {
  /** Gives up, with nothing changed, if it has fired when the sync is done. */
  readonly signal?: AbortSignal | undefined;
  /**
   * With `close` the file is closed while its directory is synced; `temporary.abandon` tells how that
   * went. Default `keep-open`.
   */
  readonly afterwards?: (typeof ENDS)[number] | undefined;
}

/**
 * Replaces `target`, if there is one.
 *
 * Durability: once it resolves, the new content is under the name, whatever crashes.
 */
export async function durableRename(
  temporary: TemporaryFile,
  target: string,
  options: DurableRenameOptions = {},
): Promise<void> {
  atOnceFailingWith('not-applied', () => checkChoice('afterwards', options.afterwards, ENDS));
  const absolute = atOnceFailingWith('not-applied', () => absolutePath(target));
  await failingWith('not-applied', makeReady(temporary, absolute));
  await renameSynced(temporary, absolute, options);
}

/**
 * Takes a name that nobody has: a link fails where a rename would replace. Where the file system
 * has no links, a check and a rename must do: nobody in this process gets in between, but two
 * processes that race could replace each other.
 *
 * Throws: `exists` if the name is taken; that file is untouched.
 * Durability: once it resolves, the file is under the name, whatever crashes.
 */
export async function publishNew(temporary: TemporaryFile, target: string): Promise<void> {
  const absolute = atOnceFailingWith('not-applied', () => absolutePath(target));
  await failingWith('not-applied', makeReady(temporary, absolute));
  await linkSynced(temporary, absolute);
}

/** What must hold before the file takes a name. */
async function makeReady(temporary: TemporaryFile, target: string): Promise<void> {
  const { file } = temporary;
  await file.sync();
  await throwIfDirectoryFailed(file.openFiles.fileSystem, dirname(target));
  await refuseReplaced(temporary);
}

/**
 * Whoever takes the file for a leftover may remove it, and another writer have its name by then:
 * that file is neither what was synced nor ours to delete.
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
  await failingWith('durable', unlinkIfThere(openFiles, temporary.path));
  // It fails if the temporary file was abandoned meanwhile; so it does behind a rename.
  atOnceFailingWith('durable', () => temporary.keep());
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
  atOnceFailingWith('in-doubt', () => temporary.keep());
  if (afterwards === 'close') void Promise.allSettled([temporary.abandon()]);
  await failingWith('in-doubt', openFiles.syncDirectory(dirname(target)));
}

async function renameToNew(temporary: TemporaryFile, target: string): Promise<void> {
  const { openFiles } = temporary.file;
  const { fileSystem } = openFiles;
  try {
    const name = await openFiles.report(trueName(fileSystem, target));
    await inTurn({ owner: fileSystem, name }, async () => {
      await refuseExisting(openFiles, target);
      await renameSynced(temporary, target, {});
    });
  } catch (error) {
    throw withOutcome(error, 'not-applied');
  }
}

/**
 * How systems refuse links where a rename may work: file systems without them, Android (EACCES),
 * quotas by directory (EXDEV), Windows (EISDIR, UNKNOWN). EPERM and EACCES may also be meant as
 * they are: then the rename fails in the same way, and that error is the one to tell.
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

async function refuseExisting(openFiles: OpenFiles, target: string): Promise<void> {
  try {
    await openFiles.report(openFiles.fileSystem.stat(target));
  } catch (error) {
    if (isStorageError(error, 'not-found')) return;
    throw error;
  }
  throw new StorageError('exists', {
    what: 'a file has this name already',
    path: target,
    errno: 'EEXIST',
  });
}

type OutcomeOfFailure = 'applied' | 'not-applied' | 'in-doubt';

/**
 * A link that failed usually did nothing. Over a network the answer may have been lost, and the
 * repeated request have met the link that the first one made: then the name is ours all the same.
 */
async function outcomeOfFailedLink(
  temporary: TemporaryFile,
  target: string,
): Promise<OutcomeOfFailure> {
  const isOurs = await isName(target, temporary);
  return isOurs === undefined ? 'in-doubt' : isOurs ? 'applied' : 'not-applied';
}

/** As with a link; but here another process may have replaced our file since. */
async function outcomeOfFailedRename(
  temporary: TemporaryFile,
  target: string,
  error: unknown,
): Promise<OutcomeOfFailure> {
  const isOurs = await isName(target, temporary);
  if (isOurs) return 'applied';
  // The temporary file had been taken away before.
  if (isOurs === false && isStorageError(error, 'not-found')) return 'not-applied';
  return (await isName(temporary.path, temporary)) ? 'not-applied' : 'in-doubt';
}

/** Whether the path is a name of the file; undefined where that cannot be known. */
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

/** As `failingWith`, for what does not wait. */
function atOnceFailingWith<T>(outcome: Outcome, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    throw replacingOutcome(error, outcome);
  }
}

function replacingOutcome(error: unknown, outcome: Outcome): unknown {
  return isStorageError(error) ? error.with({ outcome }) : error;
}

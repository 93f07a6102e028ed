/** Converts errors of the system into StorageErrors. */
import { isStorageError, StorageError, type StorageErrorCode } from '../errors.ts';
import { messageOf } from '../realms.ts';

const CODE_OF_ERRNO: ReadonlyMap<string, StorageErrorCode> = new Map([
  ['ENOENT', 'not-found'],
  ['EEXIST', 'exists'],
]);

/** The device or file system is broken, not merely full: an application may want to exit. */
const FATAL_ERRNOS: ReadonlySet<string> = new Set(['EIO', 'EROFS']);

/** The process or the system has no descriptor left. */
const DESCRIPTOR_ERRNOS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE']);

/** Errors from file systems that cannot sync directories: CIFS, vboxsf, some of FUSE. */
const SYNC_UNSUPPORTED: ReadonlySet<string> = new Set([
  'EINVAL',
  'ENOSYS',
  'ENOTSUP',
  'EOPNOTSUPP',
]);

/** Errors from opening a directory. */
export const DIRECTORY_OPENING_ERRNOS: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'EACCES',
  'ERR_ACCESS_DENIED',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
]);

/** `action` is a verb phrase without the path, such as `open file`. */
export function systemError(
  action: string,
  path: string | undefined,
  errno: string,
  cause?: unknown,
): StorageError {
  return new StorageError(CODE_OF_ERRNO.get(errno) ?? 'io', {
    what: `cannot ${action} (${errno})`,
    path,
    errno,
    cause,
  });
}

/** For a directory that was opened but could not be synced. */
export function directorySyncError(path: string, cause: unknown): StorageError {
  const errno = isStorageError(cause) ? cause.errno : errnoOf(cause);
  return new StorageError('sync-failed', {
    what: `cannot sync directory (${errno ?? messageOf(cause)}); names changed since its last sync may be lost`,
    path,
    errno,
    cause,
  });
}

/**
 * Wraps the error with which the caller's file system failed to sync a directory. Nothing was lost only
 * if the error shows that the directory could not be opened.
 */
export function fromForeignDirectorySync(path: string, error: unknown): StorageError {
  const isOfSync = callOf(error) === undefined ? !isOfOpening(error) : isSyncCall(error);
  return isOfSync ? directorySyncError(path, error) : fromNodeError('sync directory', path, error);
}

function isSyncCall(error: unknown): boolean {
  const name = callOf(error);
  return name === 'fsync' || name === 'fdatasync';
}

/** Includes EINVAL and the like, which are believed only if the sync itself reports them. */
function isOfOpening(error: unknown): boolean {
  const errno = errnoOf(error) ?? '';
  return DIRECTORY_OPENING_ERRNOS.has(errno) || SYNC_UNSUPPORTED.has(errno);
}

/** The name of the failed system call, which errors of node:fs carry. */
function callOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('syscall' in error)) return undefined;
  return typeof error.syscall === 'string' ? error.syscall : undefined;
}

/** Wraps an error of node:fs. */
export function fromNodeError(
  action: string,
  path: string | undefined,
  error: unknown,
): StorageError {
  if (isStorageError(error)) return error;
  const errno = errnoOf(error);
  if (errno !== undefined) return systemError(action, path, errno, error);
  const what = `cannot ${action}: ${messageOf(error)}`;
  return new StorageError('io', { what, path, cause: error });
}

export function isFatal(error: StorageError): boolean {
  return error.code === 'sync-failed' || FATAL_ERRNOS.has(error.errno ?? '');
}

/** Never true of a failed sync, whatever its errno: that concerns written data. */
export function isOutOfDescriptors(error: unknown): boolean {
  if (!isStorageError(error) || error.code === 'sync-failed') return false;
  return DESCRIPTOR_ERRNOS.has(error.errno ?? '');
}

/** True if the file system cannot sync directories, so that nothing was lost. */
export function isSyncUnsupported(error: unknown): boolean {
  if (!isStorageError(error, 'sync-failed')) return false;
  return SYNC_UNSUPPORTED.has(error.errno ?? '');
}

/** True if Node's permission model refused the call, so that nothing was done. */
export function isForbidden(error: unknown): boolean {
  return isStorageError(error) && error.errno === 'ERR_ACCESS_DENIED';
}

export function isInterrupted(error: unknown): boolean {
  return isStorageError(error) && error.errno === 'EINTR';
}

/** The name of the system error. Looks only at properties, since the error may be of another realm. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  if ('errno' in error && typeof error.errno === 'number') {
    // Not imported: from Node 24 on, an import of all of node:util loads the worker threads, too.
    return process.getBuiltinModule('node:util').getSystemErrorMap().get(error.errno)?.[0];
  }
  return undefined;
}

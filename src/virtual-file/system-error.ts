/** How the system's error numbers become StorageErrors. */
import { StorageError, type StorageErrorCode } from '../errors.ts';

const CODE_OF_ERRNO: ReadonlyMap<string, StorageErrorCode> = new Map([
  ['ENOENT', 'not-found'],
  ['EEXIST', 'exists'],
]);

/** Device or file system is broken, not merely full: an application may want to end the process. */
const FATAL_ERRNOS: ReadonlySet<string> = new Set(['EIO', 'EROFS']);

/** The process, or the system, has no descriptor left. */
const DESCRIPTOR_ERRNOS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE']);

/** What opening can say, and a sync cannot. */
const OPENING_ERRNOS: ReadonlySet<string> = new Set([
  ...DESCRIPTOR_ERRNOS,
  'EACCES',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
]);

/** Requires: `action` is a verb phrase without the path: `open file`. */
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

/** Wraps what node:fs rejects with. */
export function fromNodeError(
  action: string,
  path: string | undefined,
  error: unknown,
): StorageError {
  if (error instanceof StorageError) return error;
  return systemError(action, path, errnoOf(error), error);
}

export function isFatal(error: StorageError): boolean {
  return error.code === 'sync-failed' || FATAL_ERRNOS.has(error.errno ?? '');
}

export function isOutOfDescriptors(error: unknown): boolean {
  return error instanceof StorageError && DESCRIPTOR_ERRNOS.has(error.errno ?? '');
}

/** Of the sync of a directory: true if it was not even opened, so that nothing is lost. */
export function isFailureToOpen(error: StorageError): boolean {
  return OPENING_ERRNOS.has(error.errno ?? '');
}

export function isInterrupted(error: unknown): boolean {
  return error instanceof StorageError && error.errno === 'EINTR';
}

function errnoOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return error.code;
  }
  return 'EUNKNOWN';
}

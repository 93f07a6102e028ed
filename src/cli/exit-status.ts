/** Exit statuses, and the status of an error. */
import { isStorageError, type StorageErrorCode } from '../errors.ts';

export const CLEAN = 0;
/** Damage, differences, or a key that does not exist. */
export const FINDINGS = 1;
export const WRONG_USAGE = 2;
/** The source could not be read: I/O error, network, permission, missing file, special file. */
export const COULD_NOT_LOOK = 3;
export const UNKNOWN_VERSION = 4;
export const INTERRUPTED = 130;

export type ExitStatus =
  | typeof CLEAN
  | typeof FINDINGS
  | typeof WRONG_USAGE
  | typeof COULD_NOT_LOOK
  | typeof UNKNOWN_VERSION
  | typeof INTERRUPTED;

export function statusOfCode(code: StorageErrorCode): ExitStatus {
  switch (code) {
    case 'usage':
    case 'invalid-input':
      return WRONG_USAGE;
    case 'io':
    case 'not-found':
    case 'sync-failed':
    case 'closed':
    case 'network':
    case 'denied':
    case 'changed':
      return COULD_NOT_LOOK;
    case 'unsupported-version':
      return UNKNOWN_VERSION;
    case 'aborted':
      return INTERRUPTED;
    case 'corrupt':
    case 'truncated':
    case 'too-large':
    case 'out-of-order':
    case 'out-of-range':
    case 'empty':
    case 'exists':
    case 'ambiguous-name':
    case 'needs-redo':
    case 'no-base':
    case 'gap':
      return FINDINGS;
  }
}

/** Any other error is a bug: the command found out nothing. */
export function statusOfError(error: unknown): ExitStatus {
  return isStorageError(error) ? statusOfCode(error.code) : COULD_NOT_LOOK;
}

const STRONGEST_FIRST: readonly ExitStatus[] = [
  INTERRUPTED,
  WRONG_USAGE,
  COULD_NOT_LOOK,
  FINDINGS,
  UNKNOWN_VERSION,
  CLEAN,
];

/** Combines the statuses of two files. */
export function strongest(left: ExitStatus, right: ExitStatus): ExitStatus {
  return STRONGEST_FIRST.indexOf(left) <= STRONGEST_FIRST.indexOf(right) ? left : right;
}

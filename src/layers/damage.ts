/** Tells errors that mean a damaged file from those that prevent us from examining it. */
import { isStorageError, type StorageError, type StorageErrorCode } from '../errors.ts';

const CODES_OF_DAMAGE: ReadonlySet<StorageErrorCode> = new Set<StorageErrorCode>([
  'corrupt',
  'truncated',
  'unsupported-version',
  'too-large',
  'out-of-order',
  'out-of-range',
]);

/** True for errors that salvaging and verifying report before they continue; they throw any other. */
export function isDamage(error: unknown): error is StorageError {
  return isStorageError(error) && CODES_OF_DAMAGE.has(error.code);
}

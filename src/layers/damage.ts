/** Which errors tell of a damaged file, and which of something that keeps us from looking at it. */
import { isStorageError, type StorageError, type StorageErrorCode } from '../errors.ts';

const CODES_OF_DAMAGE: ReadonlySet<StorageErrorCode> = new Set<StorageErrorCode>([
  'corrupt',
  'truncated',
  'unsupported-version',
  'too-large',
  'out-of-order',
  'out-of-range',
]);

/** True for what salvaging and verifying report before they go on; they throw anything else. */
export function isDamage(error: unknown): error is StorageError {
  return isStorageError(error) && CODES_OF_DAMAGE.has(error.code);
}

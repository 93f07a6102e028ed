/** Progress callbacks of long operations. */
import { isStorageError, StorageError } from './errors.ts';
import { messageOf } from './realms.ts';

/** Called with the bytes done so far and the total. */
export type OnProgress = (bytesDone: number, bytesTotal: number) => void;

/** Throws: `io` if the callback throws anything but a StorageError. */
export function tellProgress(
  onProgress: OnProgress | undefined,
  bytesDone: number,
  bytesTotal: number,
): void {
  try {
    onProgress?.(bytesDone, bytesTotal);
  } catch (error) {
    if (isStorageError(error)) throw error;
    const what = `progress callback failed: ${messageOf(error)}`;
    throw new StorageError('io', { what, cause: error });
  }
}

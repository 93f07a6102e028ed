/** Callbacks that are told how far a long operation is. */
import { isStorageError, StorageError } from './errors.ts';
import { messageOf } from './realms.ts';

export type OnProgress = (bytesDone: number, bytesTotal: number) => void;

/** Throws: `io` for whatever the callback throws, other than a StorageError. */
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

/** Closes a file after an error, which must not be hidden by an error of closing. */
import { isStorageError } from '../errors.ts';
import type { SyncOpenFile } from './file-system.ts';

export function closeQuietly(openFile: SyncOpenFile): void {
  try {
    openFile.closeSync();
  } catch (error) {
    if (!isStorageError(error)) throw error;
  }
}

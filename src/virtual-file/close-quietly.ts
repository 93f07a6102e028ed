/** Closing a file because of an error: that error counts, not one of closing. */
import { isStorageError } from '../errors.ts';
import type { SyncOpenFile } from './file-system.ts';

export function closeQuietly(openFile: SyncOpenFile): void {
  try {
    openFile.closeSync();
  } catch (error) {
    if (!isStorageError(error)) throw error;
  }
}

/** Creates temporary files under names that no other writer uses, in this process or another. */
import { isStorageError, StorageError } from '../errors.ts';
import { newToken } from './leftover-names.ts';
import { OpenFiles } from './open-files.ts';
import { TemporaryFile, type TemporaryFileOptions } from './temporary-file.ts';

/**
 * One collision of random names is an accident; several consecutive ones mean a broken file system.
 */
const ATTEMPTS = 8;

/** Creates a file whose name contains a token that identifies the owner. Throws `io`. */
export async function createUnique(
  pathOf: (token: string) => string,
  options: TemporaryFileOptions,
): Promise<TemporaryFile> {
  const { openFiles = OpenFiles.shared() } = options;
  for (let attempt = 1; ; attempt += 1) {
    const path = pathOf(newToken(openFiles.owners.own()));
    try {
      return await TemporaryFile.create(path, options);
    } catch (error) {
      if (!isStorageError(error, 'exists')) {
        // The file may have been created anyway. Nobody else uses the name.
        await Promise.allSettled([openFiles.fileSystem.unlink(path)]);
        throw error;
      }
      if (attempt >= ATTEMPTS) throw noFreeName(path, error);
    }
  }
}

/** Not `exists`, since the caller's own name may be free. */
function noFreeName(path: string, cause: StorageError): StorageError {
  return new StorageError('io', {
    what: 'no free name for a temporary file',
    path,
    errno: cause.errno,
    cause,
  });
}

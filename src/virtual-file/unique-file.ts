/** Temporary files under names that no other writer has, in this process or another. */
import { isStorageError, StorageError } from '../errors.ts';
import { newToken } from './leftover-names.ts';
import { OpenFiles } from './open-files.ts';
import { TemporaryFile, type TemporaryFileOptions } from './temporary-file.ts';

/** A random name that is taken is an accident; several in a row are a broken file system. */
const ATTEMPTS = 8;

/** Creates the file under a path with a token that tells who made it. Throws `io`. */
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
        // It may have failed after the file was there. The name is nobody else's.
        await Promise.allSettled([openFiles.fileSystem.unlink(path)]);
        throw error;
      }
      if (attempt >= ATTEMPTS) throw noFreeName(path, error);
    }
  }
}

/** Not `exists`: the name that the caller wants may well be free. */
function noFreeName(path: string, cause: StorageError): StorageError {
  return new StorageError('io', {
    what: 'no name is free for a temporary file',
    path,
    errno: cause.errno,
    cause,
  });
}

/** Temporary files under numbered names, of which each of several writers takes a free one. */
import { isStorageError, StorageError } from '../errors.ts';
import { TemporaryFile, type TemporaryFileOptions } from './temporary-file.ts';

/** Numbers that are tried in order; where crashes have left so many files, random ones follow. */
const ORDERED_NUMBERS = 100;
const RANDOM_NUMBERS = 16;
const RANDOM_NUMBER_LIMIT = 2 ** 48;

/** Creates the file under the first number that is free. Throws `io` where none is found. */
export async function createNumbered(
  pathOf: (number: number) => string,
  options: TemporaryFileOptions,
): Promise<TemporaryFile> {
  for (let attempt = 0; ; attempt += 1) {
    const isOrdered = attempt < ORDERED_NUMBERS;
    const path = pathOf(isOrdered ? attempt : Math.floor(Math.random() * RANDOM_NUMBER_LIMIT));
    try {
      return await TemporaryFile.create(path, options);
    } catch (error) {
      if (!isStorageError(error, 'exists')) throw error;
      if (attempt >= ORDERED_NUMBERS + RANDOM_NUMBERS) throw noFreeName(path, error);
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

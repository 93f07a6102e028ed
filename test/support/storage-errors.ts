/** The errors of this library, as tests look at them. */
import { StorageError } from '../../src/errors.ts';

/** What the promise rejects with. Fails unless that is a StorageError. */
export async function storageErrorOf(promise: Promise<unknown>): Promise<StorageError> {
  return promise.then(
    () => {
      throw new Error('expected a StorageError, but it resolved');
    },
    (error: unknown) => {
      if (error instanceof StorageError) return error;
      throw error;
    },
  );
}

/** As `storageErrorOf`, for functions that throw synchronously. */
export function storageErrorThrownBy(action: () => unknown): StorageError {
  try {
    action();
  } catch (error) {
    if (error instanceof StorageError) return error;
    throw error;
  }
  throw new Error('expected a StorageError, but nothing was thrown');
}

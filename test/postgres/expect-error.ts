/** The StorageError that a call throws or rejects with; anything else fails the test. */
import { StorageError } from '../../src/errors.ts';

export function storageErrorOf(call: () => unknown): StorageError {
  try {
    call();
  } catch (error) {
    if (error instanceof StorageError) return error;
    throw error;
  }
  throw new Error('expected a StorageError, but the call returned');
}

export async function storageErrorFrom(promise: Promise<unknown>): Promise<StorageError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof StorageError) return error;
    throw error;
  }
  throw new Error('expected a StorageError, but the promise resolved');
}

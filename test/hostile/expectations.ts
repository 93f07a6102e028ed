/** What a reader of any bytes may do, and what must hold then. */
import { isStorageError, StorageError } from '../../src/errors.ts';
import { Inconsistent } from './oracle.ts';

/** An error that quotes a file is short all the same, but for the file's name. */
const MAXIMUM_MESSAGE_LENGTH = 2000;

const DAMAGE = ['corrupt', 'truncated', 'unsupported-version', 'too-large', 'out-of-range'];

/** Undefined where it is refused as damaged. */
export function read<T>(
  action: () => T,
  hasOffset: boolean,
  codes: readonly string[] = DAMAGE,
): T | undefined {
  const result = errorOr(action);
  if (!(result instanceof StorageError)) return result;
  must(codes.includes(result.code), `${result.code} is an error of a bad file`);
  must(result.message.length <= MAXIMUM_MESSAGE_LENGTH, 'messages are short');
  must(!hasOffset || Number.isSafeInteger(result.offset), 'errors say where');
  return undefined;
}

export function errorOr<T>(action: () => T): T | StorageError {
  try {
    return action();
  } catch (error) {
    if (isStorageError(error)) return error;
    throw error;
  }
}

export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Inconsistent(what);
}

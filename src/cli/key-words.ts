/** A key as it stands in arguments: 36 hex digits, or fields. */
import { isStorageError, StorageError } from '../errors.ts';
import type { Key } from '../layers/key.ts';
import { parseKeyText } from '../postgres/key-fields.ts';

/** Throws `usage`: whatever is wrong with the words was typed. */
export function parseKeyWords(words: readonly string[]): Key {
  try {
    return parseKeyText(words);
  } catch (error) {
    if (!isStorageError(error)) throw error;
    throw new StorageError('usage', { what: error.message, cause: error });
  }
}

/** For callers whose types nobody checked. */
import { StorageError } from './errors.ts';

/** Throws `invalid-input` for what is no Uint8Array. */
export function checkBytes(bytes: unknown, what: string): asserts bytes is Uint8Array {
  if (bytes instanceof Uint8Array) return;
  throw new StorageError('invalid-input', { what, expected: 'Uint8Array', actual: typeof bytes });
}

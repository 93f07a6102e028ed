/** For callers whose types nobody checked. */
import { isUint8Array } from 'node:util/types';
import { StorageError } from './errors.ts';

/** Throws `invalid-input` for what is no Uint8Array. */
export function checkBytes(bytes: unknown, what: string): asserts bytes is Uint8Array {
  if (isUint8Array(bytes)) return;
  throw new StorageError('invalid-input', { what, expected: 'Uint8Array', actual: typeof bytes });
}

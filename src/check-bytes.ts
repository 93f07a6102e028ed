/** Checks byte arrays from untyped callers. */
import { isUint8Array } from 'node:util/types';
import { StorageError } from './errors.ts';

/** Throws `invalid-input` unless the value is a Uint8Array. */
export function checkBytes(bytes: unknown, what: string): asserts bytes is Uint8Array {
  if (isUint8Array(bytes)) return;
  throw new StorageError('invalid-input', { what, expected: 'Uint8Array', actual: typeof bytes });
}

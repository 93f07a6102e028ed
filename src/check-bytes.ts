/** Checks byte arrays from untyped callers, without a module of Node, so that it runs in browsers too. */
import { StorageError } from './errors.ts';

/** Names the type of any typed array, of whatever realm; undefined for other values. */
const typedArrayName = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)?.get;

/** Whether the value is a Uint8Array, of whatever realm. */
export function isBytes(value: unknown): value is Uint8Array {
  return typedArrayName?.call(value) === 'Uint8Array';
}

/** Throws `invalid-input` unless the value is a Uint8Array. */
export function checkBytes(bytes: unknown, what: string): asserts bytes is Uint8Array {
  if (isBytes(bytes)) return;
  throw new StorageError('invalid-input', { what, expected: 'Uint8Array', actual: typeof bytes });
}

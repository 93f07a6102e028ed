/**
 * Recognizes values of any realm.
 *
 * In a vm context (jest, the vm pools of vitest) the errors of `node:fs`, and the arrays, dates and
 * objects of a caller, may come from another realm, whose classes are different objects under the
 * same names. The same holds for the classes of this package where two copies of it are loaded. So
 * `instanceof` and comparisons of prototypes are not used: values are recognized by `node:util/types`, by
 * their properties, or by a brand.
 */
import { isNativeError } from 'node:util/types';

/** True for a built-in error with the name, such as `RangeError`. */
export function isErrorNamed(error: unknown, name: string): boolean {
  return isNativeError(error) && error.name === name;
}

/** The message of an error, or the text of any other thrown value. */
export function messageOf(thrown: unknown): string {
  if (typeof thrown !== 'object' || thrown === null) return String(thrown);
  const texts: unknown[] = [Reflect.get(thrown, 'message'), Reflect.get(thrown, 'name')];
  const isText = (text: unknown) => typeof text === 'string' && text !== '';
  return String(texts.find(isText) ?? 'an object without a message');
}

/** True for an object literal, and for an object without a prototype. */
export function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: object | null = Object.getPrototypeOf(value);
  if (prototype === null) return true;
  // Only the Object.prototype of a realm has no prototype and owns this method.
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf');
}

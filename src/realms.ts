/**
 * What a value is, whichever realm made it.
 *
 * In a vm context (jest, the vm pools of vitest) the errors of `node:fs`, and the arrays, dates and
 * objects of a caller, may come from another realm, whose classes are different objects under the
 * same names. The same holds for the classes of this package where two copies of it are loaded. So
 * `instanceof` and comparisons of prototypes are not used: values are known by `node:util/types`, by
 * their properties, or by a brand.
 */
import { isNativeError } from 'node:util/types';

/** True for an error of the language by its name, such as `RangeError`. */
export function isErrorNamed(error: unknown, name: string): boolean {
  return isNativeError(error) && error.name === name;
}

/** What an error says, or the text of anything else that was thrown. */
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
  // Only the first prototype of a realm has none itself and this method of its own.
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf');
}

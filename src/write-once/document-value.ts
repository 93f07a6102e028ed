/** What a document can hold. */
import { isBytes } from '../check-options.ts';
import { StorageError, tooLarge } from '../errors.ts';
import { isPlainObject } from '../realms.ts';
import type { MsgpackLimits } from './msgpack-limits.ts';

/** A value in a document. -0 is stored as 0. */
export type DocumentValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | DocumentValue[]
  | DocumentMap;

/** A map of a document. A decoded map has no prototype, so that it has only the stored keys. */
export interface DocumentMap {
  [key: string]: DocumentValue;
}

/**
 * Accepts only values that are decoded as themselves.
 *
 * Throws: `invalid-input`, `too-large` (more levels or values than the limits; the outermost map is
 * level 1).
 */
export function checkDocument(document: unknown, limits: MsgpackLimits): void {
  new ValueChecker(limits).map(document, 'document', 1);
}

class ValueChecker {
  readonly #limits: MsgpackLimits;
  #count = 0;

  constructor(limits: MsgpackLimits) {
    this.#limits = limits;
  }

  map(value: unknown, name: string, depth: number): void {
    if (!isPlainObject(value)) throw unsupported(name, describeValue(value));
    this.#checkLimits(name, depth);
    for (const [key, item] of Object.entries(value)) {
      checkText(key, name);
      if (key === '__proto__') throw unsupported(name, 'a key "__proto__"');
      this.#value(item, key, depth + 1);
    }
  }

  #value(value: unknown, name: string, depth: number): void {
    if (typeof value === 'string') checkText(value, name);
    else if (typeof value === 'bigint') checkInteger(value, name);
    else if (Array.isArray(value)) this.#array(value, name, depth);
    else if (!isScalar(value)) this.map(value, name, depth);
  }

  #array(values: readonly unknown[], name: string, depth: number): void {
    this.#checkLimits(name, depth);
    for (const value of values) this.#value(value, name, depth + 1);
  }

  /** Also bounds the walk: a list may contain itself, or another list many times. */
  #checkLimits(name: string, depth: number): void {
    const { maximumDepth, maximumCount } = this.#limits;
    this.#count += 1;
    if (depth > maximumDepth) throw tooLarge(name, { maximum: maximumDepth, unit: 'levels' });
    if (this.#count > maximumCount) throw tooLarge(name, { maximum: maximumCount, unit: 'values' });
  }
}

function isScalar(value: unknown): boolean {
  if (value === null || isBytes(value)) return true;
  return typeof value === 'boolean' || typeof value === 'number';
}

function checkInteger(value: bigint, name: string): void {
  if (value === BigInt.asIntN(64, value) || value === BigInt.asUintN(64, value)) return;
  throw unsupported(name, 'an integer of more than 64 bits');
}

function checkText(text: string, name: string): void {
  if (/\p{Surrogate}/u.test(text)) throw unsupported(name, 'a lone surrogate');
}

/**
 * Removes the prototypes of all maps in a value, in place. A map created without one takes three times
 * the memory, and a document may consist of empty maps.
 *
 * Requires: the depth was checked, since it bounds the recursion.
 */
export function dropPrototypes(value: unknown): void {
  if (Array.isArray(value)) {
    for (const item of value) dropPrototypes(item);
  } else if (isPlainObject(value)) {
    Object.setPrototypeOf(value, null);
    for (const key in value) dropPrototypes(Reflect.get(value, key));
  }
}

/** True for a map after `dropPrototypes`. */
export function isDocumentMap(value: unknown): value is DocumentMap {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === null;
}

function unsupported(what: string, actual: string): StorageError {
  const expected = 'a value that a document can hold';
  return new StorageError('invalid-input', { what, expected, actual });
}

export function describeValue(value: unknown): string {
  if (typeof value !== 'object') return typeof value;
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : 'an object of a class';
}

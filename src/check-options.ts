/** Checks arguments and options from untyped callers, with uniform messages. */
import { StorageError } from './errors.ts';
import { nearestName } from './nearest-name.ts';
import { valueText } from './printable.ts';

interface Bounds {
  /** Default 0. */
  readonly from?: number;
  /** Default: 2^53 - 1. */
  readonly to?: number;
}

/** Throws `invalid-input` unless the value is an integer within the bounds. */
export function checkCount(what: string, value: unknown, { from = 0, to }: Bounds = {}): void {
  // Only numbers: converting an object would run its code.
  if (typeof value === 'number' && Number.isSafeInteger(value)) {
    if (value >= from && (to === undefined || value <= to)) return;
  }
  throw refused(what, `an integer from ${from}${to === undefined ? '' : ` to ${to}`}`, value);
}

/** As `checkCount` for a limit, which may be undefined or Infinity. NaN would mean no limit. */
export function checkLimit(what: string, limit: unknown, bounds: Bounds = {}): void {
  if (limit === undefined) return;
  if (limit === Number.POSITIVE_INFINITY && bounds.to === undefined) return;
  checkCount(what, limit, bounds);
}

/** Throws `invalid-input` unless the value is permission bits or undefined. */
export function checkMode(mode: unknown): void {
  if (mode !== undefined) checkCount('mode', mode, { to: 0o7777 });
}

/** Throws `invalid-input` unless the value is one of the choices or undefined. */
export function checkChoice<T extends string>(
  what: string,
  value: T | undefined,
  choices: readonly T[],
): void {
  if (value !== undefined) checkOneOf(what, value, choices);
}

/** As `checkChoice`, but undefined is refused. */
export function checkOneOf(what: string, value: unknown, choices: readonly string[]): void {
  if (typeof value === 'string' && choices.includes(value)) return;
  throw refused(what, choices.map((choice) => `'${choice}'`).join(' or '), value);
}

/** Throws `invalid-input` unless the value is true, false or undefined. */
export function checkFlag(what: string, value: unknown): void {
  if (value !== undefined) checkBoolean(what, value);
}

/** Throws `invalid-input` unless the value is true or false. */
export function checkBoolean(what: string, value: unknown): asserts value is boolean {
  if (typeof value !== 'boolean') throw refused(what, 'true or false', value);
}

/** Throws `invalid-input` unless the value is a function or undefined. */
export function checkFunction(what: string, value: unknown): void {
  if (value !== undefined) checkCallable(what, value);
}

/** Throws `invalid-input` unless the value is a function. */
export function checkCallable(what: string, value: unknown): void {
  if (typeof value !== 'function') throw refused(what, 'a function', value);
}

/** Throws `invalid-input` unless the value is an array, or a typed array. */
export function checkArray(what: string, value: unknown): asserts value is readonly unknown[] {
  if (Array.isArray(value)) return;
  if (ArrayBuffer.isView(value) && 'length' in value && !isDetached(value)) return;
  throw refused(what, 'an array', value);
}

/** Throws `invalid-input` unless the value is a string. */
export function checkText(what: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw refused(what, 'a text', value);
}

/** Names the type of any typed array, of any realm; undefined for other values. Does not need a module of Node. */
const typedArrayName = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)?.get;

/** Whether the value is a Uint8Array, of any realm, that still has its buffer. */
export function isBytes(value: unknown): value is Uint8Array {
  if (!ArrayBuffer.isView(value)) return false;
  // The usual case, which a compiler turns into a few instructions. Each put checks two.
  if (value instanceof Uint8Array) return value.length > 0 || !isDetached(value);
  return typedArrayName?.call(value) === 'Uint8Array' && !isDetached(value);
}

/** Whether the buffer of the view was transferred: most operations on such a view throw a TypeError. */
function isDetached(view: ArrayBufferView): boolean {
  if (view.byteLength > 0) return false;
  try {
    new Uint8Array(view.buffer);
    return false;
  } catch {
    return true;
  }
}

/** Throws `invalid-input` unless the value is a Uint8Array. */
export function checkBytes(bytes: unknown, what: string): asserts bytes is Uint8Array {
  if (!isBytes(bytes)) throw refused(what, 'a Uint8Array', bytes);
}

/** Throws `invalid-input` unless the value is a DataView, of any realm. */
export function checkDataView(what: string, value: unknown): asserts value is DataView {
  if (ArrayBuffer.isView(value) && 'getUint32' in value) return;
  throw refused(what, 'a DataView', value);
}

/** Throws `invalid-input` unless the value is a bigint. */
export function checkBigint(what: string, value: unknown): void {
  if (typeof value !== 'bigint') throw refused(what, 'a bigint', value);
}

/** Throws `invalid-input` unless the value is undefined or an AbortSignal of any realm. */
export function checkSignal(signal: unknown): asserts signal is AbortSignal | undefined {
  if (signal === undefined) return;
  const isSignal =
    typeof memberOf(signal, 'aborted') === 'boolean' &&
    typeof memberOf(signal, 'addEventListener') === 'function' &&
    typeof memberOf(signal, 'removeEventListener') === 'function';
  if (!isSignal) throw refused('signal', 'an AbortSignal', signal);
}

/**
 * A property; undefined if there is none. A getter of a class throws for an object that only inherits from the class.
 */
export function memberOf(value: unknown, name: string): unknown {
  if (!isObject(value)) return undefined;
  try {
    return value[name];
  } catch {
    return undefined;
  }
}

/** Whether the value has properties: neither a primitive value nor null, nor a function. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** Whether the value is an integer from 0 to 2^53 - 1. */
export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Throws `invalid-input` unless the value is an object: options, or a record to encode. */
export function checkObject(what: string, value: unknown): asserts value is object {
  if (!isObject(value)) throw refused(what, 'an object', value);
}

/**
 * The items of an iterable, for one loop. Throws `invalid-input` for what cannot be iterated over, in the loop as well:
 * it would throw a TypeError for an iterator that breaks the protocol. What the iterator throws is passed on.
 */
export function itemsOf<T>(what: string, iterable: Iterable<T>): Iterable<T> {
  checkIterable(what, iterable);
  if (Array.isArray(iterable)) return iterable;
  const iterator = iteratorOf(what, iterable);
  const items: IterableIterator<T> = {
    [Symbol.iterator]: () => items,
    next: () => {
      const result: unknown = iterator.next();
      if (isObject(result)) return result as unknown as IteratorResult<T>;
      throw refused(`step of the iterator of ${what}`, 'an object', result);
    },
    return: () => {
      if (typeof iterator.return === 'function') iterator.return();
      return { done: true, value: undefined };
    },
  };
  return items;
}

/** The items of an iterable, which is read once. Each is checked before the next is asked for. Throws as `itemsOf`. */
export function checkedItems<T>(
  what: string,
  iterable: Iterable<T>,
  check: (item: T) => void,
): T[] {
  return Array.from(itemsOf(what, iterable), (item) => {
    check(item);
    return item;
  });
}

function iteratorOf<T>(what: string, iterable: Iterable<T>): Iterator<T> {
  let iterator: unknown;
  try {
    iterator = iterable[Symbol.iterator]();
  } catch {
    // As of a typed array that has no buffer, or that only inherits from the class.
  }
  if (!isObject(iterator) || typeof iterator['next'] !== 'function') {
    throw refused(what, 'an iterable', iterable);
  }
  return iterator as unknown as Iterator<T>;
}

/** Throws `invalid-input` unless the value can be iterated over. */
function checkIterable(what: string, value: unknown): void {
  const isIterable =
    (typeof value === 'object' || typeof value === 'string') &&
    value !== null &&
    typeof Reflect.get(Object(value), Symbol.iterator) === 'function';
  if (!isIterable) throw refused(what, 'an iterable', value);
}

/** Throws `invalid-input` unless the value has the method that identifies its class, in any copy of the library. */
export function checkMethod(what: string, value: unknown, method: string): void {
  const isObject = typeof value === 'object' && value !== null;
  if (!isObject || typeof Reflect.get(value, method) !== 'function') {
    throw refused(what, `an object with ${method}()`, value);
  }
}

/**
 * The names of all options; a record, so that the compiler finds one that is missing. An option that is a
 * function is checked with its name: a call of anything else would fail far from the mistake.
 */
export type KnownOptions<T = Record<string, unknown>> = Readonly<
  Record<keyof T, true | 'function'>
>;

/**
 * Throws `invalid-input` for options that are not an object, or have an unknown name: a misspelt option
 * would be ignored. Names whose value is undefined are left alone, as if they were absent.
 */
export function checkOptions(options: unknown, known: KnownOptions): void {
  checkObject('options', options);
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (Object.hasOwn(known, name)) {
      if (known[name] === 'function') checkFunction(name, value);
      continue;
    }
    const names = Object.keys(known);
    const nearest = nearestName(name, names);
    const hint = nearest === undefined ? '' : `; did you mean '${nearest}'?`;
    throw new StorageError('invalid-input', {
      what: `unknown option '${name}'${hint}`,
      expected: nearest === undefined ? names.join(', ') : undefined,
    });
  }
}

/** Throws `invalid-input` unless the value is undefined or a table of descriptors, of any copy of the library. */
export function checkOpenFiles(openFiles: unknown): void {
  if (openFiles === undefined) return;
  const isTable =
    typeof openFiles === 'object' &&
    openFiles !== null &&
    'fileSystem' in openFiles &&
    'syncDirectory' in openFiles;
  if (!isTable) throw refused('openFiles', 'an OpenFiles', openFiles);
}

function refused(what: string, expected: string, value: unknown): StorageError {
  return new StorageError('invalid-input', { what, expected, actual: describe(value) });
}

/** Anything but a string or number is described by its type: printing an object would run its code. */
function describe(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : valueText(value);
}

/** Calls with one wrong part of right arguments, as plain JavaScript can make them, and what they throw. */
import { isStorageError } from '../../src/errors.ts';
import { HAS_ALL_ROUNDS } from './rounds.ts';

export type Method = (...args: readonly unknown[]) => unknown;
export interface Case {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly call: Method;
}

export function onFunction(name: string, callee: unknown, ...args: readonly unknown[]): Case {
  return { name, args, call: methodOf({ callee }, 'callee') };
}

/** A method of an object that is made for each call. */
export function onMethod(
  name: string,
  make: () => object | Promise<object>,
  method: string,
  ...args: readonly unknown[]
): Case {
  const call = async (...given: readonly unknown[]): Promise<void> => {
    const owner = await make();
    try {
      await consumed(methodOf(owner, method)(...given));
    } finally {
      for (const end of ['abandon', 'close']) {
        if (end in owner && methodOf(owner, end).length === 0) {
          await methodOf(owner, end)();
          break;
        }
      }
    }
  };
  return { name: `${name}.${method}`, args, call };
}

export function methodOf(owner: object, name: string): Method {
  const method: unknown = Reflect.get(owner, name);
  if (typeof method !== 'function') throw new Error(`${name} is not a method`);
  const call: Method = (...args) => Reflect.apply(method, owner, args);
  return Object.defineProperty(call, 'length', { value: method.length });
}

export const NOTHING = Symbol('the part is left out');
/** Its buffer was transferred. */
const DETACHED = new Uint8Array(18);
structuredClone(DETACHED.buffer, { transfer: [DETACHED.buffer] });
const BROKEN_ITERABLE = { [Symbol.iterator]: () => ({ next: () => 5 }) };
export const WRONG = [
  ...[undefined, null, 42, -1, 1.5, 5n, 'wrong', {}, [], true, () => {}, NOTHING],
  ...[Symbol('wrong'), DETACHED, BROKEN_ITERABLE, Object.create(AbortSignal.prototype)],
];
/** Cannot be turned into a text. */
export const UNPRINTABLE: unknown = Object.create(null);

/** By default one wrong value in four, others each time. */
const TURN = Date.now() % 4;
const TRIED = [...WRONG, UNPRINTABLE].filter((_, at) => HAS_ALL_ROUNDS || at % 4 === TURN);

/** What is thrown besides StorageErrors if parts of the arguments, one at a time, are replaced by wrong values. */
export async function faultsOf(args: readonly unknown[], call: Method): Promise<string[]> {
  const faults: string[] = [];
  for (const place of placesIn(args)) {
    const isCallback = typeof partAt(args, place) === 'function';
    for (const wrong of TRIED) {
      const answers = isCallback ? [() => wrong, async () => wrong] : [];
      for (const part of [wrong, ...answers]) {
        const error = await thrownBy(() => call(...withPart(args, place, part)));
        if (error === undefined || isStorageError(error)) continue;
        faults.push(`${place.join('.')}: ${String(error)}`);
      }
    }
  }
  return faults;
}

export type Place = readonly string[];

/** Every part of plain objects and arrays, at any depth, the whole arguments included. */
export function placesIn(value: unknown, at: Place = []): Place[] {
  const inner = isPlain(value)
    ? Object.entries(value).flatMap(([name, part]) => placesIn(part, [...at, name]))
    : [];
  return at.length === 0 ? inner : [at, ...inner];
}

export function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
}

export function partAt(value: unknown, place: Place): unknown {
  return place.reduce((part, name) => Reflect.get(Object(part), name), value);
}

export function withPart(value: unknown, place: Place, part: unknown): unknown[] {
  const changed = (inner: unknown, [name, ...rest]: Place): unknown => {
    if (name === undefined) return part;
    const copy: object = Array.isArray(inner) ? [...inner] : { ...Object(inner) };
    if (part === NOTHING && rest.length === 0) Reflect.deleteProperty(copy, name);
    else Reflect.set(copy, name, changed(Reflect.get(copy, name), rest));
    return copy;
  };
  const list = changed(value, place);
  return Array.isArray(list) ? Array.from(list) : [];
}

export async function thrownBy(action: () => unknown): Promise<unknown> {
  try {
    await consumed(action());
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Waits for a promise, and takes the first items of a sequence. */
export async function consumed(result: unknown): Promise<void> {
  const value = await result;
  if (typeof value !== 'object' || value === null) return;
  if (Symbol.asyncIterator in value) {
    const items = value as AsyncIterable<unknown>;
    for await (const _ of items) break;
  } else if ('close' in value && typeof value.close === 'function') {
    await Reflect.apply(value.close, value, []);
  }
}

/**
 * A store provided by the caller may return anything. This proxy enforces the contract of `object-store.ts`: an
 * impossible result is an error.
 */
import { isDate } from 'node:util/types';
import {
  checkFunction,
  checkLimit,
  checkMethod,
  checkText,
  isBytes,
  isCount,
  isObject,
} from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { valueText } from '../printable.ts';
import { type ObjectStore, pathOfObject } from './object-store.ts';

/** Those of this package, which keep the contract. */
const trusted = new WeakSet<object>();

export function trustStore(store: object): void {
  trusted.add(store);
}

const METHODS = ['head', 'list', 'put', 'readRanges', 'readStart'];

/**
 * The store itself if it belongs to this package, otherwise a checking proxy. Throws: `invalid-input` for a value that
 * is not a store.
 */
export function checkedStore(store: ObjectStore): ObjectStore {
  for (const method of METHODS) checkMethod('store', store, method);
  if (trusted.has(store)) return store;
  checkText('name of the store', store.name);
  checkLimit('maximumGap of the store', store.maximumGap);
  checkFunction('putFile of the store', store.putFile);
  // The proxy has a separate target, since the properties of `store` may be frozen.
  const proxy = new Proxy<ObjectStore>(Object.create(null), {
    has: (_, name) => Reflect.has(store, name),
    get: (_, name) => {
      const member: unknown = Reflect.get(store, name);
      if (typeof member !== 'function' || typeof name !== 'string') return member;
      const run = name === 'list' ? checkedItems : checkedResult;
      return (...values: unknown[]) =>
        run({ name, path: pathOf(store, values), values }, () =>
          Reflect.apply(member, store, values),
        );
    },
  });
  trusted.add(proxy);
  return proxy;
}

interface Request {
  /** Name of the method. */
  readonly name: string;
  readonly values: readonly unknown[];
  readonly path: string;
}

function pathOf(store: ObjectStore, [key]: readonly unknown[]): string {
  return typeof key === 'string' ? pathOfObject(store, key) : store.name;
}

async function checkedResult(request: Request, call: () => unknown): Promise<unknown> {
  const result = await call();
  const { name } = request;
  if (name === 'readStart') {
    const [, length] = request.values;
    if (isStart(result, Number(length))) return result;
    throw impossible(request, 'the start of an object', result);
  }
  const isRight =
    name === 'put' || name === 'putFile'
      ? isInfo(result)
      : name !== 'head' || result === undefined || isInfo(result);
  if (isRight) return result;
  throw impossible(request, 'the key and size of an object', result);
}

async function* checkedItems(request: Request, call: () => unknown): AsyncGenerator<unknown> {
  const items = call();
  if (!isAsyncIterable(items)) throw impossible(request, 'a sequence of objects', items);
  for await (const item of items) {
    const isPrefix = isObject(item) && typeof item['prefix'] === 'string';
    if (!isPrefix && !isInfo(item)) throw impossible(request, 'objects and prefixes', item);
    yield item;
  }
}

function isStart(value: unknown, length: number): boolean {
  if (!isObject(value)) return false;
  const { bytes, info } = value;
  return isBytes(bytes) && isInfo(info) && bytes.length <= Math.min(length, info.size);
}

function isInfo(value: unknown): value is { readonly size: number } {
  if (!isObject(value)) return false;
  const { key, size, etag, modified } = value;
  return (
    typeof key === 'string' &&
    isCount(size) &&
    (etag === undefined || typeof etag === 'string') &&
    (modified === undefined || isDate(modified))
  );
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return isObject(value) && typeof Reflect.get(value, Symbol.asyncIterator) === 'function';
}

function impossible({ name, path }: Request, expected: string, result: unknown): StorageError {
  return new StorageError('io', {
    what: 'invalid result of the store',
    path,
    expected: `${expected} from ${name}`,
    actual: valueText(result),
  });
}

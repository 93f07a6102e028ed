/**
 * A store provided by the caller may throw or return anything. This proxy enforces the contract of `object-store.ts`:
 * every exception becomes a StorageError with the path, and an impossible result is an error.
 */
import { isDate } from 'node:util/types';
import {
  checkFunction,
  checkLimit,
  checkMethod,
  checkSignal,
  checkText,
  isBytes,
  isCount,
  isObject,
} from '../check-options.ts';
import { abortedError, isStorageError, StorageError } from '../errors.ts';
import { valueText } from '../printable.ts';
import { messageOf } from '../realms.ts';
import { errnoOf } from '../virtual-file/system-error.ts';
import { type ObjectStore, pathOfObject } from './object-store.ts';

/** Those of this package, which keep the contract. */
const trusted = new WeakSet<object>();

export function trustStore(store: object): void {
  trusted.add(store);
}

const METHODS = ['head', 'list', 'put', 'readRanges', 'readStart'];

/** As words of a message. */
const ACTIONS: Readonly<Record<string, string>> = {
  head: 'look up object',
  list: 'list objects',
  put: 'write object',
  putFile: 'write object',
  readRanges: 'read object',
  readStart: 'read object',
};

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
  const result = await settled(request, call);
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
  const iterator = await settled(request, async () => iteratorOf(request, await call()));
  let isAtEnd = false;
  try {
    for (;;) {
      isAtEnd = true;
      const step = await settled(request, () => iterator.next());
      if (!isObject(step)) throw impossible(request, 'a sequence of objects', step);
      if (step.done === true) return;
      isAtEnd = false;
      const item: unknown = step.value;
      const isPrefix = isObject(item) && typeof item['prefix'] === 'string';
      if (!isPrefix && !isInfo(item)) throw impossible(request, 'objects and prefixes', item);
      yield item;
    }
  } finally {
    // As a loop does: an iterator that failed has ended.
    if (!isAtEnd && typeof iterator.return === 'function') await iterator.return();
  }
}

function iteratorOf(request: Request, items: unknown): AsyncIterator<unknown> {
  const iterator: unknown = isAsyncIterable(items) ? items[Symbol.asyncIterator]() : undefined;
  if (isIterator(iterator)) return iterator;
  throw impossible(request, 'a sequence of objects', items);
}

/** Awaits a call of the store. Throws `aborted` if its signal has fired; `io` for what is not a StorageError. */
async function settled<T>(request: Request, call: () => T | Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (isStorageError(error)) throw error;
    const { name, path, values } = request;
    const signal = signalOf(values);
    if (signal?.aborted) throw abortedError(signal, path);
    const what = `cannot ${ACTIONS[name] ?? name}: ${messageOf(error)}`;
    throw new StorageError('io', { what, path, errno: errnoOf(error), cause: error });
  }
}

/** That of the options, which are the last argument. */
function signalOf(values: readonly unknown[]): AbortSignal | undefined {
  const options = values.at(-1);
  if (!isObject(options) || isBytes(options)) return undefined;
  const { signal } = options;
  checkSignal(signal);
  return signal;
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

function isIterator(value: unknown): value is AsyncIterator<unknown> {
  return isObject(value) && typeof value['next'] === 'function';
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

/** What a store of the caller throws, and sequences that break the protocol. */
import { expect, test } from 'vitest';
import { StorageError } from '../../src/errors.ts';
import type { ObjectStore } from '../../src/object-store/object-store.ts';
import { readWhole } from '../../src/object-store/read-whole.ts';
import { walObjects } from '../../src/wal/wal-source.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const FAILURE = Object.assign(new Error('no route'), { code: 'EHOSTUNREACH' });
const fail = (): never => {
  throw FAILURE;
};
const info = { key: 'f', size: 3 };

function storeWith(methods: Partial<ObjectStore>): ObjectStore {
  return {
    name: 'own://bucket',
    head: async () => info,
    async *list() {
      yield info;
    },
    put: async () => info,
    readRanges: async () => {},
    readStart: async () => ({ info, bytes: new Uint8Array(3) }),
    ...methods,
  };
}

const CALLS: [string, string, (store: ObjectStore, signal?: AbortSignal) => Promise<unknown>][] = [
  ['readStart', 'read object', (store, signal) => readWhole(store, 'f', read(signal))],
  ['list', 'list objects', (store, signal) => walObjects(store, '').list(signal)],
];
const read = (signal: AbortSignal | undefined) => ({ maximumLength: 10, signal });

for (const [method, action, call] of CALLS) {
  test.each([
    ['throws', fail],
    ['rejects with', async () => fail()],
  ])(`an error that ${method} of a store %s is io, with its cause`, async (_, failing) => {
    const error = await storageErrorOf(call(storeWith({ [method]: failing })));
    expect(error).toMatchObject({ code: 'io', errno: 'EHOSTUNREACH', cause: FAILURE });
    expect(error.path).toMatch('own://bucket');
    expect(error.message).toMatch(`cannot ${action}: no route`);
  });

  test(`an error of ${method} after the signal has fired is aborted`, async () => {
    const controller = new AbortController();
    const failing = (): never => {
      controller.abort('enough');
      return fail();
    };
    const error = await storageErrorOf(call(storeWith({ [method]: failing }), controller.signal));
    expect(error).toMatchObject({ code: 'aborted', cause: 'enough' });
  });
}

test('an error in the middle of a list is io', async () => {
  const store = storeWith({
    async *list() {
      yield info;
      fail();
    },
  });
  const error = await storageErrorOf(walObjects(store, '').list(undefined));
  expect(error).toMatchObject({ code: 'io', cause: FAILURE });
});

test.each<[string, unknown]>([
  ['has no iterator', { [Symbol.asyncIterator]: () => 5 }],
  ['has an iterator without next', { [Symbol.asyncIterator]: () => ({}) }],
  ['has steps that are not objects', { [Symbol.asyncIterator]: () => ({ next: () => 5 }) }],
])('a list that %s is io', async (_, items) => {
  const store = storeWith({ list: () => items as ReturnType<ObjectStore['list']> });
  const error = await storageErrorOf(walObjects(store, '').list(undefined));
  expect(error).toMatchObject({ code: 'io', expected: 'a sequence of objects from list' });
});

test('a list that is not read to its end is ended', async () => {
  const ended: string[] = [];
  const store = storeWith({
    async *list() {
      try {
        yield { prefix: 5 } as never;
      } finally {
        ended.push('list');
      }
    },
  });
  expect(await storageErrorOf(walObjects(store, '').list(undefined))).toMatchObject({ code: 'io' });
  expect(ended).toEqual(['list']);
});

test('a StorageError of a store is passed on', async () => {
  const denied = new StorageError('denied', { what: 'credentials' });
  const readStart = async (): Promise<never> => {
    throw denied;
  };
  expect(await storageErrorOf(readWhole(storeWith({ readStart }), 'f', read(undefined)))).toBe(
    denied,
  );
});

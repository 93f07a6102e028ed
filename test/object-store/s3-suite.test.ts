/**
 * What a store of S3 does where nothing goes wrong: against the server of the tests, or a real one. Each run
 * uses a prefix of its own.
 */
import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { isCommonPrefix, type ObjectStore } from '../../src/object-store/object-store.ts';
import { readWhole } from '../../src/object-store/read-whole.ts';
import { type S3StoreOptions, s3Store } from '../../src/object-store/s3-store.ts';
import { S3_BUCKET as BUCKET, S3_ENDPOINT as ENDPOINT } from '../support/s3-bucket.ts';
import { type S3Server, startS3 } from '../support/s3-server.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

async function newStore(options: Partial<S3StoreOptions> = {}): Promise<ObjectStore> {
  return (await newSeededStore([], options)).store;
}

/** A store that has objects of one byte. The server of the tests is given them directly. */
async function newSeededStore(
  keys: readonly string[],
  options: Partial<S3StoreOptions> = {},
): Promise<{ store: ObjectStore; prefix: string; server?: S3Server }> {
  const prefix = `run/${randomUUID()}`;
  const bytes = new Uint8Array(1);
  if (ENDPOINT === undefined) {
    const { server, store } = await startS3({ prefix, ...options });
    for (const key of keys) server.put(`${prefix}/${key}`, bytes);
    return { store, prefix, server };
  }
  const store = s3Store({ bucket: BUCKET, endpoint: ENDPOINT, prefix, ...options });
  const putAll = async (rest: IterableIterator<string>): Promise<void> => {
    for (const key of rest) await store.put(key, bytes);
  };
  const rest = keys.values();
  await Promise.all(Array.from({ length: 16 }, () => putAll(rest)));
  return { store, prefix };
}

const BYTES = Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * 7) % 251);

async function namesOf(store: ObjectStore, prefix: string, delimiter?: '/'): Promise<string[]> {
  const names = [];
  for await (const item of store.list(prefix, { delimiter })) {
    names.push(isCommonPrefix(item) ? item.prefix : item.key);
  }
  return names;
}

/** Names that a URL, XML or a signature may spoil. */
const AWKWARD = [
  'plain',
  'with space',
  'plus+plus',
  'percent%20',
  'a&b<c>"d\'',
  'hash#question?',
  "!*'()~-_.",
  'equals=semi;colon:at@',
  'é-ü-漢字-\u{1f600}',
  'deep/er/than=that',
];

describe('a store of S3', () => {
  test.each(AWKWARD)('a store of S3 keeps an object named %s', async (key) => {
    const store = await newStore();
    const written = await store.put(key, BYTES.subarray(0, 100));
    expect(written).toMatchObject({ key, size: 100 });
    const { info, bytes } = await readWhole(store, key, { maximumLength: 1000 });
    expect(bytes).toEqual(BYTES.slice(0, 100));
    expect(info).toMatchObject({ key, size: 100, etag: written.etag });
    expect(await store.head(key)).toEqual(info);
    expect(await namesOf(store, '')).toEqual([key]);
    for await (const item of store.list('')) {
      expect(item).toMatchObject({ key, size: 100, etag: written.etag });
    }
  });

  test('a store of S3 reads ranges anywhere, touching ones together', async () => {
    const store = await newStore();
    await store.put('a', BYTES);
    const places = [
      [2_999_999, 1],
      [0, 10],
      [10, 10],
      [1_000_000, 500_000],
      [1_100_000, 100],
      [7, 0],
    ] as const;
    const ranges = places.map(([offset, length]) => ({ target: new Uint8Array(length), offset }));
    await store.readRanges('a', ranges);
    for (const { target, offset } of ranges) {
      expect(Buffer.compare(target, BYTES.subarray(offset, offset + target.length))).toBe(0);
    }
  });

  test('a store of S3 refuses ranges that reach beyond the end', async () => {
    const store = await newStore();
    await store.put('a', BYTES.subarray(0, 100));
    for (const offset of [99, 100, 5000]) {
      const reading = store.readRanges('a', [{ target: new Uint8Array(2), offset }]);
      expect((await storageErrorOf(reading)).code).toBe('truncated');
    }
  });

  test('a store of S3 reads an empty object', async () => {
    const store = await newStore();
    const { etag } = await store.put('empty', new Uint8Array(0));
    const start = await store.readStart('empty', 100);
    expect(start.bytes).toEqual(new Uint8Array(0));
    expect(start.info).toMatchObject({ key: 'empty', size: 0, etag });
    expect(await store.head('empty')).toEqual(start.info);
  });

  test('a store of S3 distinguishes a missing object from a missing bucket', async () => {
    const store = await newStore();
    expect(await store.head('missing')).toBeUndefined();
    expect((await storageErrorOf(store.readStart('missing', 1))).code).toBe('not-found');
    expect(await namesOf(store, 'missing')).toEqual([]);
    const other = await newStore({ bucket: `${BUCKET}-missing` });
    const looking = [other.head('a'), other.readStart('a', 1), namesOf(other, '')];
    for (const outcome of await Promise.allSettled(looking)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'io' } });
    }
  });

  test('a store of S3 refuses another content than the expected one', async () => {
    const store = await newStore();
    const { etag } = await store.put('a', BYTES.subarray(0, 100));
    await store.readStart('a', 10, { etag });
    await store.put('a', BYTES.subarray(0, 101));
    expect((await storageErrorOf(store.readStart('a', 10, { etag }))).code).toBe('changed');
    const range = { target: new Uint8Array(1), offset: 0 };
    expect((await storageErrorOf(store.readRanges('a', [range], { etag }))).code).toBe('changed');
  });

  test('a store of S3 writes a new object only once', async () => {
    const store = await newStore();
    await store.put('a', BYTES.subarray(0, 100), { ifAbsent: true });
    const again = store.put('a', BYTES.subarray(0, 50), { ifAbsent: true });
    expect((await storageErrorOf(again)).code).toBe('exists');
    expect(await store.head('a')).toMatchObject({ size: 100 });
  });

  test('a store of S3 replaces only the object that is expected', async () => {
    const store = await newStore();
    const { etag: first } = await store.put('a', BYTES.subarray(0, 100));
    const { etag } = await store.put('a', BYTES.subarray(0, 50), { ifMatch: first });
    const late = store.put('a', BYTES.subarray(0, 70), { ifMatch: first });
    expect((await storageErrorOf(late)).code).toBe('changed');
    expect(await store.head('a')).toMatchObject({ size: 50, etag });
    const absent = store.put('b', BYTES.subarray(0, 70), { ifMatch: first });
    expect((await storageErrorOf(absent)).code).toBe('changed');
    const both = store.put('a', BYTES, { ifMatch: etag, ifAbsent: true });
    expect((await storageErrorOf(both)).code).toBe('invalid-input');
  });

  test('a store of S3 is denied with a key that is wrong, or without one', async () => {
    const wrong = { accessKeyId: 'AKIDWRONG', secretAccessKey: 'wrong' };
    for (const credentials of [wrong, 'anonymous'] as const) {
      const store = await newStore({ credentials });
      expect((await storageErrorOf(store.head('a'))).code).toBe('denied');
    }
  });

  test('a store of S3 lists 5,000 names over pages, in byte order, with and without a delimiter', {
    timeout: 120_000,
  }, async () => {
    const keys = Array.from({ length: 5000 }, (_, index) => {
      const number = String(index).padStart(5, '0');
      return index < 4000 ? `names/${number}` : `names/below-${index % 3}/${number}`;
    });
    const { store } = await newSeededStore([...keys, 'names-', 'names0']);
    expect(await namesOf(store, 'names/')).toEqual(keys.toSorted());
    const grouped = [...keys.slice(0, 4000), 'names/below-0/', 'names/below-1/', 'names/below-2/'];
    expect(await namesOf(store, 'names/', '/')).toEqual(grouped);
    expect(await namesOf(store, '', '/')).toEqual(['names-', 'names/', 'names0']);
  });

  test('a store of S3 lists what stays, each once, while others write between the pages', {
    timeout: 120_000,
  }, async () => {
    const keys = Array.from({ length: 2500 }, (_, index) => `names/${1000 + index}`);
    const { store, server, prefix } = await newSeededStore(keys);
    const sizes = new Map<string, number>();
    let previous = '';
    for await (const item of store.list('names/')) {
      if (isCommonPrefix(item)) throw new Error(`${item.prefix}: no prefix was asked for`);
      // Two pages are to come after the first name.
      if (sizes.size === 0) {
        for (const key of ['names/1000-', 'names/2200-', 'names/2300']) {
          await store.put(key, BYTES.subarray(0, 2));
        }
        // The last one of the first page, where the second one begins, and one of the second.
        for (const key of ['names/1999', 'names/2400']) server?.objects.delete(`${prefix}/${key}`);
      }
      expect(item.key > previous).toBe(true);
      previous = item.key;
      sizes.set(item.key, item.size);
    }
    const gone = server === undefined ? [] : ['names/2400'];
    const expected = [...keys.filter((key) => !gone.includes(key)), 'names/2200-'];
    expect([...sizes.keys()]).toEqual(expected.sort());
    expect(sizes.get('names/2300')).toBe(2);
  });
});

/** Objects that are read whole, in a bounded first request. */
import { expect, test } from 'vitest';
import type { ObjectStore } from '../../src/object-store/object-store.ts';
import { readWhole } from '../../src/object-store/read-whole.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const MIB = 1024 * 1024;

/** A store of one object, whose bytes are those of their offsets. */
function storeOf(size: number) {
  const asked: { from: number; length: number; etag?: string | undefined }[] = [];
  const info = { key: 'a', size, etag: '"1"' };
  const byteAt = (offset: number): number => (offset * 31) & 0xff;
  const store: ObjectStore = {
    name: 's3://layers',
    async readStart(_key, length) {
      const bytes = new Uint8Array(Math.min(length, size)).map((_, at) => byteAt(at));
      asked.push({ from: 0, length });
      return { info, bytes };
    },
    async readRanges(_key, ranges, options) {
      for (const { target, offset } of ranges) {
        asked.push({ from: offset, length: target.length, etag: options?.etag });
        target.set(target.map((_, at) => byteAt(offset + at)));
      }
    },
    async *list() {
      yield* [];
    },
    head: async () => info,
    put: async () => info,
  };
  return { store, asked, byteAt };
}

test('an object of 8 MiB takes one request, and a byte more a second one, of the same object', async () => {
  for (const [size, rest] of [
    [8 * MIB, []],
    [8 * MIB + 1, [{ from: 8 * MIB, length: 1, etag: '"1"' }]],
  ] as const) {
    const { store, asked, byteAt } = storeOf(size);
    const { bytes, info } = await readWhole(store, 'a', { maximumLength: 100 * MIB });
    expect(asked).toEqual([{ from: 0, length: 8 * MIB }, ...rest]);
    expect([info.size, bytes.length, bytes.at(-1)]).toEqual([size, size, byteAt(size - 1)]);
  }
});

test('an object above the maximum is refused before more than 8 MiB of it are read', async () => {
  const { store, asked } = storeOf(100 * MIB + 1);
  const error = await storageErrorOf(readWhole(store, 'a', { maximumLength: 100 * MIB }));
  expect(error).toMatchObject({ code: 'too-large', actual: String(100 * MIB + 1) });
  expect(asked).toEqual([{ from: 0, length: 8 * MIB }]);
});

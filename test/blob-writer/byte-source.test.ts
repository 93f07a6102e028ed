import { describe, expect, test } from 'vitest';
import { BlobReader } from '../../src/blob-writer/blob-reader.ts';
import {
  type ByteSource,
  bytesSource,
  fillRanges,
  readExactly,
  readRangeSync,
} from '../../src/blob-writer/byte-source.ts';
import { cachedSource, ValueCache } from '../../src/blob-writer/value-cache.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { verifyLayer } from '../../src/layers/verify.ts';
import { DEFAULT_DECOMPRESSION_LIMITS } from '../../src/zstd/decompression.ts';
import { DELTA } from '../support/sample-layers.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const FAILURE = new TypeError('connection reset');

function failingSource(from: number): ByteSource {
  const { size, read } = bytesSource(DELTA.bytes);
  return {
    size,
    path: 'remote',
    read: (target, offset) =>
      offset + target.length > from ? Promise.reject(FAILURE) : read(target, offset),
  };
}

const EXPECTED = { code: 'io', path: 'remote', cause: FAILURE };

describe('whatever a source throws', () => {
  test('whatever a source throws is io with path, offset and cause', async () => {
    const error = await storageErrorOf(readExactly(failingSource(0), new Uint8Array(10), 3));
    expect(error).toMatchObject({ ...EXPECTED, offset: 3 });
    expect(error.message).toBe('remote: cannot read: connection reset at offset 3');
  });

  test('whatever a source throws without a promise is io', async () => {
    const source: ByteSource = {
      size: 100,
      path: 'remote',
      read: () => {
        throw FAILURE;
      },
    };
    expect(await storageErrorOf(readExactly(source, new Uint8Array(10), 3))).toMatchObject(
      EXPECTED,
    );
  });

  test('whatever a source throws has the offset of the part that was read when it failed', async () => {
    const source: ByteSource = {
      size: 100,
      path: 'remote',
      read: async (_, offset) => {
        if (offset > 3) throw FAILURE;
        return 4;
      },
    };
    const error = await storageErrorOf(readExactly(source, new Uint8Array(10), 3));
    expect(error).toMatchObject({ ...EXPECTED, offset: 7 });
  });

  test('whatever a source throws from a synchronous read is io', () => {
    const source: ByteSource = {
      ...failingSource(0),
      readSync: () => {
        throw FAILURE;
      },
    };
    const read = () => readRangeSync(source, { target: new Uint8Array(10), offset: 3 });
    expect(storageErrorThrownBy(read)).toMatchObject({ ...EXPECTED, offset: 3 });
  });

  test('whatever a source throws from its cache is io', async () => {
    const source: ByteSource = {
      ...failingSource(0),
      readCached: () => {
        throw FAILURE;
      },
    };
    const region = { start: 0, end: DELTA.bytes.length };
    const reader = new BlobReader(source, region, DEFAULT_DECOMPRESSION_LIMITS);
    expect(await storageErrorOf(reader.read({ offset: 8192 }))).toMatchObject(EXPECTED);
  });

  test('whatever a source throws from newBuffer is io', async () => {
    const source: ByteSource = {
      ...failingSource(0),
      newBuffer: () => {
        throw FAILURE;
      },
    };
    expect(await storageErrorOf(scan(source))).toMatchObject(EXPECTED);
  });

  test('whatever a source throws with the code of the system keeps it', async () => {
    const cause = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
    const source: ByteSource = { size: 100, read: () => Promise.reject(cause) };
    const error = await storageErrorOf(readExactly(source, new Uint8Array(1), 0));
    expect(error).toMatchObject({ code: 'io', errno: 'ECONNRESET', cause });
  });

  test('whatever a source throws while a layer is opened is io', async () => {
    expect(await storageErrorOf(openLayer(failingSource(0)))).toMatchObject(EXPECTED);
  });

  test.each(['forwards', 'backwards'] as const)(
    'whatever a source throws while entries are read %s is io',
    async (order) => {
      const { size, read } = bytesSource(DELTA.bytes);
      let isFailing = false;
      const source: ByteSource = {
        size,
        path: 'remote',
        read: (target, offset) => (isFailing ? Promise.reject(FAILURE) : read(target, offset)),
      };
      const reader = await openLayer(source);
      isFailing = true;
      const entries = reader.entries({ reverse: order === 'backwards' });
      expect(await storageErrorOf(entries[Symbol.asyncIterator]().next())).toMatchObject(EXPECTED);
      await reader.close();
    },
  );

  test('whatever a source throws while a layer is verified is io', async () => {
    expect(await storageErrorOf(verifyLayer(failingSource(20_000)))).toMatchObject(EXPECTED);
  });
});

describe('a length that a read cannot have returned', () => {
  test.each([-1, 11, 0.5, Number.NaN, undefined])(
    'a length that a read cannot have returned, %s, is io',
    async (length) => {
      const source: ByteSource = {
        size: 100,
        path: 'remote',
        read: async () => length as number,
        readSync: () => length as number,
      };
      const expected = { code: 'io', path: 'remote', offset: 3 };
      const target = new Uint8Array(10);
      expect(await storageErrorOf(readExactly(source, target, 3))).toMatchObject(expected);
      const read = () => readRangeSync(source, { target, offset: 3 });
      expect(storageErrorThrownBy(read)).toMatchObject(expected);
    },
  );

  test.each([-1, 101, Number.NaN])(
    'an impossible length of %s is not kept in a cache',
    async (length) => {
      const broken: ByteSource = { size: 100, read: async () => length, readSync: () => length };
      const cache = new ValueCache(1024 * 1024);
      const source = cachedSource(broken, cache);
      const target = new Uint8Array(10);
      expect(await storageErrorOf(readExactly(source, target, 3))).toMatchObject({ code: 'io' });
      const read = () => readRangeSync(source, { target, offset: 3 });
      expect(storageErrorThrownBy(read)).toMatchObject({ code: 'io' });
      expect(source.readCached?.(target, 3)).toBe(false);
    },
  );
});

test('memory of another length than requested is io', async () => {
  const source: ByteSource = {
    ...bytesSource(DELTA.bytes, 'remote'),
    newBuffer: () => new Uint8Array(1),
  };
  expect(await storageErrorOf(scan(source))).toMatchObject({ code: 'io', path: 'remote' });
});

async function scan(source: ByteSource): Promise<void> {
  for await (const _ of (await openLayer(source)).batches()) break;
}

test('what a source throws for many ranges is io, with its cause and the first offset', async () => {
  const ranges = [7, 3].map((offset) => ({ target: new Uint8Array(2), offset }));
  for (const readRanges of [
    () => Promise.reject(FAILURE),
    () => {
      throw FAILURE;
    },
  ]) {
    const source: ByteSource = {
      ...bytesSource(DELTA.bytes, 'name'),
      readSync: undefined,
      readRanges,
    };
    const error = await storageErrorOf(fillRanges(source, ranges) ?? Promise.resolve());
    expect(error).toMatchObject({ code: 'io', path: 'name', offset: 7, cause: FAILURE });
  }
});

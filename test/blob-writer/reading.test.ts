/** Work that lists the reads it lacks: the same outcome whether it waits for them or not. */
import { describe, expect, test } from 'vitest';
import { type ByteSource, bytesSource } from '../../src/blob-writer/byte-source.ts';
import type { ReadRange } from '../../src/blob-writer/read-range.ts';
import {
  finishReading,
  finishReadingSync,
  type Reading,
  Readings,
} from '../../src/blob-writer/reading.ts';
import { StorageError } from '../../src/errors.ts';
import { countingSource } from '../support/blobs.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const BYTES = Uint8Array.from({ length: 200_000 }, (_, index) => index % 251);

/** Reads some bytes from each offset, the ranges of one turn concurrently. */
class Ranges implements Reading {
  readonly read: ReadRange[] = [];
  readonly #turns: (readonly (readonly [number, number])[])[];

  constructor(...turns: readonly (readonly (readonly [number, number])[])[]) {
    this.#turns = [...turns];
  }

  proceed(): readonly ReadRange[] {
    const turn = this.#turns.shift() ?? [];
    const reads = turn.map(([offset, length]) => ({ target: new Uint8Array(length), offset }));
    this.read.push(...reads);
    return reads;
  }

  get bytes(): string {
    return Buffer.concat(this.read.map(({ target }) => target)).toString('hex');
  }
}

function bytesOf(ranges: readonly (readonly [number, number])[]): string {
  const parts = ranges.map(([offset, length]) => BYTES.subarray(offset, offset + length));
  return Buffer.concat(parts).toString('hex');
}

/** No more than `limit` bytes at a time; counts what was read synchronously and what was not. */
function countedSource(limit: number, canReadSync: boolean) {
  const inner = bytesSource(BYTES, 'name');
  const counts = { sync: 0, waiting: 0 };
  const readSync = (target: Uint8Array, offset: number): number => {
    counts.sync += 1;
    return inner.readSync?.(target.subarray(0, limit), offset) ?? 0;
  };
  const source: ByteSource = {
    size: inner.size,
    path: inner.path,
    read: async (target, offset) => {
      counts.waiting += 1;
      return inner.read(target.subarray(0, limit), offset);
    },
    ...(canReadSync ? { readSync } : {}),
  };
  return { source, counts };
}

const RANGES = [
  [0, 0],
  [0, 1],
  [5, 1000],
  [199_999, 1],
  [0, 70_000],
] as const;

describe('the same reads', () => {
  test.each([Number.POSITIVE_INFINITY, 777])(
    'the same reads bring the same bytes, with a wait or without (at most %d bytes at a time)',
    async (limit) => {
      for (const canReadSync of [false, true]) {
        const reading = new Ranges(...RANGES.map((range) => [range]));
        await finishReading(countedSource(limit, canReadSync).source, reading);
        expect(reading.bytes).toBe(bytesOf(RANGES));
      }
      const reading = new Ranges(...RANGES.map((range) => [range]));
      finishReadingSync(countedSource(limit, true).source, reading);
      expect(reading.bytes).toBe(bytesOf(RANGES));
    },
  );

  test.each([
    [199_995, 10, 200_000, '5'],
    [199_999, 2, 200_000, '1'],
    [500_000, 4, 500_000, '0'],
  ])(
    'reads from %i that end early are truncated, with a wait or without',
    async (from, length, offset, actual) => {
      const failing = () => new Ranges([[from, length]]);
      const { source } = countedSource(100, true);
      const sync = storageErrorThrownBy(() => finishReadingSync(source, failing()));
      const later = await storageErrorOf(
        finishReading(countedSource(100, false).source, failing()),
      );
      expect(sync).toMatchObject({ code: 'truncated', path: 'name', offset, actual });
      expect(later.message).toBe(sync.message);
    },
  );

  test('reads of work that throws itself throw that', async () => {
    const failure = new StorageError('corrupt', { what: 'x' });
    const throwing: Reading = {
      proceed: () => {
        throw failure;
      },
    };
    const { source } = countedSource(100, true);
    expect(storageErrorThrownBy(() => finishReadingSync(source, throwing))).toBe(failure);
    expect(await storageErrorOf(finishReading(source, throwing))).toBe(failure);
  });
});

test('reads that may wait are made synchronously where the source can and they are small', async () => {
  const { source, counts } = countedSource(Number.POSITIVE_INFINITY, true);
  await finishReading(source, new Ranges([[0, 10]]));
  expect(counts).toEqual({ sync: 1, waiting: 0 });
  await finishReading(source, new Ranges([[0, 100_000]]));
  expect(counts).toEqual({ sync: 1, waiting: 1 });
});

test('synchronous reads of a source that cannot are invalid-input', () => {
  const { source } = countedSource(100, false);
  const act = () => finishReadingSync(source, new Ranges([[0, 1]]));
  expect(storageErrorThrownBy(act)).toMatchObject({ code: 'invalid-input', path: 'name' });
});

describe('several reads of one turn', () => {
  const EACH = Array.from({ length: 100 }, (_, index) => [index * 1999, 10] as const);

  test('several reads of one turn bring what they bring one by one, with a wait or without', async () => {
    for (const canReadSync of [false, true]) {
      const reading = new Ranges(EACH, []);
      await finishReading(countedSource(7, canReadSync).source, reading);
      expect(reading.bytes).toBe(bytesOf(EACH));
    }
    const reading = new Ranges(EACH, []);
    finishReadingSync(countedSource(7, true).source, reading);
    expect(reading.bytes).toBe(bytesOf(EACH));
  });

  test('several reads of one turn are in flight concurrently, 32 at most, and none is left when one has failed', async () => {
    const { source } = countedSource(Number.POSITIVE_INFINITY, false);
    let inFlight = 0;
    let most = 0;
    const slow: ByteSource = {
      ...source,
      read: async (target, offset) => {
        inFlight += 1;
        most = Math.max(most, inFlight);
        await new Promise((resolve) => setTimeout(resolve, offset % 3));
        inFlight -= 1;
        return source.read(target, offset);
      },
    };
    await finishReading(slow, new Ranges(EACH));
    expect(most).toBe(32);
    const failing = await storageErrorOf(finishReading(slow, new Ranges([[300_000, 10], ...EACH])));
    expect(failing).toMatchObject({ code: 'truncated', offset: 300_000 });
    expect(inFlight).toBe(0);
  });

  test('several reads of one turn are one request of a source that takes many, which gets the signal', async () => {
    const { signal } = new AbortController();
    const requests: number[] = [];
    const inner = bytesSource(BYTES);
    const source: ByteSource = {
      size: inner.size,
      read: () => Promise.reject(new Error('one by one')),
      readRanges: async (ranges, options) => {
        expect(options?.signal).toBe(signal);
        requests.push(ranges.length);
        for (const { target, offset } of ranges) await inner.read(target, offset);
      },
    };
    const reading = new Ranges(EACH, [[3, 7]]);
    await finishReading(source, reading, { signal });
    expect(reading.bytes).toBe(bytesOf([...EACH, [3, 7]]));
    expect(requests).toEqual([100, 1]);
  });

  test('several reads of one turn that fail once the signal has fired are aborted', async () => {
    const controller = new AbortController();
    const source: ByteSource = {
      size: 10,
      path: 'name',
      read: async () => {
        controller.abort('enough');
        throw new Error('connection closed');
      },
    };
    const { signal } = controller;
    const error = await storageErrorOf(finishReading(source, new Ranges([[0, 5]]), { signal }));
    expect(error).toMatchObject({ code: 'aborted', path: 'name', cause: 'enough' });
  });
});

describe('ranges that lie close together', () => {
  /** Three, and one more than the gap after them; out of order. */
  const NEAR = [
    [5000, 100],
    [1000, 100],
    [1200, 50],
    [1200, 10],
    [1351, 20],
  ] as const;

  test.each([
    [undefined, 5],
    [0, 4],
    [100, 3],
    [101, 2],
    [3628, 2],
    [3629, 1],
  ])(
    'ranges that lie close together are read together over a gap of up to %s bytes',
    async (maximumGap, count) => {
      const source = { ...countingSource(BYTES), maximumGap };
      const reading = new Ranges(NEAR);
      await finishReading(source, reading);
      expect(reading.bytes).toBe(bytesOf(NEAR));
      expect(source.reads).toHaveLength(count);
    },
  );

  test('ranges that lie close together are at most 1 MiB together', async () => {
    const bytes = new Uint8Array(3 * 1024 * 1024);
    const source = { ...countingSource(bytes), maximumGap: bytes.length };
    await finishReading(
      source,
      new Ranges([0, 1, 2, 3].map((at) => [at * 512 * 1024, 512 * 1024])),
    );
    expect(source.reads.map(({ length }) => length)).toEqual([1024 * 1024, 1024 * 1024]);
  });

  test('ranges that lie close together are read one by one where what lies between them cannot be read', async () => {
    const inner = bytesSource(BYTES);
    const source: ByteSource = {
      size: inner.size,
      maximumGap: 1000,
      read: async (target, offset) => {
        if (offset <= 1150 && 1150 < offset + target.length) {
          throw new StorageError('io', { what: 'read file', errno: 'EIO' });
        }
        return inner.read(target, offset);
      },
    };
    const reading = new Ranges(NEAR);
    await finishReading(source, reading);
    expect(reading.bytes).toBe(bytesOf(NEAR));
    const failing = new Ranges([...NEAR, [1140, 20]]);
    expect(await storageErrorOf(finishReading(source, failing))).toMatchObject({ errno: 'EIO' });
  });
});

describe('several readings together', () => {
  test('several readings together make their reads concurrently, each as many turns as it needs', async () => {
    const source = countingSource(BYTES);
    const long = new Ranges([[1, 2]], [[30, 40]], [[500, 6]]);
    const short = new Ranges([[7, 8]]);
    await finishReading(source, new Readings([short, new Ranges(), long]));
    expect([long.bytes, short.bytes]).toEqual([
      bytesOf([[1, 2], [30, 40], [500, 6]]), // biome-ignore format: one line
      bytesOf([[7, 8]]),
    ]);
    expect(source.reads.map(({ offset }) => offset)).toEqual([7, 1, 30, 500]);
  });

  test('several readings together end with the first failure', async () => {
    const failure = new StorageError('io', { what: 'broken', errno: 'EIO' });
    const source: ByteSource = { size: 1000, read: () => Promise.reject(failure) };
    const readings = new Readings([new Ranges([[7, 8]]), new Ranges([[1, 2]])]);
    expect(await storageErrorOf(finishReading(source, readings))).toBe(failure);
  });
});

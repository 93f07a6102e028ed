import { describe, expect, test } from 'vitest';
import { type ByteSource, bytesSource } from '../../src/blob-writer/byte-source.ts';
import { runSteps, runStepsSync, type Steps } from '../../src/blob-writer/steps.ts';
import { StorageError } from '../../src/errors.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const BYTES = Uint8Array.from({ length: 200_000 }, (_, index) => index % 251);

/** Sums the bytes from each offset on, as far as they go; tells what it caught. */
function* sums(ranges: readonly (readonly [number, number])[]): Steps<string[]> {
  const results: string[] = [];
  for (const [offset, length] of ranges) {
    const target = new Uint8Array(length);
    try {
      yield { target, offset };
      results.push(String(target.reduce((sum, byte) => sum + byte, 0)));
    } catch (error) {
      results.push(error instanceof StorageError ? `${error.code} at ${error.offset}` : 'other');
    }
  }
  return results;
}

function* waiting(promise: Promise<unknown>): Steps<string> {
  yield promise;
  return 'done';
}

/** No more than `limit` bytes at a time; counts what was read at once and what was not. */
function countingSource(limit: number, canReadAtOnce: boolean) {
  const inner = bytesSource(BYTES, 'name');
  const counts = { atOnce: 0, waiting: 0 };
  const readSync = (target: Uint8Array, offset: number): number => {
    counts.atOnce += 1;
    return inner.readSync?.(target.subarray(0, limit), offset) ?? 0;
  };
  const source: ByteSource = {
    size: inner.size,
    path: inner.path,
    read: async (target, offset) => {
      counts.waiting += 1;
      return inner.read(target.subarray(0, limit), offset);
    },
    ...(canReadAtOnce ? { readSync } : {}),
  };
  return { source, counts };
}

const RANGES = [
  [0, 0],
  [0, 1],
  [5, 1000],
  [199_999, 1],
  [199_999, 2],
  [500_000, 4],
  [0, 70_000],
] as const;

describe('the same steps', () => {
  test.each([Number.POSITIVE_INFINITY, 777])(
    'give the same, at once or not (%d bytes)',
    async (n) => {
      const expected = await runSteps(countingSource(n, false).source, sums(RANGES));
      expect(expected.slice(4, 6)).toEqual(['truncated at 200000', 'truncated at 500000']);
      expect(await runSteps(countingSource(n, true).source, sums(RANGES))).toEqual(expected);
      expect(runStepsSync(countingSource(n, true).source, sums(RANGES))).toEqual(expected);
    },
  );

  test('that fail throw the same', async () => {
    function* failing(): Steps<void> {
      yield { target: new Uint8Array(10), offset: 199_995 };
    }
    const { source } = countingSource(100, true);
    const atOnce = storageErrorThrownBy(() => runStepsSync(source, failing()));
    const later = await storageErrorOf(runSteps(countingSource(100, false).source, failing()));
    expect(atOnce).toMatchObject({ code: 'truncated', path: 'name', offset: 200_000, actual: '5' });
    expect(later.message).toBe(atOnce.message);
  });

  test('that throw themselves throw that', async () => {
    // biome-ignore lint/correctness/useYield: a generator that ends before its first step
    function* throwing(): Steps<void> {
      throw new StorageError('corrupt', { what: 'x' });
    }
    const { source } = countingSource(100, true);
    expect(storageErrorThrownBy(() => runStepsSync(source, throwing())).code).toBe('corrupt');
    expect((await storageErrorOf(runSteps(source, throwing()))).code).toBe('corrupt');
  });
});

describe('reads that may wait', () => {
  test('are done at once where the source can and they are small', async () => {
    const { source, counts } = countingSource(Number.POSITIVE_INFINITY, true);
    await runSteps(source, sums([[0, 10]]));
    expect(counts).toEqual({ atOnce: 1, waiting: 0 });
    await runSteps(source, sums([[0, 100_000]]));
    expect(counts).toEqual({ atOnce: 1, waiting: 1 });
  });

  test('wait for a promise, and throw what it rejects with', async () => {
    const { source } = countingSource(100, true);
    expect(await runSteps(source, waiting(Promise.resolve()))).toBe('done');
    const failure = new StorageError('io', { what: 'x' });
    expect(await storageErrorOf(runSteps(source, waiting(Promise.reject(failure))))).toBe(failure);
  });
});

describe('several reads of one step', () => {
  const OFFSETS = Array.from({ length: 100 }, (_, index) => index * 1999);

  function* together(offsets: readonly number[]): Steps<string> {
    const reads = offsets.map((offset) => ({ target: new Uint8Array(10), offset }));
    try {
      yield reads;
    } catch (error) {
      return error instanceof StorageError ? `${error.code} at ${error.offset}` : 'other';
    }
    return Buffer.concat(reads.map(({ target }) => target)).toString('hex');
  }

  test('bring what they bring one by one, at once or not', async () => {
    const expected = Buffer.concat(OFFSETS.map((at) => BYTES.subarray(at, at + 10))).toString(
      'hex',
    );
    expect(await runSteps(countingSource(7, false).source, together(OFFSETS))).toBe(expected);
    expect(await runSteps(countingSource(7, true).source, together(OFFSETS))).toBe(expected);
    expect(runStepsSync(countingSource(7, true).source, together(OFFSETS))).toBe(expected);
    expect(await runSteps(countingSource(7, false).source, together([]))).toBe('');
  });

  test('are in flight side by side, 32 at most, and none is left when one has failed', async () => {
    const { source } = countingSource(Number.POSITIVE_INFINITY, false);
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
    await runSteps(slow, together(OFFSETS));
    expect(most).toBe(32);
    const failing = await runSteps(slow, together([300_000, ...OFFSETS]));
    expect([failing, inFlight]).toEqual(['truncated at 300000', 0]);
  });
});

describe('reads at once', () => {
  test('of a source that cannot are invalid-input', () => {
    const { source } = countingSource(100, false);
    const act = () => runStepsSync(source, sums([[0, 1]]));
    expect(act()).toEqual(['invalid-input at undefined']);
  });

  test('cannot wait for a promise: invalid-input', () => {
    const { source } = countingSource(100, true);
    const act = () => runStepsSync(source, waiting(Promise.resolve()));
    expect(storageErrorThrownBy(act)).toMatchObject({ code: 'invalid-input', path: 'name' });
  });
});

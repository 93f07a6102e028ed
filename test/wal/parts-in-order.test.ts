/** Results of parts, in their order, as far as they hold together. */
import { describe, expect, test } from 'vitest';
import { partsInOrder } from '../../src/wal/parts-in-order.ts';
import type { PartBorders, WalPart } from '../../src/wal/wal-part.ts';

const PROGRAM = new URL('file:///nothing/is/started/for/one/thread.mjs');

function partsBefore(...untils: readonly bigint[]): WalPart[] {
  return untils.map((until) => ({
    ...{ paths: [], timeline: undefined, start: undefined, end: until, selection: {} },
    until,
  }));
}

/** Reads on the thread of the caller. */
async function nextOf(
  parts: readonly WalPart[],
  read: (part: WalPart) => Promise<PartBorders | undefined>,
): Promise<bigint[]> {
  const found: bigint[] = [];
  for await (const { next } of partsInOrder({ parts, read, threadCount: 1, program: PROGRAM })) {
    found.push(next);
  }
  return found;
}

describe('results end before a part', () => {
  test('results end before a part that does not begin where the one before ended', async () => {
    const read = async ({ until }: WalPart) => ({
      first: until === 30n ? 21n : until - 10n,
      next: until,
    });
    expect(await nextOf(partsBefore(10n, 20n, 30n, 40n), read)).toEqual([10n, 20n]);
  });

  test('results end before a part that is not complete and valid', async () => {
    const read = async ({ until }: WalPart) =>
      until === 20n ? undefined : { first: until - 10n, next: until };
    expect(await nextOf(partsBefore(10n, 20n, 30n), read)).toEqual([10n]);
  });
});

test('while the caller uses a result, no more parts are begun than wait for it', async () => {
  const untils = Array.from({ length: 20 }, (_, index) => BigInt(10 * (index + 1)));
  let begun = 0;
  const read = async ({ until }: WalPart) => {
    begun += 1;
    return { first: until - 10n, next: until };
  };
  let taken = 0;
  for await (const { next } of partsInOrder({
    ...{ parts: partsBefore(...untils), read, threadCount: 1, program: PROGRAM },
  })) {
    taken += 1;
    expect(next).toBe(BigInt(10 * taken));
    await new Promise((resolve) => setImmediate(resolve));
    expect(begun - taken).toBeLessThanOrEqual(2);
  }
  expect(taken).toBe(20);
});

test('what a read throws comes after the results before it', async () => {
  const read = async ({ until }: WalPart) => {
    if (until === 20n) throw new Error('cannot be read');
    return { first: until - 10n, next: until };
  };
  const found: bigint[] = [];
  const reading = async (): Promise<void> => {
    const options = { parts: partsBefore(10n, 20n), read, threadCount: 1, program: PROGRAM };
    for await (const { next } of partsInOrder(options)) found.push(next);
  };
  await expect(reading()).rejects.toThrow('cannot be read');
  expect(found).toEqual([10n]);
});

test('parts of threads that cannot be loaded are read by the caller, one at a time', async () => {
  let running = 0;
  let most = 0;
  const read = async ({ until }: WalPart) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running -= 1;
    return { first: until - 10n, next: until };
  };
  const parts = partsBefore(...Array.from({ length: 12 }, (_, index) => BigInt(10 * (index + 1))));
  const found: bigint[] = [];
  for await (const { next } of partsInOrder({ parts, read, threadCount: 3, program: PROGRAM })) {
    found.push(next);
  }
  expect(found).toEqual(parts.map(({ until }) => until));
  expect(most).toBe(1);
});

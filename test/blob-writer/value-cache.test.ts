/** Small reads through cached blocks: the same bytes as without, fewer reads, and none of other owners. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ByteSource, bytesSource, readExactly } from '../../src/blob-writer/byte-source.ts';
import { CachedSource, cachedSource, ValueCache } from '../../src/blob-writer/value-cache.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const BLOCK = 8192;
const BYTES = Uint8Array.from({ length: 5 * BLOCK + 100 }, (_, at) => (at * 7 + (at >> 8)) & 0xff);

/** Gives at most `limit` bytes at a time; counts its reads. */
function limitedSource(limit: number, bytes = BYTES): ByteSource & { readonly reads: number[] } {
  const inner = bytesSource(bytes, 'name');
  const reads: number[] = [];
  const readSync = (target: Uint8Array, offset: number): number => {
    reads.push(offset);
    return inner.readSync?.(target.subarray(0, limit), offset) ?? 0;
  };
  const read = async (target: Uint8Array, offset: number) => readSync(target, offset);
  return { size: BYTES.length, path: 'name', reads, read, readSync };
}

describe('reads through a cache of blocks', () => {
  test('reads through a cache of blocks return the same bytes, however small the cache and the reads are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1, 2, 3, 100),
        fc.constantFrom(1000, 9000, Number.POSITIVE_INFINITY),
        fc.array(
          fc.record({
            offset: fc.integer({ min: 0, max: BYTES.length - 1 }),
            length: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 20_000 })),
            isOther: fc.boolean(),
          }),
          { maxLength: 30 },
        ),
        async (capacity, limit, reads) => {
          const cache = new ValueCache(capacity);
          const others = BYTES.map((byte) => byte ^ 0xff);
          const sources = [limitedSource(limit), limitedSource(limit, others)].map((source) =>
            cachedSource(source, cache),
          );
          for (const { offset, length, isOther } of reads) {
            const source = sources[isOther ? 1 : 0];
            const whole = isOther ? others : BYTES;
            const target = new Uint8Array(Math.min(length, BYTES.length - offset));
            if (source === undefined) continue;
            await readExactly(source, target, offset);
            const expected = whole.subarray(offset, offset + target.length);
            expect(Buffer.compare(target, expected)).toBe(0);
            const atOnce = new Uint8Array(target.length);
            const done = source.readSync?.(atOnce, offset) ?? 0;
            expect(Buffer.compare(atOnce.subarray(0, done), expected.subarray(0, done))).toBe(0);
            const cached = new Uint8Array(target.length);
            if (source.readCached?.(cached, offset)) {
              expect(Buffer.compare(cached, expected)).toBe(0);
            }
            const memory = source instanceof CachedSource ? source : undefined;
            const chunk = memory?.find(offset, target.length)?.bytes;
            if (memory === undefined || chunk === undefined) continue;
            const found = chunk.subarray(memory.foundAt, memory.foundAt + target.length);
            expect(Buffer.compare(found, expected)).toBe(0);
          }
        },
      ),
    );
  });

  test('reads through a cache of blocks read a block once, and two where the bytes lie in two', async () => {
    const source = limitedSource(Number.POSITIVE_INFINITY);
    const cached = cachedSource(source, new ValueCache(100));
    const target = new Uint8Array(100);
    expect(cached.readCached?.(target, BLOCK)).toBe(false);
    for (const offset of [BLOCK, BLOCK + 700, 2 * BLOCK - 100]) await cached.read(target, offset);
    expect(source.reads).toEqual([BLOCK]);
    await cached.read(target, 3 * BLOCK - 1);
    for (const offset of [2 * BLOCK, 4 * BLOCK - 100, 3 * BLOCK - 50]) {
      expect(cached.readCached?.(target, offset)).toBe(true);
      expect(target[0]).toBe(BYTES[offset]);
    }
    expect(source.reads).toEqual([BLOCK, 2 * BLOCK]);
  });

  test('reads through a cache of blocks of more than 4,096 bytes bypass the cache, and leave no block in it', async () => {
    const source = limitedSource(Number.POSITIVE_INFINITY);
    const cached = cachedSource(source, new ValueCache(100));
    await cached.read(new Uint8Array(4097), 10);
    expect(source.reads).toEqual([10]);
    expect(cached.readCached?.(new Uint8Array(1), 10)).toBe(false);
  });

  test('reads through a cache of blocks find nothing after the cache was cleared, nor in one of no capacity', async () => {
    const cache = new ValueCache(10);
    const cached = cachedSource(limitedSource(Number.POSITIVE_INFINITY), cache);
    await cached.read(new Uint8Array(1), 10);
    expect(cached.readCached?.(new Uint8Array(1), 10)).toBe(true);
    cache.clear();
    expect(cached.readCached?.(new Uint8Array(1), 10)).toBe(false);
    const source = limitedSource(1);
    expect(cachedSource(source, new ValueCache(0))).toBe(source);
  });

  test('reads through a cache of blocks of a source that was cut are truncated only after the cut', async () => {
    const cut = limitedSource(Number.POSITIVE_INFINITY, BYTES.subarray(0, BLOCK + 500));
    const cached = cachedSource(cut, new ValueCache(10));
    const target = new Uint8Array(100);
    await readExactly(cached, target, BLOCK + 400);
    expect(target[99]).toBe(BYTES[BLOCK + 499]);
    for (const [offset, end] of [
      [BLOCK + 450, BLOCK + 500],
      [3 * BLOCK, 3 * BLOCK],
    ] as const) {
      const error = await storageErrorOf(readExactly(cached, target, offset));
      expect(error).toMatchObject({ code: 'truncated', offset: end });
    }
  });

  test('reads through a cache of blocks leave nothing of an owner that is removed, nor of one that is removed meanwhile', async () => {
    const cache = new ValueCache(100);
    const [first, second] = [cache.addOwner(), cache.addOwner()];
    const source = limitedSource(Number.POSITIVE_INFINITY);
    const sources = [first, second].map((owner) => cachedSource(source, cache, owner));
    for (const cached of sources) await cached.read(new Uint8Array(1), 10);
    const target = new Uint8Array(1);
    const inFlight = sources[0]?.read(target, BLOCK + 1);
    cache.removeOwner(first);
    expect(await inFlight).toBe(1);
    expect(target[0]).toBe(BYTES[BLOCK + 1]);
    for (const offset of [10, BLOCK + 1]) {
      expect(sources[0]?.readCached?.(new Uint8Array(1), offset)).toBe(false);
    }
    expect(sources[1]?.readCached?.(new Uint8Array(1), 10)).toBe(true);
  });
});

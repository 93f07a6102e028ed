/** Searching and walking valid indexes, against a sorted array as the model. */
import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { BlockCache, shareOf } from '../../../src/layers/disk-btree/block-cache.ts';
import { DiskBtreeBuilder } from '../../../src/layers/disk-btree/builder.ts';
import { IndexBlocks } from '../../../src/layers/disk-btree/index-blocks.ts';
import { IndexNode } from '../../../src/layers/disk-btree/index-node.ts';
import { DiskBtreeReader } from '../../../src/layers/disk-btree/reader.ts';
import type { SalvagedSlice } from '../../../src/layers/disk-btree/salvaged-leaves.ts';
import type { LeafSlice } from '../../../src/layers/disk-btree/walk.ts';
import { seededChoices } from '../../../src/testing/choices.ts';
import { drain, hex } from '../../support/layers.ts';
import { randomKeys } from '../../support/random-keys.ts';

/** Block numbers of the index are relative to this one. */
const START_BLOCK = 3;

describe('an index', () => {
  it('an index finds and walks what was put', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          seed: fc.nat(),
          keySize: fc.constantFrom(18, 26, 200),
          count: fc.integer({ min: 1, max: 1200 }),
          busyBytes: fc.constantFrom(1, 2, 12),
        }),
        fc.boolean(),
        async (parameters, isCached) => {
          const keys = randomKeys(parameters);
          const reader = readerOf(keys, isCached ? new BlockCache(4) : undefined);
          await expectWalks(reader, keys, {});
          deepStrictEqual(await keysOfLeaves(reader), keys.map(hex));
          const choose = seededChoices(parameters.seed);
          for (let round = 0; round < 8; round += 1) {
            const [start, end] = [boundary(keys, choose), boundary(keys, choose)];
            await expectWalks(reader, keys, { start, end });
            await expectWalks(reader, keys, { start });
            await expectWalks(reader, keys, { end });
            if (start !== undefined) await expectFloor(reader, keys, start);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it('an index of four levels gives every key', async () => {
    const keys = randomKeys({ seed: 5, keySize: 255, count: 31_000, busyBytes: 255 });
    const reader = readerOf(keys, undefined);
    const blocks = await drain(reader.blocks());
    expect(
      Math.max(...blocks.map((block) => (block instanceof IndexNode ? block.level : -1))),
    ).toBe(3);
    deepStrictEqual((await keysOf(reader.ascend({}))).flat(), keys.map(hex));
    deepStrictEqual(await keysOfLeaves(reader), keys.map(hex));
    for (let index = 0; index < keys.length; index += 997) {
      await expectFloor(reader, keys, keys[index] ?? new Uint8Array(255));
    }
  });

  it('an index has every block in its list, the root last', async () => {
    const keys = randomKeys({ seed: 6, keySize: 26, count: 3000, busyBytes: 3 });
    const reader = readerOf(keys, undefined);
    const blocks = await drain(reader.blocks());
    expect(blocks.map(({ block }) => block)).toEqual([...blocks.keys()]);
    expect(blocks.at(-1)?.block).toBe(reader.rootBlock);
    const leafEntries = blocks.map((block) =>
      block instanceof IndexNode && block.level === 0 ? block.entryCount : 0,
    );
    expect(leafEntries.reduce((sum, count) => sum + count)).toBe(keys.length);
  });
});

/** Ascending, descending and salvaging walks give what lies in the range. */
async function expectWalks(
  reader: DiskBtreeReader,
  keys: readonly Uint8Array[],
  range: { readonly start?: Uint8Array | undefined; readonly end?: Uint8Array | undefined },
): Promise<void> {
  const { start, end } = range;
  const expected = keys
    .filter((key) => start === undefined || Buffer.compare(key, start) >= 0)
    .filter((key) => end === undefined || Buffer.compare(key, end) < 0)
    .map(hex);
  deepStrictEqual((await keysOf(reader.ascend(range))).flat(), expected);
  deepStrictEqual((await keysOf(reader.descend(range))).reverse().flat(), expected);
  deepStrictEqual((await keysOf(reader.salvage(range))).flat(), expected);
}

/** The keys of all leaves, each of which lies where its place says. */
async function keysOfLeaves(reader: DiskBtreeReader): Promise<(string | undefined)[]> {
  const keys: (string | undefined)[] = [];
  let upper: Uint8Array | undefined;
  for await (const place of reader.leafPlaces()) {
    if (upper !== undefined) expect(hex(place.firstKey)).toBe(hex(upper));
    ({ upper } = place);
    const leaf = await place.read();
    expect(hex(leaf.key(0))).toBe(hex(place.firstKey));
    for (let index = 0; index < leaf.entryCount; index += 1) keys.push(hex(leaf.key(index)));
  }
  expect(upper).toBeUndefined();
  return keys;
}

async function expectFloor(
  reader: DiskBtreeReader,
  keys: readonly Uint8Array[],
  probe: Uint8Array,
): Promise<void> {
  const expected = keys.findLast((key) => Buffer.compare(key, probe) <= 0);
  const search = reader.search(probe);
  await reader.finish([search]);
  const { position } = search;
  expect(position === undefined ? undefined : hex(position.node.key(position.index))).toBe(
    hex(expected),
  );
}

/** The keys of each slice; a slice is only valid until the next one is there. */
async function keysOf(
  slices: AsyncIterable<SalvagedSlice | LeafSlice>,
): Promise<(string | undefined)[][]> {
  const keys: (string | undefined)[][] = [];
  for await (const slice of slices) {
    if (slice.kind !== 'slice') throw slice.error;
    const { node, from, to } = slice;
    keys.push(Array.from({ length: to - from }, (_, index) => hex(node.key(from + index))));
  }
  return keys;
}

/** A key, one right beside a key, or any; sometimes none. */
function boundary(
  keys: readonly Uint8Array[],
  choose: (n: number) => number,
): Uint8Array | undefined {
  const key = (keys[choose(keys.length)] ?? new Uint8Array(1)).slice();
  const last = key.length - 1;
  switch (choose(5)) {
    case 0:
      return undefined;
    case 1:
      return key;
    case 2:
      key[last] = Math.min(0xff, (key[last] ?? 0) + 1);
      return key;
    case 3:
      key[last] = Math.max(0, (key[last] ?? 0) - 1);
      return key;
    default:
      return key.map((byte, index) => (index > choose(key.length) ? choose(256) : byte));
  }
}

function readerOf(keys: readonly Uint8Array[], cache: BlockCache | undefined): DiskBtreeReader {
  const keySize = keys[0]?.length ?? 0;
  const blocks: Uint8Array[] = [];
  const builder = new DiskBtreeBuilder(keySize, (block) => blocks.push(block.slice()) - 1);
  for (const [index, key] of keys.entries()) builder.put(key, index);
  const rootBlock = builder.finish();
  const source = bytesSource(Buffer.concat([Buffer.alloc(START_BLOCK * 8192), ...blocks]));
  const rules = {
    keySize,
    first: new Uint8Array(keySize),
    end: new Uint8Array(keySize).fill(0xff),
    problem: () => undefined,
    firstProblem: () => -1,
  };
  return new DiskBtreeReader(
    new IndexBlocks(source, { startBlock: START_BLOCK, rootBlock }),
    rules,
    shareOf(cache),
  );
}

/** Leaves that are looked for block by block: which are taken, and when it is given up. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { type SweepOptions, sweepBlocks } from '../../../src/layers/disk-btree/block-sweep.ts';
import { IndexBlocks } from '../../../src/layers/disk-btree/index-blocks.ts';
import { IndexChecks } from '../../../src/layers/disk-btree/index-checks.ts';
import { type KeySpan, longestChain } from '../../../src/layers/disk-btree/leaf-chain.ts';
import { findLostLeaves } from '../../../src/layers/disk-btree/lost-leaves.ts';
import { BLOCK, nodeBlock } from '../../support/hand-made.ts';
import { blockKey, drain } from '../../support/layers.ts';
import { rounds } from '../../support/rounds.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';

const RULES = {
  keySize: 18,
  first: new Uint8Array(18),
  end: new Uint8Array(18).fill(0xff),
  problem: () => undefined,
  firstProblem: () => -1,
};

function leafOf(...keys: number[]): Uint8Array {
  return leafWith(keys, keys);
}

function leafWith(keys: readonly number[], blobs: readonly number[]): Uint8Array {
  return nodeBlock({ keys: keys.map(blockKey), values: blobs.map((blob) => 8192 + blob) });
}

/** In an index that starts at block 2. */
async function lostIn(blocks: readonly Uint8Array[], maximumLeaves?: number, cut = 0) {
  const all = Buffer.concat([Buffer.alloc(2 * BLOCK), ...blocks]);
  const source = bytesSource(all.subarray(0, all.length - cut), 'layer');
  const index = new IndexBlocks(source, { startBlock: 2, rootBlock: blocks.length - 1 });
  return findLostLeaves(index, new IndexChecks(index, RULES), { maximumLeaves });
}

describe('lost leaves', () => {
  const inner = nodeBlock({ keys: [0, 3].map(blockKey), children: [0, 1] });

  it('lost leaves are found between blocks that are not leaves', async () => {
    const garbage = new Uint8Array(BLOCK).fill(0xee);
    const blocks = [leafOf(1, 2), garbage, inner, new Uint8Array(BLOCK), leafOf(3)];
    const { leaves, damage } = await lostIn(blocks);
    expect(leaves.map(({ block }) => block)).toEqual([0, 4]);
    expect(damage).toEqual([]);
  });

  it.each([
    ['no byte that is used', BLOCK - 5 - 2 * 23, [0, 1]],
    ['one byte that is used', BLOCK - 5 - 2 * 23 + 1, [0]],
  ])(
    'lost leaves are taken from a block that is cut, where %s is missing',
    async (_, cut, expected) => {
      const { leaves } = await lostIn([leafOf(1, 2), leafOf(3, 4)], undefined, cut);
      expect(leaves.map(({ block }) => block)).toEqual(expected);
    },
  );

  it('lost leaves that contradict the others are reported, not used', async () => {
    const { leaves, damage } = await lostIn([
      leafWith([1, 2], [1, 2]),
      leafWith([90, 91], [3, 4]),
      leafWith([3, 4], [5, 6]),
      leafWith([5], [7]),
    ]);
    expect(leaves.map(({ block }) => block)).toEqual([0, 2, 3]);
    expect(damage).toMatchObject([{ block: 1, error: { code: 'out-of-order', path: 'layer' } }]);
  });

  it('lost leaves are those that their parent confirms, where as many others contradict them', async () => {
    const first = leafWith([5, 6], [1, 2]);
    const changed = leafWith([1, 7], [3, 4]);
    const last = leafWith([8, 9], [5, 6]);
    const parent = nodeBlock({ keys: [5, 7, 8].map(blockKey), children: [0, 1, 2] });
    const { leaves, damage } = await lostIn([first, changed, last, parent]);
    expect(leaves.map(({ block }) => block)).toEqual([0, 2]);
    expect(damage).toMatchObject([{ block: 1 }]);
    const changedFirst = leafWith([7, 9], [1, 2]);
    const second = leafWith([5, 6], [3, 4]);
    const other = nodeBlock({ keys: [3, 5].map(blockKey), children: [0, 1] });
    expect((await lostIn([changedFirst, second, other])).leaves).toMatchObject([{ block: 1 }]);
  });

  it('lost leaves are the valid ones, where as many others contradict them', async () => {
    // The blobs of the first leaf are out of order.
    const damaged = leafWith([7, 8, 9], [1, 3, 2]);
    const { leaves } = await lostIn([damaged, leafWith([4, 5], [5, 6])]);
    expect(leaves).toMatchObject([{ block: 1 }]);
  });

  it('lost leaves that were swapped are in the order of their keys and blobs', async () => {
    const { leaves, damage } = await lostIn([leafOf(5, 6), leafOf(3, 4), leafOf(1, 2)]);
    expect(leaves.map(({ block }) => block)).toEqual([2, 1, 0]);
    expect(damage).toEqual([]);
  });

  it.each([
    [2, []],
    [1, [{ block: 1, error: { code: 'too-large' } }]],
  ])('lost leaves are at most as many as are allowed: %i', async (maximum, damage) => {
    const found = await lostIn([leafOf(1), leafOf(2)], maximum);
    expect(found.leaves).toHaveLength(maximum);
    expect(found.damage).toHaveLength(damage.length);
    expect(found.damage).toMatchObject(damage);
  });
});

describe('a chain of leaves', () => {
  const span = (first: number, last: number, isValid = true, isConfirmed = false) => ({
    first: blockKey(first),
    last: blockKey(last),
    isValid,
    isConfirmed,
  });

  it.each([
    ['none', [], []],
    ['one', [[1, 2]], [0]],
    [
      'ascending',
      [
        [1, 2],
        [3, 4],
        [5, 5],
      ],
      [0, 1, 2],
    ],
    [
      'two that meet in a key',
      [
        [1, 2],
        [2, 3],
        [4, 5],
      ],
      2,
    ],
    [
      'a first that leaps',
      [
        [9, 9],
        [1, 2],
        [3, 4],
      ],
      [1, 2],
    ],
    [
      'a last that falls back',
      [
        [1, 2],
        [3, 4],
        [0, 0],
      ],
      [0, 1],
    ],
    [
      'one that spans all',
      [
        [1, 2],
        [1, 9],
        [3, 4],
        [5, 6],
      ],
      [0, 2, 3],
    ],
  ] as const)('a chain of leaves is the longest of %s', (_, spans, expected) => {
    const chain = longestChain(spans.map(([first, last]) => span(first, last)));
    if (typeof expected === 'number') expect(chain).toHaveLength(expected);
    else expect(chain).toEqual(expected);
  });

  it('a chain of leaves has the most valid leaves of any, then the most leaves, then the most confirmed ones', () => {
    const digit = fc.nat({ max: 12 });
    const spans = fc.array(fc.tuple(digit, digit, fc.boolean(), fc.boolean()), { maxLength: 9 });
    fc.assert(
      fc.property(spans, (all) => {
        const list = all.map(([one, other, ...marks]) =>
          span(Math.min(one, other), Math.max(one, other), ...marks),
        );
        const chain = longestChain(list).map((index) => list[index] as KeySpan);
        expect(isAscending(chain)).toBe(true);
        expect(rating(chain)).toBe(Math.max(...subsets(list).filter(isAscending).map(rating)));
      }),
      { numRuns: rounds(200) },
    );
  });
});

function isAscending(chain: readonly KeySpan[]): boolean {
  return chain.every((span, index) => {
    const previous = chain[index - 1];
    return previous === undefined || Buffer.compare(previous.last, span.first) < 0;
  });
}

function rating(chain: readonly KeySpan[]): number {
  const valid = chain.filter(({ isValid }) => isValid).length;
  const confirmed = chain.filter(({ isConfirmed }) => isConfirmed).length;
  return valid * 10_000 + chain.length * 100 + confirmed;
}

function subsets<T>([first, ...others]: readonly T[]): T[][] {
  if (first === undefined) return [[]];
  const without = subsets(others);
  return [...without, ...without.map((subset) => [first, ...subset])];
}

describe('a sweep', () => {
  const sweep = (blocks: readonly number[], options: Partial<SweepOptions>) => {
    const bytes = Buffer.concat(blocks.map((value) => new Uint8Array(BLOCK).fill(value)));
    const source = bytesSource(bytes, 'layer');
    return drain(sweepBlocks(source, { from: 0, to: blocks.length, ...options }));
  };
  const numbers = async (blocks: readonly number[], options: Partial<SweepOptions>) =>
    (await sweep(blocks, options)).map(({ block }) => block);

  it('a sweep goes forwards or backwards, with zeros or without', async () => {
    expect(await numbers([1, 0, 2], {})).toEqual([0, 2]);
    expect(await numbers([1, 0, 2], { zeros: 'given' })).toEqual([0, 1, 2]);
    expect(await numbers([1, 0, 2], { direction: 'backwards' })).toEqual([2, 0]);
    expect(await numbers([1, 0, 2], { from: 2 })).toEqual([2]);
  });

  it('a sweep ends once the file has more zeros than it stores', async () => {
    // 64 MiB of holes are read in any case.
    const holes = (64 * 1024 * 1024) / BLOCK;
    const sweepOf = (zeroBlocks: number, storedBlocks: number) => {
      const size = zeroBlocks * BLOCK;
      const read = async (target: Uint8Array) => target.fill(0).length;
      const source = { size, path: 'layer', allocatedSize: storedBlocks * BLOCK, read };
      return drain(sweepBlocks(source, { from: 0, to: zeroBlocks }));
    };
    await sweepOf(holes + 3, 3);
    const given = await storageErrorOf(sweepOf(holes + 4, 3));
    expect(given).toMatchObject({ code: 'too-large', path: 'layer', offset: (holes + 3) * BLOCK });
  });

  it('a sweep of hundreds of blocks gives each once, the last one cut', async () => {
    const blocks = Array.from({ length: 300 }, () => 7);
    const bytes = Buffer.concat(blocks.map((value) => new Uint8Array(BLOCK).fill(value)));
    const source = bytesSource(bytes.subarray(0, -5));
    for (const direction of ['forwards', 'backwards'] as const) {
      const seen: number[] = [];
      for await (const { block, bytes: one, presentSize } of sweepBlocks(source, {
        from: 3,
        to: 300,
        direction,
      })) {
        seen.push(block);
        expect(presentSize).toBe(block === 299 ? BLOCK - 5 : BLOCK);
        expect(one[BLOCK - 1]).toBe(block === 299 ? 0 : 7);
      }
      expect(seen.sort((left, right) => left - right)).toEqual(
        Array.from({ length: 297 }, (_, index) => index + 3),
      );
    }
  });
});

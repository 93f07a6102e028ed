/** One wrong bit in an index costs what it hits, not what lies after it. */
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { isStorageError } from '../../../src/errors.ts';
import { DiskBtreeBuilder } from '../../../src/layers/disk-btree/builder.ts';
import { IndexBlocks } from '../../../src/layers/disk-btree/index-blocks.ts';
import type { IndexNode } from '../../../src/layers/disk-btree/index-node.ts';
import { DiskBtreeReader } from '../../../src/layers/disk-btree/reader.ts';
import { seededChoices } from '../../../src/testing/choices.ts';
import { decodedNode } from '../../support/index-nodes.ts';
import { randomKeys } from '../../support/random-keys.ts';
import { rounds } from '../../support/rounds.ts';

const KEY_SIZE = 255;
const BLOCK = 8192;
const KEYS = randomKeys({ seed: 11, keySize: KEY_SIZE, count: 4000, busyBytes: 3 });
const INDEX = buildIndex();
const NODES = INDEX.map((block, number) => decodedNode(block, number, KEY_SIZE, 0));
const LARGEST_LEAF = Math.max(...NODES.map((node) => (node.level === 0 ? node.entryCount : 0)));

it('the index has three levels', () => {
  expect(NODES.at(-1)?.level).toBe(2);
});

describe('a bit that is wrong', () => {
  it('a bit that is wrong in the key of an entry costs that entry and at most one more', async () => {
    const lastLeaf = NODES.findLast(({ level }) => level === 0);
    for (const [node, choose] of samples(0, rounds(30))) {
      // The last key of all has nothing above it to be compared with.
      if (node === lastLeaf) continue;
      const at = 5 + node.prefixLength + choose(node.entryCount * node.suffixLength);
      expect(await lostBy(node.block, at, choose(8))).toBeLessThanOrEqual(2);
    }
  });

  it('a bit that is wrong in the value of an entry costs that entry alone', async () => {
    for (const [node, choose] of samples(0, rounds(30))) {
      const at = node.usedSize - 5 * (1 + choose(node.entryCount));
      expect(await lostBy(node.block, at, choose(8))).toBeLessThanOrEqual(1);
    }
  });

  it('a bit that is wrong in the number or key of a child costs at most what that child holds', async () => {
    for (const [node, choose] of samples(1, rounds(30))) {
      const at = 5 + choose(node.usedSize - 5);
      expect(await lostBy(node.block, at, choose(8))).toBeLessThanOrEqual(LARGEST_LEAF);
    }
  });

  it('a bit that is wrong in the head of a leaf costs at most that leaf', async () => {
    for (const [node, choose] of samples(0, rounds(30))) {
      const at = choose(5 + node.prefixLength);
      expect(await lostBy(node.block, at, choose(8))).toBeLessThanOrEqual(LARGEST_LEAF);
    }
  });
});

/** Nodes of one level, each with choices of its own. */
function* samples(level: number, count: number): Generator<[IndexNode, (n: number) => number]> {
  const nodes = NODES.filter((node) => node.level === level && node.block < NODES.length - 1);
  const choose = seededChoices(level + 1);
  for (let sample = 0; sample < count; sample += 1) {
    const node = nodes[choose(nodes.length)];
    if (node !== undefined) yield [node, choose];
  }
}

/** Entries that are not returned any more, after one bit of the index was flipped. */
async function lostBy(block: number, at: number, bit: number): Promise<number> {
  const bytes = Buffer.concat([Buffer.alloc(2 * BLOCK), ...INDEX]);
  const place = (2 + block) * BLOCK + at;
  bytes[place] = (bytes[place] ?? 0) ^ (1 << bit);
  const blocks = new IndexBlocks(bytesSource(bytes), {
    startBlock: 2,
    rootBlock: INDEX.length - 1,
  });
  const rules = {
    keySize: KEY_SIZE,
    first: new Uint8Array(KEY_SIZE),
    end: new Uint8Array(KEY_SIZE).fill(0xff),
    problem: () => undefined,
    firstProblem: () => -1,
  };
  const found = new Set<number>();
  try {
    for await (const item of new DiskBtreeReader(blocks, rules, undefined).salvage({})) {
      if (item.kind !== 'slice') continue;
      for (let index = item.from; index < item.to; index += 1) {
        const value = item.node.leafValue(index);
        const key = KEYS[value];
        if (key !== undefined && item.node.compareKey(index, key) === 0) found.add(value);
      }
    }
  } catch (error) {
    if (!isStorageError(error)) throw error;
  }
  return KEYS.length - found.size;
}

function buildIndex(): Uint8Array[] {
  const blocks: Uint8Array[] = [];
  const builder = new DiskBtreeBuilder(KEY_SIZE, (block) => blocks.push(block.slice()) - 1);
  for (const [index, key] of KEYS.entries()) builder.put(key, index);
  builder.finish();
  return blocks;
}

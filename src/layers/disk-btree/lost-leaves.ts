/**
 * Leaves that are found by themselves, where what leads to them is damaged.
 *
 * A block of the index is taken for a leaf if it decodes as one, with keys of the layer's size, and
 * its keys fit in with those of the others: leaves are written in the order of their keys. Whether
 * its entries are right is for the walk to find out, as for any other leaf.
 */
import { describedError, isStorageError, StorageError } from '../../errors.ts';
import { isDamage } from '../damage.ts';
import { blockCountOf, readBlockOf, type SweptBlock, sweepBlocks } from './block-sweep.ts';
import type { IndexBlocks } from './index-blocks.ts';
import type { IndexChecks } from './index-checks.ts';
import type { IndexNode } from './index-node.ts';
import { type KeySpan, longestChain } from './leaf-chain.ts';

/** An index of 8 GiB; what is known of each leaf takes less than 200 bytes. */
const MAXIMUM_LEAVES = 1024 * 1024;

export interface LostLeaf extends KeySpan {
  /** Relative to the index. */
  readonly block: number;
}

export interface LostLeaves {
  /** In the order of their keys. */
  readonly leaves: readonly LostLeaf[];
  /** What decodes as a leaf, but contradicts the others; and what is too much. */
  readonly damage: readonly { readonly block: number; readonly error: StorageError }[];
}

/** Every leaf from the start of the index to the end of the file. Throws: `io`, `aborted`. */
export async function findLostLeaves(
  blocks: IndexBlocks,
  checks: IndexChecks,
  { signal, maximumLeaves = MAXIMUM_LEAVES }: FindOptions = {},
): Promise<LostLeaves> {
  const { source, location } = blocks;
  const { startBlock } = location;
  const to = blockCountOf(source);
  const found: LostLeaf[] = [];
  /** The first block that was not looked at. */
  let next = 0;
  try {
    for await (const swept of sweepBlocks(source, { from: startBlock, to, signal })) {
      next = swept.block - startBlock;
      const block = next;
      const node = decodeLeaf(checks, swept, block);
      next += node === undefined || found.length < maximumLeaves ? 1 : 0;
      if (node === undefined) continue;
      if (found.length === maximumLeaves) throw tooMany(blocks, block, maximumLeaves);
      found.push({ block, ...spanOf(node) });
    }
  } catch (error) {
    if (!isStorageError(error, 'too-large')) throw error;
    const { leaves, damage } = sortLeaves(blocks, found);
    return { leaves, damage: [...damage, { block: next, error }] };
  }
  return sortLeaves(blocks, found);
}

export interface FindOptions {
  readonly signal?: AbortSignal | undefined;
  readonly maximumLeaves?: number | undefined;
}

/** The leaf once more; a fresh array. Throws: `truncated`, `corrupt`, `io`. */
export async function readLostLeaf(
  blocks: IndexBlocks,
  checks: IndexChecks,
  { block }: LostLeaf,
): Promise<IndexNode> {
  const swept = await readBlockOf(blocks.source, blocks.location.startBlock + block);
  return checks.decodeWithForeignValues(swept.bytes, block);
}

/** Undefined for what is no leaf, or one whose end is not in the file. */
function decodeLeaf(checks: IndexChecks, swept: SweptBlock, block: number): IndexNode | undefined {
  try {
    const node = checks.decodeWithForeignValues(swept.bytes, block);
    return node.level > 0 || node.usedSize > swept.presentSize ? undefined : node;
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

/** Where the leaf belongs, even if its last key is damaged, or its first one. */
function spanOf(node: IndexNode): KeySpan {
  const lastButOne = Math.max(0, node.entryCount - 2);
  if (node.compareEntries(0, lastButOne) <= 0) {
    return { first: node.key(0), last: node.key(lastButOne) };
  }
  const middle = node.key(node.entryCount >>> 1);
  return { first: middle, last: middle };
}

function sortLeaves(blocks: IndexBlocks, found: readonly LostLeaf[]): LostLeaves {
  const chain = longestChain(found);
  const leaves = chain.map((index) => found[index] as LostLeaf);
  const kept = new Set(chain);
  const others = found.filter((_, index) => !kept.has(index));
  return { leaves, damage: others.map(({ block }) => contradiction(blocks, block)) };
}

function contradiction(blocks: IndexBlocks, block: number): LostLeaves['damage'][number] {
  const error = describedError('out-of-order', {
    what: `keys of index block ${block} do not fit in with those of the other leaves`,
    path: blocks.path,
    offset: blocks.fileOffset(block),
  });
  return { block, error };
}

function tooMany(blocks: IndexBlocks, block: number, maximumLeaves: number): StorageError {
  return new StorageError('too-large', {
    what: 'index that nothing leads into',
    path: blocks.path,
    offset: blocks.fileOffset(block),
    expected: `at most ${maximumLeaves} leaves`,
    actual: 'more',
  });
}

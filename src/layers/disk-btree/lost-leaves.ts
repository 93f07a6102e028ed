/**
 * Finds leaves whose parents are damaged.
 *
 * A block of the index is treated as a leaf if it decodes as one, with keys of the layer's size, and
 * its keys are consistent with those of the others: keys ascend with the blobs that they lead to. So a
 * leaf is found wherever in the index it lies. The walk then checks its entries, as of any other leaf.
 */
import { isStorageError, type StorageError, tooLarge, untracedError } from '../../errors.ts';
import { blockCountOf, readBlockOf, type SweptBlock, sweepBlocks } from './block-sweep.ts';
import type { IndexBlocks } from './index-blocks.ts';
import type { IndexChecks } from './index-checks.ts';
import type { IndexNode } from './index-node.ts';
import { type KeySpan, longestChain } from './leaf-chain.ts';
import { nodeOrThrow } from './search.ts';

/** An index of 8 GiB; each leaf takes less than 200 bytes of memory. */
const MAXIMUM_LEAVES = 1024 * 1024;

export interface LostLeaf extends KeySpan {
  /** Relative to the start of the index. */
  readonly block: number;
  /** A value in its middle, which shows where its blobs lie. */
  readonly value: number;
}

export interface LostLeaves {
  /** In the order of their keys. */
  readonly leaves: readonly LostLeaf[];
  /** Leaves that contradict the others, and the block at which the search gave up, if it did. */
  readonly damage: readonly { readonly block: number; readonly error: StorageError }[];
}

interface FoundLeaf extends LostLeaf {
  isConfirmed: boolean;
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
  const found: FoundLeaf[] = [];
  /** The first block that was not examined. */
  let next = 0;
  try {
    for await (const swept of sweepBlocks(source, { from: startBlock, to, signal })) {
      next = swept.block - startBlock;
      const block = next;
      const node = decodeNode(checks, swept, block);
      const isLeaf = node?.level === 0;
      next += !isLeaf || found.length < maximumLeaves ? 1 : 0;
      if (node === undefined) continue;
      if (!isLeaf) {
        confirmChildren(found, node);
        continue;
      }
      if (found.length === maximumLeaves) throw tooMany(blocks, block, maximumLeaves);
      const isValid = isInOrder(node) && checks.entries(node) === undefined;
      const value = middleValue(node);
      found.push({ block, value, ...spanOf(node), isValid, isConfirmed: false });
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

/** Reads the leaf again; a new array. Throws: `truncated`, `corrupt`, `io`. */
export async function readLostLeaf(
  blocks: IndexBlocks,
  checks: IndexChecks,
  { block }: LostLeaf,
): Promise<IndexNode> {
  const swept = await readBlockOf(blocks.source, blocks.location.startBlock + block);
  return nodeOrThrow(checks.decode(swept.bytes, block, 'accepted'));
}

/** Undefined for a block that is not a node, or whose end is not in the file. */
function decodeNode(checks: IndexChecks, swept: SweptBlock, block: number): IndexNode | undefined {
  const node = checks.decode(swept.bytes, block, 'accepted');
  return isStorageError(node) || node.usedSize > swept.presentSize ? undefined : node;
}

/** Confirms the leaves whose first keys are those of their parent, which lies after them. */
function confirmChildren(found: readonly FoundLeaf[], parent: IndexNode): void {
  for (let index = 0; index < parent.entryCount; index += 1) {
    const leaf = leafAt(found, parent.childBlock(index));
    if (leaf !== undefined && parent.compareKey(index, leaf.first) === 0) leaf.isConfirmed = true;
  }
}

/** Of leaves in the order of their blocks. */
function leafAt(found: readonly FoundLeaf[], block: number): FoundLeaf | undefined {
  let low = 0;
  let high = found.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((found[middle] as FoundLeaf).block < block) low = middle + 1;
    else high = middle;
  }
  return found[low]?.block === block ? found[low] : undefined;
}

/** The span of the leaf, which holds even if its last key, or its first one, is damaged. */
function spanOf(node: IndexNode): Pick<KeySpan, 'first' | 'last'> {
  const lastButOne = Math.max(0, node.entryCount - 2);
  if (node.compareEntries(0, lastButOne) <= 0) {
    return { first: node.key(0), last: node.key(lastButOne) };
  }
  const middle = node.key(node.entryCount >>> 1);
  return { first: middle, last: middle };
}

/** Whether the values are those of a leaf, and lead to blobs in ascending order. */
function isInOrder(node: IndexNode): boolean {
  if (node.firstForeignValue() >= 0) return false;
  for (let index = 1; index < node.entryCount; index += 1) {
    if (node.leafValue(index) <= node.leafValue(index - 1)) return false;
  }
  return true;
}

/** The middle one of three values, so that one that is damaged does not count. */
function middleValue(node: IndexNode): number {
  const last = node.entryCount - 1;
  const values = [0, last >>> 1, last].map((index) => node.leafValue(index));
  return values.sort((one, other) => one - other)[1] ?? 0;
}

function sortLeaves(blocks: IndexBlocks, unsorted: readonly LostLeaf[]): LostLeaves {
  const found = [...unsorted].sort(
    (one, other) => one.value - other.value || one.block - other.block,
  );
  const chain = longestChain(found);
  const leaves = chain.map((index) => found[index] as LostLeaf);
  const kept = new Set(chain);
  const others = found.filter((_, index) => !kept.has(index));
  return { leaves, damage: others.map(({ block }) => contradiction(blocks, block)) };
}

function contradiction(blocks: IndexBlocks, block: number): LostLeaves['damage'][number] {
  const error = untracedError('out-of-order', {
    what: `keys of index block ${block} contradict those of other leaves`,
    path: blocks.path,
    offset: blocks.fileOffset(block),
  });
  return { block, error };
}

function tooMany(blocks: IndexBlocks, block: number, maximumLeaves: number): StorageError {
  const place = { path: blocks.path, offset: blocks.fileOffset(block) };
  return tooLarge('leaves of a damaged index', {
    maximum: maximumLeaves,
    unit: 'leaves',
    ...place,
  });
}

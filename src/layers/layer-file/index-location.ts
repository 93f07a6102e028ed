/**
 * Finds the index of a layer whose summary gives a wrong location.
 *
 * In a file from a writer, the first block of the index is the leaf of the first blob, at 8192; the last
 * block is the root, at the end of the file; and all values lie before the index. So a leaf shows how
 * far the values reach, and no block before that belongs to the index, even if it looks like a leaf: a
 * value may be forged. The search for leaves starts at the end of the file. If leaves were lost or moved, inner nodes
 * that lie next to a child prove where the index starts.
 */
import { decodeBlobHeader, MAXIMUM_BLOB_HEADER_SIZE } from '../../blob-writer/blob-format.ts';
import { type ByteSource, readExactly } from '../../blob-writer/byte-source.ts';
import { isStorageError, StorageError } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { isDamage } from '../damage.ts';
import {
  blockCountOf,
  readBlockOf,
  type SweptBlock,
  sweepBlocks,
} from '../disk-btree/block-sweep.ts';
import { decodeNode } from '../disk-btree/decode-node.ts';
import { IndexBlocks, type IndexLocation } from '../disk-btree/index-blocks.ts';
import { type EntryRules, IndexChecks } from '../disk-btree/index-checks.ts';
import { IndexNode } from '../disk-btree/index-node.ts';
import { KEY_SIZE } from '../key.ts';
import { DELTA_KEY_SIZE } from './entry-layout.ts';
import type { LayerKind } from './summary-format.ts';

/** Lost blocks of an index that lie next to each other, in a file of which nothing else is known. */
const MAXIMUM_GAP = 2;

/** Where the values start, and the first blob. */
const FIRST_OFFSET = BLOCK_SIZE;

/**
 * The place of an index whose root is not where the summary claims: the claimed place if a leaf or the
 * end of the file confirms it; else the place that leaves of that kind imply; without leaves, the
 * claimed place.
 * Throws: `truncated`, `io`, `aborted`.
 */
export async function locateIndex(
  source: ByteSource,
  claimed: IndexLocation,
  kind: LayerKind,
  signal?: AbortSignal,
): Promise<IndexLocation> {
  if (await isPlausible(source, claimed, kind)) return claimed;
  return (await findIndex(source, [kind], signal))?.location ?? claimed;
}

/** Whether a leaf, or the end of the file, confirms the claimed start of the index. */
export async function isPlausible(
  source: ByteSource,
  claimed: IndexLocation,
  kind: LayerKind,
): Promise<boolean> {
  if (await isIndexStart(source, claimed.startBlock, kind)) return true;
  return claimed.startBlock > 1 && endsWithFile(source, claimed);
}

/** The error of a place, or of the root there; undefined if it is valid. Throws: `truncated`, `io`. */
export async function locationError(
  source: ByteSource,
  location: IndexLocation,
  kind: LayerKind,
): Promise<StorageError | undefined> {
  const blocks = new IndexBlocks(source, location);
  return (await placeError(source, location, kind)) ?? (await rootError(blocks, kind));
}

/** Why an index cannot lie there: it is not in the file, or continues after that place. */
export async function placeError(
  source: ByteSource,
  location: IndexLocation,
  kind: LayerKind,
): Promise<StorageError | undefined> {
  const blocks = new IndexBlocks(source, location);
  try {
    blocks.checkLocation();
  } catch (error) {
    if (isDamage(error)) return error;
    throw error;
  }
  return goesOnError(blocks, kind);
}

/**
 * The root is the last block of the index. If the block after it belongs to the index as well, the
 * summary names another block, and entries that only the real root leads to would seem to be absent.
 */
export async function goesOnError(
  blocks: IndexBlocks,
  kind: LayerKind,
): Promise<StorageError | undefined> {
  const { source, location } = blocks;
  const next = location.startBlock + location.rootBlock + 1;
  if (location.startBlock < 2 || next >= blockCountOf(source)) return undefined;
  const node = strictNode(await readBlockOf(source, next), kind, location.startBlock);
  if (node === undefined) return undefined;
  return new StorageError('corrupt', {
    what: 'index continues after the root that the summary names',
    path: source.path,
    offset: blocks.fileOffset(location.rootBlock),
    expected: 'the last block of the index',
    actual: `block ${location.rootBlock}, and a node after it`,
  });
}

/** Undefined if the root is valid. */
async function rootError(blocks: IndexBlocks, kind: LayerKind): Promise<StorageError | undefined> {
  const { source, location } = blocks;
  const { startBlock, rootBlock } = location;
  const { bytes } = await readBlockOf(source, startBlock + rootBlock);
  const checks = new IndexChecks(blocks, rulesOfSize(keySizeOf(kind)));
  const root = checks.decode(bytes, rootBlock, 'accepted');
  return isStorageError(root) ? root : checks.root(root);
}

/** Rules that accept every key of that size. */
function rulesOfSize(keySize: number): EntryRules {
  const first = new Uint8Array(keySize);
  const end = new Uint8Array(keySize).fill(0xff);
  return { keySize, first, end, firstProblem: () => -1, problem: () => undefined };
}

/** Whether the block is the leaf of the first blob. */
export async function isIndexStart(
  source: ByteSource,
  block: number,
  kind: LayerKind,
): Promise<boolean> {
  if (block < 2 || block >= blockCountOf(source)) return false;
  const leaf = strictLeaf(await readBlockOf(source, block), kind);
  return leaf !== undefined && offsetAt(leaf, 0, kind) === FIRST_OFFSET;
}

/**
 * Whether the index would end at the end of the file. A file that ends within a block was cut, and confirms nothing.
 */
export function endsWithFile(
  source: ByteSource,
  { startBlock, rootBlock }: IndexLocation,
): boolean {
  return (startBlock + rootBlock + 1) * BLOCK_SIZE === source.size;
}

export interface FoundIndex {
  readonly kind: LayerKind;
  readonly location: IndexLocation;
}

/**
 * Searches for the index from the end of the file; the last leaf determines the kind. Undefined if there is
 * no leaf. Throws: `truncated`, `io`, `aborted`.
 */
export async function findIndex(
  source: ByteSource,
  kinds: readonly LayerKind[],
  signal?: AbortSignal,
): Promise<FoundIndex | undefined> {
  const to = blockCountOf(source);
  let found: { kind: LayerKind; startBlock: number } | undefined;
  let valuesEnd = FIRST_OFFSET + 1;
  let hasFirstLeaf = false;
  /** Blocks before the last node that are not nodes. */
  let gap = 0;
  const starts = new ProvenStarts();
  const sweep = { from: 1, to, direction: 'backwards', signal } as const;
  try {
    for await (const swept of sweepBlocks(source, sweep)) {
      if (swept.block * BLOCK_SIZE < valuesEnd) break;
      let isNode = false;
      for (const kind of found === undefined ? kinds : [found.kind]) {
        const node = strictNode(swept, kind, 0);
        if (node === undefined) continue;
        isNode = true;
        starts.note(node);
        if (!isLeafInOrder(node, kind)) continue;
        found = { kind, startBlock: swept.block };
        valuesEnd = Math.max(valuesEnd, await endOfValues(source, node, kind));
        if (offsetAt(node, 0, kind) === FIRST_OFFSET) hasFirstLeaf = true;
        break;
      }
      // The first leaf is the start, unless it was moved: then the start is proven, or nodes lie near before it.
      gap = isNode ? 0 : gap + 1;
      const { best } = starts;
      const isBefore = best === undefined ? gap > MAXIMUM_GAP : gap > 0 && swept.block <= best;
      if (hasFirstLeaf && isBefore) break;
    }
  } catch (error) {
    // The search ends here, with what it has found.
    if (!isStorageError(error, 'too-large')) throw error;
  }
  if (found === undefined) return undefined;
  const { best: startBlock = found.startBlock } = starts;
  const isAfterValues = startBlock * BLOCK_SIZE >= valuesEnd;
  return foundIndex(isAfterValues ? { ...found, startBlock } : found, to);
}

/**
 * Where the index starts, according to its inner nodes: a node is written one or two blocks after its last child. A child
 * found there, with the first key that its parent has for it, proves what the child's number counts from.
 */
class ProvenStarts {
  /** The start that most nodes prove; undefined without any. */
  best: number | undefined;
  /** By start, the number of inner nodes that prove it. */
  readonly #counts = new Map<number, number>();
  /** Inner nodes whose last child may follow. */
  #parents: IndexNode[] = [];

  /** Requires: the nodes come in descending order of their blocks. */
  note(node: IndexNode): void {
    this.#parents = this.#parents.filter(({ block }) => block - node.block <= 2);
    for (const parent of this.#parents) {
      const last = parent.entryCount - 1;
      const isChild = node.level === parent.level - 1 && parent.compareKey(last, node.key(0)) === 0;
      if (isChild) this.#add(node.block - parent.childBlock(last));
    }
    // The block's memory is used for other blocks later.
    if (node.level > 0) this.#parents.push(new IndexNode(node.bytes.slice(), node.block));
  }

  #add(start: number): void {
    if (start < 2) return;
    const count = this.#countOf(start) + 1;
    this.#counts.set(start, count);
    if (this.best === undefined || count > this.#countOf(this.best)) this.best = start;
  }

  #countOf(start: number): number {
    return this.#counts.get(start) ?? 0;
  }
}

/** End of the last blob of a leaf; the byte after its start if its length is not plausible. */
async function endOfValues(source: ByteSource, leaf: IndexNode, kind: LayerKind): Promise<number> {
  const offset = offsetAt(leaf, leaf.entryCount - 1, kind);
  const bytes = new Uint8Array(MAXIMUM_BLOB_HEADER_SIZE);
  await readExactly(
    source,
    bytes.subarray(0, Math.min(bytes.length, source.size - offset)),
    offset,
  );
  try {
    const { headerSize, storedLength } = decodeBlobHeader(bytes, 0, offset);
    const end = offset + headerSize + storedLength;
    return end <= leaf.block * BLOCK_SIZE ? end : offset + 1;
  } catch (error) {
    if (isDamage(error)) return offset + 1;
    throw error;
  }
}

function foundIndex({ kind, startBlock }: { kind: LayerKind; startBlock: number }, to: number) {
  return { kind, location: { startBlock, rootBlock: to - 1 - startBlock } };
}

/** The node in a block, if it is valid at this place in the file; else undefined. */
function strictNode(
  { block, bytes, presentSize }: SweptBlock,
  kind: LayerKind,
  startBlock: number,
): IndexNode | undefined {
  const node = decodeOrNothing(bytes, block - startBlock, kind);
  if (node === undefined || node.usedSize > presentSize) return undefined;
  if (node.firstOutOfOrder() >= 0) return undefined;
  const pointsBack = (index: number) =>
    node.level > 0
      ? node.childBlock(index) < node.block
      : offsetAt(node, index, kind) >= FIRST_OFFSET &&
        offsetAt(node, index, kind) < block * BLOCK_SIZE;
  for (let index = 0; index < node.entryCount; index += 1) {
    if (!pointsBack(index)) return undefined;
  }
  return node;
}

/** The leaf in a block, if its blobs lie in ascending order, and before it; else undefined. */
function strictLeaf(swept: SweptBlock, kind: LayerKind): IndexNode | undefined {
  const node = strictNode(swept, kind, 0);
  return node !== undefined && isLeafInOrder(node, kind) ? node : undefined;
}

/** Whether the node is a leaf whose blobs lie in ascending order. */
function isLeafInOrder(node: IndexNode, kind: LayerKind): boolean {
  if (node.level > 0) return false;
  for (let index = 1; index < node.entryCount; index += 1) {
    if (offsetAt(node, index - 1, kind) >= offsetAt(node, index, kind)) return false;
  }
  return true;
}

function decodeOrNothing(bytes: Uint8Array, block: number, kind: LayerKind): IndexNode | undefined {
  const node = decodeNode(bytes, { block, keySize: keySizeOf(kind), fileOffset: 0 });
  return isStorageError(node) ? undefined : node;
}

function keySizeOf(kind: LayerKind): number {
  return kind === 'delta' ? DELTA_KEY_SIZE : KEY_SIZE;
}

function offsetAt(leaf: IndexNode, index: number, kind: LayerKind): number {
  const value = leaf.leafValue(index);
  return kind === 'delta' ? Math.floor(value / 2) : value;
}

/**
 * Searches in an index, from the root down to the leaf where the key would be.
 *
 * Every node is checked, by itself and against its parent, before any entry of it is used. A valid node
 * is cached, and its parent keeps a link to it, so that nothing is checked twice.
 */
import { assert } from '../../assert.ts';
import type { ReadRange } from '../../blob-writer/read-range.ts';
import { NO_READS, type Reading } from '../../blob-writer/reading.ts';
import type { CacheOwner } from '../../blob-writer/value-cache.ts';
import { isStorageError, type StorageError, withPlace } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { isDamage } from '../damage.ts';
import type { BlockCache, CachedNode, CacheShare } from './block-cache.ts';
import type { IndexBlocks } from './index-blocks.ts';
import type { IndexChecks } from './index-checks.ts';
import type { IndexNode, KnownPrefix } from './index-node.ts';
import { type EntryPosition, upperOf } from './walk.ts';

export class Search {
  readonly key: Uint8Array;
  /** The current node; undefined before the root. Valid even after the cache has evicted it. */
  node: IndexNode | undefined;
  /** The last entry of the node that is at most the key; -1 if there is none. */
  index = -1;
  /** The node's place in the cache. */
  at: CachedNode | undefined;
  /** Exclusive upper bound of the node's keys; undefined on the right-most path. */
  upper: Uint8Array | undefined;

  /** Whether the key is known to start with the prefix of the node. */
  #prefix: KnownPrefix = 'unknown';

  constructor(key: Uint8Array) {
    this.key = key;
  }

  /** Requires: the node is the root, or the child at `index`, and has been checked. */
  enter(at: CachedNode, node: IndexNode, upper: Uint8Array | undefined): void {
    const { key, node: parent, index } = this;
    this.at = at;
    this.node = node;
    this.upper = upper;
    // The parent has the first key of the node, including the prefix, in cached memory; the leaf is one
    // of very many, and each of its cache lines is a miss.
    const isShared = parent?.hasPrefix(index, key, node.prefixLength) ?? false;
    this.#prefix = isShared ? 'shared' : 'unknown';
    this.index = node.floor(key, this.#prefix);
  }

  /** Whether the entry that was found starts with the first `length` bytes of the key. */
  hasFound(length: number): boolean {
    const { node, index, key } = this;
    if (node === undefined || index < 0) return false;
    return node.hasPrefix(index, key, length, this.#prefix);
  }

  get isDone(): boolean {
    return this.node !== undefined && (this.node.level === 0 || this.index < 0);
  }

  /** The entry that was found. Requires: the search is done. */
  get position(): EntryPosition | undefined {
    const { node, index } = this;
    return node === undefined || index < 0 ? undefined : { node, index };
  }
}

interface LoadedNode {
  readonly at: CachedNode;
  readonly node: IndexNode;
}

/** The cached nodes of one index; checks and caches nodes that were read. */
export class IndexNodes {
  readonly blocks: IndexBlocks;
  readonly checks: IndexChecks;
  readonly #cache: BlockCache;
  readonly #owner: CacheOwner;
  /** Where every search starts; undefined or without a node until loaded, and after eviction. */
  #root: CachedNode | undefined;

  constructor(blocks: IndexBlocks, checks: IndexChecks, { cache, owner }: CacheShare) {
    this.blocks = blocks;
    this.checks = checks;
    this.#cache = cache;
    this.#owner = owner;
  }

  get rootBlock(): number {
    return this.blocks.location.rootBlock;
  }

  /** Moves to the leaf, or to the parent of a block that is not in the cache. */
  goDown(search: Search): void {
    if (search.at === undefined) {
      if (this.#root?.node === undefined) return;
      this.#root.recentlyUsed = true;
      search.enter(this.#root, this.#root.node, undefined);
    }
    while (!search.isDone) {
      const child = search.at?.children[search.index];
      if (child?.node === undefined) return;
      child.recentlyUsed = true;
      search.enter(child, child.node, child.upper);
    }
  }

  /** Moves into the node that the search lacked. Throws: the error of its place. */
  enter(search: Search, child: LoadedNode): void {
    const { node: parent, at, index } = search;
    if (parent === undefined) {
      this.#root = child.at;
      search.enter(child.at, child.node, undefined);
      return;
    }
    const upper = upperOf(parent, index, search.upper);
    throwIfAny(
      this.checks.level(child.node, parent) ?? this.checks.place(child.node, parent, index, upper),
    );
    child.at.upper = upper;
    // From now on it is not checked again under this parent.
    if (at?.node !== undefined) at.children[index] = child.at;
    search.enter(child.at, child.node, upper);
  }

  /** The block below an entry of an inner node. Throws `out-of-range`. */
  childBlock(parent: IndexNode, index: number): number {
    throwIfAny(this.checks.childPointer(parent, index));
    return parent.childBlock(index);
  }

  /** From the cache; the node by itself has been checked. */
  cached(block: number): LoadedNode | undefined {
    const at = this.#cache.find(this.#owner, block);
    return at?.node === undefined ? undefined : { at, node: at.node };
  }

  /** From its bytes. Throws: the error of the node by itself. */
  load(bytes: Uint8Array, block: number): LoadedNode {
    const node = nodeOrThrow(this.checks.decode(bytes, block));
    throwIfAny(this.checks.entries(node));
    return { at: this.#cache.put(this.#owner, node), node };
  }

  /**
   * Whether one read fetches the complete index with its root: if the source reads that much faster
   * than it answers two requests, and the cache has room for it.
   */
  get isReadWhole(): boolean {
    const { maximumGap = 0, wholeReadLength = maximumGap } = this.blocks.source;
    return this.rootBlock * BLOCK_SIZE <= wholeReadLength && this.rootBlock < this.#cache.capacity;
  }
}

interface BlockRead extends ReadRange {
  readonly block: number;
}

/** Nodes from the cache, or from the file. */
export class NodesReading implements Reading {
  readonly #nodes: IndexNodes;
  readonly #blocks: ReadonlySet<number>;
  readonly #loaded = new Map<number, LoadedNode>();
  #reads: readonly BlockRead[] | undefined;

  constructor(nodes: IndexNodes, blocks: ReadonlySet<number>) {
    this.#nodes = nodes;
    this.#blocks = blocks;
  }

  proceed(): readonly ReadRange[] {
    if (this.#reads === undefined) {
      this.#reads = this.#missing();
      return this.#reads;
    }
    for (const read of this.#reads) this.#accept(read);
    this.#reads = [];
    return NO_READS;
  }

  /** Requires: the block was asked for, and all reads have been made. */
  node(block: number): LoadedNode {
    const loaded = this.#loaded.get(block);
    assert(loaded !== undefined, 'what was asked for was loaded');
    return loaded;
  }

  #missing(): BlockRead[] {
    const { rootBlock, blocks, isReadWhole } = this.#nodes;
    const reads: BlockRead[] = [];
    for (const block of this.#blocks) {
      const cached = this.#nodes.cached(block);
      if (cached !== undefined) {
        this.#loaded.set(block, cached);
        continue;
      }
      const isRoot = block === rootBlock;
      if (isRoot) blocks.checkLocation();
      const first = isRoot && isReadWhole ? 0 : block;
      const target = new Uint8Array((block + 1 - first) * BLOCK_SIZE);
      reads.push({ block: first, target, offset: blocks.fileOffset(first) });
    }
    return reads;
  }

  #accept({ block: first, target }: BlockRead): void {
    const last = first + target.length / BLOCK_SIZE - 1;
    for (let block = first; block <= last; block += 1) {
      const start = (block - first) * BLOCK_SIZE;
      // A copy of each, so that one cached block does not keep the others in memory.
      const bytes = first === last ? target : target.slice(start, start + BLOCK_SIZE);
      if (this.#blocks.has(block)) this.#loaded.set(block, this.#nodes.load(bytes, block));
      else this.#acceptUnasked(bytes, block);
    }
  }

  /** Ignores damage, which is reported to a search that needs the block. */
  #acceptUnasked(bytes: Uint8Array, block: number): void {
    try {
      this.#nodes.load(bytes, block);
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }
}

/** Completes searches, level by level; a block that several searches lack is read once. */
export class Descent implements Reading {
  readonly #nodes: IndexNodes;
  readonly #searches: readonly Search[];
  /** Searches that are not done, the blocks that they lack, and the reading of these. */
  #open: readonly Search[] = [];
  #lacking: readonly number[] = [];
  #reading: NodesReading | undefined;

  constructor(nodes: IndexNodes, searches: readonly Search[]) {
    this.#nodes = nodes;
    this.#searches = searches;
  }

  proceed(): readonly ReadRange[] {
    for (;;) {
      const reads = this.#reading?.proceed() ?? NO_READS;
      if (reads.length > 0) return reads;
      this.#enterLoaded();
      this.#open = this.#searches.filter(({ isDone }) => !isDone);
      if (this.#open.length === 0) return NO_READS;
      this.#lacking = this.#open.map(({ node, index }) =>
        node === undefined ? this.#nodes.rootBlock : this.#nodes.childBlock(node, index),
      );
      this.#reading = new NodesReading(this.#nodes, new Set(this.#lacking));
    }
  }

  #enterLoaded(): void {
    for (const [number, search] of this.#open.entries()) {
      const child = this.#reading?.node(this.#lacking[number] as number);
      if (child !== undefined) this.#nodes.enter(search, child);
    }
    for (const search of this.#open) this.#nodes.goDown(search);
  }
}

export function nodeOrThrow(node: IndexNode | StorageError): IndexNode {
  if (isStorageError(node)) throw withPlace(node);
  return node;
}

export function throwIfAny(error: StorageError | undefined): void {
  if (error !== undefined) throw withPlace(error);
}

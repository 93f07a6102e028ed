/**
 * A bounded cache of checked index nodes, and of blocks with small values, shared by any number of
 * readers. Scans do not use it, so that a scan cannot evict blocks that point reads need.
 */
import { assert } from '../../assert.ts';
import { type CacheOwner, ValueCache } from '../../blob-writer/value-cache.ts';
import { checkCount, checkOptions, type KnownOptions } from '../../check-options.ts';
import type { IndexNode } from './index-node.ts';

/** 32,768 blocks, 256 MiB: the index of some 15 million entries. Memory is allocated as needed. */
const DEFAULT_CAPACITY = 32_768;

/** 128 MiB. */
const DEFAULT_VALUE_CAPACITY = 16_384;

/** 128 GiB; the table for that many blocks takes 128 MiB from the start. */
const MAXIMUM_VALUE_CAPACITY = 16_777_216;

/**
 * A node in the cache. Its reader keeps a reference, so that it finds the child of a parent without a
 * lookup, and sees here whether the node is still cached: an evicted one takes no memory.
 */
export class CachedNode {
  readonly owner: CacheOwner;
  readonly block: number;
  /** Undefined once it was evicted. */
  node: IndexNode | undefined;
  recentlyUsed = false;
  /** Children by entry, checked against this node. */
  children: (CachedNode | undefined)[] = [];
  /** Exclusive upper bound of the node's keys; undefined on the right-most path. */
  upper: Uint8Array | undefined;
  /** Index in the clock. */
  place = -1;

  constructor(owner: CacheOwner, node: IndexNode) {
    this.owner = owner;
    this.block = node.block;
    this.node = node;
  }

  /** Frees the memory, even if references to the cache remain. */
  forget(): void {
    this.node = undefined;
    this.children = [];
    this.upper = undefined;
  }
}

/** Options of `BlockCache`. */
export interface BlockCacheOptions {
  /** Blocks of values; default: 16,384 (128 MiB), or the capacity if that is less. 0 for none. */
  readonly valueCapacity?: number | undefined;
}

/** All of them, by name. */
const OPTIONS: KnownOptions<BlockCacheOptions> = {
  valueCapacity: true,
};

/** A cache, and the owner of one reader's blocks in it. */
export interface CacheShare {
  readonly cache: BlockCache;
  readonly owner: CacheOwner;
}

/**
 * A bounded cache of index blocks and of blocks with small values, for any number of readers.
 *
 * @example
 * const blockCache = new BlockCache(4096); // 32 MiB of index blocks, and as much of values
 * await using reader = await openLayer(path, { blockCache });
 */
export class BlockCache {
  /** Maximum number of index blocks. */
  readonly capacity: number;
  /** @internal */
  readonly values: ValueCache;
  /** A circle; the hand is at the oldest node. */
  readonly #clock: CachedNode[] = [];
  #hand = 0;
  /** By owner and block number. */
  readonly #nodes = new Map<CacheOwner, Map<number, CachedNode>>();

  static #shared: BlockCache | undefined;

  /** The cache of the process, which readers use by default. */
  static shared(): BlockCache {
    BlockCache.#shared ??= new BlockCache();
    return BlockCache.#shared;
  }

  /**
   * Creates an empty cache.
   *
   * @param capacity Maximum number of index blocks of 8,192 bytes; default 32,768 (256 MiB).
   * @throws `invalid-input`.
   */
  constructor(capacity = DEFAULT_CAPACITY, options: BlockCacheOptions = {}) {
    checkCount('capacity of the block cache', capacity);
    checkOptions(options, OPTIONS);
    const { valueCapacity = Math.min(capacity, DEFAULT_VALUE_CAPACITY) } = options;
    checkCount('capacity of the block cache for values', valueCapacity, {
      to: MAXIMUM_VALUE_CAPACITY,
    });
    this.capacity = capacity;
    this.values = new ValueCache(valueCapacity);
  }

  /** Number of index blocks in the cache. */
  get size(): number {
    return this.#clock.length;
  }

  /**
   * An owner, which keeps the blocks of one reader apart from those of others.
   * @internal
   */
  addOwner(): CacheOwner {
    return this.values.addOwner();
  }

  /**
   * Returns: the node's place in the cache.
   * @internal
   */
  find(owner: CacheOwner, block: number): CachedNode | undefined {
    const cached = this.#nodes.get(owner)?.get(block);
    if (cached !== undefined) cached.recentlyUsed = true;
    return cached;
  }

  /**
   * Replaces the owner's node of the same block. The node is evicted immediately if the cache has no
   * capacity, or the owner is closed.
   * @internal
   */
  put(owner: CacheOwner, node: IndexNode): CachedNode {
    const added = new CachedNode(owner, node);
    const replaced = this.#nodes.get(owner)?.get(node.block);
    if (replaced !== undefined) this.#remove(replaced);
    if (this.capacity === 0 || owner.isClosed) added.forget();
    else this.#add(added);
    return added;
  }

  /**
   * Removes the blocks of one reader, and accepts no more of them. Idempotent.
   * @internal
   */
  removeOwner(owner: CacheOwner): void {
    if (owner.isClosed) return;
    this.values.removeOwner(owner);
    for (const cached of this.#nodes.get(owner)?.values() ?? []) this.#remove(cached);
  }

  /** Removes all blocks. */
  clear(): void {
    this.values.clear();
    for (const cached of this.#clock) cached.forget();
    this.#clock.length = 0;
    this.#nodes.clear();
  }

  #add(added: CachedNode): void {
    const isFull = this.#clock.length >= this.capacity;
    added.place = isFull ? this.#evictOldest() : this.#clock.length;
    this.#clock[added.place] = added;
    const nodes = this.#nodes.get(added.owner) ?? new Map<number, CachedNode>();
    this.#nodes.set(added.owner, nodes);
    nodes.set(added.block, added);
  }

  /** Skips nodes that were used since the hand last passed. Returns: the free place. */
  #evictOldest(): number {
    for (;;) {
      if (this.#hand >= this.#clock.length) this.#hand = 0;
      const place = this.#hand;
      const cached = this.#clock[place];
      assert(cached !== undefined, 'the hand is at a node');
      this.#hand += 1;
      if (!cached.recentlyUsed) {
        this.#forget(cached);
        return place;
      }
      cached.recentlyUsed = false;
    }
  }

  /** Moves the last node of the circle to the free place. */
  #remove(cached: CachedNode): void {
    const last = this.#clock.pop();
    assert(last !== undefined, 'what is removed is in the circle');
    if (last !== cached) {
      this.#clock[cached.place] = last;
      last.place = cached.place;
    }
    this.#forget(cached);
  }

  #forget(cached: CachedNode): void {
    const nodes = this.#nodes.get(cached.owner);
    nodes?.delete(cached.block);
    if (nodes?.size === 0) this.#nodes.delete(cached.owner);
    cached.forget();
  }
}

/** A share of the cache; by default, of the cache of the process. Null for no cache. */
export function shareOf(wanted: BlockCache | null | undefined): CacheShare {
  const cache = wanted === null ? new BlockCache(0) : (wanted ?? BlockCache.shared());
  return { cache, owner: cache.addOwner() };
}

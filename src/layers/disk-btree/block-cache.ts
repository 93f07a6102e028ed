/**
 * A bounded cache of checked index nodes, and of blocks that small values lie in, shared by any
 * number of readers. Scans do not use it, so that one scan cannot push out what point reads need.
 */
import { assert } from '../../assert.ts';
import { type CacheOwner, ValueCache } from '../../blob-writer/value-cache.ts';
import { checkCount } from '../../check-options.ts';
import type { IndexNode } from './index-node.ts';

/** 32,768 blocks, 256 MiB: the index of some 15 million entries. Memory is taken as it is needed. */
const DEFAULT_CAPACITY = 32_768;

/** 128 MiB. */
const DEFAULT_VALUE_CAPACITY = 16_384;

/** 128 GiB; the table of so many takes 128 MiB at once. */
const MAXIMUM_VALUE_CAPACITY = 16_777_216;

/**
 * A node in the cache. Its reader holds on to it, to come to a child from its parent without a
 * search, and sees here whether the node is still there: one that was evicted takes no memory.
 */
export class CachedNode {
  readonly owner: CacheOwner;
  readonly block: number;
  /** Undefined once it was evicted. */
  node: IndexNode | undefined;
  recentlyUsed = false;
  /** By entry: what was found under this node, and checked against it. */
  children: (CachedNode | undefined)[] = [];
  /** Every key of the node is below; undefined on the right-most path. */
  upper: Uint8Array | undefined;
  /** Index in the clock. */
  place = -1;

  constructor(owner: CacheOwner, node: IndexNode) {
    this.owner = owner;
    this.block = node.block;
    this.node = node;
  }

  /** Leaves no memory to whoever holds on to it. */
  forget(): void {
    this.node = undefined;
    this.children = [];
    this.upper = undefined;
  }
}

export interface BlockCacheOptions {
  readonly valueCapacity?: number | undefined;
}

/** What one reader has of a cache. */
export interface CacheShare {
  readonly cache: BlockCache;
  readonly owner: CacheOwner;
}

export class BlockCache {
  readonly capacity: number;
  readonly values: ValueCache;
  /** In a circle, in which the hand is at the oldest. */
  readonly #clock: CachedNode[] = [];
  #hand = 0;
  /** By owner and block number. */
  readonly #nodes = new Map<CacheOwner, Map<number, CachedNode>>();

  static #shared: BlockCache | undefined;

  /** The cache of every reader that does not bring one. */
  static shared(): BlockCache {
    BlockCache.#shared ??= new BlockCache();
    return BlockCache.#shared;
  }

  /**
   * `capacity` is a number of index blocks of 8,192 bytes. Beside them, `valueCapacity` blocks of
   * values are kept: 16,384 (128 MiB), or `capacity` where that is less, or 0 for none.
   *
   * Throws: `invalid-input`.
   */
  constructor(capacity = DEFAULT_CAPACITY, options: BlockCacheOptions = {}) {
    checkCount('capacity of the block cache', capacity);
    const { valueCapacity = Math.min(capacity, DEFAULT_VALUE_CAPACITY) } = options;
    checkCount('capacity of the block cache for values', valueCapacity, {
      to: MAXIMUM_VALUE_CAPACITY,
    });
    this.capacity = capacity;
    this.values = new ValueCache(valueCapacity);
  }

  get size(): number {
    return this.#clock.length;
  }

  /** Keeps the blocks of one reader apart from those of others: of its index, and of its values. */
  addOwner(): CacheOwner {
    return this.values.addOwner();
  }

  get(owner: CacheOwner, block: number): IndexNode | undefined {
    return this.find(owner, block)?.node;
  }

  /** As `get`, with the node's place in the cache. */
  find(owner: CacheOwner, block: number): CachedNode | undefined {
    const cached = this.#nodes.get(owner)?.get(block);
    if (cached !== undefined) cached.recentlyUsed = true;
    return cached;
  }

  /**
   * Takes the place of what the owner had of the same block. It is evicted at once where the cache
   * has no capacity, or the owner is closed.
   */
  put(owner: CacheOwner, node: IndexNode): CachedNode {
    const added = new CachedNode(owner, node);
    const replaced = this.#nodes.get(owner)?.get(node.block);
    if (replaced !== undefined) this.#remove(replaced);
    if (this.capacity === 0 || owner.isClosed) added.forget();
    else this.#add(added);
    return added;
  }

  /** Forgets the blocks of one reader, and takes no more of them. Idempotent. */
  removeOwner(owner: CacheOwner): void {
    if (owner.isClosed) return;
    this.values.removeOwner(owner);
    for (const cached of this.#nodes.get(owner)?.values() ?? []) this.#remove(cached);
  }

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

  /** A second chance for what was used since the hand came by. Returns: the place that is free. */
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

  /** The last of the circle comes to its place. */
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

/** A share of the cache; default: of the one that the process shares. Null for none. */
export function shareOf(wanted: BlockCache | null | undefined): CacheShare {
  const cache = wanted === null ? new BlockCache(0) : (wanted ?? BlockCache.shared());
  return { cache, owner: cache.addOwner() };
}

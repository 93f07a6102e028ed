/**
 * A bounded cache of checked index nodes, shared by any number of readers. Scans do not use it, so
 * that one scan cannot push out what point reads need.
 */
import { StorageError } from '../../errors.ts';
import type { IndexNode } from './node-format.ts';

interface CachedNode {
  readonly owner: number;
  readonly node: IndexNode;
  recentlyUsed: boolean;
}

/** 4,096 blocks: 32 MiB. */
const DEFAULT_CAPACITY = 4096;

/** Blocks have u32 numbers. */
const BLOCKS_PER_OWNER = 0x1_0000_0000;

export class BlockCache {
  readonly capacity: number;
  /**
   * In clock order: the hand is at the first. After two million owners two blocks may have the same
   * number here; what is found says itself whose it is.
   */
  readonly #nodes = new Map<number, CachedNode>();
  #owners = 0;

  static #shared: BlockCache | undefined;

  /** The cache of every reader that does not bring one. */
  static shared(): BlockCache {
    BlockCache.#shared ??= new BlockCache();
    return BlockCache.#shared;
  }

  /** `capacity` is a number of blocks of 8,192 bytes. Throws `invalid-input`. */
  constructor(capacity = DEFAULT_CAPACITY) {
    if (!Number.isSafeInteger(capacity) || capacity < 0) {
      throw new StorageError('invalid-input', {
        what: 'capacity of the block cache',
        expected: 'a number of blocks, or 0',
        actual: String(capacity),
      });
    }
    this.capacity = capacity;
  }

  get size(): number {
    return this.#nodes.size;
  }

  /** A number that keeps the blocks of one reader apart from those of others. */
  addOwner(): number {
    this.#owners += 1;
    return this.#owners;
  }

  get(owner: number, block: number): IndexNode | undefined {
    const cached = this.#nodes.get(owner * BLOCKS_PER_OWNER + block);
    if (cached?.owner !== owner || cached.node.block !== block) return undefined;
    cached.recentlyUsed = true;
    return cached.node;
  }

  put(owner: number, node: IndexNode): void {
    const key = owner * BLOCKS_PER_OWNER + node.block;
    this.#nodes.delete(key);
    while (this.#nodes.size >= this.capacity) {
      if (!this.#evictOrSpareFirst()) return;
    }
    this.#nodes.set(key, { owner, node, recentlyUsed: false });
  }

  /** Forgets the blocks of one reader. */
  removeOwner(owner: number): void {
    for (const [key, cached] of this.#nodes) {
      if (cached.owner === owner) this.#nodes.delete(key);
    }
  }

  clear(): void {
    this.#nodes.clear();
  }

  /** A second chance for what was used since the hand came by; false if the cache is empty. */
  #evictOrSpareFirst(): boolean {
    for (const [key, cached] of this.#nodes) {
      this.#nodes.delete(key);
      if (cached.recentlyUsed) {
        cached.recentlyUsed = false;
        this.#nodes.set(key, cached);
      }
      return true;
    }
    return false;
  }
}

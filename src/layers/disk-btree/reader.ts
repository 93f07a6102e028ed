/**
 * Searches and walks the index of a file that nobody vouches for.
 *
 * Every node is checked, by itself and against its parent, before an entry of it is used. So a walk
 * ends, meets no block twice, and hands out no key that a search would not find. The walks here
 * throw at the first violation; `salvage-walk.ts` reports it and goes on.
 */
import { assert } from '../../assert.ts';
import { type ReadStep, runSteps, type Steps } from '../../blob-writer/steps.ts';
import { type StorageError, withPlace } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { isDamage } from '../damage.ts';
import { BlockCache, type CachedNode } from './block-cache.ts';
import { type DamagedBlock, type ListedBlock, listBlocks } from './block-listing.ts';
import type { IndexBlocks } from './index-blocks.ts';
import { type EntryRules, IndexChecks } from './index-checks.ts';
import type { IndexNode } from './index-node.ts';
import { IndexScan } from './index-scan.ts';
import { type SalvagedSlice, salvageIndex } from './salvage-walk.ts';
import { Search } from './search.ts';
import type { EntryPosition, Frame, LeafSlice, WalkOptions } from './walk.ts';

interface LoadedNode {
  readonly at: CachedNode;
  readonly node: IndexNode;
}

interface BlockRead extends ReadStep {
  readonly block: number;
}

export class DiskBtreeReader {
  readonly #blocks: IndexBlocks;
  readonly #checks: IndexChecks;
  readonly #cache: BlockCache;
  readonly #owner: number;
  /** Where every search starts; empty until it was loaded, and again when it was evicted. */
  #root: CachedNode | undefined;

  /** Without a cache, or with one of no capacity, every search reads every block on its way. */
  constructor(blocks: IndexBlocks, rules: EntryRules, cache: BlockCache | undefined) {
    this.#blocks = blocks;
    this.#checks = new IndexChecks(blocks, rules);
    this.#cache = cache ?? new BlockCache(0);
    this.#owner = this.#cache.addOwner();
  }

  /** Gives the cached blocks back. Doing so again is harmless. */
  close(): void {
    this.#cache.removeOwner(this.#owner);
  }

  get rootBlock(): number {
    return this.#blocks.location.rootBlock;
  }

  /** The last entry whose key is at most `key`; undefined if there is none. */
  async floor(key: Uint8Array): Promise<EntryPosition | undefined> {
    const search = this.search(key);
    await runSteps(this.#blocks.source, this.searchSteps([search]));
    return search.position;
  }

  /**
   * Searches for the last entry whose key is at most `key`, as far as cached blocks lead: no step is
   * made and nothing is checked again. `searchSteps` does what is left.
   */
  search(key: Uint8Array): Search {
    const search = new Search(key);
    this.#goDown(search);
    return search;
  }

  /** Finishes the searches, level by level; a block that several of them lack is read once. */
  *searchSteps(searches: readonly Search[]): Steps<void> {
    for (;;) {
      const open = searches.filter(({ isDone }) => !isDone);
      if (open.length === 0) return;
      yield* this.#enterMissing(open);
      for (const search of open) this.#goDown(search);
    }
  }

  /** Entries in ascending order; a slice is valid until the next one is asked for. */
  async *ascend({ start, end }: WalkOptions): AsyncGenerator<LeafSlice> {
    const scan = new IndexScan(this.#blocks);
    try {
      const stack: Frame[] = [frameFrom(await this.#node(this.rootBlock), start, undefined)];
      for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
        const { node, index } = frame;
        if (node.level === 0) {
          stack.pop();
          const to = end === undefined ? node.entryCount : node.ceiling(end);
          if (index < to) yield { kind: 'slice', node, from: index, to };
          if (to < node.entryCount) return;
        } else if (index === node.entryCount) {
          stack.pop();
        } else {
          if (end !== undefined && node.compareKey(index, end) >= 0) return;
          frame.index += 1;
          const upper = upperOf(node, index, frame.upper);
          const bytes = await scan.child(node.level, this.#childBlock(node, index));
          stack.push(frameFrom(this.#scannedChild(bytes, node, index, upper), start, upper));
        }
      }
    } finally {
      await scan.close();
    }
  }

  /** Entries in descending order: slices from the last, each to be read from its end. */
  async *descend({ start, end }: WalkOptions): AsyncGenerator<LeafSlice> {
    const stack: Frame[] = [frameBefore(await this.#node(this.rootBlock), end, undefined)];
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      const { node, index } = frame;
      if (node.level === 0) {
        stack.pop();
        const from = start === undefined ? 0 : node.ceiling(start);
        if (from <= index) yield { kind: 'slice', node, from, to: index + 1 };
        if (from > 0) return;
      } else if (index < 0) {
        stack.pop();
      } else {
        frame.index -= 1;
        const upper = upperOf(node, index, frame.upper);
        const child = await this.#cachedChild(node, index);
        throwIfAny(this.#checks.place(child, node, index, upper));
        stack.push(frameBefore(child, end, upper));
      }
    }
  }

  /**
   * Entries in ascending order, with what is damaged in between.
   *
   * Throws: what keeps the root from being read; `io`.
   */
  salvage(options: WalkOptions): AsyncGenerator<SalvagedSlice> {
    return salvageIndex(this.#blocks, this.#checks, options);
  }

  /**
   * Every block up to the root in order, reachable or not; an error for what does not decode, and for
   * zeros that are too many to be looked at. A node is valid until the next one is asked for.
   */
  blocks(): AsyncGenerator<ListedBlock> {
    return listBlocks(this.#blocks, (bytes, block) => this.#decodeOrError(bytes, block));
  }

  /** To the leaf, or to the parent of a block that is not in the cache. */
  #goDown(search: Search): void {
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

  /** Reads the blocks that keep the searches from going down, checks them, and enters them. */
  *#enterMissing(searches: readonly Search[]): Steps<void> {
    const blocks = searches.map(({ node, index }) =>
      node === undefined ? this.rootBlock : this.#childBlock(node, index),
    );
    const loaded = yield* this.#load(new Set(blocks));
    for (const [number, search] of searches.entries()) {
      const child = loaded.get(blocks[number] as number);
      assert(child !== undefined, 'what was asked for was loaded');
      this.#enter(search, child);
    }
  }

  #enter(search: Search, child: LoadedNode): void {
    const { node: parent, at, index } = search;
    if (parent === undefined) {
      this.#root = child.at;
      search.enter(child.at, child.node, undefined);
      return;
    }
    const upper = upperOf(parent, index, search.upper);
    throwIfAny(
      this.#checks.level(child.node, parent) ??
        this.#checks.place(child.node, parent, index, upper),
    );
    child.at.upper = upper;
    // From now on nobody checks it again under this parent.
    if (at?.node !== undefined) at.children[index] = child.at;
    search.enter(child.at, child.node, upper);
  }

  /** From the cache, where they are checked already, or from the file. */
  *#load(blocks: ReadonlySet<number>): Steps<Map<number, LoadedNode>> {
    const loaded = new Map<number, LoadedNode>();
    const reads: BlockRead[] = [];
    for (const block of blocks) {
      const at = this.#cache.find(this.#owner, block);
      if (at?.node !== undefined) loaded.set(block, { at, node: at.node });
      else reads.push(this.#blockRead(block));
    }
    if (reads.length > 0) yield reads;
    for (const { block, target } of reads) {
      const node = this.#checks.decode(target, block);
      throwIfAny(this.#checks.entries(node));
      loaded.set(block, { at: this.#cache.put(this.#owner, node), node });
    }
    return loaded;
  }

  #blockRead(block: number): BlockRead {
    if (block === this.rootBlock) this.#blocks.checkLocation();
    return { block, target: new Uint8Array(BLOCK_SIZE), offset: this.#blocks.fileOffset(block) };
  }

  async #node(block: number): Promise<IndexNode> {
    const loaded = await runSteps(this.#blocks.source, this.#load(new Set([block])));
    const found = loaded.get(block);
    assert(found !== undefined, 'what was asked for was loaded');
    return found.node;
  }

  async #cachedChild(parent: IndexNode, index: number): Promise<IndexNode> {
    const child = await this.#node(this.#childBlock(parent, index));
    throwIfAny(this.#checks.level(child, parent));
    return child;
  }

  #childBlock(parent: IndexNode, index: number): number {
    throwIfAny(this.#checks.childPointer(parent, index));
    return parent.childBlock(index);
  }

  #scannedChild(
    bytes: Uint8Array,
    parent: IndexNode,
    index: number,
    upper: Uint8Array | undefined,
  ): IndexNode {
    const child = this.#checks.decode(bytes, parent.childBlock(index));
    throwIfAny(
      this.#checks.level(child, parent) ??
        this.#checks.place(child, parent, index, upper) ??
        this.#checks.entries(child),
    );
    return child;
  }

  #decodeOrError(bytes: Uint8Array, block: number): IndexNode | DamagedBlock {
    try {
      return this.#checks.decode(bytes, block);
    } catch (error) {
      if (isDamage(error)) return { block, error };
      throw error;
    }
  }
}

/** What every key of a child is below: the next one of its parent, or what the parent's are below. */
function upperOf(
  parent: IndexNode,
  index: number,
  upper: Uint8Array | undefined,
): Uint8Array | undefined {
  return index + 1 < parent.entryCount ? parent.key(index + 1) : upper;
}

function frameFrom(
  node: IndexNode,
  start: Uint8Array | undefined,
  upper: Uint8Array | undefined,
): Frame {
  if (start === undefined) return { node, index: 0, upper };
  const index = node.level === 0 ? node.ceiling(start) : Math.max(0, node.floor(start));
  return { node, index, upper };
}

function frameBefore(
  node: IndexNode,
  end: Uint8Array | undefined,
  upper: Uint8Array | undefined,
): Frame {
  return { node, index: (end === undefined ? node.entryCount : node.ceiling(end)) - 1, upper };
}

function throwIfAny(error: StorageError | undefined): void {
  if (error !== undefined) throw withPlace(error);
}

/**
 * Searches and walks the index of a file that nobody vouches for.
 *
 * Every node is checked, by itself and against its parent, before an entry of it is used. So a walk
 * ends, meets no block twice, and hands out no key that a search would not find. The walks here
 * throw at the first violation; `salvage-walk.ts` reports it and goes on.
 */
import { runSteps, type Steps } from '../../blob-writer/steps.ts';
import { type StorageError, withPlace } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { isDamage } from '../damage.ts';
import type { BlockCache } from './block-cache.ts';
import type { IndexBlocks } from './index-blocks.ts';
import { type EntryRules, IndexChecks } from './index-checks.ts';
import type { IndexNode } from './node-format.ts';
import { type SalvagedSlice, salvageIndex } from './salvage-walk.ts';
import type { EntryPosition, Frame, LeafSlice, WalkOptions } from './walk.ts';

type ReadBlock = (block: number) => Promise<Uint8Array>;

export class DiskBtreeReader {
  readonly #blocks: IndexBlocks;
  readonly #checks: IndexChecks;
  readonly #cache: BlockCache | undefined;
  readonly #owner: number;

  constructor(blocks: IndexBlocks, rules: EntryRules, cache: BlockCache | undefined) {
    this.#blocks = blocks;
    this.#checks = new IndexChecks(blocks, rules);
    this.#cache = cache;
    this.#owner = cache?.addOwner() ?? 0;
  }

  /** Gives the cached blocks back. Doing so again is harmless. */
  close(): void {
    this.#cache?.removeOwner(this.#owner);
  }

  get rootBlock(): number {
    return this.#blocks.location.rootBlock;
  }

  /** The last entry whose key is at most `key`; undefined if there is none. */
  floor(key: Uint8Array): Promise<EntryPosition | undefined> {
    return runSteps(this.#blocks.source, this.floorSteps(key));
  }

  /** As `floor`, step by step. */
  *floorSteps(key: Uint8Array): Steps<EntryPosition | undefined> {
    let node = yield* this.#node(this.rootBlock);
    let upper: Uint8Array | undefined;
    for (;;) {
      const index = node.floor(key);
      if (index < 0) return undefined;
      if (node.level === 0) return { node, index };
      const child: IndexNode = yield* this.#child(node, index);
      upper = index + 1 < node.entryCount ? node.key(index + 1) : upper;
      throwIfAny(this.#checks.place(child, node, index, upper));
      node = child;
    }
  }

  /** Entries in ascending order. */
  async *ascend({ start, end }: WalkOptions): AsyncGenerator<LeafSlice> {
    const read = this.#blocks.forScan();
    const stack: Frame[] = [frameFrom(await this.#root(), start, undefined)];
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
        const upper = frame.index < node.entryCount ? node.key(frame.index) : frame.upper;
        const child = await this.#scannedChild(node, index, upper, read);
        stack.push(frameFrom(child, start, upper));
      }
    }
  }

  /** Entries in descending order: slices from the last, each to be read from its end. */
  async *descend({ start, end }: WalkOptions): AsyncGenerator<LeafSlice> {
    const stack: Frame[] = [frameBefore(await this.#root(), end, undefined)];
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
        const upper = index + 1 < node.entryCount ? node.key(index + 1) : frame.upper;
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

  /** Every block up to the root in order, reachable or not; an error for what does not decode. */
  async *blocks(): AsyncGenerator<IndexNode | { block: number; error: StorageError }> {
    this.#blocks.checkLocation();
    const read = this.#blocks.forScan();
    for (let block = 0; block <= this.rootBlock; block += 1) {
      yield await this.#decodeOrError(block, read);
    }
  }

  #root(): Promise<IndexNode> {
    return runSteps(this.#blocks.source, this.#node(this.rootBlock));
  }

  #cachedChild(parent: IndexNode, index: number): Promise<IndexNode> {
    return runSteps(this.#blocks.source, this.#child(parent, index));
  }

  *#child(parent: IndexNode, index: number): Steps<IndexNode> {
    throwIfAny(this.#checks.childPointer(parent, index));
    const child = yield* this.#node(parent.childBlock(index));
    throwIfAny(this.#checks.level(child, parent));
    return child;
  }

  /** From the cache, where it is checked already. */
  *#node(block: number): Steps<IndexNode> {
    const cached = this.#cache?.get(this.#owner, block);
    if (cached !== undefined) return cached;
    if (block === this.rootBlock) this.#blocks.checkLocation();
    const bytes = new Uint8Array(BLOCK_SIZE);
    yield { target: bytes, offset: this.#blocks.fileOffset(block) };
    const node = this.#checks.decode(bytes, block);
    throwIfAny(this.#checks.entries(node));
    this.#cache?.put(this.#owner, node);
    return node;
  }

  async #scannedChild(
    parent: IndexNode,
    index: number,
    upper: Uint8Array | undefined,
    read: ReadBlock,
  ): Promise<IndexNode> {
    throwIfAny(this.#checks.childPointer(parent, index));
    const block = parent.childBlock(index);
    const child = this.#checks.decode(await read(block), block);
    throwIfAny(
      this.#checks.level(child, parent) ??
        this.#checks.place(child, parent, index, upper) ??
        this.#checks.entries(child),
    );
    return child;
  }

  async #decodeOrError(
    block: number,
    read: ReadBlock,
  ): Promise<IndexNode | { block: number; error: StorageError }> {
    try {
      return this.#checks.decode(await read(block), block);
    } catch (error) {
      if (isDamage(error)) return { block, error };
      throw error;
    }
  }
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

/**
 * Searches and walks the index of an untrusted file.
 *
 * Every node is checked, by itself and against its parent, before any entry of it is used. So a walk
 * ends, visits no block twice, and returns no key that a search would not find. The walks here throw at
 * the first violation; `salvage-walk.ts` reports it and continues.
 */
import { finishReading, finishReadingSync } from '../../blob-writer/reading.ts';
import { type CacheShare, shareOf } from './block-cache.ts';
import { type ListedBlock, listBlocks } from './block-listing.ts';
import type { IndexBlocks } from './index-blocks.ts';
import { type EntryRules, IndexChecks } from './index-checks.ts';
import type { IndexNode } from './index-node.ts';
import { IndexScan } from './index-scan.ts';
import { type SalvagedSlice, salvageIndex } from './salvage-walk.ts';
import { Descent, IndexNodes, NodesReading, nodeOrThrow, Search, throwIfAny } from './search.ts';
import {
  type EntryPosition,
  type Frame,
  type LeafSlice,
  upperOf,
  type WalkOptions,
} from './walk.ts';

export class DiskBtreeReader {
  readonly #blocks: IndexBlocks;
  readonly #checks: IndexChecks;
  readonly #nodes: IndexNodes;

  /** Without a cache, or with one without capacity, every search reads every block on its path. */
  constructor(blocks: IndexBlocks, rules: EntryRules, share: CacheShare | undefined) {
    this.#blocks = blocks;
    this.#checks = new IndexChecks(blocks, rules);
    this.#nodes = new IndexNodes(blocks, this.#checks, share ?? shareOf(null));
  }

  get rootBlock(): number {
    return this.#blocks.location.rootBlock;
  }

  /** The last entry whose key is at most `key`; undefined if there is none. */
  async floor(key: Uint8Array): Promise<EntryPosition | undefined> {
    const search = this.search(key);
    await this.finish([search]);
    return search.position;
  }

  /**
   * Starts a search for the last entry whose key is at most `key`, and follows cached blocks, without
   * reads or checks. `finish` completes it.
   */
  search(key: Uint8Array): Search {
    const search = new Search(key);
    this.#nodes.goDown(search);
    return search;
  }

  /** Throws: `corrupt`, `truncated`, `out-of-order`, `out-of-range`, `io`. */
  finish(searches: readonly Search[]): Promise<void> {
    return finishReading(this.#blocks.source, new Descent(this.#nodes, searches));
  }

  /** Like `finish`, but synchronous. Also throws `invalid-input` if the source has no `readSync`. */
  finishSync(search: Search): void {
    finishReadingSync(this.#blocks.source, new Descent(this.#nodes, [search]));
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
          const bytes = await scan.child(node.level, this.#nodes.childBlock(node, index));
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
   * Entries in ascending order, and the damage between them.
   *
   * Throws: the error of the root; `io`.
   */
  salvage(options: WalkOptions): AsyncGenerator<SalvagedSlice> {
    return salvageIndex(this.#blocks, this.#checks, options);
  }

  /**
   * Every block up to the root in order, reachable or not; an error for what does not decode, and for
   * zeros that are too many to be looked at. A node is valid until the next one is asked for.
   */
  blocks(): AsyncGenerator<ListedBlock> {
    return listBlocks(this.#blocks, (bytes, block) => this.#checks.decode(bytes, block));
  }

  async #node(block: number): Promise<IndexNode> {
    const reading = new NodesReading(this.#nodes, new Set([block]));
    await finishReading(this.#blocks.source, reading);
    return reading.node(block).node;
  }

  async #cachedChild(parent: IndexNode, index: number): Promise<IndexNode> {
    const child = await this.#node(this.#nodes.childBlock(parent, index));
    throwIfAny(this.#checks.level(child, parent));
    return child;
  }

  #scannedChild(
    bytes: Uint8Array,
    parent: IndexNode,
    index: number,
    upper: Uint8Array | undefined,
  ): IndexNode {
    const child = nodeOrThrow(this.#checks.decode(bytes, parent.childBlock(index)));
    throwIfAny(
      this.#checks.level(child, parent) ??
        this.#checks.place(child, parent, index, upper) ??
        this.#checks.entries(child),
    );
    return child;
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

/**
 * Searches and walks the index of an untrusted file.
 *
 * Every node is checked, by itself and against its parent, before any entry of it is used. So a walk
 * ends, visits no block twice, and returns no key that a search would not find.
 */
import { finishReading, finishReadingSync } from '../../blob-writer/reading.ts';
import { ascend, type SalvageOptions } from './ascending-walk.ts';
import { type CacheShare, shareOf } from './block-cache.ts';
import { type ListedBlock, listBlocks } from './block-listing.ts';
import type { IndexBlocks } from './index-blocks.ts';
import { type EntryRules, IndexChecks } from './index-checks.ts';
import type { IndexNode } from './index-node.ts';
import { IndexScan } from './index-scan.ts';
import type { SalvagedSlice } from './salvaged-leaves.ts';
import { Descent, IndexNodes, NodesReading, nodeOrThrow, Search, throwIfAny } from './search.ts';
import { type Frame, type LeafSlice, spanInRange, upperOf, type WalkOptions } from './walk.ts';

/** A leaf, as known from the nodes above it. It is read on demand. */
export interface LeafPlace {
  /** The key of its first entry. */
  readonly firstKey: Uint8Array;
  /** All of its keys are below this one; undefined for the last leaf. */
  readonly upper: Uint8Array | undefined;
  /** Reads and checks the leaf, which is valid until the next one is read. Throws: as `finish`. */
  read(): Promise<IndexNode>;
}

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

  /** Entries in ascending order; a slice is valid until the next one is requested. */
  ascend(options: WalkOptions): AsyncGenerator<LeafSlice> {
    const root = () => this.#node(this.rootBlock);
    return ascend(this.#blocks, this.#checks, { ...options, mode: 'strict', root });
  }

  /**
   * Entries in ascending order, and the damage between them.
   *
   * Throws: the error of the root, unless it is given and leaves can be found; `io`, `aborted`.
   */
  salvage(options: SalvageOptions): AsyncGenerator<SalvagedSlice> {
    return ascend(this.#blocks, this.#checks, { ...options, mode: 'reporting' });
  }

  /**
   * The leaves in ascending order, each of which is read on demand only: the nodes above them are few, since
   * each leads to hundreds of leaves.
   *
   * Throws: as `finish`.
   */
  async *leafPlaces(): AsyncGenerator<LeafPlace> {
    const scan = new IndexScan(this.#blocks);
    try {
      const root = await this.#node(this.rootBlock);
      if (root.level === 0) {
        yield { firstKey: root.key(0), upper: undefined, read: () => Promise.resolve(root) };
        return;
      }
      const stack: Frame[] = [{ node: root, from: 0, to: root.entryCount, upper: undefined }];
      for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
        const { node, from, to } = frame;
        if (from === to) {
          stack.pop();
          continue;
        }
        frame.from += 1;
        const upper = upperOf(node, from, frame.upper);
        if (node.level === 1) {
          const read = () => this.#leaf(scan, { node, from, upper });
          yield { firstKey: node.key(from), upper, read };
        } else {
          const child = await this.#node(this.#nodes.childBlock(node, from));
          this.#checkPlace(child, node, from, upper);
          stack.push({ node: child, from: 0, to: child.entryCount, upper });
        }
      }
    } finally {
      // A read in flight ends before its file may be closed.
      await scan.close();
    }
  }

  /** Entries in descending order: slices from the last, each to be read from its end. */
  async *descend(options: WalkOptions): AsyncGenerator<LeafSlice> {
    const root = await this.#node(this.rootBlock);
    const stack: Frame[] = [{ node: root, ...spanInRange(root, options), upper: undefined }];
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      const { node, from, to } = frame;
      if (node.level === 0 || from >= to) {
        stack.pop();
        if (from < to) yield { kind: 'slice', node, from, to };
      } else {
        frame.to -= 1;
        const child = await this.#node(this.#nodes.childBlock(node, frame.to));
        const upper = upperOf(node, frame.to, frame.upper);
        this.#checkPlace(child, node, frame.to, upper);
        stack.push({ node: child, ...spanInRange(child, options), upper });
      }
    }
  }

  /**
   * Every block up to the root in order, reachable or not; an error for what does not decode, and for
   * zeros that are too many to be looked at. A node is valid until the next one is requested.
   */
  blocks(): AsyncGenerator<ListedBlock> {
    return listBlocks(this.#blocks, (bytes, block) => this.#checks.decode(bytes, block));
  }

  /** The leaf at `from` of a node, whose keys are below `upper`; not from the cache, as in a scan. */
  async #leaf(
    scan: IndexScan,
    { node: parent, from, upper }: Pick<Frame, 'node' | 'from' | 'upper'>,
  ): Promise<IndexNode> {
    const block = this.#nodes.childBlock(parent, from);
    const bytes = await scan.child(parent.level, block);
    const leaf = nodeOrThrow(this.#checks.decode(bytes, block));
    this.#checkPlace(leaf, parent, from, upper);
    throwIfAny(this.#checks.entries(leaf));
    return leaf;
  }

  #checkPlace(
    child: IndexNode,
    parent: IndexNode,
    index: number,
    upper: Uint8Array | undefined,
  ): void {
    throwIfAny(
      this.#checks.level(child, parent) ?? this.#checks.place(child, parent, index, upper),
    );
  }

  async #node(block: number): Promise<IndexNode> {
    const reading = new NodesReading(this.#nodes, new Set([block]));
    await finishReading(this.#blocks.source, reading);
    return reading.node(block).node;
  }
}

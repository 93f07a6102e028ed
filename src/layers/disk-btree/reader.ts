/**
 * Searches and walks the index of a file that nobody vouches for.
 *
 * What makes a read sound: a child's block number is below its parent's and its level one less; its
 * first key equals the key that its parent has for it, and its last key is below the parent's next
 * one; keys ascend within a node and lie within the layer's range. So a walk ends, meets no block
 * twice, and hands out no key that a search would not find.
 *
 * A strict walk throws at the first violation. A salvaging walk reports it and goes on with what is
 * left: the next child, the next entry that is above all before it.
 */
import { StorageError } from '../../errors.ts';
import type { BlockCache } from './block-cache.ts';
import type { IndexBlocks } from './index-blocks.ts';
import { decodeNode, type IndexNode } from './node-format.ts';

/** What a layer asks of its entries. */
export interface EntryRules {
  /** Size of an entry key: 18 or 26 bytes. */
  readonly keySize: number;
  /** Every entry key is at least `first` and below `end`; both of the key size. */
  readonly first: Uint8Array;
  readonly end: Uint8Array;
  /** What else is wrong with an entry whose key is in range; undefined if nothing. */
  readonly problem: (node: IndexNode, index: number) => StorageError | undefined;
}

export interface WalkOptions {
  /** First entry key, inclusive. */
  readonly start?: Uint8Array | undefined;
  /** Last entry key, exclusive. */
  readonly end?: Uint8Array | undefined;
}

/** Entries `from` to `to`, exclusive, of one leaf. */
export interface LeafSlice {
  readonly kind: 'slice';
  readonly node: IndexNode;
  readonly from: number;
  readonly to: number;
}

export interface EntryPosition {
  readonly node: IndexNode;
  readonly index: number;
}

export type SalvagedSlice =
  | LeafSlice
  | {
      readonly kind: 'damaged-entry';
      readonly node: IndexNode;
      readonly index: number;
      readonly error: StorageError;
    }
  | { readonly kind: 'damaged-block'; readonly block: number; readonly error: StorageError };

interface Frame {
  readonly node: IndexNode;
  /** Next entry to visit. */
  index: number;
  /** Every key below is less; undefined for the right-most path. */
  readonly upper: Uint8Array | undefined;
}

type ReadBlock = (block: number) => Promise<Uint8Array>;

export class DiskBtreeReader {
  readonly #blocks: IndexBlocks;
  readonly #rules: EntryRules;
  readonly #cache: BlockCache | undefined;
  readonly #owner: number;

  constructor(blocks: IndexBlocks, rules: EntryRules, cache: BlockCache | undefined) {
    this.#blocks = blocks;
    this.#rules = rules;
    this.#cache = cache;
    this.#owner = cache?.addOwner() ?? 0;
  }

  get rootBlock(): number {
    return this.#blocks.location.rootBlock;
  }

  /** The last entry whose key is at most `key`; undefined if there is none. */
  async floor(key: Uint8Array): Promise<EntryPosition | undefined> {
    let node = await this.#root();
    let upper: Uint8Array | undefined;
    for (;;) {
      const index = node.floor(key);
      if (index < 0) return undefined;
      if (node.level === 0) return { node, index };
      const next: IndexNode = await this.#cachedChild(node, index);
      upper = index + 1 < node.entryCount ? node.key(index + 1) : upper;
      this.#checkAgainstParent(next, node, index, upper);
      node = next;
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
        this.#checkAgainstParent(child, node, index, upper);
        stack.push(frameBefore(child, end, upper));
      }
    }
  }

  /**
   * Entries in ascending order, with what is damaged in between.
   *
   * Throws: what keeps the root from being read; `io`.
   */
  async *salvage({ start, end }: WalkOptions): AsyncGenerator<SalvagedSlice> {
    this.#blocks.checkLocation();
    const read = this.#blocks.forScan();
    const visited = new Set<number>([this.rootBlock]);
    const root = await this.#decode(this.rootBlock, read);
    const stack: Frame[] = [{ node: root, index: 0, upper: undefined }];
    const highest: HighestKey = { key: undefined };
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      const { node, index } = frame;
      if (node.level === 0) {
        stack.pop();
        yield* this.#salvageLeaf(node, frame.upper, highest, { start, end });
      } else if (index === node.entryCount) {
        stack.pop();
      } else {
        frame.index += 1;
        const separator = node.key(index);
        if (end !== undefined && Buffer.compare(separator, end) >= 0) continue;
        const next = frame.index < node.entryCount ? node.key(frame.index) : frame.upper;
        if (start !== undefined && next !== undefined && Buffer.compare(next, start) <= 0) continue;
        const child = await this.#salvageChild(node, index, visited, read);
        if (child instanceof StorageError) {
          yield { kind: 'damaged-block', block: node.childBlock(index), error: child };
          continue;
        }
        const mismatch = this.#mismatch(child, node, index, next);
        if (mismatch !== undefined) {
          yield { kind: 'damaged-block', block: child.block, error: mismatch };
        }
        stack.push({ node: child, index: 0, upper: mismatch === undefined ? next : undefined });
      }
    }
  }

  /** Every block up to the root in order, reachable or not; an error for what does not decode. */
  async *blocks(): AsyncGenerator<IndexNode | { block: number; error: StorageError }> {
    this.#blocks.checkLocation();
    const read = this.#blocks.forScan();
    for (let block = 0; block <= this.rootBlock; block += 1) {
      yield await decodeOr(
        () => this.#decode(block, read),
        (error) => ({ block, error }),
      );
    }
  }

  #root(): Promise<IndexNode> {
    return this.#cachedNode(this.rootBlock);
  }

  async #cachedChild(parent: IndexNode, index: number): Promise<IndexNode> {
    const error = this.#childPointerError(parent, index);
    if (error !== undefined) throw error;
    const child = await this.#cachedNode(parent.childBlock(index));
    this.#checkLevel(child, parent);
    return child;
  }

  async #cachedNode(block: number): Promise<IndexNode> {
    const cached = this.#cache?.get(this.#owner, block);
    if (cached !== undefined) return cached;
    if (block === this.rootBlock) this.#blocks.checkLocation();
    const node = await this.#decode(block, (number) => this.#blocks.read(number));
    this.#checkEntries(node);
    this.#cache?.put(this.#owner, node);
    return node;
  }

  async #scannedChild(
    parent: IndexNode,
    index: number,
    upper: Uint8Array | undefined,
    read: ReadBlock,
  ): Promise<IndexNode> {
    const error = this.#childPointerError(parent, index);
    if (error !== undefined) throw error;
    const child = await this.#decode(parent.childBlock(index), read);
    this.#checkLevel(child, parent);
    this.#checkAgainstParent(child, parent, index, upper);
    this.#checkEntries(child);
    return child;
  }

  async #decode(block: number, read: ReadBlock): Promise<IndexNode> {
    const bytes = await read(block);
    try {
      return decodeNode(bytes, block, this.#rules.keySize, this.#blocks.fileOffset(block));
    } catch (error) {
      throw error instanceof StorageError ? this.#located(error) : error;
    }
  }

  /** A child that can be walked, in or out of place; or why it cannot. */
  async #salvageChild(
    parent: IndexNode,
    index: number,
    visited: Set<number>,
    read: ReadBlock,
  ): Promise<IndexNode | StorageError> {
    const pointerError = this.#childPointerError(parent, index);
    if (pointerError !== undefined) return pointerError;
    const block = parent.childBlock(index);
    if (visited.has(block)) {
      return this.#corrupt(parent, `index block ${block} has two parents`);
    }
    visited.add(block);
    return decodeOr(
      async () => {
        const child = await this.#decode(block, read);
        this.#checkLevel(child, parent);
        return child;
      },
      (error) => error,
    );
  }

  *#salvageLeaf(
    node: IndexNode,
    upper: Uint8Array | undefined,
    highest: HighestKey,
    { start, end }: WalkOptions,
  ): Generator<SalvagedSlice> {
    let from = 0;
    for (let index = 0; index < node.entryCount; index += 1) {
      const outside =
        (start !== undefined && node.compareKey(index, start) < 0) ||
        (end !== undefined && node.compareKey(index, end) >= 0);
      const error = outside ? undefined : this.#salvageProblem(node, index, upper, highest);
      if (!outside && error === undefined) {
        highest.key = node.key(index);
        continue;
      }
      if (from < index) yield { kind: 'slice', node, from, to: index };
      if (error !== undefined) yield { kind: 'damaged-entry', node, index, error };
      from = index + 1;
    }
    if (from < node.entryCount) yield { kind: 'slice', node, from, to: node.entryCount };
  }

  #salvageProblem(
    node: IndexNode,
    index: number,
    upper: Uint8Array | undefined,
    highest: HighestKey,
  ): StorageError | undefined {
    if (highest.key !== undefined && node.compareKey(index, highest.key) <= 0) {
      return this.#outOfOrder(node, index);
    }
    if (upper !== undefined && node.compareKey(index, upper) >= 0) {
      return this.#corrupt(node, `entry ${index} is not below the next one of the parent`);
    }
    return this.#rangeProblem(node, index) ?? this.#rules.problem(node, index);
  }

  /** Order and range of the entries of one node. */
  #checkEntries(node: IndexNode): void {
    for (let index = 1; index < node.entryCount; index += 1) {
      if (node.compareEntries(index - 1, index) >= 0) throw this.#outOfOrder(node, index);
    }
    const rangeProblem =
      this.#rangeProblem(node, 0) ?? this.#rangeProblem(node, node.entryCount - 1);
    if (rangeProblem !== undefined) throw rangeProblem;
    if (node.level > 0) return;
    for (let index = 0; index < node.entryCount; index += 1) {
      const problem = this.#rules.problem(node, index);
      if (problem !== undefined) throw this.#located(problem);
    }
  }

  #rangeProblem(node: IndexNode, index: number): StorageError | undefined {
    const { first, end } = this.#rules;
    if (node.compareKey(index, first) >= 0 && node.compareKey(index, end) < 0) return undefined;
    return this.#located(
      new StorageError('out-of-range', {
        what: `entry ${index} of index block ${node.block} is outside the layer's range`,
        offset: this.#blocks.fileOffset(node.block),
        expected: `${hex(first)} to ${hex(end)}`,
        actual: hex(node.key(index)),
      }),
    );
  }

  /** Children are written before their parents, so their blocks have lower numbers. */
  #childPointerError(parent: IndexNode, index: number): StorageError | undefined {
    const block = parent.childBlock(index);
    if (block < parent.block) return undefined;
    return this.#located(
      new StorageError('out-of-range', {
        what: `child ${index} of index block ${parent.block}`,
        offset: this.#blocks.fileOffset(parent.block),
        expected: `a block below ${parent.block}`,
        actual: `${block}`,
      }),
    );
  }

  #checkLevel(child: IndexNode, parent: IndexNode): void {
    if (child.level === parent.level - 1) return;
    throw this.#corrupt(child, `level of index block ${child.block}`, {
      expected: `${parent.level - 1}, one below that of block ${parent.block}`,
      actual: `${child.level}`,
    });
  }

  #checkAgainstParent(
    child: IndexNode,
    parent: IndexNode,
    index: number,
    upper: Uint8Array | undefined,
  ): void {
    const error = this.#mismatch(child, parent, index, upper);
    if (error !== undefined) throw error;
  }

  #mismatch(
    child: IndexNode,
    parent: IndexNode,
    index: number,
    upper: Uint8Array | undefined,
  ): StorageError | undefined {
    const separator = parent.key(index);
    if (child.compareKey(0, separator) !== 0) {
      return this.#corrupt(child, `first key of index block ${child.block}`, {
        expected: `${hex(separator)}, as block ${parent.block} says`,
        actual: hex(child.key(0)),
      });
    }
    if (upper === undefined || child.compareKey(child.entryCount - 1, upper) < 0) return undefined;
    return this.#corrupt(child, `last key of index block ${child.block}`, {
      expected: `below ${hex(upper)}`,
      actual: hex(child.key(child.entryCount - 1)),
    });
  }

  #outOfOrder(node: IndexNode, index: number): StorageError {
    return this.#located(
      new StorageError('out-of-order', {
        what: `entry ${index} of index block ${node.block} is not above the one before`,
        offset: this.#blocks.fileOffset(node.block),
        actual: hex(node.key(index)),
      }),
    );
  }

  #corrupt(
    node: IndexNode,
    what: string,
    found: { readonly expected?: string; readonly actual?: string } = {},
  ): StorageError {
    const offset = this.#blocks.fileOffset(node.block);
    return this.#located(new StorageError('corrupt', { what, offset, ...found }));
  }

  #located(error: StorageError): StorageError {
    return error.path === undefined ? error.with({ path: this.#blocks.path }) : error;
  }
}

/** The highest key that a salvaging walk has handed out. */
interface HighestKey {
  key: Uint8Array | undefined;
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

/** Damage becomes a result; what keeps us from looking is thrown. */
async function decodeOr<T, E>(
  decode: () => Promise<T>,
  onDamage: (error: StorageError) => E,
): Promise<T | E> {
  try {
    return await decode();
  } catch (error) {
    if (error instanceof StorageError && error.code !== 'io') return onDamage(error);
    throw error;
  }
}

function hex(key: Uint8Array): string {
  return Buffer.from(key).toString('hex').toUpperCase();
}

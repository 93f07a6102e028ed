/**
 * Walks an index, reports damage, and continues with the rest.
 *
 * The walk ends, because it enters no block twice, and it returns no key twice, because each key must be
 * above all before it. An entry above the entries that follow is treated as the damaged one, so that one
 * wrong key does not cost the keys after it. A block that belongs to a later place is left for that
 * place, so that one wrong block number does not cost the blocks in between. Once a block is damaged,
 * leaves that nothing leads to are visited where their keys belong.
 */
import { isStorageError, type StorageError } from '../../errors.ts';
import { isDamage } from '../damage.ts';
import { BlockSet } from './block-set.ts';
import type { IndexBlocks } from './index-blocks.ts';
import type { IndexChecks } from './index-checks.ts';
import type { IndexNode } from './index-node.ts';
import { IndexScan } from './index-scan.ts';
import { findLostLeaves, type LostLeaves, readLostLeaf } from './lost-leaves.ts';
import { nodeOrThrow, throwIfAny } from './search.ts';
import type { Frame, LeafSlice, WalkOptions } from './walk.ts';

export type SalvagedSlice =
  | LeafSlice
  | {
      readonly kind: 'damaged-entry';
      readonly node: IndexNode;
      readonly index: number;
      readonly error: StorageError;
    }
  | { readonly kind: 'damaged-block'; readonly block: number; readonly error: StorageError };

export interface SalvageWalkOptions extends WalkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Why the root cannot be used, if that is known; then the walk searches for all leaves. */
  readonly rootError?: StorageError | undefined;
}

/**
 * Entries in ascending order, and the damage between them, that of the root first.
 * Throws: the error of the root, unless it is given and leaves can be found; `io`, `aborted`.
 */
export async function* salvageIndex(
  blocks: IndexBlocks,
  checks: IndexChecks,
  options: SalvageWalkOptions,
): AsyncGenerator<SalvagedSlice> {
  const walk = new SalvageWalk(blocks, checks, options);
  try {
    yield* walk.run();
  } finally {
    await walk.close();
  }
}

interface SalvageFrame extends Frame {
  /** The parent has the same first key. */
  readonly isFirstKeySure: boolean;
}

/** True if the parent's keys are in order, but this child belongs after the next one. */
function isFurtherOn(child: IndexNode, separator: Uint8Array, upper: Uint8Array): boolean {
  return Buffer.compare(separator, upper) < 0 && child.compareKey(0, upper) >= 0;
}

/**
 * Upper bound for the keys of the child that was entered last: the parent's next key. The child's last
 * key may be above it. If more keys are, the parent's key is wrong, and the one after it is the bound.
 */
function upperOf(child: IndexNode, { node, index, upper }: SalvageFrame): Uint8Array | undefined {
  const uppers = [index, index + 1].map((at) => (at < node.entryCount ? node.key(at) : upper));
  const [next] = uppers;
  const lastButOne = Math.max(0, child.entryCount - 2);
  return next === undefined || child.compareKey(lastButOne, next) < 0 ? next : uppers[1];
}

class SalvageWalk {
  readonly #blocks: IndexBlocks;
  readonly #checks: IndexChecks;
  readonly #options: SalvageWalkOptions;
  readonly #rootBlock: number;
  readonly #scan: IndexScan;
  /** Blocks that were entered, or postponed for the second time. */
  readonly #visited = new BlockSet();
  readonly #postponed = new BlockSet();
  /** Blocks whose second parent was reported. */
  readonly #shared = new BlockSet();
  /** Whether a block that leads to leaves was found damaged. */
  #isDamaged = false;
  /** Searched for once a leaf may be lost. */
  #lost: LostLeaves | undefined;
  /** Number of those leaves that the walk has reached or passed. */
  #lostDone = 0;
  /** Blocks that were walked although their parent is damaged. */
  readonly #rescued = new BlockSet();
  /** The highest key returned so far. */
  #highest: Uint8Array | undefined;

  constructor(blocks: IndexBlocks, checks: IndexChecks, options: SalvageWalkOptions) {
    this.#blocks = blocks;
    this.#checks = checks;
    this.#options = options;
    this.#rootBlock = blocks.location.rootBlock;
    this.#scan = new IndexScan(blocks);
  }

  async *run(): AsyncGenerator<SalvagedSlice> {
    const { rootError } = this.#options;
    if (rootError === undefined) {
      yield* this.#walkFrom(await this.#root());
    } else {
      if ((await this.#findLost()).leaves.length === 0) throw rootError;
      yield { kind: 'damaged-block', block: this.#rootBlock, error: rootError };
      this.#isDamaged = true;
    }
    if (!this.#isDamaged) return;
    yield* this.#lostBelow(undefined);
    for (const { block, error } of (await this.#findLost()).damage) {
      if (!this.#visited.has(block)) yield { kind: 'damaged-block', block, error };
    }
  }

  async *#walkFrom(root: IndexNode): AsyncGenerator<SalvagedSlice> {
    const stack: SalvageFrame[] = [
      { node: root, index: 0, upper: undefined, isFirstKeySure: false },
    ];
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      if (frame.node.level === 0) {
        stack.pop();
        if (this.#isDamaged) yield* this.#lostBelow(frame.node.key(0));
        yield* this.#leaf(frame);
      } else if (frame.index === frame.node.entryCount) {
        stack.pop();
      } else {
        const child = yield* this.#child(frame);
        if (child !== undefined) stack.push(child);
      }
    }
  }

  async #root(): Promise<IndexNode> {
    this.#blocks.checkLocation();
    const bytes = await this.#scan.read(this.#rootBlock);
    const root = nodeOrThrow(this.#checks.decode(bytes, this.#rootBlock, 'accepted'));
    throwIfAny(this.#checks.root(root));
    this.#visited.add(this.#rootBlock);
    return root;
  }

  /** Waits for the read in flight. */
  async close(): Promise<void> {
    await this.#scan.close();
  }

  /** Enters the next child, unless its range is not wanted or it cannot be. */
  async *#child(frame: SalvageFrame): AsyncGenerator<SalvagedSlice, SalvageFrame | undefined> {
    const { node, index } = frame;
    const { start, end } = this.#options;
    // From here on the frame is at the entry after the child.
    frame.index += 1;
    const separator = node.key(index);
    if (end !== undefined && Buffer.compare(separator, end) >= 0) return undefined;
    const upper = frame.index < node.entryCount ? node.key(frame.index) : frame.upper;
    if (start !== undefined && upper !== undefined && Buffer.compare(upper, start) <= 0) {
      return undefined;
    }
    const block = node.childBlock(index);
    const child = await this.#enter(node, index);
    if (child === undefined) return undefined;
    if (isStorageError(child)) {
      this.#isDamaged = true;
      yield { kind: 'damaged-block', block, error: child };
      return undefined;
    }
    const misplaced = this.#checks.place(child, node, index, upper);
    if (misplaced !== undefined) {
      this.#isDamaged = true;
      yield { kind: 'damaged-block', block, error: misplaced };
    }
    const isFirstKeySure = child.compareKey(0, separator) === 0;
    if (upper !== undefined && isFurtherOn(child, separator, upper)) {
      this.#postpone(block);
      return undefined;
    }
    return { node: child, index: 0, upper: upperOf(child, frame), isFirstKeySure };
  }

  /** The child, in or out of place; or why it cannot be walked; undefined if that was reported. */
  async #enter(parent: IndexNode, index: number): Promise<IndexNode | StorageError | undefined> {
    const pointerError =
      this.#checks.value(parent, index) ?? this.#checks.childPointer(parent, index);
    if (pointerError !== undefined) return pointerError;
    const block = parent.childBlock(index);
    if (this.#rescued.has(block)) return undefined;
    if (this.#visited.has(block)) {
      if (this.#shared.has(block)) return undefined;
      this.#shared.add(block);
      return this.#checks.secondParent(parent, block);
    }
    this.#visited.add(block);
    try {
      const bytes = await this.#scan.child(parent.level, block);
      const child = this.#checks.decode(bytes, block, 'accepted');
      if (isStorageError(child)) return child;
      const error = this.#checks.level(child, parent);
      // Its entries are walked later, as those of a lost leaf.
      if (error !== undefined && child.level === 0) this.#visited.delete(block);
      return error ?? child;
    } catch (error) {
      if (isDamage(error)) return error;
      throw error;
    }
  }

  async #findLost(): Promise<LostLeaves> {
    this.#lost ??= await findLostLeaves(this.#blocks, this.#checks, this.#options);
    return this.#lost;
  }

  /** Visits lost leaves below the key; without a key, all that are left. */
  async *#lostBelow(key: Uint8Array | undefined): AsyncGenerator<SalvagedSlice> {
    const { leaves } = await this.#findLost();
    for (let leaf = leaves[this.#lostDone]; leaf !== undefined; leaf = leaves[this.#lostDone]) {
      if (key !== undefined && Buffer.compare(leaf.last, key) >= 0) return;
      this.#lostDone += 1;
      if (this.#visited.has(leaf.block)) continue;
      this.#visited.add(leaf.block);
      this.#rescued.add(leaf.block);
      const node = await readLostLeaf(this.#blocks, this.#checks, leaf);
      const upper = leaves[this.#lostDone]?.first;
      yield* this.#leaf({ node, index: 0, upper, isFirstKeySure: false });
    }
  }

  /** Leaves the block for a later place; at most once per block, so that the walk ends. */
  #postpone(block: number): void {
    if (this.#postponed.has(block)) return;
    this.#postponed.add(block);
    this.#visited.delete(block);
  }

  *#leaf(frame: SalvageFrame): Generator<SalvagedSlice> {
    const { node, upper, isFirstKeySure } = frame;
    const { start, end } = this.#options;
    if (this.#isValid(frame)) {
      const first = start === undefined ? 0 : node.ceiling(start);
      const to = end === undefined ? node.entryCount : node.ceiling(end);
      if (first >= to) return;
      this.#highest = node.key(to - 1);
      yield { kind: 'slice', node, from: first, to };
      return;
    }
    let from = 0;
    for (let index = 0; index < node.entryCount; index += 1) {
      const outside =
        (start !== undefined && node.compareKey(index, start) < 0) ||
        (end !== undefined && node.compareKey(index, end) >= 0);
      const isSure = index === 0 && isFirstKeySure;
      const error = outside ? undefined : this.#problem(node, index, upper, isSure);
      if (!outside && error === undefined) {
        this.#highest = node.key(index);
        continue;
      }
      if (from < index) yield { kind: 'slice', node, from, to: index };
      if (error !== undefined) yield { kind: 'damaged-entry', node, index, error };
      from = index + 1;
    }
    if (from < node.entryCount) yield { kind: 'slice', node, from, to: node.entryCount };
  }

  /** True for a leaf without damage, as nearly all are: then no entry is checked by itself. */
  #isValid({ node, upper }: SalvageFrame): boolean {
    return (
      (this.#highest === undefined || node.compareKey(0, this.#highest) > 0) &&
      (upper === undefined || node.compareKey(node.entryCount - 1, upper) < 0) &&
      node.firstForeignValue() < 0 &&
      this.#checks.entries(node) === undefined
    );
  }

  #problem(
    node: IndexNode,
    index: number,
    upper: Uint8Array | undefined,
    isSure: boolean,
  ): StorageError | undefined {
    if (this.#highest !== undefined && node.compareKey(index, this.#highest) <= 0) {
      return this.#checks.outOfOrder(node, index);
    }
    if (upper !== undefined && node.compareKey(index, upper) >= 0) {
      return this.#checks.notBelowUpper(node, index);
    }
    const problem = this.#checks.entry(node, index) ?? this.#checks.value(node, index);
    if (problem !== undefined || isSure || !this.#isAboveWhatFollows(node, index)) return problem;
    return this.#checks.notBelowNext(node, index);
  }

  /** True if omitting this entry puts the next two in order, but omitting the next one does not. */
  #isAboveWhatFollows(node: IndexNode, index: number): boolean {
    const next = index + 1;
    if (next === node.entryCount || node.compareEntries(index, next) <= 0) return false;
    if (this.#highest !== undefined && node.compareKey(next, this.#highest) <= 0) return false;
    const afterNext = next + 1;
    if (afterNext === node.entryCount) return true;
    return node.compareEntries(next, afterNext) < 0 && node.compareEntries(index, afterNext) >= 0;
  }
}

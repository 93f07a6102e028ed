/**
 * Walks an index from its first leaf to its last.
 *
 * A strict walk throws at the first violation. A reporting walk returns it and continues with the rest.
 *
 * Both end: a child is one level below its parent, and a reporting walk enters no block twice. A
 * reporting walk returns no key twice, because each key must be above all before it. It leaves a block
 * that belongs to a later place for that place, so that one wrong block number does not cost the blocks
 * in between. Once a block is damaged, it visits leaves that nothing leads to where their keys belong.
 */
import { isStorageError, type StorageError, withPlace } from '../../errors.ts';
import { isDamage } from '../damage.ts';
import { BlockSet } from './block-set.ts';
import type { IndexBlocks } from './index-blocks.ts';
import type { IndexChecks } from './index-checks.ts';
import { IndexNode } from './index-node.ts';
import { IndexScan } from './index-scan.ts';
import { findLostLeaves, type LostLeaves, readLostLeaf } from './lost-leaves.ts';
import { type FirstKey, SalvagedLeaves, type SalvagedSlice } from './salvaged-leaves.ts';
import { nodeOrThrow, throwIfAny } from './search.ts';
import { type Frame, type LeafSlice, spanInRange, upperOf, type WalkOptions } from './walk.ts';

export interface StrictWalkOptions extends WalkOptions {
  readonly mode: 'strict';
  readonly signal?: undefined;
  /** Returns the root, checked. */
  readonly root: () => Promise<IndexNode>;
}

export interface SalvageOptions extends WalkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Why the root cannot be used, if that is known; then the walk searches for all leaves. */
  readonly rootError?: StorageError | undefined;
}

export interface ReportingWalkOptions extends SalvageOptions {
  readonly mode: 'reporting';
}

/** Entries in ascending order. Throws: the first violation; `io`. */
export function ascend(
  blocks: IndexBlocks,
  checks: IndexChecks,
  options: StrictWalkOptions,
): AsyncGenerator<LeafSlice>;
/**
 * Entries in ascending order, and the damage between them, that of the root first.
 * Throws: the error of the root, unless it is given and leaves can be found; `io`, `aborted`.
 */
export function ascend(
  blocks: IndexBlocks,
  checks: IndexChecks,
  options: ReportingWalkOptions,
): AsyncGenerator<SalvagedSlice>;
export function ascend(
  blocks: IndexBlocks,
  checks: IndexChecks,
  options: StrictWalkOptions | ReportingWalkOptions,
): AsyncGenerator<SalvagedSlice> {
  return new AscendingWalk(blocks, checks, options).slices();
}

interface AscendingFrame extends Frame {
  readonly firstKey: FirstKey;
}

/** The entry of an inner node that leads to a child. */
interface Link {
  readonly frame: AscendingFrame;
  readonly index: number;
  readonly block: number;
  /** The parent's next key. */
  readonly upper: Uint8Array | undefined;
}

/** True if the parent's keys are in order, but this child belongs after the next one. */
function isFurtherOn(child: IndexNode, separator: Uint8Array, upper: Uint8Array): boolean {
  return Buffer.compare(separator, upper) < 0 && child.compareKey(0, upper) >= 0;
}

/** Whether all keys of the child but the last are below the bound. The last may be damaged. */
function endsBelow(child: IndexNode, upper: Uint8Array): boolean {
  return child.compareKey(Math.max(0, child.entryCount - 2), upper) < 0;
}

class AscendingWalk {
  readonly #blocks: IndexBlocks;
  readonly #checks: IndexChecks;
  readonly #options: StrictWalkOptions | ReportingWalkOptions;
  readonly #isStrict: boolean;
  readonly #scan: IndexScan;
  readonly #leaves: SalvagedLeaves;
  /** Damage that was found since the last slice. */
  readonly #damage: SalvagedSlice[] = [];
  /** Whether a block that leads to leaves was found damaged. */
  #isDamaged = false;
  /** Blocks that were entered, or postponed for the second time. */
  readonly #visited = new BlockSet();
  readonly #postponed = new BlockSet();
  /** Blocks whose second parent was reported. */
  readonly #shared = new BlockSet();
  /** Blocks that were walked although their parent is damaged. */
  readonly #rescued = new BlockSet();
  /** Searched for once a leaf may be lost. */
  #lost: LostLeaves | undefined;
  /** Number of those leaves that the walk has reached or passed. */
  #lostDone = 0;

  constructor(
    blocks: IndexBlocks,
    checks: IndexChecks,
    options: StrictWalkOptions | ReportingWalkOptions,
  ) {
    this.#blocks = blocks;
    this.#checks = checks;
    this.#options = options;
    this.#isStrict = options.mode === 'strict';
    this.#scan = new IndexScan(blocks);
    this.#leaves = new SalvagedLeaves(checks, options);
  }

  async *slices(): AsyncGenerator<SalvagedSlice> {
    try {
      const root = await this.#root();
      const stack = root === undefined ? [] : [this.#frame(root, undefined, 'unsure')];
      yield* this.#damage.splice(0);
      const nextLeaf = () => this.#nextLeaf(stack.at(-1));
      for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
        const { node, from, to } = frame;
        if (node.level === 0) {
          stack.pop();
          if (this.#isDamaged) yield* this.#lostBelow(node.key(0));
          if (!this.#isStrict) yield* this.#leaves.slices({ ...frame, nextLeaf });
          else if (from < to) yield { kind: 'slice', node, from, to, nextLeaf };
        } else if (from >= to) {
          stack.pop();
        } else {
          const link = this.#nextLink(frame);
          if (link !== undefined) {
            const child = this.#enter(link, this.#loaded(link) ?? (await this.#read(link)));
            if (child !== undefined) stack.push(child);
          }
          if (this.#damage.length > 0) yield* this.#damage.splice(0);
        }
      }
      if (this.#isDamaged) yield* this.#lostAfterAll();
    } finally {
      // A read in flight ends before its file may be closed.
      await this.#scan.close();
    }
  }

  /** Undefined if the root cannot be used, but leaves can be found without it. */
  async #root(): Promise<IndexNode | undefined> {
    const options = this.#options;
    if (options.mode === 'strict') return options.root();
    const { rootBlock } = this.#blocks.location;
    if (options.rootError !== undefined) {
      if ((await this.#findLost()).leaves.length === 0) throw options.rootError;
      this.#report(rootBlock, options.rootError);
      return undefined;
    }
    this.#blocks.checkLocation();
    const bytes = await this.#scan.read(rootBlock);
    const root = nodeOrThrow(this.#decode(bytes, rootBlock));
    throwIfAny(this.#checks.root(root));
    this.#visited.add(rootBlock);
    return root;
  }

  /** A reporting walk visits a node from end to end, because its keys may be out of order. */
  #frame(node: IndexNode, upper: Uint8Array | undefined, firstKey: FirstKey): AscendingFrame {
    const all = { from: 0, to: node.entryCount };
    const { from, to } = this.#isStrict ? spanInRange(node, this.#options) : all;
    return { node, from, to, upper, firstKey };
  }

  /** The next child; undefined if its range is not wanted, or it cannot be entered. */
  #nextLink(frame: AscendingFrame): Link | undefined {
    const { node: parent, from: index } = frame;
    // From here on the frame is at the entry after the child.
    frame.from += 1;
    const upper = upperOf(parent, index, frame.upper);
    if (!this.#isWanted(parent, index, upper)) return undefined;
    const block = parent.childBlock(index);
    let error = this.#checks.value(parent, index) ?? this.#checks.childPointer(parent, index);
    // A strict walk that comes to a block again finds it out of place.
    if (error === undefined && !this.#isStrict) {
      if (this.#rescued.has(block) || this.#shared.has(block)) return undefined;
      if (this.#visited.has(block)) {
        this.#shared.add(block);
        error = this.#checks.secondParent(parent, block);
      }
      this.#visited.add(block);
    }
    if (error !== undefined) {
      this.#report(block, error);
      return undefined;
    }
    return { frame, index, block, upper };
  }

  #isWanted(parent: IndexNode, index: number, upper: Uint8Array | undefined): boolean {
    const { start, end } = this.#options;
    if (end !== undefined && parent.compareKey(index, end) >= 0) return false;
    return start === undefined || upper === undefined || Buffer.compare(upper, start) > 0;
  }

  /** The next child of the parent of a leaf, if it is a leaf in memory. Of no use once leaves may be elsewhere. */
  #nextLeaf(parent: AscendingFrame | undefined): IndexNode | undefined {
    if (parent === undefined || this.#isDamaged || parent.from >= parent.to) return undefined;
    const block = parent.node.childBlock(parent.from);
    const bytes = this.#scan.find(block);
    if (bytes === undefined) return undefined;
    const next = new IndexNode(bytes, block);
    const isLeaf = next.level === 0 && next.entryCount > 0 && next.usedSize <= bytes.length;
    return isLeaf ? next : undefined;
  }

  /** The bytes of a leaf that was read with its neighbours, as nearly all are. */
  #loaded({ frame, block }: Link): Uint8Array | undefined {
    return frame.node.level === 1 ? this.#scan.find(block) : undefined;
  }

  /** The bytes of the child, or why they cannot be read. */
  async #read({ frame, block }: Link): Promise<Uint8Array | StorageError> {
    try {
      return await this.#scan.child(frame.node.level, block);
    } catch (error) {
      if (this.#isStrict || !isDamage(error)) throw error;
      return error;
    }
  }

  /** The frame of a child, in or out of place; undefined if it cannot be walked here. */
  #enter(link: Link, bytes: Uint8Array | StorageError): AscendingFrame | undefined {
    const { frame, index, block, upper } = link;
    const parent = frame.node;
    const child = isStorageError(bytes) ? bytes : this.#decode(bytes, block);
    if (isStorageError(child)) {
      this.#report(block, child);
      return undefined;
    }
    const wrongLevel = this.#checks.level(child, parent);
    if (wrongLevel !== undefined) {
      // The entries of a leaf are walked later, as those of a lost leaf.
      if (child.level === 0) this.#visited.delete(block);
      this.#report(block, wrongLevel);
      return undefined;
    }
    const misplaced = this.#checks.place(child, parent, index, upper);
    if (misplaced !== undefined) {
      this.#report(block, misplaced);
      if (upper !== undefined && isFurtherOn(child, parent.key(index), upper)) {
        this.#postpone(block);
        return undefined;
      }
    }
    if (this.#isStrict) {
      throwIfAny(this.#checks.entries(child));
      return this.#frame(child, upper, 'sure');
    }
    const isSure = misplaced === undefined || child.compareKey(0, parent.key(index)) === 0;
    // If more than the last key are above the bound, it is wrong, and the one after it is the bound.
    const isRight = upper === undefined || endsBelow(child, upper);
    const bound = isRight ? upper : upperOf(parent, index + 1, frame.upper);
    return this.#frame(child, bound, isSure ? 'sure' : 'unsure');
  }

  #decode(bytes: Uint8Array, block: number): IndexNode | StorageError {
    return this.#checks.decode(bytes, block, this.#isStrict ? 'refused' : 'accepted');
  }

  #report(block: number, error: StorageError): void {
    if (this.#isStrict) throw withPlace(error);
    this.#isDamaged = true;
    this.#damage.push({ kind: 'damaged-block', block, error });
  }

  /** Leaves the block for a later place; at most once per block, so that the walk ends. */
  #postpone(block: number): void {
    if (this.#postponed.has(block)) return;
    this.#postponed.add(block);
    this.#visited.delete(block);
  }

  async #findLost(): Promise<LostLeaves> {
    const { signal } = this.#options;
    this.#lost ??= await findLostLeaves(this.#blocks, this.#checks, { signal });
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
      yield* this.#leaves.slices({ node, upper, firstKey: 'unsure', nextLeaf: undefined });
    }
  }

  /** Visits the lost leaves that are left, and reports those that cannot be visited. */
  async *#lostAfterAll(): AsyncGenerator<SalvagedSlice> {
    yield* this.#lostBelow(undefined);
    for (const { block, error } of (await this.#findLost()).damage) {
      if (!this.#visited.has(block)) yield { kind: 'damaged-block', block, error };
    }
  }
}

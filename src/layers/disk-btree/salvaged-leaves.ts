/**
 * Tells the valid entries of leaves from the damaged ones, leaf by leaf in ascending order.
 *
 * No key is returned twice, because each must be above all before it. An entry above the entries that
 * follow is treated as the damaged one, so that one wrong key does not cost the keys after it.
 */
import type { StorageError } from '../../errors.ts';
import type { IndexChecks } from './index-checks.ts';
import type { IndexNode } from './index-node.ts';
import { type LeafSlice, spanInRange, type WalkOptions } from './walk.ts';

export type SalvagedSlice =
  | LeafSlice
  | {
      readonly kind: 'damaged-entry';
      readonly node: IndexNode;
      readonly index: number;
      readonly error: StorageError;
    }
  | { readonly kind: 'damaged-block'; readonly block: number; readonly error: StorageError };

/** Sure if the parent has the same first key. */
export type FirstKey = 'sure' | 'unsure';

export interface SalvagedLeaf {
  readonly node: IndexNode;
  /** Exclusive upper bound of its keys, if known. */
  readonly upper: Uint8Array | undefined;
  readonly firstKey: FirstKey;
  /** As in `LeafSlice`. */
  readonly nextLeaf: (() => IndexNode | undefined) | undefined;
}

export class SalvagedLeaves {
  readonly #checks: IndexChecks;
  readonly #options: WalkOptions;
  /** The highest key returned so far. */
  #highest: Uint8Array | undefined;

  constructor(checks: IndexChecks, options: WalkOptions) {
    this.#checks = checks;
    this.#options = options;
  }

  /** The entries of one leaf that are in the range, and the damage between them. */
  *slices(leaf: SalvagedLeaf): Generator<SalvagedSlice> {
    const { node, nextLeaf } = leaf;
    if (!this.#isValid(leaf)) {
      yield* this.#oneByOne(leaf);
      return;
    }
    const { from, to } = spanInRange(node, this.#options);
    if (from >= to) return;
    this.#highest = node.key(to - 1);
    yield { kind: 'slice', node, from, to, nextLeaf };
  }

  /** True for a leaf without damage, as nearly all are: then no entry is checked by itself. */
  #isValid({ node, upper }: SalvagedLeaf): boolean {
    return (
      (this.#highest === undefined || node.compareKey(0, this.#highest) > 0) &&
      (upper === undefined || node.compareKey(node.entryCount - 1, upper) < 0) &&
      node.firstForeignValue() < 0 &&
      this.#checks.entries(node) === undefined
    );
  }

  *#oneByOne(leaf: SalvagedLeaf): Generator<SalvagedSlice> {
    const { node, nextLeaf } = leaf;
    const { start, end } = this.#options;
    let from = 0;
    for (let index = 0; index < node.entryCount; index += 1) {
      const isOutside =
        (start !== undefined && node.compareKey(index, start) < 0) ||
        (end !== undefined && node.compareKey(index, end) >= 0);
      const error = isOutside ? undefined : this.#problem(leaf, index);
      if (!isOutside && error === undefined) {
        this.#highest = node.key(index);
        continue;
      }
      if (from < index) yield { kind: 'slice', node, from, to: index, nextLeaf };
      if (error !== undefined) yield { kind: 'damaged-entry', node, index, error };
      from = index + 1;
    }
    const to = node.entryCount;
    if (from < to) yield { kind: 'slice', node, from, to, nextLeaf };
  }

  #problem({ node, upper, firstKey }: SalvagedLeaf, index: number): StorageError | undefined {
    if (this.#highest !== undefined && node.compareKey(index, this.#highest) <= 0) {
      return this.#checks.outOfOrder(node, index);
    }
    if (upper !== undefined && node.compareKey(index, upper) >= 0) {
      return this.#checks.notBelowUpper(node, index);
    }
    const problem = this.#checks.entry(node, index) ?? this.#checks.value(node, index);
    const isSure = index === 0 && firstKey === 'sure';
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

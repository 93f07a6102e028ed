/**
 * Compares two sets of layers entry by entry, by two merges that advance in step.
 *
 * An unreadable entry is neither equal nor different. An entry of one side that the other may have lost is counted
 * as unreadable, never as missing there.
 */

import { isPromise } from 'node:util/types';
import { assert } from '../../assert.ts';
import {
  checkedItems,
  checkObject,
  checkOptions,
  checkSignal,
  type KnownOptions,
} from '../../check-options.ts';
import { isStorageError, type StorageError, throwIfAborted } from '../../errors.ts';
import { checkKey, type Key, type KeyRange } from '../../layers/key.ts';
import type { LayerName } from '../../layers/layer-name.ts';
import { checkWantedLsns, type Lsn, type LsnRange } from '../../layers/lsn.ts';
import { sameContent, sameRun, valueError } from './content.ts';
import type { ComparedLayer, DiffInput } from './input.ts';
import { type ComparedLayers, DiffSide } from './side.ts';

/** One of the two sides of a comparison. */
export type DiffSideName = 'a' | 'b';

/** An entry that is on one side only, or differs between the two. */
export type EntryDifference =
  | {
      readonly kind: 'only';
      /** The side that has the entry. */
      readonly side: DiffSideName;
      /** A copy. */
      readonly key: Key;
      readonly lsn: Lsn;
    }
  | {
      readonly kind: 'differs';
      /** The values, or only the flags in the index that say whether an entry needs an older one. */
      readonly what: 'value' | 'will_init';
      /** A copy. */
      readonly key: Key;
      readonly lsn: Lsn;
    };

/** The result of a comparison. */
export interface DiffSummary {
  /** Entries that are the same on both sides. */
  readonly same: number;
  /** Entries of the first side that the second one does not have. */
  readonly onlyA: number;
  /** Entries of the second side that the first one does not have. */
  readonly onlyB: number;
  /** Entries that are on both sides with different values or flags. */
  readonly differ: number;
  /** Entries of one side that are unreadable on the other, or may have been in an unreadable part of it. */
  readonly unreadable: number;
  /** Equal entries that are stored differently: compressed or not, or in a different number of bytes. */
  readonly storedOtherwise: number;
  /** How many times reading failed. */
  readonly damage: number;
}

/** Options of `diffLayers`. */
export interface DiffOptions {
  /** Keys that are compared; default: all. */
  readonly keyRange?: KeyRange | undefined;
  /** LSNs that are compared; default: all. */
  readonly lsnRange?: LsnRange | undefined;
  /** Called for each difference, in the order of keys and LSNs. The comparison waits for a promise. */
  readonly onDifference?: ((difference: EntryDifference) => void | Promise<void>) | undefined;
  /** Called with the error of each unreadable part. It has the path of the layer, and key and LSN if they are known. */
  readonly onDamage?: ((error: StorageError, side: DiffSideName) => void) | undefined;
  /** Ends the comparison with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

const OPTIONS: KnownOptions<DiffOptions> = {
  keyRange: true,
  lsnRange: true,
  onDifference: 'function',
  onDamage: 'function',
  signal: true,
};

/**
 * Compares the entries of two sides: of two layers, or of all layers of two timelines. Memory does not depend on the
 * size of the layers: each has a buffer while its keys are compared, and large values are compared in pieces.
 *
 * Bytes are compared, not meanings: whether a value is valid is checked only where the sides differ.
 *
 * @param a - the first side; its readers stay open and are the caller's
 * @param b - the second side
 * @returns the counts. Damage is counted, and passed to `onDamage`; the rest is compared.
 * @throws `invalid-input`, `out-of-range`, `aborted`, `closed`, and what the callbacks throw.
 *
 * @example
 * await using before = await SalvageReader.open(one);
 * await using after = await SalvageReader.open(other);
 * const { differ } = await diffLayers({ layers: [before] }, { layers: [after] });
 */
export async function diffLayers(
  a: ComparedLayers,
  b: ComparedLayers,
  options: DiffOptions = {},
): Promise<DiffSummary> {
  const [sideA, sideB] = [checkedSide(a), checkedSide(b)];
  checkOptions(options, OPTIONS);
  const { keyRange, lsnRange, signal } = options;
  checkSignal(signal);
  throwIfAborted(signal);
  if (lsnRange !== undefined) checkWantedLsns(lsnRange);
  if (keyRange !== undefined) {
    checkObject('keyRange', keyRange);
    checkKey(keyRange.start);
    checkKey(keyRange.end);
  }
  const comparison = new Comparison(sideA, sideB, options);
  try {
    return await comparison.run();
  } finally {
    await comparison.close();
  }
}

function checkedSide(side: ComparedLayers): ComparedLayers {
  checkObject('side', side);
  const { layers, unopened = [] } = side;
  const checkName = (name: LayerName): void => checkObject('name of a layer', name);
  return {
    layers: checkedItems('layers to compare', layers, checkLayer),
    unopened: checkedItems('layers that could not be opened', unopened, checkName),
  };
}

function checkLayer(layer: ComparedLayer): void {
  checkObject('layer to compare', layer);
  checkObject('summary of a layer to compare', layer.summary);
}

class Comparison {
  readonly #a: DiffSide;
  readonly #b: DiffSide;
  readonly #options: DiffOptions;
  readonly #counts = {
    same: 0,
    onlyA: 0,
    onlyB: 0,
    differ: 0,
    unreadable: 0,
    storedOtherwise: 0,
    damage: 0,
  };
  /** Entries to compare one by one before a run is tried again. */
  #singles = 0;

  constructor(a: ComparedLayers, b: ComparedLayers, options: DiffOptions) {
    const { keyRange, lsnRange, signal } = options;
    const reading = { keyRange, lsnRange, signal };
    this.#options = options;
    this.#a = new DiffSide(a, { ...reading, onDamage: (error) => this.#damage(error, 'a') });
    this.#b = new DiffSide(b, { ...reading, onDamage: (error) => this.#damage(error, 'b') });
  }

  async run(): Promise<DiffSummary> {
    const [a, b] = [this.#a, this.#b];
    await a.reachHead();
    await b.reachHead();
    for (;;) {
      const [left, right] = [a.head, b.head];
      if (left === undefined && right === undefined) return this.#counts;
      const order = left === undefined ? 1 : right === undefined ? -1 : left.compare(right);
      const step =
        order === 0 && left !== undefined && right !== undefined
          ? this.#both(left, right)
          : this.#only(order < 0 ? 'a' : 'b');
      if (step !== undefined) await step;
    }
  }

  async close(): Promise<void> {
    await this.#a.close();
    await this.#b.close();
  }

  #only(side: DiffSideName): void | Promise<void> {
    const [own, other] = side === 'a' ? [this.#a, this.#b] : [this.#b, this.#a];
    const { head } = own;
    if (head === undefined) return;
    if (own.hasTies) return this.#onlyOnce(side);
    const reporting = this.#reportOnly(side, head, other);
    if (reporting !== undefined) return reporting.then(() => own.advance(1));
    return own.advance(1);
  }

  /** An entry that is in several layers counts once. */
  #onlyOnce(side: DiffSideName): void | Promise<void> {
    const [own, other] = side === 'a' ? [this.#a, this.#b] : [this.#b, this.#a];
    const reporting = own.head === undefined ? undefined : this.#reportOnly(side, own.head, other);
    return reporting === undefined ? own.passTies() : reporting.then(() => own.passTies());
  }

  #reportOnly(side: DiffSideName, entry: DiffInput, other: DiffSide): void | Promise<void> {
    if (other.mayHaveLost(entry)) {
      this.#counts.unreadable += 1;
      return;
    }
    this.#counts[side === 'a' ? 'onlyA' : 'onlyB'] += 1;
    const { onDifference } = this.#options;
    if (onDifference === undefined) return;
    return onDifference({ kind: 'only', side, key: entry.key, lsn: entry.lsn });
  }

  #both(left: DiffInput, right: DiffInput): void | Promise<void> {
    const [a, b] = [this.#a, this.#b];
    if (a.hasTies || b.hasTies) return this.#chosen();
    if (this.#singles === 0) {
      const count = this.#runLength(left, right);
      if (sameRun(left, right, count)) {
        this.#counts.same += count;
        return this.#advance(count);
      }
      this.#singles = count;
    }
    this.#singles = Math.max(0, this.#singles - 1);
    const isSame = sameContent(left, right);
    if (typeof isSame !== 'boolean') return this.#large(left, right, isSame);
    const reporting = this.#reportBoth(left, right, isSame);
    if (reporting !== undefined) return reporting.then(() => this.#advance(1));
    return this.#advance(1);
  }

  /** Consecutive entries of both sides in memory, without an entry of another input in between. */
  #runLength(left: DiffInput, right: DiffInput): number {
    const count = Math.min(left.remaining, right.remaining);
    const isAlone = ([side, input]: readonly [DiffSide, DiffInput]): boolean => {
      const { second } = side;
      return second === undefined || input.compareRow(input.row + count - 1, second) < 0;
    };
    const sides = [[this.#a, left] as const, [this.#b, right] as const];
    return sides.every(isAlone) ? count : 1;
  }

  async #large(left: DiffInput, right: DiffInput, isSame: Promise<boolean>): Promise<void> {
    await this.#reportLarge(left, right, isSame);
    await this.#advance(1);
  }

  async #reportLarge(left: DiffInput, right: DiffInput, same: Promise<boolean>): Promise<void> {
    let isSame: boolean;
    try {
      isSame = await same;
    } catch (error) {
      if (!isStorageError(error) || isStorageError(error, 'aborted', 'closed')) throw error;
      const isOfA = error.path === left.reader.path || left.reader.path === undefined;
      this.#damage(error, isOfA ? 'a' : 'b');
      this.#counts.unreadable += 1;
      return;
    }
    await this.#reportBoth(left, right, isSame);
  }

  /** Compares one entry of each side if several layers have the same key and LSN; `DiffSide.chosen` picks it. */
  #chosen(): void | Promise<void> {
    const [left, right] = [this.#a.chosen(), this.#b.chosen()];
    if (isPromise(left) || isPromise(right)) {
      return Promise.all([left, right]).then(([one, other]) => this.#reportChosen(one, other));
    }
    return this.#reportChosen(left, right);
  }

  #reportChosen(left: DiffInput | undefined, right: DiffInput | undefined): void | Promise<void> {
    assert(left !== undefined && right !== undefined, 'both sides have an entry');
    const isSame = sameContent(left, right);
    const reporting =
      typeof isSame === 'boolean'
        ? this.#reportBoth(left, right, isSame)
        : this.#reportLarge(left, right, isSame);
    return reporting === undefined ? this.#passBoth() : reporting.then(() => this.#passBoth());
  }

  #passBoth(): void | Promise<void> {
    return both(this.#a.passTies(), this.#b.passTies());
  }

  #reportBoth(left: DiffInput, right: DiffInput, isSame: boolean): void | Promise<void> {
    const counts = this.#counts;
    const { onDifference } = this.#options;
    if (isSame && left.willInit === right.willInit) {
      counts.same += 1;
      const isAlike =
        left.isImage !== right.isImage ||
        (left.compressed === right.compressed && left.storedLength === right.storedLength);
      if (!isAlike) counts.storedOtherwise += 1;
      return;
    }
    counts.differ += 1;
    if (!isSame) this.#checkValues(left, right);
    if (onDifference === undefined) return;
    const what = isSame ? 'will_init' : 'value';
    return onDifference({ kind: 'differs', what, key: left.key, lsn: left.lsn });
  }

  #checkValues(left: DiffInput, right: DiffInput): void {
    const [one, other] = [valueError(left), valueError(right)];
    if (one !== undefined) this.#damage(one, 'a');
    if (other !== undefined) this.#damage(other, 'b');
  }

  #advance(rows: number): void | Promise<void> {
    return both(this.#a.advance(rows), this.#b.advance(rows));
  }

  #damage(error: StorageError, side: DiffSideName): void {
    this.#counts.damage += 1;
    this.#options.onDamage?.(error, side);
  }
}

/** Waits for two steps, if they are in progress. */
function both(one: void | Promise<void>, other: void | Promise<void>): void | Promise<void> {
  if (one === undefined) return other;
  return other === undefined ? one : Promise.all([one, other]).then(() => {});
}

/**
 * The order of the entries of several layers in memory, by a loser tree over codes: numbers in the order of
 * the keys. Entries of one code are compared byte by byte; equal ones come in the order of the inputs.
 */
import { sharedBytes, type ViewedBytes } from '../byte-words.ts';
import { DELTA_KEY_SIZE } from '../layers/layer-file/entry-layout.ts';
import { loserTree } from './loser-tree.ts';

/** The code after the last entry. */
export const ENDED = Number.POSITIVE_INFINITY;

/** The entries of several layers, one layer after the other. */
export interface MergeCodes {
  /** Index of the first entry of each layer. */
  readonly starts: Uint32Array;
  /** Entry keys. */
  readonly keys: ViewedBytes;
  /** A code for each entry, and `ENDED` after those of each layer. */
  readonly codes: Float64Array;
}

export class MergeOrder {
  readonly #entries: MergeCodes;
  /** Bytes of an entry key that are the same in all, or that the codes distinguish. */
  readonly #compared: number;
  /** The current entry of each input. */
  readonly #next: Uint32Array;
  /** Its code. */
  readonly #heads: Float64Array;
  /** Index of the input that lost at each node; node 0 has the winner. */
  readonly #tree: Int32Array;

  constructor(entries: MergeCodes, compared: number) {
    const { starts, codes } = entries;
    this.#entries = entries;
    this.#compared = compared;
    this.#next = starts.slice();
    this.#heads = Float64Array.from(starts, (start) => codes[start] as number);
    this.#tree = loserTree(starts.length, (one, other) => this.#isBefore(one, other));
  }

  /** Writes which input has which of the next `count` entries. */
  write(order: Uint16Array, count: number): void {
    const { codes } = this.#entries;
    const next = this.#next;
    const inputCount = next.length;
    const heads = this.#heads;
    const tree = this.#tree;
    for (let at = 0; at < count; at += 1) {
      let winner = tree[0] as number;
      order[at] = winner;
      const entry = (next[winner] as number) + 1;
      next[winner] = entry;
      let code = codes[entry] as number;
      heads[winner] = code;
      for (let node = (winner + inputCount) >> 1; node > 0; node >>= 1) {
        const other = tree[node] as number;
        const otherCode = heads[other] as number;
        if (otherCode > code) continue;
        if (otherCode === code && !this.#isBeforeInBytes(other, winner)) continue;
        tree[node] = winner;
        winner = other;
        code = otherCode;
      }
      tree[0] = winner;
    }
  }

  #isBefore(one: number, other: number): boolean {
    const left = this.#heads[one] as number;
    const right = this.#heads[other] as number;
    return left === right ? this.#isBeforeInBytes(one, other) : left < right;
  }

  /** For entries with the same code; inputs that have ended stay in the order of the inputs. */
  #isBeforeInBytes(one: number, other: number): boolean {
    if (this.#heads[one] === ENDED) return one < other;
    const { view, bytes } = this.#entries.keys;
    const length = DELTA_KEY_SIZE - this.#compared;
    const oneAt = (this.#next[one] as number) * DELTA_KEY_SIZE + this.#compared;
    const otherAt = (this.#next[other] as number) * DELTA_KEY_SIZE + this.#compared;
    const shared = sharedBytes(view, oneAt, view, otherAt, length);
    if (shared === length) return one < other;
    return (bytes[oneAt + shared] as number) < (bytes[otherAt + shared] as number);
  }
}

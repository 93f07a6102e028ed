/**
 * Selects leaves that are consistent with each other. Blobs lie in key order, so in the order of their blobs
 * the keys of leaves must ascend. It leaves out as few valid leaves as possible, and then as few leaves as possible.
 */

export interface KeySpan {
  readonly first: Uint8Array;
  /** At or above `first`. */
  readonly last: Uint8Array;
  /** Whether nothing is wrong with the leaf by itself. */
  readonly isValid: boolean;
  /** Whether a parent has the same first key. */
  readonly isConfirmed: boolean;
}

/**
 * Returns: the indexes of a chain of spans, each above the one before: with the most valid spans; of those, the
 * longest; of those, the one with the most confirmed spans.
 */
export function longestChain(spans: readonly KeySpan[]): number[] {
  const ends = new ChainEnds(spans);
  const before = new Int32Array(spans.length);
  for (const [index, span] of spans.entries()) {
    const previous = ends.bestBelow(span.first);
    before[index] = previous;
    ends.add(index, previous);
  }
  const chain: number[] = [];
  for (let index = ends.best(); index >= 0; index = before[index] as number) {
    chain.push(index);
  }
  return chain.reverse();
}

/** The chains found so far, each by its last span: a Fenwick tree of the best ones over the order of last keys. */
class ChainEnds {
  readonly #spans: readonly KeySpan[];
  /** Spans in the order of their last keys. */
  readonly #sorted: Int32Array;
  /** By span, its place in that order. */
  readonly #ranks: Int32Array;
  /** From 1: the span with which the best chain ends, of those whose places the slot covers; -1 if none. */
  readonly #slots: Int32Array;
  /** By span, of the chain that ends with it: the number of valid spans above all, then its length. */
  readonly #weights: Float64Array;
  /** By span, of that chain: the number of confirmed spans. */
  readonly #confirmed: Int32Array;

  constructor(spans: readonly KeySpan[]) {
    this.#spans = spans;
    this.#sorted = Int32Array.from(spans.keys()).sort(
      (one, other) => Buffer.compare(this.#last(one), this.#last(other)) || one - other,
    );
    this.#ranks = new Int32Array(spans.length);
    for (const [rank, index] of this.#sorted.entries()) this.#ranks[index] = rank;
    this.#slots = new Int32Array(spans.length + 1).fill(-1);
    this.#weights = new Float64Array(spans.length);
    this.#confirmed = new Int32Array(spans.length);
  }

  /** Adds the chain that ends with the span after another one; -1 for a chain of its own. */
  add(index: number, previous: number): void {
    const { isValid, isConfirmed } = this.#span(index);
    const weight = isValid ? this.#spans.length + 2 : 1;
    this.#weights[index] = weight + (this.#weights[previous] ?? 0);
    this.#confirmed[index] = (isConfirmed ? 1 : 0) + (this.#confirmed[previous] ?? 0);
    for (let slot = this.#rank(index) + 1; slot < this.#slots.length; slot += slot & -slot) {
      this.#slots[slot] = this.#better(this.#slots[slot] as number, index);
    }
  }

  /** Of the best chain; -1 if there is none. */
  best(): number {
    return this.#bestOf(this.#sorted.length);
  }

  /** Of the best chain that ends below the key; -1 if there is none. */
  bestBelow(key: Uint8Array): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (Buffer.compare(this.#last(this.#sorted[middle] as number), key) < 0) low = middle + 1;
      else high = middle;
    }
    return this.#bestOf(low);
  }

  /** Of the chains that end within the first places. */
  #bestOf(count: number): number {
    let best = -1;
    for (let slot = count; slot > 0; slot -= slot & -slot) {
      best = this.#better(best, this.#slots[slot] as number);
    }
    return best;
  }

  /** Of two equally good chains, the one that ends lower leaves more room. */
  #better(one: number, other: number): number {
    if (one < 0 || other < 0) return Math.max(one, other);
    const difference =
      this.#difference(this.#weights, one, other) || this.#difference(this.#confirmed, one, other);
    if (difference !== 0) return difference > 0 ? one : other;
    return this.#rank(one) < this.#rank(other) ? one : other;
  }

  #rank(index: number): number {
    return this.#ranks[index] as number;
  }

  #difference(values: Float64Array | Int32Array, one: number, other: number): number {
    return (values[one] as number) - (values[other] as number);
  }

  #last(index: number): Uint8Array {
    return this.#span(index).last;
  }

  #span(index: number): KeySpan {
    return this.#spans[index] as KeySpan;
  }
}

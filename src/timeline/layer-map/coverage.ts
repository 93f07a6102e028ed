/**
 * Which layer of one kind covers a key, as seen from an LSN: among the layers that have the key and start at or below
 * the LSN, the one with the highest end. Among equal ends, the first in the order of the table.
 *
 * A segment tree over the gaps between key borders. Each layer is listed in the O(log n) nodes that make up its key
 * range. The list of a node keeps only layers whose end is above those before them, so the last one that starts at or
 * below an LSN is the node's answer. The answer for a gap is the best of the nodes on the path to its leaf.
 *
 * "As seen from an LSN" is a bound: the number of layers, the first in the order of the table, that
 * start at or below it.
 *
 * Space: at most 2 log n entries of 4 bytes per layer; only a few if layers do not overlap.
 */
import type { LayerTable } from './layer-table.ts';

/** No layer. */
export const NONE = -1;

/** Gap: the keys from the border of this number to the next. */
export type Gap = number;

export class Coverage {
  readonly #lsnEnd: Int32Array;
  /** Leaves, a power of two. Node 1 is the root, and node n has the children 2n and 2n + 1. */
  readonly #leaves: number;
  /** The list of a node is `#layers` from `#listStart[node]` to `#listStart[node + 1]`. */
  readonly #listStart: Int32Array;
  readonly #layers: Int32Array;
  /** For a node and those below it, the first layer of their lists, and the highest end. */
  readonly #firstLayer: Int32Array;
  readonly #highestEnd: Int32Array;

  /** The coverage by these layers of the table, which are in its order. */
  constructor(table: LayerTable, layers: Iterable<number>) {
    this.#lsnEnd = table.lsnEnd;
    this.#leaves = powerOfTwoFrom(Math.max(1, table.borderCount - 1));
    const placed = placeLayers(table, layers, this.#leaves);
    this.#listStart = placed.listStart;
    this.#layers = placed.layers;
    const nodes = 2 * this.#leaves;
    this.#firstLayer = new Int32Array(nodes).fill(table.count);
    this.#highestEnd = new Int32Array(nodes).fill(NONE);
    for (let node = nodes - 1; node >= 1; node -= 1) this.#summarize(node);
  }

  /** The layer that covers a gap, or `NONE`. */
  covering(gap: Gap, bound: number): number {
    let best = NONE;
    let node = 1;
    for (let width = this.#leaves >> 1; ; width >>= 1) {
      if (!this.#canImprove(node, best, bound)) return best;
      best = this.#better(best, this.#lastBelow(node, bound));
      if (width === 0) return best;
      node = 2 * node + ((gap & width) === 0 ? 0 : 1);
    }
  }

  /**
   * Calls back for each part of the gaps from `first` to `last` (inclusive) that one layer, or none,
   * covers; neighbours differ.
   */
  segments(
    first: Gap,
    last: Gap,
    bound: number,
    found: (from: Gap, to: Gap, layer: number) => void,
  ): void {
    if (first > last) return;
    let openFrom = first;
    let open: number | undefined;
    const emit = (from: Gap, layer: number): void => {
      if (layer === open) return;
      if (open !== undefined) found(openFrom, from - 1, open);
      openFrom = from;
      open = layer;
    };
    const visit = (node: number, from: Gap, width: number, above: number): void => {
      if (from > last || from + width <= first) return;
      let best = above;
      if (this.#canImprove(node, best, bound)) {
        best = this.#better(best, this.#lastBelow(node, bound));
        if (width > 1 && this.#canImproveBelow(node, best, bound)) {
          visit(2 * node, from, width / 2, best);
          visit(2 * node + 1, from + width / 2, width / 2, best);
          return;
        }
      }
      emit(Math.max(from, first), best);
    };
    visit(1, 0, this.#leaves, NONE);
    if (open !== undefined) found(openFrom, last, open);
  }

  #canImproveBelow(node: number, best: number, bound: number): boolean {
    return this.#canImprove(2 * node, best, bound) || this.#canImprove(2 * node + 1, best, bound);
  }

  #canImprove(node: number, best: number, bound: number): boolean {
    if ((this.#firstLayer[node] ?? bound) >= bound) return false;
    return best === NONE || (this.#highestEnd[node] ?? NONE) >= (this.#lsnEnd[best] ?? 0);
  }

  #better(left: number, right: number): number {
    if (left === NONE) return right;
    if (right === NONE) return left;
    const difference = (this.#lsnEnd[left] ?? 0) - (this.#lsnEnd[right] ?? 0);
    if (difference !== 0) return difference > 0 ? left : right;
    return Math.min(left, right);
  }

  /** The last layer of the node's list that is below the bound. */
  #lastBelow(node: number, bound: number): number {
    const start = this.#listStart[node] ?? 0;
    let low = start;
    let high = this.#listStart[node + 1] ?? 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#layers[middle] ?? 0) < bound) low = middle + 1;
      else high = middle;
    }
    return low === start ? NONE : (this.#layers[low - 1] ?? NONE);
  }

  #summarize(node: number): void {
    const start = this.#listStart[node] ?? 0;
    const end = this.#listStart[node + 1] ?? 0;
    let first = this.#firstLayer[node] ?? 0;
    let highest = NONE;
    if (start < end) {
      first = this.#layers[start] ?? first;
      highest = this.#lsnEnd[this.#layers[end - 1] ?? 0] ?? NONE;
    }
    if (node < this.#leaves) {
      for (const child of [2 * node, 2 * node + 1]) {
        first = Math.min(first, this.#firstLayer[child] ?? first);
        highest = Math.max(highest, this.#highestEnd[child] ?? NONE);
      }
    }
    this.#firstLayer[node] = first;
    this.#highestEnd[node] = highest;
  }
}

/** The layers of each node, as consecutive lists. */
interface PlacedLayers {
  readonly listStart: Int32Array;
  readonly layers: Int32Array;
}

function placeLayers(
  { keyStart, keyEnd, lsnEnd }: LayerTable,
  layers: Iterable<number>,
  leaves: number,
): PlacedLayers {
  const highest = new Int32Array(2 * leaves).fill(NONE);
  const listStart = new Int32Array(2 * leaves + 1);
  let pairs = new Int32Array(4096);
  let used = 0;
  let layer = 0;
  const place = (node: number, from: number, width: number, first: number, end: number): void => {
    if (end <= from || first >= from + width) return;
    const own = lsnEnd[layer] ?? 0;
    // An earlier layer over the whole node ends at least as high, so this one never counts here or below.
    if ((highest[node] ?? NONE) >= own) return;
    if (first <= from && from + width <= end) {
      highest[node] = own;
      if (used === pairs.length) {
        const grown = new Int32Array(2 * used);
        grown.set(pairs);
        pairs = grown;
      }
      pairs[used] = node;
      pairs[used + 1] = layer;
      used += 2;
      listStart[node + 1] = (listStart[node + 1] ?? 0) + 1;
      return;
    }
    place(2 * node, from, width / 2, first, end);
    place(2 * node + 1, from + width / 2, width / 2, first, end);
  };
  for (layer of layers) place(1, 0, leaves, keyStart[layer] ?? 0, keyEnd[layer] ?? 0);
  for (let node = 1; node < listStart.length; node += 1) {
    listStart[node] = (listStart[node] ?? 0) + (listStart[node - 1] ?? 0);
  }
  const next = listStart.slice();
  const sorted = new Int32Array(used / 2);
  for (let at = 0; at < used; at += 2) {
    const node = pairs[at] ?? 0;
    const to = next[node] ?? 0;
    sorted[to] = pairs[at + 1] ?? 0;
    next[node] = to + 1;
  }
  return { listStart, layers: sorted };
}

function powerOfTwoFrom(count: number): number {
  let power = 1;
  while (power < count) power *= 2;
  return power;
}

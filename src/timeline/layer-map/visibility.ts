/**
 * Which layers a read can still reach, from any of the read points.
 *
 * All layers and read points are processed from the highest LSN down: a delta at its last LSN, an image at its own. At
 * the same LSN, a read point comes before images, and images before deltas. An image adds its keys to the shadow, and a
 * read point clears it. A delta is visible unless its keys are in the shadow; an image is visible if it adds to the
 * shadow. A delta in the shadow waits: a read point at or above its start makes it visible after all, and a layer that
 * starts below it covers it for good.
 *
 * Source: Neon pageserver/src/tenant/layer_map.rs, `get_visibility`.
 */
import { type Lsn, MAXIMUM_LSN } from '../../layers/lsn.ts';
import type { LayerTable } from './layer-table.ts';
import { NumberSet } from './number-set.ts';
import { sortRows } from './sort-rows.ts';

/** For each layer 1 if it is visible, else 0. */
export function visibleLayers(table: LayerTable, readPoints: readonly Lsn[]): Uint8Array {
  const sweep = new Sweep(table);
  const descending = [...readPoints].sort((left, right) => (left < right ? 1 : -1));
  const layers = sweepOrder(table);
  let taken = 0;
  const takeLayersAbove = (rank: number): void => {
    for (; taken < layers.length; taken += 1) {
      const layer = layers[taken] ?? 0;
      if ((table.lsnEnd[layer] ?? 0) <= rank) return;
      sweep.takeLayer(layer);
    }
  };
  for (const readPoint of descending) {
    // The last LSN of a layer is above the read point if the layer ends above the LSN after it.
    const next = readPoint === MAXIMUM_LSN ? readPoint : readPoint + 1n;
    takeLayersAbove(table.lsnRanksUpTo(next) - 1);
    sweep.takeReadPoint(table.lsnRanksUpTo(readPoint));
  }
  takeLayersAbove(-1);
  return sweep.visible;
}

/** The names of the visible layers, as they were given. */
export function visibleNames(table: LayerTable, readPoints: readonly Lsn[]): ReadonlySet<string> {
  const isVisible = visibleLayers(table, readPoints);
  return new Set(table.names.filter((_, layer) => isVisible[layer] === 1));
}

class Sweep {
  readonly visible: Uint8Array;
  readonly #table: LayerTable;
  /** The gaps that are not in the shadow. */
  readonly #lit: NumberSet;
  #isShadowEmpty = true;
  readonly #waiting: LatestStarts;

  constructor(table: LayerTable) {
    this.#table = table;
    this.visible = new Uint8Array(table.count);
    this.#lit = new NumberSet(table.borderCount);
    this.#lit.fill();
    this.#waiting = new LatestStarts(table.lsnStart);
  }

  takeLayer(layer: number): void {
    this.#waiting.removeAbove(this.#table.lsnStart[layer] ?? 0);
    const start = this.#table.keyStart[layer] ?? 0;
    const end = this.#table.keyEnd[layer] ?? 0;
    const firstLit = this.#lit.nextFrom(start);
    const isLit = firstLit >= 0 && firstLit < end;
    if (isLit) this.visible[layer] = 1;
    if (!this.#table.isImage(layer)) {
      if (!isLit) this.#waiting.add(layer);
      return;
    }
    for (let gap = firstLit; gap >= 0 && gap < end; gap = this.#lit.nextFrom(gap + 1)) {
      this.#lit.delete(gap);
      this.#isShadowEmpty = false;
    }
  }

  /** `startsUpTo`: how many LSN ranks are at or below the read point. */
  takeReadPoint(startsUpTo: number): void {
    this.#waiting.takeAll((layer) => {
      if ((this.#table.lsnStart[layer] ?? 0) < startsUpTo) this.visible[layer] = 1;
    });
    if (this.#isShadowEmpty) return;
    this.#lit.fill();
    this.#isShadowEmpty = true;
  }
}

/** A heap of layers, with the latest start on top. */
class LatestStarts {
  readonly #lsnStart: Int32Array;
  readonly #heap: number[] = [];

  constructor(lsnStart: Int32Array) {
    this.#lsnStart = lsnStart;
  }

  add(layer: number): void {
    const heap = this.#heap;
    let at = heap.push(layer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#startAt(parent) >= this.#startAt(at)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  removeAbove(start: number): void {
    while (this.#heap.length > 0 && this.#startAt(0) > start) {
      const last = this.#heap.pop() ?? 0;
      if (this.#heap.length === 0) return;
      this.#heap[0] = last;
      this.#sink();
    }
  }

  takeAll(taken: (layer: number) => void): void {
    for (const layer of this.#heap) taken(layer);
    this.#heap.length = 0;
  }

  #sink(): void {
    for (let at = 0; ; ) {
      let largest = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < this.#heap.length && this.#startAt(child) > this.#startAt(largest)) {
          largest = child;
        }
      }
      if (largest === at) return;
      this.#swap(at, largest);
      at = largest;
    }
  }

  #startAt(at: number): number {
    return this.#lsnStart[this.#heap[at] ?? 0] ?? 0;
  }

  #swap(left: number, right: number): void {
    const layer = this.#heap[left] ?? 0;
    this.#heap[left] = this.#heap[right] ?? 0;
    this.#heap[right] = layer;
  }
}

/** From the highest end down; among equal ends, images first; then in the order of the table. */
function sweepOrder(table: LayerTable): Int32Array {
  const { lsnEnd, count } = table;
  const words = new Uint32Array(2 * count);
  for (let layer = 0; layer < count; layer += 1) {
    words[2 * layer] = ~(lsnEnd[layer] ?? 0);
    words[2 * layer + 1] = table.isImage(layer) ? 0 : 1;
  }
  return sortRows(words, 2);
}

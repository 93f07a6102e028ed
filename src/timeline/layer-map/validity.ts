/**
 * The rule for a valid layer map: deltas that overlap in keys have either the same LSN range or disjoint ones. Deltas
 * of a single key, and images, never violate it.
 *
 * A delta of more than one key is examined if more than one start or end of such deltas lies in its LSN range,
 * including its own start. It violates the rule if any other delta overlaps it in keys and in LSNs. The first violation
 * in the order of the given names is reported.
 *
 * Source: Neon pageserver/src/tenant/checks.rs, `check_valid_layermap`.
 */
import type { LayerTable } from './layer-table.ts';
import { NumberSet } from './number-set.ts';
import { sortRows } from './sort-rows.ts';

/** Two layers that overlap, by their indexes. */
export interface Overlap {
  readonly layer: number;
  readonly other: number;
}

/** The first violation; undefined for a valid map. */
export function findOverlap(table: LayerTable): Overlap | undefined {
  const isOneKey = (layer: number): boolean => table.isOneKey(layer);
  const deltas = deltasAsGiven(table);
  const pointsBelow = countPoints(table, deltas, isOneKey);
  const overlapping = overlappingDeltas(table, deltas);
  for (const layer of deltas) {
    if (overlapping[layer] === 0 || isOneKey(layer)) continue;
    const start = table.lsnStart[layer] ?? 0;
    const end = table.lsnEnd[layer] ?? 0;
    if ((pointsBelow[end] ?? 0) - (pointsBelow[start] ?? 0) <= 1) continue;
    const other = deltas.find((candidate) => overlap(table, layer, candidate));
    if (other !== undefined) return { layer, other };
  }
  return undefined;
}

function overlap(
  { keyStart, keyEnd, lsnStart, lsnEnd }: LayerTable,
  a: number,
  b: number,
): boolean {
  if (a === b) return false;
  return (
    (lsnStart[a] ?? 0) < (lsnEnd[b] ?? 0) &&
    (lsnStart[b] ?? 0) < (lsnEnd[a] ?? 0) &&
    (keyStart[a] ?? 0) < (keyEnd[b] ?? 0) &&
    (keyStart[b] ?? 0) < (keyEnd[a] ?? 0)
  );
}

function deltasAsGiven(table: LayerTable): Int32Array {
  const layerOf = new Int32Array(table.count);
  table.given.forEach((row, layer) => {
    layerOf[row] = layer;
  });
  return layerOf.filter((layer) => !table.isImage(layer));
}

/** For each LSN rank, how many distinct starts and ends of deltas of several keys are below it. */
function countPoints(
  { lsnStart, lsnEnd }: LayerTable,
  deltas: Int32Array,
  isOneKey: (layer: number) => boolean,
): Int32Array {
  let highest = 0;
  for (const layer of deltas) highest = Math.max(highest, lsnEnd[layer] ?? 0);
  const isPoint = new Uint8Array(highest + 1);
  for (const layer of deltas) {
    if (isOneKey(layer)) continue;
    isPoint[lsnStart[layer] ?? 0] = 1;
    isPoint[lsnEnd[layer] ?? 0] = 1;
  }
  const below = new Int32Array(highest + 2);
  for (let rank = 0; rank <= highest; rank += 1) {
    below[rank + 1] = (below[rank] ?? 0) + (isPoint[rank] ?? 0);
  }
  return below;
}

/**
 * For each layer, 1 if it is a delta that overlaps another. Goes through the deltas by start LSN and keeps those open
 * that have not ended. Open deltas without an overlap so far have no keys in common, so they can be found by their
 * start keys.
 */
function overlappingDeltas(table: LayerTable, deltas: Int32Array): Uint8Array {
  const { keyStart, keyEnd, lsnStart, lsnEnd } = table;
  const marked = new Uint8Array(table.count);
  const byStart = deltas.slice().sort();
  const ends = Uint32Array.from(deltas, (layer) => lsnEnd[layer] ?? 0);
  const byEnd = sortRows(ends, 1).map((at) => deltas[at] ?? 0);
  const open = new OpenRanges(table.borderCount);
  const lone = new NumberSet(table.borderCount);
  const loneAt = new Int32Array(table.borderCount);
  let ended = 0;
  for (const layer of byStart) {
    const lsn = lsnStart[layer] ?? 0;
    for (; ended < byEnd.length; ended += 1) {
      const done = byEnd[ended] ?? 0;
      if ((lsnEnd[done] ?? 0) > lsn) break;
      open.remove(keyStart[done] ?? 0, keyEnd[done] ?? 0);
      if (marked[done] === 0) lone.delete(keyStart[done] ?? 0);
    }
    const start = keyStart[layer] ?? 0;
    const end = keyEnd[layer] ?? 0;
    if (open.overlap(start, end)) {
      marked[layer] = 1;
      for (let key = lone.previousFrom(end - 1); key >= 0; key = lone.previousFrom(key)) {
        const other = loneAt[key] ?? 0;
        if ((keyEnd[other] ?? 0) <= start) break;
        marked[other] = 1;
        lone.delete(key);
      }
    } else {
      lone.add(start);
      loneAt[start] = layer;
    }
    open.add(start, end);
  }
  return marked;
}

/** Ranges of keys, counted by their starts and ends. */
class OpenRanges {
  readonly #starts: Int32Array;
  readonly #ends: Int32Array;

  constructor(borders: number) {
    this.#starts = new Int32Array(borders + 1);
    this.#ends = new Int32Array(borders + 1);
  }

  add(start: number, end: number): void {
    change(this.#starts, start, 1);
    change(this.#ends, end, 1);
  }

  remove(start: number, end: number): void {
    change(this.#starts, start, -1);
    change(this.#ends, end, -1);
  }

  /** Whether any of the ranges has a key in common with this one. */
  overlap(start: number, end: number): boolean {
    return countBelow(this.#starts, end) > countBelow(this.#ends, start + 1);
  }
}

/** The counts are a Fenwick tree. */
function change(counts: Int32Array, at: number, by: number): void {
  for (let node = at + 1; node < counts.length; node += node & -node) {
    counts[node] = (counts[node] ?? 0) + by;
  }
}

function countBelow(counts: Int32Array, at: number): number {
  let count = 0;
  for (let node = at; node > 0; node -= node & -node) count += counts[node] ?? 0;
  return count;
}

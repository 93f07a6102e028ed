/**
 * The greatest number of stacked deltas. The deltas that cover the span as seen from the end of the LSN range come
 * first; below the start of each, those that cover its part come next. An L0 counts only as the first, and only over
 * the whole key space.
 */
import { type Coverage, type Gap, NONE } from './coverage.ts';
import type { KeySpan } from './key-span.ts';
import type { LayerTable } from './layer-table.ts';

/** What is counted. */
export interface DeltaCount {
  readonly span: KeySpan;
  readonly doesL0Count: boolean;
  /** How many layers, in the order of the table, start below the end of the LSN range. */
  readonly bound: number;
  /** The lowest LSN rank above the start of the LSN range: a delta that counts ends there or above. */
  readonly lowestEnd: number;
  readonly limit: number;
}

/** A part below some deltas, which are already counted. */
interface PartBelow {
  readonly first: Gap;
  readonly last: Gap;
  readonly bound: number;
  readonly count: number;
}

/** The pending parts never overlap, so there are at most as many as gaps. */
export function countStackedDeltas(
  table: LayerTable,
  deltas: Coverage,
  { span, doesL0Count, bound, lowestEnd, limit }: DeltaCount,
): number {
  const first = Math.max(span.first, 0);
  const last = Math.min(span.last, table.borderCount - 2);
  const parts: PartBelow[] = [{ first, last, bound, count: 0 }];
  let greatest = 0;
  for (let part = parts.pop(); part !== undefined && greatest < limit; part = parts.pop()) {
    const { count } = part;
    deltas.segments(part.first, part.last, part.bound, (from, to, delta) => {
      if (delta === NONE || (table.lsnEnd[delta] ?? 0) < lowestEnd) return;
      const isUppermost = part.bound === bound;
      const counts = !table.isL0(delta) || (doesL0Count && isUppermost);
      const below = counts ? count + 1 : count;
      greatest = Math.max(greatest, below);
      if ((table.lsnStart[delta] ?? 0) < lowestEnd) return;
      parts.push({ first: from, last: to, bound: table.startingBelow(delta), count: below });
    });
  }
  return greatest;
}

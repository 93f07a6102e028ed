/**
 * The layers that a read will visit next. The visit with the highest end comes first, so that newer values of all keys
 * are found before older ones; among equal ends, the one with the lowest start. Keys that need the same LSNs of the
 * same layer share a visit.
 */
import type { KeyRange } from '../layers/key.ts';
import type { LsnRange } from '../layers/lsn.ts';
import { type KeySpace, normalized } from './key-space.ts';

export interface PlannedVisit {
  readonly layer: string;
  readonly lsnRange: LsnRange;
  readonly keys: KeySpace;
}

interface Plan {
  readonly layer: string;
  readonly lsnRange: LsnRange;
  readonly ranges: KeyRange[];
  /** Plans of equal LSNs stay in the order in which they were made. */
  readonly number: number;
}

export class Fringe {
  readonly #plans = new Map<string, Plan>();
  /** A binary heap of the same plans. */
  readonly #heap: Plan[] = [];
  #planCount = 0;

  add(layer: string, lsnRange: LsnRange, ranges: readonly KeyRange[]): void {
    const name = `${layer} ${lsnRange.start} ${lsnRange.end}`;
    const found = this.#plans.get(name);
    if (found !== undefined) {
      for (const range of ranges) found.ranges.push(range);
      return;
    }
    const plan = { layer, lsnRange, ranges: [...ranges], number: this.#planCount };
    this.#planCount += 1;
    this.#plans.set(name, plan);
    this.#push(plan);
  }

  /** Removes and returns the next visit. */
  next(): PlannedVisit | undefined {
    const plan = this.#pop();
    if (plan === undefined) return undefined;
    const { layer, lsnRange, ranges } = plan;
    this.#plans.delete(`${layer} ${lsnRange.start} ${lsnRange.end}`);
    return { layer, lsnRange, keys: normalized(ranges) };
  }

  #push(plan: Plan): void {
    const heap = this.#heap;
    let at = heap.push(plan) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(plan, heap[parent] as Plan)) break;
      heap[at] = heap[parent] as Plan;
      at = parent;
    }
    heap[at] = plan;
  }

  #pop(): Plan | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as Plan)) child += 1;
      if (!isBefore(heap[child] as Plan, last)) break;
      heap[at] = heap[child] as Plan;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(left: Plan, right: Plan): boolean {
  if (left.lsnRange.end !== right.lsnRange.end) return left.lsnRange.end > right.lsnRange.end;
  if (left.lsnRange.start !== right.lsnRange.start) {
    return left.lsnRange.start < right.lsnRange.start;
  }
  return left.number < right.number;
}

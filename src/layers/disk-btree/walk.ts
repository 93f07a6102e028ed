/** What the walks over an index take and hand out. */
import type { IndexNode } from './index-node.ts';

export interface WalkOptions {
  /** First entry key, inclusive. */
  readonly start?: Uint8Array | undefined;
  /** Last entry key, exclusive. */
  readonly end?: Uint8Array | undefined;
}

/** Entries `from` to `to`, exclusive, of one leaf. */
export interface LeafSlice {
  readonly kind: 'slice';
  readonly node: IndexNode;
  readonly from: number;
  readonly to: number;
}

export interface EntryPosition {
  readonly node: IndexNode;
  readonly index: number;
}

/** One node on the way from the root to where a walk is. */
export interface Frame {
  readonly node: IndexNode;
  /** Next entry to visit. */
  index: number;
  /** Every key below is less; undefined for the right-most path. */
  readonly upper: Uint8Array | undefined;
}

/** What every key of a child is below: the next one of its parent, or what the parent's are below. */
export function upperOf(
  parent: IndexNode,
  index: number,
  upper: Uint8Array | undefined,
): Uint8Array | undefined {
  return index + 1 < parent.entryCount ? parent.key(index + 1) : upper;
}

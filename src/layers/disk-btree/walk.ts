/** Types of the walks over an index. */
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

/** One node on the path from the root to the position of a walk. */
export interface Frame {
  readonly node: IndexNode;
  /** Next entry to visit. */
  index: number;
  /** Exclusive upper bound of all keys below; undefined on the right-most path. */
  readonly upper: Uint8Array | undefined;
}

/** Exclusive upper bound of the keys of a child: the parent's next key, or the parent's bound. */
export function upperOf(
  parent: IndexNode,
  index: number,
  upper: Uint8Array | undefined,
): Uint8Array | undefined {
  return index + 1 < parent.entryCount ? parent.key(index + 1) : upper;
}

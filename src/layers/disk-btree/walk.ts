/** What the walks over an index share: their range, and the path from the root to their position. */
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
  /**
   * Returns: the leaf that should come next, if it is in memory; unchecked, except that its entries are in its block.
   * Requires: the next slice was not requested.
   */
  readonly nextLeaf?: (() => IndexNode | undefined) | undefined;
}

export interface EntryPosition {
  readonly node: IndexNode;
  readonly index: number;
}

/** Entries `from` to `to`, exclusive, of one node. */
export interface Span {
  from: number;
  to: number;
}

/** One node on the path from the root to the position of a walk, with the entries yet to be visited. */
export interface Frame extends Span {
  readonly node: IndexNode;
  /** Exclusive upper bound of all keys below; undefined on the right-most path. */
  readonly upper: Uint8Array | undefined;
}

/**
 * The entries of a leaf that are in the range, or those of an inner node that lead to them.
 * Requires: the node's keys ascend.
 */
export function spanInRange(node: IndexNode, { start, end }: WalkOptions): Span {
  const to = end === undefined ? node.entryCount : node.ceiling(end);
  if (start === undefined) return { from: 0, to };
  return { from: node.level === 0 ? node.ceiling(start) : Math.max(0, node.floor(start)), to };
}

/** Exclusive upper bound of the keys of a child: the parent's next key, or the parent's bound. */
export function upperOf(
  parent: IndexNode,
  index: number,
  upper: Uint8Array | undefined,
): Uint8Array | undefined {
  return index + 1 < parent.entryCount ? parent.key(index + 1) : upper;
}

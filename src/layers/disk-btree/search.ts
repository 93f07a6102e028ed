/** One search on its way down an index, from the root to the leaf where its key would be. */
import type { CachedNode } from './block-cache.ts';
import type { IndexNode } from './index-node.ts';
import type { EntryPosition } from './walk.ts';

export class Search {
  readonly key: Uint8Array;
  /** Where it has come to; undefined before the root. Stays, even if the cache lets it go. */
  node: IndexNode | undefined;
  /** The last entry of the node that is not above the key; -1 if all are. */
  index = -1;
  /** The node's place in the cache. */
  at: CachedNode | undefined;
  /** Every key of the node is below; undefined on the right-most path. */
  upper: Uint8Array | undefined;

  constructor(key: Uint8Array) {
    this.key = key;
  }

  enter(at: CachedNode, node: IndexNode, upper: Uint8Array | undefined): void {
    this.at = at;
    this.node = node;
    this.upper = upper;
    this.index = node.floor(this.key);
  }

  get isDone(): boolean {
    return this.node !== undefined && (this.node.level === 0 || this.index < 0);
  }

  /** What was found. Requires: it is done. */
  get position(): EntryPosition | undefined {
    const { node, index } = this;
    return node === undefined || index < 0 ? undefined : { node, index };
  }
}

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

  /** The key is known to begin with the prefix of the node. */
  #sharesPrefix = false;

  constructor(key: Uint8Array) {
    this.key = key;
  }

  /** Requires: the node is the root, or the child at `index`, and was checked. */
  enter(at: CachedNode, node: IndexNode, upper: Uint8Array | undefined): void {
    const { key, node: parent, index } = this;
    this.at = at;
    this.node = node;
    this.upper = upper;
    // The parent has the first key of the node, prefix included, in memory that is warm: of a leaf
    // among very many, each line that is looked at has to come from afar.
    this.#sharesPrefix = parent?.hasPrefix(index, key, node.prefixLength) ?? false;
    this.index = this.#sharesPrefix ? node.floorBehindPrefix(key) : node.floor(key);
  }

  /** Whether the first `length` bytes of what was found are those of the key. */
  hasFound(length: number): boolean {
    const { node, index, key } = this;
    if (node === undefined || index < 0) return false;
    return this.#sharesPrefix
      ? node.hasPrefixBehind(index, key, length)
      : node.hasPrefix(index, key, length);
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

/**
 * The checks of an index. Each returns an error with path and offset, or undefined. The errors have
 * no stack: the caller adds one when it throws.
 *
 * A child's block number is below its parent's, and its level is one less. Its first key equals the
 * parent's key for it, and its last key is below the parent's next key. Keys ascend within a node and
 * lie within the layer's range.
 */
import { isStorageError, type StorageError, untracedError } from '../../errors.ts';
import { decodeNode, foreignValueError, type NodePlace } from './decode-node.ts';
import type { IndexBlocks } from './index-blocks.ts';
import type { IndexNode } from './index-node.ts';

/** What a layer requires of its entries. */
export interface EntryRules {
  /** Size of an entry key: 18 or 26 bytes. */
  readonly keySize: number;
  /** Every entry key is at least `first` and below `end`; both of the key size. */
  readonly first: Uint8Array;
  readonly end: Uint8Array;
  /** Index of the first entry of a leaf with a `problem`; -1 if there is none. */
  readonly firstProblem: (leaf: IndexNode) => number;
  /** A further error of a leaf's entry whose key is in range; undefined if it is valid. */
  readonly problem: (leaf: IndexNode, index: number) => StorageError | undefined;
}

export class IndexChecks {
  readonly #blocks: IndexBlocks;
  readonly #rules: EntryRules;

  constructor(blocks: IndexBlocks, rules: EntryRules) {
    this.#blocks = blocks;
    this.#rules = rules;
  }

  /** As `decodeNode`. For salvaging, `value` determines which of the accepted entries are damaged. */
  decode(
    bytes: Uint8Array,
    block: number,
    foreignValues?: NodePlace['foreignValues'],
  ): IndexNode | StorageError {
    const { keySize } = this.#rules;
    const fileOffset = this.#blocks.fileOffset(block);
    const node = decodeNode(bytes, { block, keySize, fileOffset, foreignValues });
    return isStorageError(node) ? node.with({ path: this.#blocks.path }) : node;
  }

  /** Checks that the value of an entry is of its node's kind. */
  value(node: IndexNode, index: number): StorageError | undefined {
    if (!node.isForeignValue(index)) return undefined;
    const error = foreignValueError(node, index, this.#blocks.fileOffset(node.block));
    return error.with({ path: this.#blocks.path });
  }

  /** Children are written before their parents, so their blocks have lower numbers. */
  childPointer(parent: IndexNode, index: number): StorageError | undefined {
    const block = parent.childBlock(index);
    if (block < parent.block) return undefined;
    return this.#error('out-of-range', parent, `child ${index} of index block ${parent.block}`, {
      expected: `a block below ${parent.block}`,
      actual: `${block}`,
    });
  }

  /** Only an index of one block has a leaf for a root. */
  root(node: IndexNode): StorageError | undefined {
    if (node.level > 0 || node.block === 0) return undefined;
    return this.#error('corrupt', node, `root of the index, block ${node.block}, is a leaf`, {
      expected: 'a level above 0, because it is not the first block',
      actual: '0',
    });
  }

  level(child: IndexNode, parent: IndexNode): StorageError | undefined {
    if (child.level === parent.level - 1) return undefined;
    return this.#error('corrupt', child, `level of index block ${child.block}`, {
      expected: `${parent.level - 1}, one below that of block ${parent.block}`,
      actual: `${child.level}`,
    });
  }

  /** Checks that the child has the first key of its entry in the parent, and all keys below `upper`. */
  place(
    child: IndexNode,
    parent: IndexNode,
    index: number,
    upper: Uint8Array | undefined,
  ): StorageError | undefined {
    const separator = parent.key(index);
    if (child.compareKey(0, separator) !== 0) {
      return this.#error('corrupt', child, `first key of index block ${child.block}`, {
        expected: `${hex(separator)}, as in block ${parent.block}`,
        actual: hex(child.key(0)),
      });
    }
    if (upper === undefined || child.compareKey(child.entryCount - 1, upper) < 0) return undefined;
    return this.#error('corrupt', child, `last key of index block ${child.block}`, {
      expected: `below ${hex(upper)}`,
      actual: hex(child.key(child.entryCount - 1)),
    });
  }

  /** Checks order and range of all entries of one node. */
  entries(node: IndexNode): StorageError | undefined {
    const unordered = node.firstOutOfOrder();
    if (unordered >= 0) return this.outOfOrder(node, unordered);
    const rangeProblem = this.#range(node, 0) ?? this.#range(node, node.entryCount - 1);
    if (rangeProblem !== undefined || node.level > 0) return rangeProblem;
    const first = this.#rules.firstProblem(node);
    return first < 0 ? undefined : this.#rule(node, first);
  }

  /** Checks the range of one entry by itself. */
  entry(node: IndexNode, index: number): StorageError | undefined {
    return this.#range(node, index) ?? this.#rule(node, index);
  }

  outOfOrder(node: IndexNode, index: number): StorageError {
    const what = `entry ${index} of index block ${node.block} is not above the one before`;
    return this.#error('out-of-order', node, what, { actual: hex(node.key(index)) });
  }

  notBelowNext(node: IndexNode, index: number): StorageError {
    const what = `entry ${index} of index block ${node.block} is not below the entries after it`;
    return this.#error('out-of-order', node, what, { actual: hex(node.key(index)) });
  }

  notBelowUpper(node: IndexNode, index: number): StorageError {
    const what = `entry ${index} of index block ${node.block} is not below the next block`;
    return this.#error('corrupt', node, what, { actual: hex(node.key(index)) });
  }

  secondParent(parent: IndexNode, block: number): StorageError {
    return this.#error('corrupt', parent, `index block ${block} has two parents`, {});
  }

  #range(node: IndexNode, index: number): StorageError | undefined {
    const { first, end } = this.#rules;
    if (node.compareKey(index, first) >= 0 && node.compareKey(index, end) < 0) return undefined;
    const what = `entry ${index} of index block ${node.block} is outside the layer's range`;
    return this.#error('out-of-range', node, what, {
      expected: `${hex(first)} to ${hex(end)}`,
      actual: hex(node.key(index)),
    });
  }

  #rule(node: IndexNode, index: number): StorageError | undefined {
    const problem = this.#rules.problem(node, index);
    return problem?.with({ path: this.#blocks.path, offset: this.#blocks.fileOffset(node.block) });
  }

  #error(
    code: 'corrupt' | 'out-of-order' | 'out-of-range',
    node: IndexNode,
    what: string,
    found: { readonly expected?: string; readonly actual?: string },
  ): StorageError {
    const { path } = this.#blocks;
    return untracedError(code, {
      what,
      path,
      offset: this.#blocks.fileOffset(node.block),
      ...found,
    });
  }
}

function hex(key: Uint8Array): string {
  return Buffer.from(key).toString('hex').toUpperCase();
}

/**
 * Index node: one block of the B-tree.
 *
 *   offset     size
 *   0          2     entries n, at least 1
 *   2          1     level, 0 is a leaf
 *   3          1     prefix length p
 *   4          1     suffix length s; p + s is the size of an entry key
 *   5          p     prefix that all keys of the node share
 *   5+p        n*s   suffixes, ascending
 *   5+p+n*s    n*5   values, 40 bits each
 *   rest             zero
 *
 * The top bit of a leaf's value is 0. An inner node's value is 0x80 and a u32 block number relative to
 * the start of the index; its key is the full first key of that child. All integers are big-endian.
 *
 * Source: Neon pageserver/src/tenant/disk_btree.rs.
 */

export const NODE_HEADER_SIZE = 5;
export const NODE_VALUE_SIZE = 5;

/** Largest value of a leaf entry: 39 bits. */
export const MAXIMUM_LEAF_VALUE = 0x7f_ffff_ffff;

/** First byte of an inner node's value. */
export const CHILD_MARK = 0x80;

export interface EncodableNode {
  readonly entryCount: number;
  readonly level: number;
  readonly prefix: Uint8Array;
  readonly suffixLength: number;
  /** At least `entryCount * suffixLength` bytes. */
  readonly suffixes: Uint8Array;
  /** At least `entryCount * 5` bytes. */
  readonly values: Uint8Array;
}

/** Encodes a node. Requires: `target` is a block of zeros. */
export function encodeNode(node: EncodableNode, target: Uint8Array): void {
  const { entryCount, level, prefix, suffixLength, suffixes, values } = node;
  target[0] = entryCount >>> 8;
  target[1] = entryCount & 0xff;
  target[2] = level;
  target[3] = prefix.length;
  target[4] = suffixLength;
  target.set(prefix, NODE_HEADER_SIZE);
  const suffixesAt = NODE_HEADER_SIZE + prefix.length;
  target.set(suffixes.subarray(0, entryCount * suffixLength), suffixesAt);
  const valuesAt = suffixesAt + entryCount * suffixLength;
  target.set(values.subarray(0, entryCount * NODE_VALUE_SIZE), valuesAt);
}

/** Encodes the value of a leaf entry, 40 bits. */
export function encodeLeafValue(target: Uint8Array, at: number, value: number): void {
  const low = value >>> 0;
  target[at] = (value - low) / 0x1_0000_0000;
  writeU32(target, at + 1, low);
}

/** Encodes the value of an inner node's entry. */
export function encodeChildValue(target: Uint8Array, at: number, childBlock: number): void {
  target[at] = CHILD_MARK;
  writeU32(target, at + 1, childBlock);
}

function writeU32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24;
  target[at + 1] = (value >>> 16) & 0xff;
  target[at + 2] = (value >>> 8) & 0xff;
  target[at + 3] = value & 0xff;
}

/**
 * A slow builder of the index, straight from the description of the format, to compare the builder of
 * the sources with; it shares nothing with them.
 */
import { nodeBlock } from './hand-made.ts';

export interface ReferenceEntry {
  readonly key: Uint8Array;
  /** 40 bits. */
  readonly value: number;
}

interface OpenNode {
  readonly level: number;
  readonly keys: Uint8Array[];
  /** Of a leaf; block numbers above it. */
  readonly values: number[];
  prefixLength: number;
  /** As the writer counts it. */
  size: number;
}

/** Returns the blocks in the order in which they are written; the root is the last. */
export function buildReferenceIndex(entries: readonly ReferenceEntry[]): Uint8Array[] {
  const blocks: Uint8Array[] = [];
  const open: (OpenNode | undefined)[] = [];

  const write = (node: OpenNode): number => {
    blocks.push(encode(node));
    return blocks.length - 1;
  };

  const put = (level: number, key: Uint8Array, value: number): void => {
    const node = open[level];
    if (node === undefined) {
      open[level] = nodeWith(level, key, value);
      return;
    }
    while (!fits(node, key)) {
      if (growPrefix(node)) continue;
      put(level + 1, firstKey(node), write(node));
      open[level] = nodeWith(level, key, value);
      return;
    }
    add(node, key, value);
  };

  for (const { key, value } of entries) put(0, key, value);
  for (let level = 0; ; level += 1) {
    const node = open[level];
    if (node === undefined) throw new Error('an index has entries');
    const block = write(node);
    if (level === open.length - 1) return blocks;
    put(level + 1, firstKey(node), block);
  }
}

function nodeWith(level: number, key: Uint8Array, value: number): OpenNode {
  const node = { level, keys: [], values: [], prefixLength: 0, size: 5 };
  add(node, key, value);
  return node;
}

function firstKey({ keys }: OpenNode): Uint8Array {
  const [key] = keys;
  if (key === undefined) throw new Error('a node has entries');
  return key;
}

function fits(node: OpenNode, key: Uint8Array): boolean {
  if (sharedLength(firstKey(node), key) < node.prefixLength) return false;
  return !(node.size + key.length - node.prefixLength + 5 >= 8192);
}

function add(node: OpenNode, key: Uint8Array, value: number): void {
  node.keys.push(key);
  node.values.push(value);
  node.size += key.length - node.prefixLength + 5;
}

/** Lets the prefix grow to what the first and the last key share; false if that is no more. */
function growPrefix(node: OpenNode): boolean {
  const { keys } = node;
  const shared = sharedLength(firstKey(node), keys.at(-1) ?? firstKey(node));
  if (shared === node.prefixLength) return false;
  node.prefixLength = shared;
  node.size = 5 + shared;
  for (const key of keys) node.size += key.length - shared + 5;
  return true;
}

function sharedLength(left: Uint8Array, right: Uint8Array): number {
  let shared = 0;
  while (shared < left.length && left[shared] === right[shared]) shared += 1;
  return shared;
}

function encode({ level, keys, values, prefixLength }: OpenNode): Uint8Array {
  const stored = 5 + prefixLength + keys.length * ((keys[0]?.length ?? 0) - prefixLength + 5);
  if (stored > 8191) throw new Error(`a block never uses its last byte, found ${stored}`);
  const pointers = level === 0 ? { values } : { children: values };
  return nodeBlock({ level, keys, prefixLength, ...pointers });
}

/**
 * A slow builder of the index, straight from the description of the format, to compare ours with:
 * plain arrays, nothing shared with the sources.
 */

export interface ReferenceEntry {
  readonly key: Uint8Array;
  /** 40 bits. */
  readonly value: number;
}

interface OpenNode {
  readonly level: number;
  readonly firstKey: Uint8Array;
  prefix: number[];
  suffixes: number[][];
  values: number[][];
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

  const put = (level: number, key: Uint8Array, value: number[]): void => {
    const node = open[level];
    if (node === undefined) {
      open[level] = nodeWith(level, key, value);
      return;
    }
    while (!fits(node, key)) {
      if (compress(node)) continue;
      put(level + 1, node.firstKey, childValue(write(node)));
      open[level] = nodeWith(level, key, value);
      return;
    }
    add(node, key, value);
  };

  for (const { key, value } of entries) put(0, key, leafValue(value));
  for (let level = 0; ; level += 1) {
    const node = open[level];
    if (node === undefined) throw new Error('an index has entries');
    const block = write(node);
    if (level === open.length - 1) return blocks;
    put(level + 1, node.firstKey, childValue(block));
  }
}

function nodeWith(level: number, key: Uint8Array, value: number[]): OpenNode {
  const node = { level, firstKey: key, prefix: [], suffixes: [], values: [], size: 5 };
  add(node, key, value);
  return node;
}

function fits(node: OpenNode, key: Uint8Array): boolean {
  if (node.prefix.some((byte, index) => byte !== key[index])) return false;
  const suffixLength = key.length - node.prefix.length;
  return !(node.size + suffixLength + 5 >= 8192);
}

function add(node: OpenNode, key: Uint8Array, value: number[]): void {
  const suffix = [...key.subarray(node.prefix.length)];
  node.suffixes.push(suffix);
  node.values.push(value);
  node.size += suffix.length + 5;
}

/** Lets the prefix grow by what the first and the last suffix share; false if that is nothing. */
function compress(node: OpenNode): boolean {
  const first = node.suffixes[0] ?? [];
  const last = node.suffixes.at(-1) ?? [];
  let shared = 0;
  while (shared < first.length && first[shared] === last[shared]) shared += 1;
  if (shared === 0) return false;
  node.prefix = [...node.prefix, ...first.slice(0, shared)];
  node.suffixes = node.suffixes.map((suffix) => suffix.slice(shared));
  node.size = 5 + node.prefix.length;
  for (const suffix of node.suffixes) node.size += suffix.length + 5;
  return true;
}

function encode({ level, prefix, suffixes, values }: OpenNode): Uint8Array {
  const count = suffixes.length;
  const bytes = [count >> 8, count & 0xff, level, prefix.length, suffixes[0]?.length ?? 0];
  bytes.push(...prefix);
  for (const suffix of suffixes) bytes.push(...suffix);
  for (const value of values) bytes.push(...value);
  if (bytes.length > 8191) throw new Error('the last byte of a block is never used');
  const block = new Uint8Array(8192);
  block.set(bytes);
  return block;
}

/** 40 bits, big-endian. */
function leafValue(value: number): number[] {
  const text = BigInt(value).toString(16).padStart(10, '0');
  return [...Buffer.from(text, 'hex')];
}

function childValue(block: number): number[] {
  return [0x80, ...Buffer.from(block.toString(16).padStart(8, '0'), 'hex')];
}

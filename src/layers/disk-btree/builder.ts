/**
 * Builds the index from ascending keys, one open node a level.
 *
 * A key goes into the open leaf. When it does not fit, the leaf is compressed: the bytes that its
 * first and last key share move into the prefix. When that does not help, the leaf is written, its
 * first key goes into the open node above in the same way, and a new leaf begins. So only nodes
 * that once were full are compressed, and the last node of each level usually is not: Neon's
 * writer does the same, and the bytes depend on it.
 */
import { assert } from '../../assert.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import {
  encodeChildValue,
  encodeLeafValue,
  encodeNode,
  NODE_HEADER_SIZE,
  NODE_VALUE_SIZE,
} from './node-format.ts';

/** Takes a finished block, whose bytes the builder writes next time again; returns its number. */
export type BlockSink = (block: Uint8Array) => number;

/** More levels than any file of blocks with u32 numbers can have. */
const MAXIMUM_LEVELS = 32;

export class DiskBtreeBuilder {
  readonly #keySize: number;
  readonly #sink: BlockSink;
  readonly #block = new Uint8Array(BLOCK_SIZE);
  /** Open nodes; index is the level. */
  readonly #open: OpenNode[] = [];
  readonly #lastKey: Uint8Array;
  #entryCount = 0;

  constructor(keySize: number, sink: BlockSink) {
    this.#keySize = keySize;
    this.#sink = sink;
    this.#lastKey = new Uint8Array(keySize);
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  /** Blocks that `finish` would write now, at most: the open nodes. */
  get openBlockCount(): number {
    return this.#open.length;
  }

  /** True if the key at `at` is above all others; no other key may be put. */
  accepts(keys: Uint8Array, at = 0): boolean {
    if (this.#entryCount === 0) return true;
    const lastKey = this.#lastKey;
    for (let byte = 0; byte < this.#keySize; byte += 1) {
      const difference = (keys[at + byte] as number) - (lastKey[byte] as number);
      if (difference !== 0) return difference > 0;
    }
    return false;
  }

  /** Requires: `accepts(keys, at)`, and a value of at most 39 bits. The key is copied. */
  put(keys: Uint8Array, value: number, at = 0): void {
    const leaf = this.#nodeAt(0);
    if (!leaf.fits(keys, at)) this.#makeRoom(0, keys, at);
    encodeLeafValue(leaf.values, leaf.add(keys, at), value);
    this.#entryCount += 1;
    copyBytes(keys, at, this.#lastKey, this.#keySize);
  }

  /** Writes the open nodes, the root last. Requires: at least one entry. Returns the root's number. */
  finish(): number {
    assert(this.#entryCount > 0, 'an index has entries');
    for (let level = 0; ; level += 1) {
      const block = this.#write(this.#nodeAt(level));
      if (level === this.#open.length - 1) return block;
      this.#putChild(level + 1, this.#nodeAt(level).firstKey, block);
    }
  }

  #putChild(level: number, firstKey: Uint8Array, childBlock: number): void {
    const node = this.#nodeAt(level);
    if (!node.fits(firstKey, 0)) this.#makeRoom(level, firstKey, 0);
    encodeChildValue(node.values, node.add(firstKey, 0), childBlock);
  }

  /** Compresses the node; where the key still does not fit, writes it and empties it. */
  #makeRoom(level: number, keys: Uint8Array, at: number): void {
    const node = this.#nodeAt(level);
    if (node.compress() && node.fits(keys, at)) return;
    const block = this.#write(node);
    this.#putChild(level + 1, node.firstKey, block);
    node.clear();
  }

  #nodeAt(level: number): OpenNode {
    let node = this.#open[level];
    if (node === undefined) {
      assert(level === this.#open.length && level < MAXIMUM_LEVELS, 'levels grow one by one');
      node = new OpenNode(this.#keySize, level);
      this.#open.push(node);
    }
    return node;
  }

  #write(node: OpenNode): number {
    this.#block.fill(0);
    encodeNode(node, this.#block);
    return this.#sink(this.#block);
  }
}

class OpenNode {
  readonly level: number;
  entryCount = 0;
  suffixLength: number;
  readonly suffixes = new Uint8Array(BLOCK_SIZE);
  readonly values = new Uint8Array(BLOCK_SIZE);
  /** Full first key; its beginning is the prefix. */
  readonly #firstKey: Uint8Array;
  #prefixLength = 0;
  /** Bytes that the encoded node has. */
  #size = NODE_HEADER_SIZE;

  constructor(keySize: number, level: number) {
    this.#firstKey = new Uint8Array(keySize);
    this.suffixLength = keySize;
    this.level = level;
  }

  get prefix(): Uint8Array {
    return this.#firstKey.subarray(0, this.#prefixLength);
  }

  get firstKey(): Uint8Array {
    return this.#firstKey;
  }

  /** The last byte of a block is never used. */
  fits(keys: Uint8Array, at: number): boolean {
    if (this.#size + this.suffixLength + NODE_VALUE_SIZE >= BLOCK_SIZE) return false;
    for (let byte = 0; byte < this.#prefixLength; byte += 1) {
      if (keys[at + byte] !== this.#firstKey[byte]) return false;
    }
    return true;
  }

  /** Requires: `fits(keys, at)`. Returns where in `values` the entry's value goes. */
  add(keys: Uint8Array, at: number): number {
    if (this.entryCount === 0) copyBytes(keys, at, this.#firstKey, this.#firstKey.length);
    const { suffixLength, suffixes } = this;
    const suffixAt = this.entryCount * suffixLength;
    const from = at + this.#prefixLength;
    for (let byte = 0; byte < suffixLength; byte += 1) {
      suffixes[suffixAt + byte] = keys[from + byte] as number;
    }
    this.#size += suffixLength + NODE_VALUE_SIZE;
    this.entryCount += 1;
    return (this.entryCount - 1) * NODE_VALUE_SIZE;
  }

  /** Moves what the first and the last key share into the prefix; false if that is nothing. */
  compress(): boolean {
    const { entryCount, suffixLength, suffixes } = this;
    const lastAt = (entryCount - 1) * suffixLength;
    let shared = 0;
    while (shared < suffixLength && suffixes[shared] === suffixes[lastAt + shared]) shared += 1;
    if (shared === 0) return false;
    const shorter = suffixLength - shared;
    for (let index = 0; index < entryCount; index += 1) {
      const from = index * suffixLength + shared;
      suffixes.copyWithin(index * shorter, from, from + shorter);
    }
    this.suffixLength = shorter;
    this.#prefixLength += shared;
    this.#size += shared - shared * entryCount;
    return true;
  }

  clear(): void {
    this.entryCount = 0;
    this.#prefixLength = 0;
    this.suffixLength = this.#firstKey.length;
    this.#size = NODE_HEADER_SIZE;
  }
}

/** Faster than `set` for a few bytes. */
function copyBytes(source: Uint8Array, at: number, target: Uint8Array, length: number): void {
  for (let byte = 0; byte < length; byte += 1) target[byte] = source[at + byte] as number;
}

/**
 * Builds the index from ascending keys, with one open node per level.
 *
 * A key goes into the open leaf. When it does not fit, the leaf is compressed: the bytes that its first
 * and last key share move into the prefix. If the key still does not fit, the leaf is written, its first
 * key goes into the open node above in the same way, and a new leaf begins. So only nodes that were
 * full are compressed, and the last node of each level usually is not. Neon's writer does the same, and
 * the bytes depend on it.
 */
import { assert } from '../../assert.ts';
import { copyWords, sharedBytes, ViewedBytes } from '../../byte-words.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';
import { LeafKernel, RUN_ENTRIES } from './leaf-kernel.ts';
import {
  encodeChildValue,
  encodeLeafValue,
  encodeNode,
  NODE_HEADER_SIZE,
  NODE_VALUE_SIZE,
} from './node-format.ts';

/** Stores a copy of a finished block, whose array the builder reuses; returns its number. */
export type BlockSink = (block: Uint8Array) => number;

/** Entries whose keys lie one after the other, from `keysAt` on. */
export interface EntryRun {
  readonly keys: DataView;
  readonly keysAt: number;
  /** At most 39 bits each. */
  readonly values: Float64Array;
}

/** Entries from which a run is worth a call of the kernel. */
const LONG_RUN = 16;

/** More levels than a file whose block numbers are u32 can have. */
const MAXIMUM_LEVELS = 32;

export class DiskBtreeBuilder {
  readonly #keySize: number;
  readonly #sink: BlockSink;
  readonly #block = new Uint8Array(BLOCK_SIZE);
  readonly #leaf: OpenNode;
  /** Open nodes; index is the level. */
  readonly #open: OpenNode[];
  /** The last key put; it is in the open leaf. */
  #last: ViewedBytes;
  #next: ViewedBytes;
  /** Leading bytes that the last and the next key share. */
  #shared = 0;
  #entryCount = 0;

  constructor(keySize: number, sink: BlockSink) {
    this.#keySize = keySize;
    this.#sink = sink;
    this.#leaf = new OpenNode(keySize, 0);
    this.#open = [this.#leaf];
    this.#last = new ViewedBytes(new Uint8Array(keySize));
    this.#next = new ViewedBytes(new Uint8Array(keySize));
  }

  get entryCount(): number {
    return this.#entryCount;
  }

  /** Maximum number of blocks that `finish` would write: the open nodes. */
  get openBlockCount(): number {
    return this.#entryCount === 0 ? 0 : this.#open.length;
  }

  /** Memory for the next key, to be set before `acceptsNext` and `putNext`. */
  get nextKey(): ViewedBytes {
    return this.#next;
  }

  /** True if the next key is above all others; only such a key may be put. */
  acceptsNext(): boolean {
    if (this.#entryCount === 0) return true;
    const shared = sharedBytes(this.#next.view, 0, this.#last.view, 0, this.#keySize);
    this.#shared = shared;
    if (shared === this.#keySize) return false;
    return (this.#next.bytes[shared] as number) > (this.#last.bytes[shared] as number);
  }

  /** Requires: `acceptsNext()` was true, and a value of at most 39 bits. */
  putNext(value: number): void {
    const leaf = this.#leaf;
    const { bytes, view } = this.#next;
    if (!leaf.hasRoom || this.#shared < leaf.prefixLength) this.#makeRoom(0, bytes);
    encodeLeafValue(leaf.values, leaf.add(view), value);
    this.#entryCount += 1;
    const last = this.#last;
    this.#last = this.#next;
    this.#next = last;
  }

  /**
   * Puts the first `count` entries, up to one whose key is not above the one before; returns how many.
   * Most entries go into the open leaf in one loop; an entry that needs a new leaf goes by itself.
   */
  putRun(run: EntryRun, count: number): number {
    let done = 0;
    this.#leaf.beginRun(run, count);
    while (done < count) {
      copyWords(run.keys, run.keysAt + done * this.#keySize, this.#next.view, 0, this.#keySize);
      if (!this.acceptsNext()) break;
      this.putNext(run.values[done] as number);
      const end = this.#leaf.addRun(run, done + 1, count);
      this.#entryCount += end - (done + 1);
      const lastAt = run.keysAt + (end - 1) * this.#keySize;
      copyWords(run.keys, lastAt, this.#last.view, 0, this.#keySize);
      done = end;
    }
    return done;
  }

  /** Like `acceptsNext`, for the key at `at`, which becomes the next key. */
  accepts(keys: Uint8Array, at = 0): boolean {
    for (let byte = 0; byte < this.#keySize; byte += 1) {
      this.#next.bytes[byte] = keys[at + byte] as number;
    }
    return this.acceptsNext();
  }

  /** Like `putNext`, for a copy of the key at `at`. Requires: `accepts(keys, at)`. */
  put(keys: Uint8Array, value: number, at = 0): void {
    const accepted = this.accepts(keys, at);
    assert(accepted, 'keys are put in ascending order');
    this.putNext(value);
  }

  /** Writes the open nodes, the root last. Requires: at least one entry. Returns: the root's number. */
  finish(): number {
    assert(this.#entryCount > 0, 'an index has entries');
    for (let level = 0; ; level += 1) {
      const block = this.#write(this.#nodeAt(level));
      if (level === this.#open.length - 1) return block;
      this.#putChild(level + 1, this.#nodeAt(level).firstKey, block);
    }
  }

  #putChild(level: number, firstKey: ViewedBytes, childBlock: number): void {
    const node = this.#nodeAt(level);
    if (!node.fits(firstKey.bytes)) this.#makeRoom(level, firstKey.bytes);
    encodeChildValue(node.values, node.add(firstKey.view), childBlock);
  }

  /** Compresses the node; if the key still does not fit, writes the node and empties it. */
  #makeRoom(level: number, key: Uint8Array): void {
    const node = this.#nodeAt(level);
    if (node.compress() && node.fits(key)) return;
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
  suffixes: Uint8Array = new Uint8Array(BLOCK_SIZE);
  values: Uint8Array = new Uint8Array(BLOCK_SIZE);
  /** Full first key; it starts with the prefix. */
  readonly firstKey: ViewedBytes;
  #suffixesView = new DataView(this.suffixes.buffer);
  /** Null if there can be none. */
  #kernel: LeafKernel | null | undefined;
  /** The kernel if it has the run that is added. */
  #ofRun: LeafKernel | undefined;
  #prefixLength = 0;
  /** Bytes of the encoded node. */
  #size = NODE_HEADER_SIZE;

  constructor(keySize: number, level: number) {
    this.firstKey = new ViewedBytes(new Uint8Array(keySize));
    this.suffixLength = keySize;
    this.level = level;
  }

  get prefix(): Uint8Array {
    return this.firstKey.bytes.subarray(0, this.#prefixLength);
  }

  get prefixLength(): number {
    return this.#prefixLength;
  }

  /** The last byte of a block is never used. */
  get hasRoom(): boolean {
    return this.#size + this.suffixLength + NODE_VALUE_SIZE < BLOCK_SIZE;
  }

  fits(key: Uint8Array): boolean {
    if (!this.hasRoom) return false;
    const { bytes } = this.firstKey;
    for (let byte = 0; byte < this.#prefixLength; byte += 1) {
      if (key[byte] !== bytes[byte]) return false;
    }
    return true;
  }

  /** Requires: the key fits. Returns: the place of the entry's value in `values`. */
  add(key: DataView): number {
    if (this.entryCount === 0) copyWords(key, 0, this.firstKey.view, 0, key.byteLength);
    const { entryCount, suffixLength } = this;
    copyWords(key, this.#prefixLength, this.#suffixesView, entryCount * suffixLength, suffixLength);
    this.#size += suffixLength + NODE_VALUE_SIZE;
    this.entryCount = entryCount + 1;
    return entryCount * NODE_VALUE_SIZE;
  }

  /** Must be called before the entries of a run are added. */
  beginRun({ keys, keysAt, values }: EntryRun, count: number): void {
    const keySize = this.firstKey.bytes.length;
    this.#ofRun = undefined;
    if (count < LONG_RUN || count > RUN_ENTRIES || keySize > DELTA_KEY_SIZE) return;
    if (this.#kernel === undefined) this.#useKernel();
    if (this.#kernel === null) return;
    this.#ofRun = this.#kernel;
    const bytes = new Uint8Array(keys.buffer, keys.byteOffset + keysAt, count * keySize);
    this.#ofRun?.load(bytes, values.subarray(0, count));
  }

  /**
   * Adds the entries of the run from `from` to `end`, up to one that does not fit, or whose key is not
   * above the one before. Requires: the entry before `from` is the node's last one. Returns: the first
   * entry that was not added.
   */
  addRun({ keys, keysAt, values }: EntryRun, from: number, end: number): number {
    const { suffixLength } = this;
    const prefixLength = this.#prefixLength;
    const keySize = prefixLength + suffixLength;
    const entrySize = suffixLength + NODE_VALUE_SIZE;
    const last = Math.min(end, from + Math.floor((BLOCK_SIZE - 1 - this.#size) / entrySize));
    const { entryCount } = this;
    const suffixesAt = (entryCount - from) * suffixLength;
    const valuesAt = (entryCount - from) * NODE_VALUE_SIZE;
    let row = this.#ofRun?.add(from, last, { keySize, prefixLength, entryCount }) ?? from;
    for (; this.#ofRun === undefined && row < last; row += 1) {
      const at = keysAt + row * keySize;
      const shared = sharedBytes(keys, at - keySize, keys, at, keySize);
      if (shared < prefixLength || shared === keySize) break;
      if (keys.getUint8(at + shared) < keys.getUint8(at - keySize + shared)) break;
      const to = suffixesAt + row * suffixLength;
      copyWords(keys, at + prefixLength, this.#suffixesView, to, suffixLength);
      encodeLeafValue(this.values, valuesAt + row * NODE_VALUE_SIZE, values[row] as number);
    }
    this.entryCount += row - from;
    this.#size += (row - from) * entrySize;
    return row;
  }

  /** Moves the bytes that first and last key share into the prefix; false if there are none. */
  compress(): boolean {
    const { entryCount, suffixLength, suffixes } = this;
    const lastAt = (entryCount - 1) * suffixLength;
    let shared = 0;
    while (shared < suffixLength && suffixes[shared] === suffixes[lastAt + shared]) shared += 1;
    if (shared === 0) return false;
    const shorter = suffixLength - shared;
    for (let index = 0, to = 0; index < entryCount; index += 1) {
      const from = index * suffixLength + shared;
      for (let byte = 0; byte < shorter; byte += 1, to += 1) {
        suffixes[to] = suffixes[from + byte] as number;
      }
    }
    this.suffixLength = shorter;
    this.#prefixLength += shared;
    this.#size += shared - shared * entryCount;
    return true;
  }

  clear(): void {
    this.entryCount = 0;
    this.#prefixLength = 0;
    this.suffixLength = this.firstKey.bytes.length;
    this.#size = NODE_HEADER_SIZE;
  }

  /** Moves what the leaf has to the memory of a kernel. */
  #useKernel(): void {
    const kernel = LeafKernel.create();
    this.#kernel = kernel ?? null;
    if (kernel === undefined) return;
    kernel.suffixes.set(this.suffixes);
    kernel.values.set(this.values);
    ({ suffixes: this.suffixes, values: this.values } = kernel);
    this.#suffixesView = new ViewedBytes(kernel.suffixes).view;
  }
}

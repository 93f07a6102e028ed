/**
 * Merges any number of layers, delta and image, into one sequence of entries.
 *
 *   order   key, LSN, kind: images before WAL records; then the order of the inputs
 *
 * Nothing is left out: if several entries have one key and LSN, all are returned, and the caller keeps the first. A
 * loser tree decides which input is next: node n has the loser of its match, and the input that won all of its matches
 * is the head. So an entry costs one comparison per level, and an input one buffer.
 *
 * Source: Neon pageserver/src/tenant/storage_layer/merge_iterator.rs.
 */

import { ViewedBytes } from '../byte-words.ts';
import { checkedItems, checkObject, checkSignal } from '../check-options.ts';
import { throwIfAborted } from '../errors.ts';
import { KEY_SIZE, type Key, type KeyRange } from '../layers/key.ts';
import { checkReader } from '../layers/layer-file/layer-input.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import type { LsnRange } from '../layers/lsn.ts';
import { outlineOfValueAt } from '../layers/value-outline.ts';
import { loserTree } from './loser-tree.ts';
import { HEAD_WORDS, KEY_WORDS, MergeInput, setKeyWords } from './merge-input.ts';

/** Memory for the values of all inputs together, in reads of at most 1 MiB. */
const BUFFER_MEMORY = 64 * 1024 * 1024;
const BUFFERS_OF_AN_INPUT = 4;
const LARGEST_PIECE = 1024 * 1024;
const SMALLEST_PIECE = 64 * 1024;

/** Words before the state: equal for entries of one key and LSN. */
const PLACE_WORDS = HEAD_WORDS - 1;

const IMAGE = 1;
const RECORD = 2;

/** How layers are merged. */
export interface MergeOptions {
  /** Default: all keys. Every layer must have keys in it. */
  readonly keyRange?: KeyRange | undefined;
  /** Default: all LSNs. */
  readonly lsnRange?: LsnRange | undefined;
  /** Ends the merge with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** A merge is positioned at its head; `advance` moves to the next entry. One user at a time. */
export class LayerMerge {
  readonly inputs: readonly MergeInput[];
  readonly #heads: Float64Array;
  /** Index of the input that lost at each node; node 0 has the winner. */
  readonly #tree: Int32Array;
  readonly #signal: AbortSignal | undefined;
  /** For the loaded batches: the lowest of their last keys, and their total bytes. */
  readonly #boundEnd = new Float64Array(KEY_WORDS);
  #bound = 0;
  /** False once a batch was loaded. */
  #hasBound = false;

  /**
   * Begins a merge of readers that stay open until it is closed, and stay the caller's.
   * Throws: as the scans of the layers.
   */
  static async begin(
    readers: Iterable<LayerReader>,
    options: MergeOptions = {},
  ): Promise<LayerMerge> {
    checkObject('options', options);
    checkSignal(options.signal);
    const merge = new LayerMerge(checkedItems('layers to merge', readers, checkReader), options);
    await merge.#reachHead();
    return merge;
  }

  private constructor(readers: readonly LayerReader[], options: MergeOptions) {
    const count = readers.length;
    const share = Math.floor(BUFFER_MEMORY / (BUFFERS_OF_AN_INPUT * Math.max(count, 1)));
    const pieceSize = Math.min(Math.max(share, SMALLEST_PIECE), LARGEST_PIECE);
    const heads = new Float64Array(count * HEAD_WORDS);
    this.inputs = readers.map(
      (reader, index) => new MergeInput(reader, index, heads, { ...options, pieceSize }),
    );
    this.#heads = heads;
    this.#signal = options.signal;
    this.#tree = loserTree(count, (one, other) => this.#isBefore(one, other));
  }

  /** The input with the next entry; undefined at the end. */
  get head(): MergeInput | undefined {
    const input = this.inputs[this.#tree[0] as number];
    return input === undefined || input.isEnded ? undefined : input;
  }

  /**
   * Advances to the next entry. Returns: a promise if a batch must be loaded; until it resolves, there is no head.
   */
  advance(): void | Promise<void> {
    const winner = this.#tree[0] as number;
    const input = this.inputs[winner] as MergeInput;
    if (!input.next()) return this.#loadHead();
    this.#replay(winner);
    if ((this.inputs[this.#tree[0] as number] as MergeInput).isUnreached) return this.#reachHead();
  }

  /** Bytes of the inputs before their current entries. */
  get position(): number {
    return this.inputs.reduce((bytes, input) => bytes + input.position, 0);
  }

  /** Copies the key of the head, for `isAt`. */
  copyKey(words: Float64Array): void {
    const from = (this.#tree[0] as number) * HEAD_WORDS;
    for (let word = 0; word < KEY_WORDS; word += 1)
      words[word] = this.#heads[from + word] as number;
  }

  /** Whether the head has this key. The last words differ most often. */
  isAt(words: Float64Array): boolean {
    return this.#hasKey(this.#tree[0] as number, words);
  }

  /**
   * Bytes that all versions of the head's key take in their files. The last blob of a layer reaches as
   * far as its index. Requires: the head is the first entry of its key.
   */
  keySize(words: Float64Array): number | Promise<number> {
    const winner = this.#tree[0] as number;
    const size = (this.inputs[winner] as MergeInput).extent('key');
    const node = Math.floor((winner + this.inputs.length) / 2);
    return this.#addSizes(size, { leaf: node, top: 0, words });
  }

  /**
   * At least what `keySize` returns, at the cost of one comparison; infinite near the end of a batch.
   * Requires: as `keySize`.
   */
  get keySizeBound(): number {
    if (!this.#hasBound) this.#setBound();
    const from = (this.#tree[0] as number) * HEAD_WORDS;
    return isBelowAt(this.#heads, from, this.#boundEnd) ? this.#bound : Number.POSITIVE_INFINITY;
  }

  /** Ends the scans. Idempotent; never rejects for a scan that has failed. */
  async close(): Promise<void> {
    for (const input of this.inputs) await input.close();
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Adds the sizes in all inputs at the same key. Such an input lost its last match to another of them, so the search
   * follows only the matches of those that were found.
   */
  #addSizes(
    size: number | Promise<number>,
    path: { readonly leaf: number; readonly top: number; readonly words: Float64Array },
  ): number | Promise<number> {
    const { leaf, top, words } = path;
    let total = size;
    for (let node = leaf; node > top; node = Math.floor(node / 2)) {
      const loser = this.#tree[node] as number;
      if (!this.#hasKey(loser, words)) continue;
      total = sum(total, (this.inputs[loser] as MergeInput).extent('key'));
      const below = Math.floor((loser + this.inputs.length) / 2);
      total = this.#addSizes(total, { leaf: below, top: node, words });
    }
    return total;
  }

  #hasKey(input: number, words: Float64Array): boolean {
    const heads = this.#heads;
    const from = input * HEAD_WORDS;
    for (let word = KEY_WORDS - 1; word >= 0; word -= 1) {
      if (heads[from + word] !== words[word]) return false;
    }
    return true;
  }

  /** An input that has not been reached, or has ended, has no version of the head's key. */
  #setBound(): void {
    this.#bound = 0;
    this.#boundEnd.fill(Number.POSITIVE_INFINITY);
    for (const input of this.inputs) {
      if (input.isUnreached || input.isEnded) continue;
      this.#bound += input.sizeBound;
      if (isKeyBelow(input.lastKey, this.#boundEnd)) this.#boundEnd.set(input.lastKey);
    }
    this.#hasBound = true;
  }

  async #loadHead(): Promise<void> {
    await this.#load(this.#tree[0] as number);
    await this.#reachHead();
  }

  async #reachHead(): Promise<void> {
    for (;;) {
      const winner = this.#tree[0] as number;
      const input = this.inputs[winner];
      if (input === undefined || !input.isUnreached) return;
      await this.#load(winner);
    }
  }

  async #load(winner: number): Promise<void> {
    throwIfAborted(this.#signal);
    await (this.inputs[winner] as MergeInput).load();
    this.#hasBound = false;
    this.#replay(winner);
  }

  /** Plays the matches of an input whose head has changed. */
  #replay(changed: number): void {
    const tree = this.#tree;
    let winner = changed;
    for (let node = (changed + this.inputs.length) >> 1; node > 0; node >>= 1) {
      const other = tree[node] as number;
      if (this.#isBefore(other, winner)) {
        tree[node] = winner;
        winner = other;
      }
    }
    tree[0] = winner;
  }

  #isBefore(input: number, against: number): boolean {
    const heads = this.#heads;
    const left = input * HEAD_WORDS;
    const right = against * HEAD_WORDS;
    for (let word = 0; word < PLACE_WORDS; word += 1) {
      const one = heads[left + word] as number;
      const other = heads[right + word] as number;
      if (one !== other) return one < other;
    }
    return this.#isBeforeAtPlace(input, against);
  }

  /** For entries of one key and LSN. */
  #isBeforeAtPlace(one: number, other: number): boolean {
    const difference = this.#kind(one) - this.#kind(other);
    return difference === 0 ? one < other : difference < 0;
  }

  /** Unreached 0, image 1, record 2, ended last. */
  #kind(index: number): number {
    const input = this.inputs[index] as MergeInput;
    if (input.isUnreached) return 0;
    if (input.isEnded) return Number.POSITIVE_INFINITY;
    return kindOf(input);
  }
}

/** Image 1, record 2. Throws: as `decodeValue`, for a value that is neither. */
function kindOf(input: MergeInput): number {
  if (input.isImage) return IMAGE;
  const { batch, row } = input;
  try {
    const bytes = batch.bytes(row);
    return outlineOfValueAt(bytes, 0, bytes.length).type === 'image' ? IMAGE : RECORD;
  } catch (error) {
    throw input.located(error);
  }
}

function sum(
  total: number | Promise<number>,
  size: number | Promise<number>,
): number | Promise<number> {
  if (typeof total === 'number' && typeof size === 'number') return total + size;
  return Promise.all([total, size]).then(([one, other]) => one + other);
}

/** A key as words, as `copyKey` sets them. */
export function wordsOfKey(key: Key): Float64Array {
  const words = new Float64Array(KEY_WORDS);
  setKeyWords(words, 0, new ViewedBytes(key).view, 0);
  return words;
}

/** Whether a key comes before another; both as words. */
export function isKeyBelow(words: Float64Array, others: Float64Array): boolean {
  return isBelowAt(words, 0, others);
}

function isBelowAt(words: Float64Array, from: number, others: Float64Array): boolean {
  for (let word = 0; word < KEY_WORDS; word += 1) {
    const one = words[from + word] as number;
    const other = others[word] as number;
    if (one !== other) return one < other;
  }
  return false;
}

/** The key of words as `copyKey` sets them; a new array. */
export function keyOfWords(words: Float64Array): Key {
  const key = new Uint8Array(KEY_SIZE);
  const view = new DataView(key.buffer);
  for (const [word, value] of words.entries()) {
    const at = (word * KEY_SIZE) / KEY_WORDS;
    view.setUint16(at, Math.floor(value / 0x1_0000_0000));
    view.setUint32(at + 2, value % 0x1_0000_0000);
  }
  return key;
}

/** A decoded block of the index: `node-format.ts` has the layout, `decode-node.ts` the checks. */
import { CHILD_MARK, NODE_HEADER_SIZE, NODE_VALUE_SIZE } from './node-format.ts';

/** Bytes that are compared in one step. */
const WORD_SIZE = 4;

/** Whether a key is known to start with the prefix of a node; comparing it may miss the CPU's cache. */
export type KnownPrefix = 'shared' | 'unknown';

/** Values of the entries `from` to `to`, exclusive. */
interface LeafValues {
  readonly from: number;
  readonly to: number;
  readonly shift: 0 | 1;
}

/** A decoded block: a view of its bytes, with its structure checked, but not the order of keys. */
export class IndexNode {
  readonly bytes: Uint8Array;
  /** Number of the block, relative to the index. */
  readonly block: number;
  readonly entryCount: number;
  readonly level: number;
  readonly prefixLength: number;
  readonly suffixLength: number;
  /** A view of the same bytes, for reading words. */
  readonly view: DataView;
  /** Index in the block of the first suffix. */
  readonly suffixesAt: number;
  readonly #valuesAt: number;
  /**
   * The word after the prefix of the first and of the last key, once needed: signed numbers, which are
   * stored in the object itself.
   */
  #firstWord = 0;
  #lastWord = 0;
  #hasWords = false;

  constructor(bytes: Uint8Array, block: number) {
    this.bytes = bytes;
    this.block = block;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.entryCount = ((bytes[0] as number) << 8) | (bytes[1] as number);
    this.level = bytes[2] as number;
    this.prefixLength = bytes[3] as number;
    this.suffixLength = bytes[4] as number;
    this.suffixesAt = NODE_HEADER_SIZE + this.prefixLength;
    this.#valuesAt = this.suffixesAt + this.entryCount * this.suffixLength;
  }

  get keySize(): number {
    return this.prefixLength + this.suffixLength;
  }

  /** Bytes in use; the rest of the block should be zero. */
  get usedSize(): number {
    return this.#valuesAt + this.entryCount * NODE_VALUE_SIZE;
  }

  /** The full key of an entry; a new array. */
  key(index: number): Uint8Array {
    return this.keyBegin(index, this.keySize);
  }

  /** The first bytes of an entry's key; a new array. */
  keyBegin(index: number, length: number): Uint8Array {
    const { bytes } = this;
    const begin = new Uint8Array(length);
    const inPrefix = Math.min(length, this.prefixLength);
    for (let byte = 0; byte < inPrefix; byte += 1) {
      begin[byte] = bytes[NODE_HEADER_SIZE + byte] as number;
    }
    const suffixAt = this.suffixesAt + index * this.suffixLength - this.prefixLength;
    for (let byte = inPrefix; byte < length; byte += 1) {
      begin[byte] = bytes[suffixAt + byte] as number;
    }
    return begin;
  }

  /** Copies the first `length` bytes of the keys of `count` entries, one after the other. */
  copyKeyBegins(
    { from, count, length }: { from: number; count: number; length: number },
    target: Uint8Array,
    at: number,
  ): void {
    const { bytes, suffixLength } = this;
    const inPrefix = Math.min(length, this.prefixLength);
    const end = at + count * length;
    // Write the prefix once, then double what has been written.
    for (let byte = 0; byte < inPrefix; byte += 1) {
      target[at + byte] = bytes[NODE_HEADER_SIZE + byte] as number;
    }
    for (let done = length; done < count * length; done *= 2) {
      target.copyWithin(at + done, at, Math.min(at + done, end - done));
    }
    let suffixAt = this.suffixesAt + from * suffixLength - this.prefixLength;
    for (let keyAt = at; keyAt < end; keyAt += length) {
      for (let byte = inPrefix; byte < length; byte += 1) {
        target[keyAt + byte] = bytes[suffixAt + byte] as number;
      }
      suffixAt += suffixLength;
    }
  }

  /** Four bytes of an entry's key as a number, starting `fromEnd` bytes before its end. */
  keyWord(index: number, fromEnd: number): number {
    const { suffixLength } = this;
    if (fromEnd > suffixLength) return this.#keyWordFromPrefix(index, fromEnd);
    return this.view.getUint32(this.suffixesAt + (index + 1) * suffixLength - fromEnd);
  }

  /** Compares the key of an entry with a full key: negative, zero or positive. */
  compareKey(index: number, key: Uint8Array): number {
    return this.#comparePrefix(key) || this.#compareSuffix(index, key);
  }

  /**
   * True if the first `length` bytes of an entry's key and of `key` are equal.
   * Requires: `key` starts with the node's prefix if `prefix` is `shared`.
   */
  hasPrefix(index: number, key: Uint8Array, length: number, prefix?: KnownPrefix): boolean {
    const { bytes, prefixLength, suffixLength } = this;
    const inPrefix = prefix === 'shared' ? 0 : Math.min(prefixLength, length);
    for (let byte = 0; byte < inPrefix; byte += 1) {
      if (bytes[NODE_HEADER_SIZE + byte] !== key[byte]) return false;
    }
    const suffixAt = this.suffixesAt + index * suffixLength - prefixLength;
    for (let byte = prefixLength; byte < length; byte += 1) {
      if (bytes[suffixAt + byte] !== key[byte]) return false;
    }
    return true;
  }

  /** Compares the keys of two entries. */
  compareEntries(left: number, right: number): number {
    const { bytes, suffixLength } = this;
    const leftAt = this.suffixesAt + left * suffixLength;
    const rightAt = this.suffixesAt + right * suffixLength;
    for (let byte = 0; byte < suffixLength; byte += 1) {
      const difference = (bytes[leftAt + byte] as number) - (bytes[rightAt + byte] as number);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  /** Index of the first entry whose key is not above the one before; -1 if all ascend. */
  firstOutOfOrder(): number {
    if (this.suffixLength < WORD_SIZE) return this.#firstOutOfOrderByBytes();
    const view = this.view;
    const { entryCount, suffixLength } = this;
    let at = this.suffixesAt;
    let word = view.getUint32(at);
    for (let index = 1; index < entryCount; index += 1) {
      at += suffixLength;
      const next = view.getUint32(at);
      if (next <= word && (next < word || this.compareEntries(index - 1, index) >= 0)) return index;
      word = next;
    }
    return -1;
  }

  /**
   * Index of the last entry whose key is at most `key`; -1 if there is none.
   * Requires: `key` starts with the node's prefix if `prefix` is `shared`.
   */
  floor(key: Uint8Array, prefix?: KnownPrefix): number {
    const prefixOrder = prefix === 'shared' ? 0 : this.#comparePrefix(key);
    if (prefixOrder !== 0) return prefixOrder < 0 ? this.entryCount - 1 : -1;
    const wanted = this.suffixLength < WORD_SIZE ? 0 : wordOf(key, this.prefixLength);
    let low = 0;
    let high = this.entryCount;
    // Start at the interpolated place, and double the step: keys are usually spread so evenly that only
    // two adjacent entries, and few cache lines, are read.
    const guess = this.#guess(wanted);
    const isBelow = this.#isAtMost(guess, key, wanted);
    if (isBelow) low = guess + 1;
    else high = guess;
    for (let step = 1; low < high; step *= 2) {
      const at = isBelow ? guess + step : guess - step;
      if (at < low || at >= high) break;
      if (this.#isAtMost(at, key, wanted)) low = at + 1;
      else high = at;
      if (isBelow ? high === at : low === at + 1) break;
    }
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#isAtMost(middle, key, wanted)) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Index of the first entry whose key is at least `key`; `entryCount` if there is none. */
  ceiling(key: Uint8Array): number {
    const floor = this.floor(key);
    return floor >= 0 && this.compareKey(floor, key) === 0 ? floor : floor + 1;
  }

  /** The 40 bits of a leaf's value. */
  leafValue(index: number): number {
    const at = this.#valuesAt + index * NODE_VALUE_SIZE;
    return this.view.getUint8(at) * 0x1_0000_0000 + this.view.getUint32(at + 1);
  }

  /** Copies values of a leaf without their last `shift` bits, each to its own index. */
  copyLeafValues({ from, to, shift }: LeafValues, target: Float64Array): void {
    const { bytes } = this;
    const view = this.view;
    const highUnit = shift === 0 ? 0x1_0000_0000 : 0x8000_0000;
    let at = this.#valuesAt + from * NODE_VALUE_SIZE;
    for (let index = from; index < to; index += 1) {
      target[index] = (bytes[at] as number) * highUnit + (view.getUint32(at + 1) >>> shift);
      at += NODE_VALUE_SIZE;
    }
  }

  /** Whether a leaf's value is odd, from its last byte: a remainder of 40 bits takes ten times as long. */
  isLeafValueOdd(index: number): boolean {
    const last = this.bytes[this.#valuesAt + (index + 1) * NODE_VALUE_SIZE - 1] as number;
    return (last & 1) === 1;
  }

  /** The block number in an inner node's value. */
  childBlock(index: number): number {
    return this.view.getUint32(this.#valuesAt + index * NODE_VALUE_SIZE + 1);
  }

  /** Index of the first entry whose value is not of the node's kind; -1 if all are. */
  firstForeignValue(): number {
    const { bytes, entryCount } = this;
    const least = this.level === 0 ? 0 : CHILD_MARK;
    const most = this.level === 0 ? CHILD_MARK - 1 : CHILD_MARK;
    let at = this.#valuesAt;
    for (let index = 0; index < entryCount; index += 1) {
      const first = bytes[at] as number;
      if (first < least || first > most) return index;
      at += NODE_VALUE_SIZE;
    }
    return -1;
  }

  isForeignValue(index: number): boolean {
    const first = this.bytes[this.#valuesAt + index * NODE_VALUE_SIZE] as number;
    return this.level === 0 ? first >= CHILD_MARK : first !== CHILD_MARK;
  }

  /** `wanted` is the word of the key after the prefix; it decides nearly every comparison. */
  #isAtMost(index: number, key: Uint8Array, wanted: number): boolean {
    if (this.suffixLength < WORD_SIZE) return this.#compareSuffix(index, key) <= 0;
    const word = this.view.getUint32(this.suffixesAt + index * this.suffixLength);
    return word < wanted || (word === wanted && this.#compareSuffix(index, key) <= 0);
  }

  /** The index of a key with this word after the prefix if all keys were spread evenly. */
  #guess(wanted: number): number {
    if (this.suffixLength < WORD_SIZE) return this.entryCount >>> 1;
    if (!this.#hasWords) this.#loadWords();
    const first = this.#firstWord >>> 0;
    const lastWord = this.#lastWord >>> 0;
    const last = this.entryCount - 1;
    if (wanted <= first) return 0;
    if (wanted >= lastWord) return last;
    return Math.floor(((wanted - first) / (lastWord - first)) * last);
  }

  #loadWords(): void {
    const lastAt = this.suffixesAt + (this.entryCount - 1) * this.suffixLength;
    this.#firstWord = this.view.getInt32(this.suffixesAt);
    this.#lastWord = this.view.getInt32(lastAt);
    this.#hasWords = true;
  }

  #keyWordFromPrefix(index: number, fromEnd: number): number {
    const { bytes, prefixLength, suffixLength } = this;
    const suffixAt = this.suffixesAt + index * suffixLength - prefixLength;
    const first = this.keySize - fromEnd;
    let word = 0;
    for (let byte = first; byte < first + WORD_SIZE; byte += 1) {
      const at = byte < prefixLength ? NODE_HEADER_SIZE + byte : suffixAt + byte;
      word = word * 0x100 + (bytes[at] as number);
    }
    return word;
  }

  #firstOutOfOrderByBytes(): number {
    for (let index = 1; index < this.entryCount; index += 1) {
      if (this.compareEntries(index - 1, index) >= 0) return index;
    }
    return -1;
  }

  #comparePrefix(key: Uint8Array): number {
    const { bytes, prefixLength } = this;
    for (let byte = 0; byte < prefixLength; byte += 1) {
      const difference = (bytes[NODE_HEADER_SIZE + byte] as number) - (key[byte] as number);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  #compareSuffix(index: number, key: Uint8Array): number {
    const { bytes, prefixLength, suffixLength } = this;
    const at = this.suffixesAt + index * suffixLength;
    for (let byte = 0; byte < suffixLength; byte += 1) {
      const difference = (bytes[at + byte] as number) - (key[prefixLength + byte] as number);
      if (difference !== 0) return difference;
    }
    return 0;
  }
}

function wordOf(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) * 0x100_0000 +
    (((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number))
  );
}

/**
 * Layout of the index entries in each kind of layer.
 *
 *   delta  key: 18-byte key, LSN u64     value: file offset * 2 + willInit
 *   image  key: 18-byte key              value: file offset
 */
import { compareBytes, ViewedBytes } from '../../byte-words.ts';
import { isStorageError, untracedError } from '../../errors.ts';
import type { EntryRules } from '../disk-btree/index-checks.ts';
import type { IndexNode } from '../disk-btree/index-node.ts';
import type { LeafSlice } from '../disk-btree/walk.ts';
import { formatKey, KEY_SIZE, type Key, type KeyRange } from '../key.ts';
import { formatLsn, isInLsnRange, type Lsn, type LsnRange } from '../lsn.ts';
import { joinHalves, LSN_SIZE, LsnBounds, splitLsn } from '../lsn-halves.ts';
import type { OrderedEntryOptions } from './entry-options.ts';
import { groupOf, type ItemGroup } from './item-iterator.ts';
import type { LayerSummary } from './summary-format.ts';

export const DELTA_KEY_SIZE = KEY_SIZE + LSN_SIZE;

/** Largest file offset that a delta's index can hold. */
export const MAXIMUM_DELTA_OFFSET = 0x3f_ffff_ffff;

/** An entry of the index. */
export interface IndexEntry {
  /** Key of the entry. */
  readonly key: Key;
  /** LSN of the entry; in an image layer, that of the layer. */
  readonly lsn: Lsn;
  /** True if the value needs no older one; always true in an image layer. */
  readonly willInit: boolean;
  /** File offset of the blob. */
  readonly offset: number;
}

export interface EntryLayout extends EntryRules {
  /** The entry key to search for, a new array; `lsn` is ignored in an image layer. */
  readonly entryKey: (key: Key, lsn: Lsn) => Uint8Array;
  readonly offset: (node: IndexNode, index: number) => number;
  /** Copies the offsets of entries `from` to `to`, exclusive, each to its own index. */
  readonly copyOffsets: (node: IndexNode, from: number, to: number, target: Float64Array) => void;
  readonly willInit: (node: IndexNode, index: number) => boolean;
  readonly lsn: (node: IndexNode, index: number) => Lsn;
  /** The LSN of all entries, if their keys do not contain one. */
  readonly fixedLsn: Lsn | undefined;
}

export function layoutOf(summary: LayerSummary): EntryLayout {
  return summary.kind === 'delta' ? deltaLayout(summary) : imageLayout(summary);
}

/** One entry; its key is a new array, unless it is given. */
export function entryAt(
  layout: EntryLayout,
  node: IndexNode,
  index: number,
  key = node.keyBegin(index, KEY_SIZE),
): IndexEntry {
  return {
    key,
    lsn: layout.lsn(node, index),
    willInit: layout.willInit(node, index),
    offset: layout.offset(node, index),
  };
}

/** Entries of a leaf whose LSNs are wanted, in the wanted order. */
export function keysOfSlice(
  { node, from, to }: LeafSlice,
  layout: EntryLayout,
  { lsnRange, reverse }: OrderedEntryOptions,
): ItemGroup<IndexEntry> {
  const count = to - from;
  const entry = (step: number) => entryAt(layout, node, reverse ? to - 1 - step : from + step);
  if (lsnRange === undefined) return { count, entry };
  const entries = Array.from({ length: count }, (_, step) => entry(step));
  return groupOf(entries.filter(({ lsn }) => isInLsnRange(lsn, lsnRange)));
}

/** The error with key and LSN of an entry; any other error unchanged. */
export function withEntry(error: unknown, { key, lsn }: Pick<IndexEntry, 'key' | 'lsn'>): unknown {
  if (!isStorageError(error)) return error;
  return error.with({ key: formatKey(key), lsn: formatLsn(lsn) });
}

/** Key and LSN in 26 bytes; a new array. */
export function deltaEntryKey(key: Key, lsn: Lsn): Uint8Array {
  const entryKey = new Uint8Array(DELTA_KEY_SIZE);
  // Byte by byte: a DataView, or `set`, takes several times as long for so few bytes.
  for (let byte = 0; byte < KEY_SIZE; byte += 1) entryKey[byte] = key[byte] as number;
  const { high, low } = splitLsn(lsn);
  writeU32(entryKey, KEY_SIZE, high);
  writeU32(entryKey, KEY_SIZE + 4, low);
  return entryKey;
}

/** The key at the start of an entry key; a new array. */
export function keyOfEntry(entryKey: Uint8Array): Key {
  const key = new Uint8Array(KEY_SIZE);
  for (let byte = 0; byte < KEY_SIZE; byte += 1) key[byte] = entryKey[byte] as number;
  return key;
}

/** The LSN in the entry key at `at`. */
export function lsnOfEntryKey(entryKeys: Uint8Array, at = 0): Lsn {
  const view = new DataView(entryKeys.buffer, entryKeys.byteOffset + at, DELTA_KEY_SIZE);
  return view.getBigUint64(KEY_SIZE);
}

function deltaLayout(summary: LayerSummary & { kind: 'delta' }): EntryLayout {
  const { keyRange, lsnRange } = summary;
  return {
    keySize: DELTA_KEY_SIZE,
    first: deltaEntryKey(keyRange.start, 0n),
    end: deltaEntryKey(keyRange.end, 0n),
    ...lsnRules(lsnRange),
    entryKey: deltaEntryKey,
    offset: (node, index) => Math.floor(node.leafValue(index) / 2),
    copyOffsets: (node, from, to, target) => node.copyLeafValues({ from, to, shift: 1 }, target),
    willInit: (node, index) => node.isLeafValueOdd(index),
    lsn: lsnAt,
    fixedLsn: undefined,
  };
}

function imageLayout(summary: LayerSummary & { kind: 'image' }): EntryLayout {
  const { keyRange, lsn } = summary;
  return {
    keySize: KEY_SIZE,
    first: keyRange.start,
    end: keyRange.end,
    firstProblem: () => -1,
    problem: () => undefined,
    entryKey: (key) => new Uint8Array(key),
    offset: (node, index) => node.leafValue(index),
    copyOffsets: (node, from, to, target) => node.copyLeafValues({ from, to, shift: 0 }, target),
    willInit: () => true,
    lsn: () => lsn,
    fixedLsn: lsn,
  };
}

/** Key range and LSN range of a delta, compared with entry keys in place, without a bigint. */
export class DeltaBounds {
  readonly #firstKey: DataView;
  readonly #endKey: DataView;
  /** The first four bytes of a key decide unless they equal those of a bound. */
  readonly #firstWord: number;
  readonly #endWord: number;
  readonly #lsns: LsnBounds;

  constructor(keyRange: KeyRange, lsnRange: LsnRange) {
    this.#firstKey = new ViewedBytes(keyRange.start).view;
    this.#endKey = new ViewedBytes(keyRange.end).view;
    this.#firstWord = this.#firstKey.getUint32(0);
    this.#endWord = this.#endKey.getUint32(0);
    this.#lsns = new LsnBounds(lsnRange);
  }

  /** Whether the entry key at `at` is in both ranges. */
  contains(entryKeys: DataView, at: number): boolean {
    const high = entryKeys.getUint32(at + KEY_SIZE);
    const low = entryKeys.getUint32(at + KEY_SIZE + 4);
    return this.#containsKey(entryKeys, at) && this.#lsns.contains(high, low);
  }

  #containsKey(entryKeys: DataView, at: number): boolean {
    const word = entryKeys.getUint32(at);
    return (
      (word > this.#firstWord || compareBytes(entryKeys, at, this.#firstKey) >= 0) &&
      (word < this.#endWord || compareBytes(entryKeys, at, this.#endKey) < 0)
    );
  }
}

/** Checks the LSNs of the entries of a leaf. */
function lsnRules(lsnRange: LsnRange): Pick<EntryRules, 'firstProblem' | 'problem'> {
  const bounds = new LsnBounds(lsnRange);
  const isInside = (node: IndexNode, index: number) =>
    bounds.contains(node.keyWord(index, LSN_SIZE), node.keyWord(index, LSN_SIZE / 2));
  return {
    firstProblem: (leaf) => {
      const { view, entryCount, suffixLength } = leaf;
      // Nearly all suffixes hold the LSN, which is read in place: every entry of a scan passes here.
      const isInSuffix = suffixLength >= LSN_SIZE;
      let at = leaf.suffixesAt + suffixLength - LSN_SIZE;
      for (let index = 0; index < entryCount; index += 1) {
        const isValid = isInSuffix
          ? bounds.contains(view.getUint32(at), view.getUint32(at + 4))
          : isInside(leaf, index);
        if (!isValid) return index;
        at += suffixLength;
      }
      return -1;
    },
    problem: (node, index) => {
      if (isInside(node, index)) return undefined;
      return untracedError('out-of-range', {
        what: `entry ${index} of index block ${node.block} is outside the layer's LSN range`,
        key: formatKey(node.keyBegin(index, KEY_SIZE)),
        expected: `${formatLsn(lsnRange.start)} to ${formatLsn(lsnRange.end)}`,
        actual: formatLsn(lsnAt(node, index)),
      });
    },
  };
}

/** The last 8 bytes of an entry key. */
function lsnAt(node: IndexNode, index: number): Lsn {
  return joinHalves(node.keyWord(index, LSN_SIZE), node.keyWord(index, LSN_SIZE / 2));
}

function writeU32(target: Uint8Array, at: number, value: number): void {
  target[at] = value >>> 24;
  target[at + 1] = value >>> 16;
  target[at + 2] = value >>> 8;
  target[at + 3] = value;
}

/** The next entry key; one byte longer if there is none of the same size. */
export function justAbove(entryKey: Uint8Array): Uint8Array {
  const above = entryKey.slice();
  for (let byte = above.length - 1; byte >= 0; byte -= 1) {
    const value = above[byte] as number;
    above[byte] = (value + 1) & 0xff;
    if (value < 0xff) return above;
  }
  return Uint8Array.from([...entryKey, 0]);
}

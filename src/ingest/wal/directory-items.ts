/**
 * Directories in their stored form: a u64 count, and items of one size in ascending order. Fields are
 * big-endian, so that the order of bytes is the order of items, and an item is found, added or removed without
 * decoding the others. A directory of many relations changes with each new one.
 *
 * The formats are those of `postgres/directory-values.ts`. What a pageserver wrote is in any order, and is sorted
 * once, when it is read.
 */
import { assert } from '../../assert.ts';
import {
  decodeDatabaseDirectory,
  decodeRelationDirectory,
  decodeSlruDirectory,
  decodeTwophaseDirectory,
  encodeDatabaseDirectory,
  encodeRelationDirectory,
  encodeSlruDirectory,
  encodeTwophaseDirectory,
} from '../../postgres/directory-values.ts';

/** A kind of directory. */
export interface DirectoryKind {
  /** Bytes of an item. */
  readonly itemSize: number;
  /** Leading bytes of an item by which it is found. */
  readonly keySize: number;
  /** Checks a directory that was stored, and sorts it. Throws `corrupt`, `truncated`. */
  readonly sorted: (bytes: Uint8Array) => Uint8Array;
}

export const DATABASE_DIRECTORY: DirectoryKind = {
  itemSize: 9,
  keySize: 8,
  sorted: (bytes) => encodeDatabaseDirectory(decodeDatabaseDirectory(bytes)),
};

export const RELATION_DIRECTORY: DirectoryKind = {
  itemSize: 5,
  keySize: 5,
  sorted: (bytes) => encodeRelationDirectory(decodeRelationDirectory(bytes)),
};

export const SLRU_DIRECTORY: DirectoryKind = {
  itemSize: 4,
  keySize: 4,
  sorted: (bytes) => encodeSlruDirectory(decodeSlruDirectory(bytes)),
};

/** Transactions have 64 bits from version 17 on. */
export function twophaseDirectory(majorVersion: number): DirectoryKind {
  const itemSize = majorVersion < 17 ? 4 : 8;
  return {
    itemSize,
    keySize: itemSize,
    sorted: (bytes) =>
      encodeTwophaseDirectory(decodeTwophaseDirectory(bytes, majorVersion), majorVersion),
  };
}

const COUNT_SIZE = 8;

/** A directory without items. */
export function emptyDirectory(): Uint8Array {
  return new Uint8Array(COUNT_SIZE);
}

export function itemCount(directory: Uint8Array, { itemSize }: DirectoryKind): number {
  return (directory.length - COUNT_SIZE) / itemSize;
}

/** An item; a view. */
export function itemAt(
  directory: Uint8Array,
  { itemSize }: DirectoryKind,
  index: number,
): Uint8Array {
  const start = COUNT_SIZE + index * itemSize;
  return directory.subarray(start, start + itemSize);
}

/** Index of the item with the key of `item`; where there is none, -1 - the index that it would have. */
export function findItem(directory: Uint8Array, kind: DirectoryKind, item: Uint8Array): number {
  let low = 0;
  let high = itemCount(directory, kind);
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = compareKeysOf(directory, COUNT_SIZE + middle * kind.itemSize, item, kind.keySize);
    if (order === 0) return middle;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return -1 - low;
}

/** A new directory with the item, in the place of one with the same key. */
export function withItem(directory: Uint8Array, kind: DirectoryKind, item: Uint8Array): Uint8Array {
  assert(item.length === kind.itemSize, 'an item of the kind');
  const found = findItem(directory, kind, item);
  const index = found < 0 ? -1 - found : found;
  const start = COUNT_SIZE + index * kind.itemSize;
  const rest = directory.subarray(found < 0 ? start : start + kind.itemSize);
  return joined(kind, [directory.subarray(COUNT_SIZE, start), item, rest]);
}

/** A new directory with items that it does not have. */
export function withItems(
  directory: Uint8Array,
  kind: DirectoryKind,
  items: readonly Uint8Array[],
): Uint8Array {
  return kind.sorted(joined(kind, [directory.subarray(COUNT_SIZE), ...items]));
}

/** A new directory without the items at these indexes. */
export function withoutItems(
  directory: Uint8Array,
  kind: DirectoryKind,
  indexes: ReadonlySet<number>,
): Uint8Array {
  const parts: Uint8Array[] = [];
  let start = COUNT_SIZE;
  for (const index of [...indexes].sort((left, right) => left - right)) {
    const end = COUNT_SIZE + index * kind.itemSize;
    parts.push(directory.subarray(start, end));
    start = end + kind.itemSize;
  }
  return joined(kind, [...parts, directory.subarray(start)]);
}

function joined({ itemSize }: DirectoryKind, parts: readonly Uint8Array[]): Uint8Array {
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const directory = new Uint8Array(COUNT_SIZE + size);
  new DataView(directory.buffer).setBigUint64(0, BigInt(size / itemSize));
  let at = COUNT_SIZE;
  for (const part of parts) {
    directory.set(part, at);
    at += part.length;
  }
  return directory;
}

function compareKeysOf(
  directory: Uint8Array,
  start: number,
  item: Uint8Array,
  keySize: number,
): number {
  for (let byte = 0; byte < keySize; byte += 1) {
    const difference = (directory[start + byte] as number) - (item[byte] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

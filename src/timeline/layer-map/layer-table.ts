/**
 * The layers of a map in flat arrays, in the order of a pageserver: by start LSN, end LSN, start key
 * and end key. A layer is known by its index in this order. Keys and LSNs are known by their ranks
 * among all borders of layers.
 */
import { checkText } from '../../check-options.ts';
import { StorageError } from '../../errors.ts';
import { formatKey, KEY_SIZE, type Key, type KeyRange } from '../../layers/key.ts';
import { type LayerName, parseLayerName } from '../../layers/layer-name.ts';
import type { Lsn } from '../../layers/lsn.ts';
import {
  endOfImage,
  type NameDigits,
  newNameDigits,
  readCanonicalName,
} from '../../layers/name-digits.ts';
import { KEY_WORDS, keysBetween, unfitKey, writeKeyNumber } from './key-number.ts';
import { sortRows } from './sort-rows.ts';
import { type Ranked, rankRows, rowsUpTo } from './words.ts';

/** The indexes of more layers would not fit. */
export const MAXIMUM_LAYERS = 1 << 21;

/** The kind of a layer in a map. */
export type LayerLevel = 'L0' | 'L1' | 'image';

/** The levels by their numbers in the table. */
const LEVELS: readonly LayerLevel[] = ['L1', 'L0', 'image'];

const IMAGE = 2;
const L0 = 1;
const L1 = 0;
const LSN_WORDS = 2;

/** Reads names into growing arrays; `finish` sorts them. */
class TableBuilder {
  readonly #names: string[] = [];
  #levels = new Uint8Array(1024);
  #keys = new Uint8Array(1024 * 2 * KEY_SIZE);
  #keyWords = new Uint32Array(1024 * 2 * KEY_WORDS);
  #lsnWords = new Uint32Array(1024 * 2 * LSN_WORDS);
  readonly #digits = newNameDigits();
  readonly #maximumLayers: number;

  constructor(maximumLayers: number) {
    this.#maximumLayers = maximumLayers;
  }

  add(name: string): void {
    const index = this.#names.length;
    if (index === this.#maximumLayers) throw tooManyLayers(index);
    this.#read(name);
    if (index === this.#levels.length) this.#grow();
    const { kind, keys, lsns } = this.#digits;
    this.#names.push(name);
    this.#keys.set(keys, index * 2 * KEY_SIZE);
    this.#lsnWords.set(lsns, index * 2 * LSN_WORDS);
    this.#levels[index] = kind === 'image' ? IMAGE : isWholeKeySpace(keys) ? L0 : L1;
    for (const end of [0, 1]) {
      const to = (2 * index + end) * KEY_WORDS;
      if (writeKeyNumber(keys, end * KEY_SIZE, this.#keyWords, to)) continue;
      throw unfitKey(
        keys.slice(end * KEY_SIZE, (end + 1) * KEY_SIZE),
        `key of layer ${index} of the list`,
      );
    }
  }

  finish(): LayerTable {
    const count = this.#names.length;
    const keys = rankRows(this.#keyWords.subarray(0, 2 * count * KEY_WORDS), KEY_WORDS);
    const lsns = rankRows(this.#lsnWords.subarray(0, 2 * count * LSN_WORDS), LSN_WORDS);
    this.#checkRanges(keys.ranks);
    const order = orderOf(keys.ranks, lsns.ranks, this.#levels);
    this.#checkDistinct(order, keys.ranks, lsns.ranks);
    const borders = new Uint8Array(keys.firstRow.length * KEY_SIZE);
    keys.firstRow.forEach((row, rank) => {
      borders.set(this.#keys.subarray(row * KEY_SIZE, (row + 1) * KEY_SIZE), rank * KEY_SIZE);
    });
    return new LayerTable({
      names: Array.from(order, (row) => this.#names[row] ?? ''),
      levels: Uint8Array.from(order, (row) => this.#levels[row] ?? 0),
      given: order,
      keys,
      lsns,
      borders,
    });
  }

  #read(name: string): void {
    checkText('layer name', name);
    if (readCanonicalName(name, this.#digits)) return;
    if (takeParsedName(parseLayerName(name), this.#digits)) return;
    throw new StorageError('out-of-range', {
      what: 'LSN of an image layer',
      expected: 'an LSN below the highest',
      actual: name,
    });
  }

  #grow(): void {
    this.#levels = grown(this.#levels, new Uint8Array(2 * this.#levels.length));
    this.#keys = grown(this.#keys, new Uint8Array(2 * this.#keys.length));
    this.#keyWords = grown(this.#keyWords, new Uint32Array(2 * this.#keyWords.length));
    this.#lsnWords = grown(this.#lsnWords, new Uint32Array(2 * this.#lsnWords.length));
  }

  #checkRanges(ranks: Int32Array): void {
    this.#names.forEach((name, row) => {
      if ((ranks[2 * row] ?? 0) < (ranks[2 * row + 1] ?? 0)) return;
      const at = 2 * row * KEY_SIZE;
      throw new StorageError('out-of-range', {
        what: `key range of layer ${row} of the list`,
        expected: `an end above ${formatKey(this.#keys, at)} in the 128 bits of a pageserver`,
        actual: name,
      });
    });
  }

  #checkDistinct(order: Int32Array, keys: Int32Array, lsns: Int32Array): void {
    for (let at = 1; at < order.length; at += 1) {
      const [left = 0, right = 0] = [order[at - 1], order[at]];
      if (compareLayers(keys, lsns, left, right) !== 0) continue;
      const isImage = (row: number): boolean => this.#levels[row] === IMAGE;
      if (isImage(left) !== isImage(right)) continue;
      throw new StorageError('invalid-input', {
        what: 'list of layers',
        expected: 'each layer once',
        actual: this.#names[right] ?? '',
      });
    }
  }
}

/** Layers, their key ranges and their LSN ranges. */
export class LayerTable {
  /** The names as they were given, in the order of the table. */
  readonly names: readonly string[];
  /** For each layer the index of its level in `LEVELS`. */
  readonly levels: Uint8Array;
  /** For each layer its index in the list that was given. */
  readonly given: Int32Array;
  readonly keyStart: Int32Array;
  readonly keyEnd: Int32Array;
  readonly lsnStart: Int32Array;
  readonly lsnEnd: Int32Array;
  /** The numbers of all borders between keys, ascending. */
  readonly keyWords: Uint32Array;
  readonly #borders: Uint8Array;
  readonly #lsnWords: Uint32Array;
  /** For each LSN rank, how many layers start below it. */
  readonly #startingBelow: Int32Array;

  constructor(parts: {
    readonly names: readonly string[];
    readonly levels: Uint8Array;
    readonly given: Int32Array;
    readonly keys: Ranked;
    readonly lsns: Ranked;
    readonly borders: Uint8Array;
  }) {
    const { names, levels, given, keys, lsns, borders } = parts;
    this.names = names;
    this.levels = levels;
    this.given = given;
    this.keyStart = given.map((row) => keys.ranks[2 * row] ?? 0);
    this.keyEnd = given.map((row) => keys.ranks[2 * row + 1] ?? 0);
    this.lsnStart = given.map((row) => lsns.ranks[2 * row] ?? 0);
    this.lsnEnd = given.map((row) => lsns.ranks[2 * row + 1] ?? 0);
    this.keyWords = keys.words;
    this.#borders = borders;
    this.#lsnWords = lsns.words;
    this.#startingBelow = countStarts(this.lsnStart, lsns.firstRow.length);
  }

  /** Reads the names. Throws for the first that is not a layer's, and for a layer that is named twice. */
  static fromNames(names: Iterable<string>, maximumLayers: number): LayerTable {
    const builder = new TableBuilder(maximumLayers);
    for (const name of names) builder.add(name);
    return builder.finish();
  }

  get count(): number {
    return this.names.length;
  }

  /** How many distinct borders there are between keys. */
  get borderCount(): number {
    return this.keyWords.length / KEY_WORDS;
  }

  /** The key at a border, as the first name that has it writes it; a copy. */
  borderKey(rank: number): Key {
    return this.#borders.slice(rank * KEY_SIZE, (rank + 1) * KEY_SIZE);
  }

  /** The LSN of a rank. */
  lsn(rank: number): Lsn {
    const high = this.#lsnWords[rank * LSN_WORDS] ?? 0;
    const low = this.#lsnWords[rank * LSN_WORDS + 1] ?? 0;
    return (BigInt(high) << 32n) | BigInt(low);
  }

  /** How many of the layers' LSN borders are at or below this one. */
  lsnRanksUpTo(lsn: Lsn): number {
    const value = Uint32Array.of(Number(lsn >> 32n), Number(lsn & 0xffff_ffffn));
    return rowsUpTo(this.#lsnWords, value);
  }

  /** How many layers, the first ones in the order of the table, start at or below the LSN. */
  layersStartingUpTo(lsn: Lsn): number {
    return this.#startingBelow[this.lsnRanksUpTo(lsn)] ?? 0;
  }

  /** From one border to another, as the names write them; copies. */
  keyRange(start: number, end: number): KeyRange {
    return { start: this.borderKey(start), end: this.borderKey(end) };
  }

  level(layer: number): LayerLevel {
    return LEVELS[this.levels[layer] ?? 0] ?? 'L1';
  }

  /** Whether the layer has a single key. */
  isOneKey(layer: number): boolean {
    const start = this.keyStart[layer] ?? 0;
    const end = this.keyEnd[layer] ?? 0;
    return end === start + 1 && keysBetween(this.keyWords, start, end) === 1n;
  }

  /** All layers, by start key. */
  byStartKey(): Int32Array {
    return sortRows(new Uint32Array(this.keyStart), 1);
  }

  /** How many layers, the first ones in the order of the table, start below the start of this one. */
  startingBelow(layer: number): number {
    return this.#startingBelow[this.lsnStart[layer] ?? 0] ?? 0;
  }

  isImage(layer: number): boolean {
    return this.levels[layer] === IMAGE;
  }

  isL0(layer: number): boolean {
    return this.levels[layer] === L0;
  }
}

/** Fills the record from a parsed name; false for an image at the highest LSN, which has no end. */
function takeParsedName(name: LayerName, into: NameDigits): boolean {
  into.kind = name.kind;
  into.keys.set(name.keyRange.start);
  into.keys.set(name.keyRange.end, KEY_SIZE);
  const start = name.kind === 'image' ? name.lsn : name.lsnRange.start;
  into.lsns[0] = Number(start >> 32n);
  into.lsns[1] = Number(start & 0xffff_ffffn);
  if (name.kind === 'image') return endOfImage(into.lsns);
  into.lsns[2] = Number(name.lsnRange.end >> 32n);
  into.lsns[3] = Number(name.lsnRange.end & 0xffff_ffffn);
  return true;
}

function orderOf(keys: Int32Array, lsns: Int32Array, levels: Uint8Array): Int32Array {
  const count = keys.length / 2;
  const words = new Uint32Array(5 * count);
  for (let row = 0; row < count; row += 1) {
    words[5 * row] = lsns[2 * row] ?? 0;
    words[5 * row + 1] = lsns[2 * row + 1] ?? 0;
    words[5 * row + 2] = keys[2 * row] ?? 0;
    words[5 * row + 3] = keys[2 * row + 1] ?? 0;
    words[5 * row + 4] = levels[row] ?? 0;
  }
  return sortRows(words, 5);
}

function compareLayers(keys: Int32Array, lsns: Int32Array, left: number, right: number): number {
  return (
    (lsns[2 * left] ?? 0) - (lsns[2 * right] ?? 0) ||
    (lsns[2 * left + 1] ?? 0) - (lsns[2 * right + 1] ?? 0) ||
    (keys[2 * left] ?? 0) - (keys[2 * right] ?? 0) ||
    (keys[2 * left + 1] ?? 0) - (keys[2 * right + 1] ?? 0)
  );
}

function countStarts(lsnStart: Int32Array, lsnCount: number): Int32Array {
  const below = new Int32Array(lsnCount + 1);
  for (const rank of lsnStart) below[rank + 1] = (below[rank + 1] ?? 0) + 1;
  for (let rank = 1; rank <= lsnCount; rank += 1) {
    below[rank] = (below[rank] ?? 0) + (below[rank - 1] ?? 0);
  }
  return below;
}

/** Exactly 00…00 to FF…FF. */
function isWholeKeySpace(keys: Uint8Array): boolean {
  for (let at = 0; at < KEY_SIZE; at += 1) {
    if (keys[at] !== 0 || keys[KEY_SIZE + at] !== 0xff) return false;
  }
  return true;
}

/** Copies the source to the start of the target; returns the target. */
function grown<T extends Uint8Array | Uint32Array>(source: T, target: T): T {
  target.set(source);
  return target;
}

function tooManyLayers(maximum: number): StorageError {
  return new StorageError('too-large', {
    what: 'list of layers',
    expected: `at most ${maximum} names`,
  });
}

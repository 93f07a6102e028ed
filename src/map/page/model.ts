/** The layers of the page: its columns, and the state of the snapshot that is shown. */
import { formatKey, KEY_SIZE, type Key } from '../../layers/key.ts';
import { formatLsn, type Lsn } from '../../layers/lsn.ts';
import { KEY_WORDS, keyNumber, writeKeyNumber } from '../../timeline/layer-map/key-number.ts';
import { LayerMap } from '../../timeline/layer-map/layer-map.ts';
import { rowsUpTo } from '../../timeline/layer-map/words.ts';
import { shardOfKey } from '../../timeline/shard-owner.ts';
import {
  bitAt,
  columnsOf,
  hasGeneration,
  hasSize,
  isSameObject,
  LEVELS,
  type Level,
  levelNumber,
  type PageColumns,
  type PageDescription,
  type SnapshotColumns,
  type SnapshotDescription,
} from '../page-data.ts';

/** What happened to a layer since the previous snapshot. */
export type Change = 'added' | 'removed' | 'kept';

/** Number of layers, and total bytes of those with a known size. */
export interface Amount {
  readonly layers: number;
  readonly ofUnknownSize: number;
  readonly bytes: bigint;
}

export class Model {
  readonly description: PageDescription;
  readonly columns: PageColumns;
  /** The numbers of the key borders, in four words each. */
  readonly keyWords: Uint32Array;
  readonly #givenNames: ReadonlyMap<number, string>;
  #shown = 0;

  constructor(description: PageDescription, buffer: ArrayBuffer) {
    this.description = description;
    this.columns = columnsOf(buffer, description);
    this.keyWords = new Uint32Array(description.keyBorders * KEY_WORDS);
    for (let border = 0; border < description.keyBorders; border += 1) {
      writeKeyNumber(this.columns.keys, border * KEY_SIZE, this.keyWords, border * KEY_WORDS);
    }
    this.#givenNames = new Map(description.givenNames);
    this.#shown = Math.max(0, description.snapshots.length - 1);
  }

  /** How many layers there are in all snapshots. */
  get count(): number {
    return this.description.layers;
  }

  /** The index of the snapshot that is shown. */
  get shown(): number {
    return this.#shown;
  }

  show(snapshot: number): void {
    this.#shown = Math.min(Math.max(0, snapshot), this.description.snapshots.length - 1);
  }

  get snapshot(): SnapshotDescription | undefined {
    return this.description.snapshots[this.#shown];
  }

  get snapshotColumns(): SnapshotColumns | undefined {
    return this.columns.snapshots[this.#shown];
  }

  /** Undefined for a layer that is in neither the snapshot nor the previous one. */
  changeOf(row: number): Change | undefined {
    const current = this.columns.snapshots[this.#shown];
    const previous = this.columns.snapshots[this.#shown - 1];
    const isMember = current !== undefined && bitAt(current.members, row);
    if (previous === undefined) return isMember ? 'kept' : undefined;
    const wasMember = bitAt(previous.members, row);
    if (isMember) return wasMember ? 'kept' : 'added';
    return wasMember ? 'removed' : undefined;
  }

  /** Whether a read can reach the layer; for a removed one, whether it could. */
  isVisible(row: number): boolean {
    const isRemoved = this.changeOf(row) === 'removed';
    const columns = this.columns.snapshots[isRemoved ? this.#shown - 1 : this.#shown];
    return columns !== undefined && bitAt(columns.visible, row);
  }

  levelNumber(row: number): number {
    return levelNumber(this.columns.facts[row] ?? 0);
  }

  level(row: number): Level {
    return LEVELS[this.levelNumber(row)] ?? 'L1';
  }

  startKey(row: number): Key {
    return this.#borderKey(this.columns.keyStart[row] ?? 0);
  }

  endKey(row: number): Key {
    return this.#borderKey(this.columns.keyEnd[row] ?? 0);
  }

  startLsn(row: number): Lsn {
    return this.#borderLsn(this.columns.lsnStart[row] ?? 0);
  }

  endLsn(row: number): Lsn {
    return this.#borderLsn(this.columns.lsnEnd[row] ?? 0);
  }

  /** Bytes; undefined if unknown. */
  size(row: number): bigint | undefined {
    if (!hasSize(this.columns.facts[row] ?? 0)) return undefined;
    const [low = 0, high = 0] = this.columns.sizes.subarray(2 * row, 2 * row + 2);
    return (BigInt(high) << 32n) | BigInt(low);
  }

  generation(row: number): number | undefined {
    return hasGeneration(this.columns.facts[row] ?? 0) ? this.columns.generations[row] : undefined;
  }

  /** Number and count; undefined if unsharded. */
  shard(row: number): { readonly number: number; readonly count: number } | undefined {
    const shard = this.columns.shards[row] ?? 0;
    return shard === 0 ? undefined : { number: shard >> 8, count: shard & 0xff };
  }

  /** The name as it was given, or the canonical one. */
  name(row: number): string {
    return this.#givenNames.get(row) ?? this.canonicalName(row);
  }

  canonicalName(row: number): string {
    const keys = `${formatKey(this.startKey(row))}-${formatKey(this.endKey(row))}`;
    const start = formatLsn(this.startLsn(row));
    if (this.level(row) === 'image') return `${keys}__${start}`;
    return `${keys}__${start}-${formatLsn(this.endLsn(row))}`;
  }

  /**
   * The layers with one of these changes since the previous snapshot; a layer that several shards read counts once.
   */
  amountOf(...changes: readonly Change[]): Amount {
    let layers = 0;
    let ofUnknownSize = 0;
    let bytes = 0n;
    let isCounted = false;
    for (let row = 0; row < this.count; row += 1) {
      if (!isSameObject(this.columns.facts[row] ?? 0)) isCounted = false;
      const change = this.changeOf(row);
      if (isCounted || change === undefined || !changes.includes(change)) continue;
      isCounted = true;
      layers += 1;
      const size = this.size(row);
      if (size === undefined) ofUnknownSize += 1;
      bytes += size ?? 0n;
    }
    return { layers, ofUnknownSize, bytes };
  }

  /**
   * The layers of the shown snapshot that a read of the key may visit, as a layer map. Layers without the key do not
   * change what a search answers, so that this takes milliseconds where the map of all layers takes seconds. If there
   * are several shards, only the owner of the key is used.
   *
   * Throws a StorageError for a key that a pageserver cannot hold.
   */
  layersWith(key: Key): SearchableLayers {
    const border = rowsUpTo(this.keyWords, keyNumber(key, 'key')) - 1;
    const { members } = this.snapshotColumns ?? { members: new Uint8Array() };
    const { keyStart, keyEnd } = this.columns;
    const rows = new Map<string, number>();
    for (let row = 0; row < this.count; row += 1) {
      if ((keyStart[row] ?? 0) > border || (keyEnd[row] ?? 0) <= border) continue;
      if (bitAt(members, row) && this.#owns(row, key)) rows.set(this.canonicalName(row), row);
    }
    return { map: LayerMap.fromNames(rows.keys()), rows };
  }

  #owns(row: number, key: Key): boolean {
    const { stripeSize } = this.snapshot ?? {};
    const shard = this.shard(row);
    if (stripeSize === undefined || shard === undefined) return true;
    return shardOfKey(key, { count: shard.count, stripeSize }) === shard.number;
  }

  #borderKey(border: number): Key {
    return this.columns.keys.slice(border * KEY_SIZE, (border + 1) * KEY_SIZE);
  }

  #borderLsn(border: number): Lsn {
    const [high = 0, low = 0] = this.columns.lsnWords.subarray(2 * border, 2 * border + 2);
    return (BigInt(high) << 32n) | BigInt(low);
  }
}

/** A layer map, and the row of each of its names. */
export interface SearchableLayers {
  readonly map: LayerMap;
  readonly rows: ReadonlyMap<string, number>;
}

/** The key of a number of 128 bits, as `key-number.ts` makes it. */
export function keyOfNumber(number: bigint): Key {
  const key = new Uint8Array(KEY_SIZE);
  const digits = number.toString(16).padStart(32, '0').slice(-32);
  const bytes = Array.from({ length: 16 }, (_, at) =>
    Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16),
  );
  key[0] = bytes[0] ?? 0;
  key.set(bytes.slice(1, 3), 3);
  key.set(bytes.slice(3), 5);
  return key;
}

/** The number of a key, as the axis counts. */
export function numberOfKey(key: Key): bigint {
  const words = new Uint32Array(KEY_WORDS);
  writeKeyNumber(key, 0, words, 0);
  return words.reduce((number, word) => (number << 32n) | BigInt(word), 0n);
}

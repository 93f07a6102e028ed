/**
 * The layers of all snapshots as the columns of a page.
 *
 * Names are not trusted: names that are not layer names, that a layer map refuses, or that occur twice in a snapshot
 * are left out and reported.
 */
import { isStorageError } from '../errors.ts';
import { KEY_SIZE } from '../layers/key.ts';
import { formatLayerName, parseLayerName } from '../layers/layer-name.ts';
import { formatLsn, type Lsn, MAXIMUM_LSN } from '../layers/lsn.ts';
import { isCanonicalName } from '../layers/name-digits.ts';
import { printable, shortened } from '../printable.ts';
import { holesOf, type KeyHole } from '../timeline/layer-map/holes.ts';
import { keyNumber } from '../timeline/layer-map/key-number.ts';
import { LayerTable, MAXIMUM_LAYERS } from '../timeline/layer-map/layer-table.ts';
import { visibleNames } from '../timeline/layer-map/visibility.ts';
import { rowsUpTo } from '../timeline/layer-map/words.ts';
import {
  columnsOf,
  columnsSize,
  encodeFacts,
  isSameObject,
  type PageColumns,
  type PageDescription,
  type SnapshotColumns,
  setBit,
} from './page-data.ts';
import type { Snapshot, SnapshotLayer } from './snapshot.ts';

/** A gap between layers is shown as a hole from this many keys on, as Neon's own tools count. */
const MINIMUM_HOLE_KEYS = 16_384;

const LEFT_OUT_EXAMPLES = 20;
const EXAMPLE_LENGTH = 200;

/** The content of a page. */
export interface PageContent {
  readonly description: PageDescription;
  /** The columns, as `columnsOf` reads them. */
  readonly columns: ArrayBuffer;
  /** Number of layers; those that several shards read count once. */
  readonly objectCount: number;
}

/** Collects the layers. Throws `too-large` for more layers than a layer map accepts. */
export function collectLayers(title: string, snapshots: readonly Snapshot[]): PageContent {
  const leftOut = new LeftOutNames();
  const collected = snapshots.map((snapshot) => readSnapshot(snapshot, leftOut));
  const layers = new DistinctLayers();
  const members = collected.map(({ layers: named }) => named.map((layer) => layers.add(layer)));
  const maps = collected.map(readMap);
  const table = tableOfAll(collected, layers);
  const counts = {
    layers: layers.layers.length,
    keyBorders: table.borderCount,
    lsnBorders: table.lsnEnd.reduce((count, rank) => Math.max(count, rank + 1), 0),
    snapshots: maps.map(({ holes }) => ({ holes: holes.length })),
  };
  const columns = new ArrayBuffer(columnsSize(counts));
  const views = columnsOf(columns, counts);
  const rows = fillColumns(views, table, layers);
  views.snapshots.forEach((into, index) => {
    fillSnapshot(into, { table, map: maps[index], members: members[index], rows });
  });
  const description: PageDescription = {
    title,
    ...counts,
    snapshots: collected.map(({ snapshot, layers: named }, index) => ({
      label: snapshot.label,
      layers: named.length,
      holes: counts.snapshots[index]?.holes ?? 0,
      stripeSize: snapshot.stripeSize,
      diskConsistentLsn: lsnText(snapshot.diskConsistentLsn),
      gcCutoffLsn: lsnText(snapshot.gcCutoffLsn),
      ancestorLsn: lsnText(snapshot.ancestorLsn),
      branchLsns: (snapshot.branchLsns ?? []).map(formatLsn),
    })),
    givenNames: givenNames(layers, rows),
    leftOut: leftOut.report(),
  };
  const objectCount = views.facts.filter((facts) => !isSameObject(facts)).length;
  return { description, columns, objectCount };
}

/** The map of the only snapshot has the same names. */
function tableOfAll(
  [first, ...others]: readonly ReadSnapshot[],
  { names }: DistinctLayers,
): LayerTable {
  const [only, ...more] = first?.tables.values() ?? [];
  const isAll = only !== undefined && more.length === 0 && others.length === 0;
  return isAll ? only : LayerTable.fromNames(names, MAXIMUM_LAYERS);
}

/** A layer with its canonical name. */
interface NamedLayer {
  readonly canonical: string;
  /** Undefined if it is the canonical name, with or without a generation. */
  readonly given: string | undefined;
  readonly size: bigint | undefined;
  readonly generation: number | undefined;
  readonly shard: number;
  readonly writer: number;
}

interface ReadSnapshot {
  readonly snapshot: Snapshot;
  /** By shard: a read uses one of them. */
  readonly tables: ReadonlyMap<number, LayerTable>;
  readonly layers: readonly NamedLayer[];
}

function readSnapshot(snapshot: Snapshot, leftOut: LeftOutNames): ReadSnapshot {
  const shards = new Map<number, Map<string, NamedLayer>>();
  for (const layer of snapshot.layers) {
    try {
      const named = readLayer(layer);
      // Without stripes, a shard only says who wrote the layer.
      const shard = snapshot.stripeSize === undefined ? 0 : named.shard;
      const byName = shards.get(shard) ?? new Map<string, NamedLayer>();
      shards.set(shard, byName);
      if (byName.has(named.canonical)) leftOut.add(layer.name, 'named twice');
      else byName.set(named.canonical, named);
    } catch (error) {
      leftOut.add(layer.name, reasonOf(error));
    }
  }
  const tables = new Map<number, LayerTable>();
  for (const [shard, byName] of shards) tables.set(shard, tableOf(byName, leftOut));
  return { snapshot, tables, layers: [...shards.values()].flatMap((named) => [...named.values()]) };
}

/** Removes layers that a layer map refuses; they are checked one by one only if there are any. */
function tableOf(byName: Map<string, NamedLayer>, leftOut: LeftOutNames): LayerTable {
  try {
    return LayerTable.fromNames(byName.keys(), MAXIMUM_LAYERS);
  } catch (error) {
    if (!isStorageError(error, 'out-of-range')) throw error;
    for (const [canonical, { given }] of byName) {
      try {
        LayerTable.fromNames([canonical], 1);
      } catch (unfit) {
        leftOut.add(given ?? canonical, reasonOf(unfit));
        byName.delete(canonical);
      }
    }
    return LayerTable.fromNames(byName.keys(), MAXIMUM_LAYERS);
  }
}

const CANONICAL =
  /^([0-9A-F]{36}-[0-9A-F]{36}__[0-9A-F]{16}(?:-[0-9A-F]{16})?)(?:(?:-v1)?-([0-9a-f]{8}))?$/;

function readLayer({ name, size, generation, shard, writer = shard }: SnapshotLayer): NamedLayer {
  const read: ReadName = isCanonicalName(name) ? { canonical: name } : readOtherName(name);
  return {
    canonical: read.canonical,
    given: read.given,
    size: size === undefined ? undefined : BigInt(size),
    generation: generation ?? read.generation,
    shard: shardNumber(shard),
    writer: shardNumber(writer),
  };
}

function shardNumber(shard: string | undefined): number {
  return shard === undefined ? 0 : Number.parseInt(shard, 16) & 0xffff;
}

type ReadName = Pick<NamedLayer, 'canonical'> & Partial<Pick<NamedLayer, 'given' | 'generation'>>;

/** An image with a generation may also read as a delta with short LSNs; no writer makes those. */
function readOtherName(name: string): ReadName {
  const match = CANONICAL.exec(name);
  const parsed = match === null ? parseLayerName(name) : undefined;
  const digits = match === null ? parsed?.generation : match[2];
  const generation = digits === undefined ? undefined : Number.parseInt(digits, 16);
  return parsed === undefined
    ? { canonical: match?.[1] ?? '', given: undefined, generation }
    : { canonical: formatLayerName({ ...parsed, generation: undefined }), given: name, generation };
}

function reasonOf(error: unknown): string {
  if (isStorageError(error, 'invalid-input')) return 'not the name of a layer';
  if (isStorageError(error, 'ambiguous-name')) return 'a name of either kind of layer';
  if (isStorageError(error, 'out-of-range')) return 'keys or LSNs that a pageserver cannot hold';
  throw error;
}

/** The layers of all snapshots; one that changed its size or generation is two. */
class DistinctLayers {
  readonly layers: NamedLayer[] = [];
  /** For each layer the index of its name. */
  readonly nameOf: number[] = [];
  readonly names: string[] = [];
  readonly #byName = new Map<string, number[]>();

  /** Returns: the index of the layer. */
  add(layer: NamedLayer): number {
    const same = this.#byName.get(layer.canonical) ?? [];
    for (const index of same) {
      const other = this.layers[index];
      if (other === undefined || !mayBeSame(other, layer)) continue;
      if (other.size === undefined) this.layers[index] = { ...other, ...known(layer) };
      return index;
    }
    const index = this.layers.push(layer) - 1;
    const first = same[0];
    const name = first === undefined ? this.names.push(layer.canonical) - 1 : this.nameOf[first];
    this.nameOf.push(name ?? 0);
    same.push(index);
    this.#byName.set(layer.canonical, same);
    return index;
  }
}

/** A list of names has no sizes, and may lack generations. */
function mayBeSame(left: NamedLayer, right: NamedLayer): boolean {
  if (left.shard !== right.shard && left.shard !== 0 && right.shard !== 0) return false;
  const isListed = left.size === undefined || right.size === undefined;
  if (!isListed) {
    return (
      left.size === right.size &&
      left.generation === right.generation &&
      left.shard === right.shard &&
      left.writer === right.writer
    );
  }
  const generations = [left.generation, right.generation];
  return generations.includes(undefined) || left.generation === right.generation;
}

/** What is known about a layer. */
function known({ size, generation, shard, writer }: NamedLayer): Partial<NamedLayer> {
  return { size, ...(generation === undefined ? {} : { generation }), shard, writer };
}

/** Whether two shards read one object, which a third may have written: before a split, their parent. */
function isOneObject(left: NamedLayer | undefined, right: NamedLayer | undefined): boolean {
  if (left === undefined || right === undefined) return false;
  return (
    left.canonical === right.canonical &&
    left.writer === right.writer &&
    left.shard !== right.shard &&
    left.size === right.size &&
    left.generation === right.generation
  );
}

/** Fills the columns in the order of the table. Returns: for each distinct layer its row. */
function fillColumns(views: PageColumns, table: LayerTable, distinct: DistinctLayers): Int32Array {
  for (let border = 0; border < table.borderCount; border += 1) {
    views.keys.set(table.borderKey(border), border * KEY_SIZE);
  }
  for (let border = 0; border < views.lsnWords.length / 2; border += 1) {
    const lsn = table.lsn(border);
    views.lsnWords[2 * border] = Number(lsn >> 32n);
    views.lsnWords[2 * border + 1] = Number(lsn & 0xffff_ffffn);
  }
  const place = new Int32Array(distinct.names.length);
  table.given.forEach((name, at) => {
    place[name] = at;
  });
  const { layers, nameOf } = distinct;
  const placeOf = (layer: number): number => place[nameOf[layer] ?? 0] ?? 0;
  const order = Int32Array.from(layers, (_, layer) => layer).sort(
    (left, right) =>
      placeOf(left) - placeOf(right) ||
      (layers[left]?.writer ?? 0) - (layers[right]?.writer ?? 0) ||
      left - right,
  );
  const rows = new Int32Array(layers.length);
  order.forEach((layer, row) => {
    rows[layer] = row;
    const at = placeOf(layer);
    views.keyStart[row] = table.keyStart[at] ?? 0;
    views.keyEnd[row] = table.keyEnd[at] ?? 0;
    views.lsnStart[row] = table.lsnStart[at] ?? 0;
    views.lsnEnd[row] = table.lsnEnd[at] ?? 0;
    const { size, generation, shard } = layers[layer] ?? {};
    views.sizes[2 * row] = Number((size ?? 0n) & 0xffff_ffffn);
    views.sizes[2 * row + 1] = Number((size ?? 0n) >> 32n);
    views.generations[row] = generation ?? 0;
    views.shards[row] = shard ?? 0;
    views.facts[row] = encodeFacts(table.levels[at] ?? 0, {
      hasSize: size !== undefined,
      hasGeneration: generation !== undefined,
      isSameObject: isOneObject(layers[order[row - 1] ?? -1], layers[layer]),
    });
  });
  return rows;
}

interface ReadMap {
  /** For each layer of the snapshot. */
  readonly isVisible: readonly boolean[];
  readonly holes: readonly KeyHole[];
}

/** What the layer maps say about one snapshot. */
function readMap({ snapshot, tables, layers }: ReadSnapshot): ReadMap {
  const lastLsn = snapshot.lastLsn ?? snapshot.diskConsistentLsn ?? MAXIMUM_LSN;
  const readPoints = [lastLsn, ...(snapshot.branchLsns ?? [])];
  const visible = new Map<number, ReadonlySet<string>>();
  for (const [shard, table] of tables) visible.set(shard, visibleNames(table, readPoints));
  const ofAll = tables.get(0);
  return {
    isVisible: layers.map(
      ({ canonical, shard }) => (visible.get(shard) ?? visible.get(0))?.has(canonical) === true,
    ),
    holes: holesOf(
      ofAll !== undefined && tables.size === 1 ? ofAll : tableOfShards(layers),
      MINIMUM_HOLE_KEYS,
    ),
  };
}

/** A hole in a timeline is one that all its shards have. */
function tableOfShards(layers: readonly NamedLayer[]): LayerTable {
  const names = new Set(layers.map(({ canonical }) => canonical));
  return LayerTable.fromNames(names, MAXIMUM_LAYERS);
}

interface SnapshotContent {
  readonly table: LayerTable;
  readonly map: ReadMap | undefined;
  /** The distinct layers of the snapshot, in its order. */
  readonly members: readonly number[] | undefined;
  readonly rows: Int32Array;
}

function fillSnapshot(into: SnapshotColumns, { table, map, members, rows }: SnapshotContent): void {
  members?.forEach((layer, index) => {
    const row = rows[layer] ?? 0;
    setBit(into.members, row);
    if (map?.isVisible[index]) setBit(into.visible, row);
  });
  map?.holes.forEach(({ keyRange }, index) => {
    into.holes[2 * index] = borderOf(table, keyRange.start);
    into.holes[2 * index + 1] = borderOf(table, keyRange.end);
  });
}

function borderOf(table: LayerTable, key: Uint8Array): number {
  return rowsUpTo(table.keyWords, keyNumber(key, 'key')) - 1;
}

function givenNames(distinct: DistinctLayers, rows: Int32Array): [number, string][] {
  return distinct.layers.flatMap(({ given }, layer): [number, string][] =>
    given === undefined ? [] : [[rows[layer] ?? 0, given]],
  );
}

function lsnText(lsn: Lsn | undefined): string | undefined {
  return lsn === undefined ? undefined : formatLsn(lsn);
}

/** Counts the names that are left out and keeps the first few. */
class LeftOutNames {
  #count = 0;
  readonly #examples: string[] = [];

  add(name: string, reason: string): void {
    this.#count += 1;
    if (this.#examples.length === LEFT_OUT_EXAMPLES) return;
    this.#examples.push(`${printable(shortened(name, EXAMPLE_LENGTH))}: ${reason}`);
  }

  report(): PageDescription['leftOut'] {
    return { count: this.#count, examples: this.#examples };
  }
}

/**
 * Where a pageserver looks for a key: all layers of a timeline by key and LSN.
 *
 * Among the deltas that have a key and start below an LSN, the one with the highest end covers the key; the same holds
 * for images. `search` chooses between the two, and returns down to which LSN the chosen layer is to be read. The next
 * search begins there.
 *
 * Keys are compared as the numbers of 128 bits that a pageserver makes of them (`key-number.ts`).
 * Nothing here does I/O, and all of it runs in a browser.
 *
 * Source: Neon pageserver/src/tenant/layer_map.rs.
 */
import {
  checkArray,
  checkCount,
  checkLimit,
  checkMethod,
  checkObject,
  checkOptions,
  itemsOf,
} from '../../check-options.ts';
import { compareKeys, formatKey, type Key, type KeyRange } from '../../layers/key.ts';
import { ALL_LSNS, checkLsn, type Lsn, type LsnRange } from '../../layers/lsn.ts';
import { Coverage, NONE } from './coverage.ts';
import { countStackedDeltas } from './delta-count.ts';
import { holesOf, type KeyHole } from './holes.ts';
import { ImageNodes } from './image-nodes.ts';
import { keyNumber } from './key-number.ts';
import { type KeySpan, keySpan, partRange } from './key-span.ts';
import { type LayerLevel, LayerTable, MAXIMUM_LAYERS } from './layer-table.ts';
import { checkedMemoryLayers, type MemoryLayer, memoryCandidate } from './memory-layers.ts';
import { type Candidate, type Choice, chooseLayer } from './search-rule.ts';
import { findOverlap } from './validity.ts';
import { visibleLayers } from './visibility.ts';
import { rowsUpTo } from './words.ts';

/** What a layer map may know in addition to the names. */
export interface LayerMapOptions {
  /** Bytes of the layers, by the names as given. */
  readonly sizes?: ReadonlyMap<string, number | bigint> | undefined;
  /** More names than this are refused; default 2,097,152, which is also the highest limit. */
  readonly maximumLayers?: number | undefined;
  /** Layers that have not been written yet, the oldest first. */
  readonly memoryLayers?: readonly MemoryLayer[] | undefined;
}

/** A layer of a map. */
export interface MapLayer {
  /** The name as it was given. */
  readonly name: string;
  /** L0: a delta over the whole key space. L1: every other delta. */
  readonly level: LayerLevel;
  /** The keys in the name. */
  readonly keyRange: KeyRange;
  /** The range of an image ends one above its LSN. */
  readonly lsnRange: LsnRange;
  /** Bytes, if known. */
  readonly size: bigint | undefined;
}

/** The layer to read next for a key. */
export interface SearchResult {
  /** The name of the layer, as it was given. */
  readonly name: string;
  /** The lowest LSN that is read from the layer; the next search ends here. */
  readonly lsnFloor: Lsn;
}

/** A result of `search`, with all keys of the range that share it. */
export interface RangeSearchResult extends SearchResult {
  /** Ascending; ranges that touch are joined. */
  readonly keyRanges: readonly KeyRange[];
}

/** A part of a key range, and the image layer that covers it. */
export interface ImageSegment {
  /** May be empty: start and end are the same then. */
  readonly keyRange: KeyRange;
  /** The name of the image layer; undefined where there is none. */
  readonly image: string | undefined;
}

/** Names of layers, each list in byte order. */
export interface LayerVisibility {
  /** Layers that a read at one of the read points can reach. */
  readonly visible: readonly string[];
  /** All other layers. */
  readonly covered: readonly string[];
}

/** Gaps covered by the same delta and the same image. */
interface Part {
  readonly keyRange: KeyRange;
  readonly delta: number;
  readonly image: number;
}

/**
 * The layers of a timeline, searched as a pageserver does.
 *
 * Immutable. The methods are synchronous. Building takes O(n log n) time, a search O(log² n).
 *
 * @example
 * const map = LayerMap.fromNames(Object.keys(indexPart.layers));
 * for (let end = lsn + 1n, next; (next = map.search(key, end)) !== undefined; end = next.lsnFloor) {
 *   read(next.name, next.lsnFloor, end);
 * }
 */
export class LayerMap {
  readonly #table: LayerTable;
  readonly #deltas: Coverage;
  readonly #images: Coverage;
  readonly #imageNodes: ImageNodes;
  readonly #options: LayerMapOptions;

  private constructor(table: LayerTable, options: LayerMapOptions) {
    this.#table = table;
    this.#options = options;
    const layers = Int32Array.from({ length: table.count }, (_, layer) => layer);
    const images = layers.filter((layer) => table.isImage(layer));
    this.#deltas = new Coverage(
      table,
      layers.filter((layer) => !table.isImage(layer)),
    );
    this.#images = new Coverage(table, images);
    this.#imageNodes = new ImageNodes(table, images);
  }

  /**
   * Builds the map of the layers with these names.
   *
   * Requires: file names of layers, each layer once, whatever the generation in its name.
   *
   * @throws `invalid-input` and `ambiguous-name` for a name that is not a layer's; `invalid-input` for a
   * layer that is named twice; `out-of-range` for keys or LSNs that a pageserver cannot hold, or a
   * key range that is empty in its 128 bits; `too-large` for
   * more names than the limit.
   */
  static fromNames(names: Iterable<string>, options: LayerMapOptions = {}): LayerMap {
    checkOptions(options, { sizes: true, maximumLayers: true, memoryLayers: true });
    const { maximumLayers = MAXIMUM_LAYERS } = options;
    checkCount('maximumLayers', maximumLayers, { to: MAXIMUM_LAYERS });
    const memoryLayers = checkedMemoryLayers(options.memoryLayers);
    if (options.sizes !== undefined) checkMethod('sizes', options.sizes, 'get');
    const table = LayerTable.fromNames(itemsOf('names', names), maximumLayers);
    return new LayerMap(table, { ...options, memoryLayers });
  }

  /** How many layers the map has, not counting those in memory. */
  get layerCount(): number {
    return this.#table.count;
  }

  /** The layers by start LSN, end LSN, start key and end key. */
  *layers(): Generator<MapLayer, undefined> {
    for (let layer = 0; layer < this.#table.count; layer += 1) yield this.#describe(layer);
  }

  /**
   * The layer to read next for the values of a key below `endLsn`.
   *
   * @returns Undefined if no layer has the key below that LSN.
   * @throws `invalid-input` or `out-of-range` for a key that a pageserver cannot hold; `out-of-range`
   * for an LSN that is not from 0 to 2^64.
   */
  search(key: Key, endLsn: Lsn): SearchResult | undefined {
    // -1 below the first border.
    const gap = rowsUpTo(this.#table.keyWords, keyNumber(key, 'key')) - 1;
    checkEndLsn(endLsn);
    const bound = this.#boundBelow(endLsn);
    const isInside = gap >= 0 && gap < this.#table.borderCount - 1;
    const delta = isInside ? this.#deltas.covering(gap, bound) : NONE;
    const image = isInside ? this.#images.covering(gap, bound) : NONE;
    const choice = this.#choose(delta, image, this.#memory(endLsn), endLsn);
    return choice && { name: choice.candidate.name, lsnFloor: choice.lsnFloor };
  }

  /**
   * The results of `search` for each key of a range, grouped by result, in the order of their first keys. Keys without
   * a result are left out.
   *
   * @throws As `search`; `out-of-range` for a range whose start is above its end.
   */
  rangeSearch(keyRange: KeyRange, endLsn: Lsn): RangeSearchResult[] {
    const span = keySpan(this.#table, keyRange);
    checkEndLsn(endLsn);
    const bound = this.#boundBelow(endLsn);
    const memory = this.#memory(endLsn);
    const results = new Map<string, RangeSearchResult & { readonly keyRanges: KeyRange[] }>();
    for (const part of this.#partsOf(span, bound)) {
      const choice = this.#choose(part.delta, part.image, memory, endLsn);
      if (choice === undefined) continue;
      const { candidate, lsnFloor } = choice;
      const answer = `${candidate.name} ${lsnFloor}`;
      const found = results.get(answer);
      if (found === undefined) {
        results.set(answer, { name: candidate.name, lsnFloor, keyRanges: [part.keyRange] });
      } else {
        append(found.keyRanges, part.keyRange);
      }
    }
    return [...results.values()];
  }

  /**
   * The image layers that cover a key range as seen from an LSN, inclusive.
   *
   * The range is cut as a pageserver cuts it, because L0 compaction counts the parts: neighbours may
   * have the same image, and the first part is empty if a border lies at the start of the range. There
   * is no part at all if no layer starts at or below the LSN.
   *
   * The parts are kept for the next call; a lower LSN than that of the last call costs time proportional to all images.
   *
   * @throws As `rangeSearch`.
   */
  imageCoverage(keyRange: KeyRange, lsn: Lsn): ImageSegment[] {
    const span = keySpan(this.#table, keyRange);
    checkLsn(lsn);
    const bound = this.#table.layersStartingUpTo(lsn);
    if (bound === 0) return [];
    const nodes = this.#imageNodes;
    nodes.moveTo(bound);
    const segments: ImageSegment[] = [];
    let start = span.keyRange.start;
    let image = nodes.valueAt(span.first);
    for (let node = nodes.nodeFrom(span.firstBorder); node >= 0 && node <= span.last; ) {
      const end = this.#table.borderKey(node);
      segments.push({ keyRange: { start, end }, image: this.#nameOf(image) });
      start = end;
      image = nodes.valueAt(node);
      node = nodes.nodeFrom(node + 1);
    }
    const rest = { start, end: span.keyRange.end };
    segments.push({ keyRange: rest, image: this.#nameOf(image) });
    return segments;
  }

  /**
   * The greatest number of deltas that are stacked in a range of keys and LSNs. Only the uppermost L0 counts, and only
   * if the range is the whole key space.
   *
   * Without a limit the time grows with the number of parts times their depth.
   *
   * @param limit - Counts up to this; default: no limit.
   * @throws As `rangeSearch`; `invalid-input` for the limit.
   */
  countDeltas(keyRange: KeyRange, lsnRange: LsnRange, limit = Number.POSITIVE_INFINITY): number {
    const span = keySpan(this.#table, keyRange);
    checkSearchedLsns(lsnRange);
    checkLimit('limit', limit);
    if (lsnRange.start >= lsnRange.end) return 0;
    return countStackedDeltas(this.#table, this.#deltas, {
      span,
      doesL0Count: /^0{36}F{36}$/.test(formatKey(keyRange.start) + formatKey(keyRange.end)),
      bound: this.#boundBelow(lsnRange.end),
      lowestEnd: this.#table.lsnRanksUpTo(lsnRange.start),
      limit,
    });
  }

  /**
   * Whether each key of a range is covered by an image layer whose LSN is in the LSN range. True for an
   * empty key range.
   *
   * @throws As `rangeSearch`.
   */
  imageLayerExists(keyRange: KeyRange, lsnRange: LsnRange): boolean {
    const { first, last } = keySpan(this.#table, keyRange);
    checkSearchedLsns(lsnRange);
    if (first > last) return true;
    if (lsnRange.start >= lsnRange.end) return false;
    if (first < 0 || last > this.#table.borderCount - 2) return false;
    const bound = this.#boundBelow(lsnRange.end);
    const startRank = lsnRange.start === 0n ? 0 : this.#table.lsnRanksUpTo(lsnRange.start - 1n);
    let exists = true;
    this.#images.segments(first, last, bound, (_from, _to, image) => {
      exists &&= image !== NONE && (this.#table.lsnStart[image] ?? 0) >= startRank;
    });
    return exists;
  }

  /**
   * Which layers a read can reach from the read points: the last LSN of the timeline, and the LSNs at
   * which its children branch off. A hint: a pageserver uses it to decide what it keeps on disk.
   *
   * @throws `out-of-range` for a read point that is not an LSN.
   */
  visibility(readPoints: readonly Lsn[]): LayerVisibility {
    checkArray('read points', readPoints);
    for (const readPoint of readPoints) checkLsn(readPoint, 'read point');
    const isVisible = visibleLayers(this.#table, readPoints);
    const named = (which: number): string[] =>
      this.#table.names.filter((_, layer) => isVisible[layer] === which).sort();
    return { visible: named(1), covered: named(0) };
  }

  /**
   * Describes the first violation of the rules of a pageserver's compaction, in the order of the given names: two
   * deltas, the first of several keys, that overlap in keys and in LSNs.
   *
   * @returns Undefined for a valid map; else a sentence that names the two layers, as Neon words it.
   */
  violation(): string | undefined {
    const found = findOverlap(this.#table);
    if (found === undefined) return undefined;
    return (
      'layer violates the layer map LSN split assumption: ' +
      `layer ${this.#nameOf(found.layer)} intersects with layer ${this.#nameOf(found.other)}`
    );
  }

  /**
   * The parts of the key space without layers: between the first and the last key of the L1s and images, the ranges of
   * at least `minimumKeys` keys that none of them covers, ascending. L0s are ignored, since they span all keys.
   *
   * @throws `invalid-input` for a minimum that is not a positive integer.
   */
  holes(minimumKeys: number): KeyHole[] {
    checkCount('minimumKeys', minimumKeys, { from: 1 });
    return holesOf(this.#table, minimumKeys);
  }

  #describe(layer: number): MapLayer {
    const table = this.#table;
    const name = table.names[layer] ?? '';
    const size = this.#options.sizes?.get(name);
    return {
      name,
      level: table.level(layer),
      keyRange: table.keyRange(table.keyStart[layer] ?? 0, table.keyEnd[layer] ?? 0),
      lsnRange: {
        start: table.lsn(table.lsnStart[layer] ?? 0),
        end: table.lsn(table.lsnEnd[layer] ?? 0),
      },
      size: size === undefined ? undefined : sizeOf(size),
    };
  }

  #nameOf(layer: number): string | undefined {
    return layer === NONE ? undefined : this.#table.names[layer];
  }

  #choose(
    delta: number,
    image: number,
    memory: Candidate | undefined,
    endLsn: Lsn,
  ): Choice | undefined {
    const candidates = { delta: this.#candidate(delta), image: this.#candidate(image), memory };
    return chooseLayer(candidates, endLsn);
  }

  #candidate(layer: number): Candidate | undefined {
    if (layer === NONE) return undefined;
    const table = this.#table;
    return {
      kind: table.isImage(layer) ? 'image' : 'delta',
      name: table.names[layer] ?? '',
      start: table.lsn(table.lsnStart[layer] ?? 0),
      end: table.lsn(table.lsnEnd[layer] ?? 0),
    };
  }

  #memory(endLsn: Lsn): Candidate | undefined {
    return memoryCandidate(this.#options.memoryLayers ?? [], endLsn);
  }

  #boundBelow(endLsn: Lsn): number {
    return endLsn === 0n ? 0 : this.#table.layersStartingUpTo(endLsn - 1n);
  }

  /** The parts of a span that the same delta and image cover, ascending. */
  #partsOf(span: KeySpan, bound: number): Part[] {
    const lastGap = this.#table.borderCount - 2;
    const outside = (from: number, to: number): Part[] =>
      from > to
        ? []
        : [{ keyRange: partRange(this.#table, span, from, to), delta: NONE, image: NONE }];
    const below = outside(span.first, Math.min(span.last, -1));
    const above = outside(Math.max(span.first, lastGap + 1, 0), span.last);
    return [...below, ...this.#partsInside(span, bound), ...above];
  }

  /** The parts between the first border and the last. */
  #partsInside(span: KeySpan, bound: number): Part[] {
    const first = Math.max(span.first, 0);
    const last = Math.min(span.last, this.#table.borderCount - 2);
    const images: { readonly to: number; readonly image: number }[] = [];
    this.#images.segments(first, last, bound, (_from, to, image) => images.push({ to, image }));
    const parts: Part[] = [];
    let next = 0;
    this.#deltas.segments(first, last, bound, (from, to, delta) => {
      for (let start = from; start <= to; next += 1) {
        const { to: imageTo, image } = images[next] ?? { to, image: NONE };
        const end = Math.min(to, imageTo);
        parts.push({ keyRange: partRange(this.#table, span, start, end), delta, image });
        start = end + 1;
        if (end < imageTo) break;
      }
    });
    return parts;
  }
}

function sizeOf(size: number | bigint): bigint {
  if (typeof size !== 'bigint') checkCount('size of a layer', size);
  return BigInt(size);
}

function append(ranges: KeyRange[], range: KeyRange): void {
  const last = ranges.at(-1);
  if (last === undefined || compareKeys(last.end, range.start) !== 0) ranges.push(range);
  else ranges[ranges.length - 1] = { start: last.start, end: range.end };
}

/** An exclusive end may be one above the highest LSN. */
function checkEndLsn(lsn: Lsn): void {
  if (lsn !== ALL_LSNS.end) checkLsn(lsn, 'end LSN');
}

function checkSearchedLsns(range: LsnRange): void {
  checkObject('LSN range', range);
  checkLsn(range.start, 'start of the LSN range');
  checkEndLsn(range.end);
}

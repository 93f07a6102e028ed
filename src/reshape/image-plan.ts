/**
 * Decides where image layers at an LSN help, and in which parts they are made.
 *
 *   segment  keys between two borders of layers: the same layers cover all of them
 *   kept     segments whose newest image is below the LSN, with at least as many stacked deltas above
 *            that image as the threshold; L0s do not count
 *   part     kept segments that touch each other, cut where their values reach the target size
 *   batch    the keys of a part that are read together
 *
 * Sparse keys (60… to 7E…) are separated from the others: only images end a read of them, and they have their own
 * threshold. Parts are cut at first keys of leaves, according to the size of the values that the leaves of all layers
 * refer to, so that no value needs to be read.
 *
 * A pageserver makes whole partitions of the key space instead, by the same rule for any segment in them.
 * Source: Neon pageserver/src/tenant/timeline.rs, create_image_layers.
 */
import {
  compareKeys,
  formatKey,
  type Key,
  type KeyRange,
  keyFromFields,
  maximumKey,
  minimumKey,
} from '../layers/key.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import type { Lsn } from '../layers/lsn.ts';
import { PAGE_SIZE } from '../postgres/page.ts';
import { intersect, normalized } from '../timeline/key-space.ts';
import type { LayerMap, MapLayer } from '../timeline/layer-map/layer-map.ts';
import type { Timeline, TimelineFacts } from '../timeline/timeline.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';

/** When images are made. */
export interface ImageThresholds {
  /** Number of stacked deltas, for all keys but sparse ones. */
  readonly dense: number;
  /** The same for sparse keys. */
  readonly sparse: number;
}

/** Keys whose images are made together. */
export interface ImagePart {
  readonly keyRange: KeyRange;
  /** Parts of the key range, ascending and without gaps, that are read one after the other. */
  readonly batches: readonly ImageBatch[];
}

/** Keys that are read together. */
export interface ImageBatch {
  readonly keyRange: KeyRange;
  /** Approximate bytes of the values. */
  readonly bytes: number;
  /** Where it can be cut if its values are larger than expected, ascending. */
  readonly cuts: readonly Key[];
}

/** Where keys are searched for. */
export interface PartsRequest {
  readonly timeline: Timeline;
  readonly lsn: Lsn;
  /** As returned by `imageRanges`. */
  readonly ranges: readonly KeyRange[];
  /** Bytes of a part, and of a batch. */
  readonly partSize: number;
  readonly batchSize: number;
  readonly signal: AbortSignal | undefined;
}

const SPARSE: KeyRange = { start: firstKeyOf(0x60), end: firstKeyOf(0x7f) };

function firstKeyOf(field1: number): Key {
  return keyFromFields({ field1, field2: 0, field3: 0, field4: 0, field5: 0, field6: 0 });
}

/** The key ranges in which image layers at the LSN help, ascending; none of them mixes sparse keys with others. */
export function imageRanges(
  map: LayerMap,
  { lsn, thresholds }: { readonly lsn: Lsn; readonly thresholds: ImageThresholds },
): KeyRange[] {
  const dense: KeyRange[] = [];
  const sparse: KeyRange[] = [];
  const borders = bordersOf(map, lsn);
  for (const [place, start] of borders.entries()) {
    const end = borders[place + 1];
    if (end === undefined) break;
    const range = { start, end };
    const isSparse = compareKeys(SPARSE.start, start) <= 0 && compareKeys(end, SPARSE.end) <= 0;
    const threshold = isSparse ? thresholds.sparse : thresholds.dense;
    if (doImagesHelp(map, { range, lsn, threshold })) (isSparse ? sparse : dense).push(range);
  }
  const ranges = [...normalized(dense), ...normalized(sparse)];
  return ranges.sort((one, other) => compareKeys(one.start, other.start));
}

/** Borders of layers at or below the LSN, and of the sparse keys, ascending. */
function bordersOf(map: LayerMap, lsn: Lsn): Key[] {
  const borders = new Map<string, Key>();
  const add = (key: Key): void => void borders.set(formatKey(key), key);
  for (const key of [minimumKey(), SPARSE.start, SPARSE.end, maximumKey()]) add(key);
  for (const { level, keyRange, lsnRange } of map.layers()) {
    if (level === 'L0' || lsnRange.start > lsn) continue;
    add(keyRange.start);
    add(keyRange.end);
  }
  return [...borders].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, key]) => key);
}

function doImagesHelp(
  map: LayerMap,
  about: { readonly range: KeyRange; readonly lsn: Lsn; readonly threshold: number },
): boolean {
  const { range, lsn, threshold } = about;
  return map.imageCoverage(range, lsn).some(({ keyRange, image }) => {
    if (compareKeys(keyRange.start, keyRange.end) >= 0) return false;
    const start = image === undefined ? 0n : lsnAbove(map, image);
    // None if the image is as new as the LSN.
    return map.countDeltas(keyRange, { start, end: lsn }, threshold) >= threshold;
  });
}

const endsByName = new WeakMap<LayerMap, ReadonlyMap<string, Lsn>>();

function lsnAbove(map: LayerMap, image: string): Lsn {
  let ends = endsByName.get(map);
  if (ends === undefined) {
    ends = new Map([...map.layers()].map(({ name, lsnRange }) => [name, lsnRange.end]));
    endsByName.set(map, ends);
  }
  return ends.get(image) ?? 0n;
}

/** Cuts the ranges into parts and batches. Reads the indices of the layers. Throws: as reads of the layers. */
export async function imageParts(request: PartsRequest): Promise<ImagePart[]> {
  const { ranges, partSize, batchSize } = request;
  const leaves = await leavesOf(request);
  const parts: ImagePart[] = [];
  let next = 0;
  for (const range of ranges) {
    while (next < leaves.length && compareKeys((leaves[next] as Leaf).key, range.start) < 0)
      next += 1;
    const inside: Leaf[] = [];
    for (; next < leaves.length; next += 1) {
      const leaf = leaves[next] as Leaf;
      if (compareKeys(leaf.key, range.end) >= 0) break;
      inside.push(leaf);
    }
    parts.push(...partsOf(batchesOf(range, inside, batchSize), partSize));
  }
  return parts;
}

/** A leaf of an index: its first key, and the bytes of its values. */
interface Leaf {
  readonly key: Key;
  readonly bytes: number;
}

/** Of all layers that reads of the ranges may reach, by key. */
async function leavesOf({ timeline, lsn, ranges, signal }: PartsRequest): Promise<Leaf[]> {
  const leaves: Leaf[] = [];
  let at = lsn;
  for (let from: Timeline | undefined = timeline; from !== undefined; ) {
    for (const layer of from.map.layers()) {
      if (layer.lsnRange.start > at || !touches(layer, ranges)) continue;
      const held = await from.acquireLayer(layer.name, signal);
      try {
        leaves.push(...(await leavesOfLayer(held.reader, ranges)));
      } finally {
        held.release();
      }
    }
    const { ancestor }: TimelineFacts = from.facts;
    if (ancestor !== undefined && ancestor.lsn < at) at = ancestor.lsn;
    from = ancestor === undefined ? undefined : await from.openAncestor();
  }
  return leaves.sort((one, other) => compareKeys(one.key, other.key));
}

function touches({ keyRange }: MapLayer, ranges: readonly KeyRange[]): boolean {
  return intersect([keyRange], ranges).length > 0;
}

/** A leaf that begins before a range may extend into it: then it counts from the start of the range. */
async function leavesOfLayer(
  reader: LayerReader,
  ranges: readonly KeyRange[],
): Promise<readonly Leaf[]> {
  const found: { readonly keyRange: KeyRange; readonly entryCount: number }[] = [];
  let entryCount = 0;
  for await (const block of reader.indexBlocks()) {
    if (block.kind === 'damaged') throw block.error;
    if (block.level > 0) continue;
    entryCount += block.entryCount;
    const { firstKey: start, lastKey: end } = block;
    found.push({ keyRange: { start, end }, entryCount: block.entryCount });
  }
  const { summary } = reader;
  const valueBytes = Math.max(summary.indexStartBlock - 1, 0) * BLOCK_SIZE;
  // Images are compressed, but what matters is the memory that they take.
  const bytesOfEntry = summary.kind === 'image' ? PAGE_SIZE : valueBytes / Math.max(entryCount, 1);
  let next = 0;
  return found.flatMap(({ keyRange, entryCount: count }) => {
    while (next < ranges.length && compareKeys((ranges[next] as KeyRange).end, keyRange.start) <= 0)
      next += 1;
    const range = ranges[next];
    if (range === undefined || compareKeys(keyRange.end, range.start) < 0) return [];
    const isBefore = compareKeys(keyRange.start, range.start) < 0;
    return [{ key: isBefore ? range.start : keyRange.start, bytes: count * bytesOfEntry }];
  });
}

function batchesOf(range: KeyRange, leaves: readonly Leaf[], batchSize: number): ImageBatch[] {
  const batches: ImageBatch[] = [];
  let { start } = range;
  let bytes = 0;
  let cuts: Key[] = [];
  const end = (key: Key): void => {
    batches.push({ keyRange: { start, end: key }, bytes, cuts });
    start = key;
    bytes = 0;
    cuts = [];
  };
  for (const { key, bytes: more } of leaves) {
    const last = cuts.at(-1) ?? start;
    if (compareKeys(key, last) > 0) {
      if (bytes >= batchSize) end(key);
      else cuts.push(key);
    }
    bytes += more;
  }
  end(range.end);
  return batches;
}

function partsOf(batches: readonly ImageBatch[], partSize: number): ImagePart[] {
  const parts: ImagePart[] = [];
  let open: ImageBatch[] = [];
  let bytes = 0;
  const end = (): void => {
    const [first, last] = [open[0], open.at(-1)];
    if (first === undefined || last === undefined) return;
    const keyRange = { start: first.keyRange.start, end: last.keyRange.end };
    parts.push({ keyRange, batches: open });
    open = [];
    bytes = 0;
  };
  for (const batch of batches) {
    if (bytes + batch.bytes > partSize) end();
    open.push(batch);
    bytes += batch.bytes;
  }
  end();
  return parts;
}

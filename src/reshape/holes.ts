/**
 * Gaps between the keys of several layers that no layer made from them should span.
 *
 *   gap     from the key after one key to the next key of any of the layers
 *   hole    a gap of at least target / 8,192 keys, in the 128 bits of a pageserver, that does not start
 *           at a metadata key (60… to 7E…), and has at least 3 parts in the image coverage
 *   kept    as many holes as there are layers: those with the most parts; among equals, the first ones
 *
 * A gap of all layers lies in a gap of each of them. So each layer lists its own large gaps, and the lists are
 * intersected as they come. A leaf whose first key is near that of the next leaf has no large gap, and is not read.
 *
 * Source: Neon pageserver/src/tenant/timeline/compaction.rs.
 */
import { throwIfAborted } from '../errors.ts';
import type { IndexNode } from '../layers/disk-btree/index-node.ts';
import type { LeafPlace } from '../layers/disk-btree/reader.ts';
import { compareKeys, KEY_SIZE, type Key, type KeyRange, nextKey } from '../layers/key.ts';
import { keyOfEntry } from '../layers/layer-file/entry-layout.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import type { Lsn } from '../layers/lsn.ts';
import { describeKey } from '../postgres/key-mapping.ts';
import { keysBetween, writeKeyNumber } from '../timeline/layer-map/key-number.ts';
import type { LayerMap } from '../timeline/layer-map/layer-map.ts';
import type { MergeRanges } from './merge-ranges.ts';

/** Keys that no entry has; undefined where there are no more entries. */
interface Gap {
  readonly start: Key | undefined;
  readonly end: Key | undefined;
}

export interface HoleSearch {
  readonly readers: readonly LayerReader[];
  /** Keys of the smallest hole. */
  readonly minimumKeys: number;
  readonly map: LayerMap;
  /** LSN at which the image coverage is determined. */
  readonly lsn: Lsn;
  /** Receives the leaves that the search passes. */
  readonly ranges: MergeRanges;
  readonly signal?: AbortSignal | undefined;
}

const MINIMUM_PARTS = 3;

/** For a layer without further gaps. */
const NO_GAP: Gap = { start: undefined, end: undefined };

/** The holes, ascending. Throws: as the scans of the layers. */
export async function findHoles(search: HoleSearch): Promise<readonly KeyRange[]> {
  const { readers, map, lsn } = search;
  const kept: { readonly gap: KeyRange; readonly parts: number }[] = [];
  for await (const gap of commonGaps(search)) {
    if (describeKey(gap.start).kind === 'metadata') continue;
    const parts = map.imageCoverage(gap, lsn).length;
    if (parts < MINIMUM_PARTS) continue;
    const place = kept.findIndex((other) => other.parts < parts);
    kept.splice(place < 0 ? kept.length : place, 0, { gap, parts });
    if (kept.length > readers.length) kept.pop();
  }
  return kept.map(({ gap }) => gap).sort((one, other) => compareKeys(one.start, other.start));
}

/** Gaps of at least the minimum between two keys of the layers, ascending. */
async function* commonGaps(search: HoleSearch): AsyncGenerator<KeyRange> {
  const minimum = BigInt(search.minimumKeys);
  const lists = search.readers.map((_, layer) => gapsOf(search, layer, minimum));
  const gaps: Gap[] = [];
  for (const list of lists) gaps.push((await list.next()).value ?? NO_GAP);
  for (;;) {
    const start = latestStart(gaps);
    const next = earliestEnd(gaps);
    const { end } = gaps[next] as Gap;
    if (start !== undefined && end !== undefined && isAtLeast(start, end, minimum)) {
      yield { start, end };
    }
    if (end === undefined) return;
    gaps[next] = (await lists[next]?.next())?.value ?? NO_GAP;
  }
}

/** The latest start of the gaps; undefined if all of them extend down to the lowest key. */
function latestStart(gaps: readonly Gap[]): Key | undefined {
  let latest: Key | undefined;
  for (const { start } of gaps) {
    if (start !== undefined && (latest === undefined || compareKeys(start, latest) > 0)) {
      latest = start;
    }
  }
  return latest;
}

/** The gap that ends first. */
function earliestEnd(gaps: readonly Gap[]): number {
  let earliest = 0;
  for (const [index, { end }] of gaps.entries()) {
    const other = gaps[earliest]?.end;
    if (end !== undefined && (other === undefined || compareKeys(end, other) < 0)) earliest = index;
  }
  return earliest;
}

/** The large gaps of a layer, with those before its first and after its last key. */
async function* gapsOf(
  { readers, ranges, signal }: HoleSearch,
  layer: number,
  minimum: bigint,
): AsyncGenerator<Gap, undefined> {
  const { index, layout, path } = readers[layer] as LayerReader;
  /** The last key of the previous leaf; undefined if no gap can follow it. */
  let last: Key | undefined;
  let isFirst = true;
  for await (const place of index.leafPlaces()) {
    throwIfAborted(signal, path);
    const first = keyOfEntry(place.firstKey);
    if (isFirst) yield { start: undefined, end: first };
    else if (last !== undefined && isGap(last, first, minimum)) {
      yield { start: nextKey(last), end: first };
    }
    isFirst = false;
    last = undefined;
    const isSampled = ranges.passLeaf(layer) === 'sampled';
    const isGapPossible = mayHaveGap(place, minimum);
    if (!isSampled && !isGapPossible) continue;
    const node = await place.read();
    if (isSampled) ranges.addSample(layer, first, layout.offset(node, 0));
    if (!isGapPossible) continue;
    last = node.keyBegin(node.entryCount - 1, KEY_SIZE);
    if (isGap(first, last, minimum)) yield* gapsInLeaf(node, minimum);
  }
  yield { start: last && nextKey(last), end: undefined };
}

/** Whether there may be a gap in the leaf or after it; always true for the last leaf, which a gap follows. */
function mayHaveGap({ firstKey, upper }: LeafPlace, minimum: bigint): boolean {
  if (upper === undefined) return true;
  const keys = signedKeysBetween(firstKey, upper);
  // The numbers of keys that a pageserver does not write may descend.
  return keys < 0n || keys > minimum;
}

function* gapsInLeaf(node: IndexNode, minimum: bigint): Generator<Gap> {
  const count = node.entryCount;
  const keys = new Uint8Array(count * KEY_SIZE);
  node.copyKeyBegins({ from: 0, count, length: KEY_SIZE }, keys, 0);
  const keyAt = (row: number): Key => keys.slice(row * KEY_SIZE, (row + 1) * KEY_SIZE);
  // Halves the part that may contain a gap: most leaves have few, if any.
  const pending = [{ low: 0, high: count - 1 }];
  for (let span = pending.pop(); span !== undefined; span = pending.pop()) {
    const { low, high } = span;
    const [start, end] = [keyAt(low), keyAt(high)];
    if (!isGap(start, end, minimum)) continue;
    if (high - low === 1) yield { start: nextKey(start), end };
    else {
      const middle = Math.floor((low + high) / 2);
      pending.push({ low: middle, high }, { low, high: middle });
    }
  }
}

/** Whether there are that many keys between two. */
function isGap(key: Key, next: Key, minimum: bigint): boolean {
  return isAtLeast(key, next, minimum + 1n);
}

function isAtLeast(start: Key, end: Key, minimum: bigint): boolean {
  return compareKeys(start, end) < 0 && signedKeysBetween(start, end) >= minimum;
}

const NUMBERS = new Uint32Array(8);

/** Accepts keys, and entry keys, which begin with a key. */
function signedKeysBetween(start: Uint8Array, end: Uint8Array): bigint {
  writeKeyNumber(start, 0, NUMBERS, 0);
  writeKeyNumber(end, 0, NUMBERS, 4);
  return keysBetween(NUMBERS, 0, 1);
}

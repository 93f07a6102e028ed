/** Merges layers and returns copies of the entries one by one; `LayerMerge`, which it uses, does not copy. */

import { checkedItems, checkOptions, checkSignal, type KnownOptions } from '../check-options.ts';
import {
  checkKeyRange,
  copyKeyRange,
  type KeyRange,
  maximumKey,
  minimumKey,
} from '../layers/key.ts';
import type { LayerEntry } from '../layers/layer-file/entry-batch.ts';
import { groupOf, type ItemGroup, ItemIterator } from '../layers/layer-file/item-iterator.ts';
import { checkReader } from '../layers/layer-file/layer-input.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import { checkWantedLsns, type LsnRange } from '../layers/lsn.ts';
import { intersect, normalized } from '../timeline/key-space.ts';
import { shardKeeps } from '../timeline/shard-owner.ts';
import { checkShardFilter, type ShardFilter } from './level0-options.ts';
import { LayerMerge } from './merge.ts';

/** Which entries `mergeLayers` returns. */
export interface MergeLayersOptions {
  /** Default: all keys. Ranges may overlap, and come in any order; only their parts of the layers are read. */
  readonly keyRanges?: readonly KeyRange[] | undefined;
  /** Default: all LSNs. */
  readonly lsnRange?: LsnRange | undefined;
  /** Keys that this shard need not keep are left out. Default: none are. */
  readonly shard?: ShardFilter | undefined;
  /** Ends the merge with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** An entry of one of several layers. */
export interface MergedEntry extends LayerEntry {
  /** The layer that has it. */
  readonly reader: LayerReader;
  /** Whether `bytes` is a serialized value, as in a delta layer, or the image itself. */
  readonly layerKind: 'delta' | 'image';
}

const OPTIONS: KnownOptions<MergeLayersOptions> = {
  keyRanges: true,
  lsnRange: true,
  shard: true,
  signal: true,
};

/** Entries that are copied together; they are a few MiB at most unless values are large. */
const GROUP_COUNT = 128;
const GROUP_BYTES = 1024 * 1024;

/**
 * Merges any number of layers, delta and image, into one sequence of entries: by key, then LSN, images before WAL
 * records, then the order of the readers. If several entries have one key and LSN, all are returned; the first one
 * counts. Layers with disjoint keys are never in memory together.
 *
 * @param readers Stay open until the end, and stay the caller's.
 * @returns Entries that are copies.
 * @throws `invalid-input`, `out-of-range` for options that are not valid; as the scans of the layers, at the first
 * damage, after all entries before it; `aborted`.
 *
 * @example
 * for await (const { key, lsn, layerKind, bytes } of mergeLayers(readers, { keyRanges })) {
 *   const value = layerKind === 'image' ? { type: 'image', bytes } : decodeValue(bytes);
 * }
 */
export function mergeLayers(
  readers: Iterable<LayerReader>,
  options: MergeLayersOptions = {},
): AsyncGenerator<MergedEntry, undefined, undefined> {
  const all = checkedItems('layers to merge', readers, checkReader);
  checkOptions(options, OPTIONS);
  const { keyRanges = [{ start: minimumKey(), end: maximumKey() }], ...filter } = options;
  const ranges = checkedItems('keyRanges', keyRanges, checkKeyRange);
  if (filter.lsnRange !== undefined) checkWantedLsns(filter.lsnRange);
  checkSignal(filter.signal);
  checkShardFilter(filter.shard);
  const wanted = normalized(ranges.map(copyKeyRange));
  return new ItemIterator(groups(all, wanted, filter));
}

async function* groups(
  readers: readonly LayerReader[],
  keyRanges: readonly KeyRange[],
  { lsnRange, shard, signal }: Omit<MergeLayersOptions, 'keyRanges'>,
): AsyncGenerator<ItemGroup<MergedEntry>> {
  for (const keyRange of keyRanges) {
    const inside = readers.filter(
      ({ summary }) => intersect([summary.keyRange], [keyRange]).length > 0,
    );
    await using merge = await LayerMerge.begin(inside, { keyRange, lsnRange, signal });
    while (merge.head !== undefined) yield groupOf(await nextEntries(merge, shard));
  }
}

async function nextEntries(
  merge: LayerMerge,
  shard: ShardFilter | undefined,
): Promise<MergedEntry[]> {
  const entries: MergedEntry[] = [];
  let bytes = 0;
  while (entries.length < GROUP_COUNT && bytes < GROUP_BYTES) {
    const { head } = merge;
    if (head === undefined) break;
    const { batch, row, reader, isImage } = head;
    const isKept =
      shard === undefined || shardKeeps(batch.key(row), shard.sharding, shard.shardNumber);
    if (isKept) {
      const entry = batch.entry(row);
      entries.push({ ...entry, reader, layerKind: isImage ? 'image' : 'delta' });
      bytes += entry.bytes.length;
    }
    const loading = merge.advance();
    if (loading === undefined) continue;
    await loading;
    // A batch shares its copies.
    if (entries.length > 0) break;
  }
  return entries;
}

/**
 * Compacts L0s into L1s, as a pageserver does: merged by key and LSN, and cut into layers.
 *
 *   a layer ends before a new key   if values + finished index blocks + all versions of the key > target,
 *                                   if a hole lies before the key, or if either side has one key alone
 *   a key of more than the target   has separate layers, cut by LSN: each has the fewest versions
 *                                   whose blobs reach the target
 *   key range                       first key .. last key + 1
 *   LSN range                       that of all inputs; of the parts of one key, from the first version (of
 *                                   the first part) to the first version of the next part
 *
 * The size of a version is that of its blob in the input. The last blob of an input counts up to the index, including
 * the padding after the values. Keys of other shards are left out. Nothing else is left out: two entries with one key
 * and LSN are refused.
 *
 * Source: Neon pageserver/src/tenant/timeline/compaction.rs.
 */

import { checkCount, checkedItems, checkOptions } from '../check-options.ts';
import { StorageError, throwIfAborted } from '../errors.ts';
import { checkReader } from '../layers/layer-file/layer-input.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import { type LsnRange, MAXIMUM_LSN } from '../layers/lsn.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';
import { findHoles } from './holes.ts';
import { DEFAULT_CHECKPOINT_DISTANCE } from './level0.ts';
import { Level0Compaction } from './level0-compaction.ts';
import {
  COMPACT_LEVEL0_OPTIONS,
  type CompactedLevel0,
  type CompactLevel0Options,
  checkShardFilter,
} from './level0-options.ts';
import { MergeRanges, RANGE_SIZE } from './merge-ranges.ts';
import { RangeSource, type RangeSourceOptions } from './range-source.ts';

/**
 * Compacts L0s into L1s: the same layers, under the same names, that a pageserver makes.
 *
 * @throws `invalid-input`, `empty` without an input; `out-of-order` for two entries of one key and LSN;
 * `exists` for a layer that already exists; `too-large`; as the scans of the inputs; `io`, `sync-failed`,
 * `aborted`.
 *
 * Durability: a layer that was passed to `onLayer` survives a crash. The inputs are not changed.
 */
export async function compactLevel0(options: CompactLevel0Options): Promise<CompactedLevel0> {
  return compactLevel0Tuned(options, {});
}

/** For tests. */
export interface MergeTuning extends Pick<RangeSourceOptions, 'program'> {
  /** Bytes that are merged at a time; default 16 MiB. */
  readonly rangeSize?: number | undefined;
}

/** As `compactLevel0`. */
export async function compactLevel0Tuned(
  options: CompactLevel0Options,
  { rangeSize = RANGE_SIZE, program }: MergeTuning,
): Promise<CompactedLevel0> {
  checkOptions(options, COMPACT_LEVEL0_OPTIONS);
  const { map, targetSize = DEFAULT_CHECKPOINT_DISTANCE, signal } = options;
  const { threadCount = 0 } = options;
  const readers = checkedItems('readers', options.readers, checkReader);
  checkCount('targetSize', targetSize, { from: 1 });
  checkCount('threadCount', threadCount);
  checkShardFilter(options.shard);
  const lsnRange = lsnRangeOf(readers);
  throwIfAborted(signal);
  const ranges = new MergeRanges(readers, rangeSize);
  // Reads of a store are slow unless they are made ahead.
  const isStreamed = readers.some(isRemote);
  // A thread that merges only a range or two would cost more than it saves.
  const most = Math.floor(readers.reduce((bytes, { size }) => bytes + size, 0) / (2 * rangeSize));
  await using source = new RangeSource(readers, {
    threadCount: isStreamed ? 0 : Math.min(threadCount, most),
    program,
  });
  const holes = await findHoles({
    readers,
    map,
    minimumKeys: Math.floor(targetSize / BLOCK_SIZE),
    lsn: options.lastRecordLsn ?? MAXIMUM_LSN,
    ranges,
    signal,
  });
  if (!isStreamed) source.begin(ranges.all());
  const compaction = new Level0Compaction(source, { ...options, targetSize, lsnRange, holes });
  // Awaited here: the threads must not end before.
  return await compaction.run(isStreamed ? 'streamed' : 'in-memory');
}

function isRemote({ blobs }: LayerReader): boolean {
  return blobs.source.readRanges !== undefined;
}

/** From the start of the first to the end of the last. Throws unless they follow each other. */
function lsnRangeOf(readers: readonly LayerReader[]): LsnRange {
  let range: LsnRange | undefined;
  for (const { summary, path } of readers) {
    if (summary.kind !== 'delta') {
      const expected = 'a delta layer';
      throw new StorageError('invalid-input', { what: 'layer to compact', path, expected });
    }
    if (range !== undefined && range.end !== summary.lsnRange.start) {
      const expected = 'a layer that starts where the previous one ends';
      throw new StorageError('invalid-input', { what: 'layer to compact', path, expected });
    }
    range = { start: range?.start ?? summary.lsnRange.start, end: summary.lsnRange.end };
  }
  if (range === undefined) throw new StorageError('empty', { what: 'no layers to compact' });
  return range;
}

/**
 * Compacts a timeline: makes L1s from its L0s, makes image layers where many deltas are stacked, and writes an index of
 * a new generation that names the L1s in place of the L0s. Layers and older indices are never deleted or changed, so
 * the timeline can still be read through an older index.
 *
 *   1  the L1s are made and stored, one after the other
 *   2  image layers are made and stored, several at a time
 *   3  layers that the new index keeps are copied to the output if it does not have them
 *   4  the index of the new generation is stored
 *
 * An interrupted run leaves layers that no index names. The next run of the same generation makes the same layers, and
 * stores only those that are missing.
 */
import {
  checkArray,
  checkBigint,
  checkCount,
  checkMethod,
  checkObject,
  checkOptions,
  checkText,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { checkKeyRange, type KeyRange } from '../layers/key.ts';
import { formatLsn, type Lsn } from '../layers/lsn.ts';
import { inOrder } from '../timeline/in-order.ts';
import { isFutureLayer } from '../timeline/index-part/check.ts';
import type { IndexPart } from '../timeline/index-part/index-part.ts';
import type { IndexLayer } from '../timeline/index-part/layer-entry.ts';
import type { HeldLayer } from '../timeline/layer-files.ts';
import { LayerMap, type MapLayer } from '../timeline/layer-map/layer-map.ts';
import type { Timeline } from '../timeline/timeline.ts';
import type { OpenFiles } from '../virtual-file/open-files.ts';
import type { Compression } from '../zstd/compression.ts';
import { compactLevel0 } from './compact-level0.ts';
import { copyLayer } from './copy-layer.ts';
import { createImages, type ImageCounts } from './create-images.ts';
import { imageRanges } from './image-plan.ts';
import { type LayerOutput, type ReshapedLayer, StoredLayers } from './layer-output.ts';
import {
  chooseLevel0,
  DEFAULT_CHECKPOINT_DISTANCE,
  LEVEL0_OPTIONS,
  type Level0Options,
} from './level0.ts';
import { checkShardFilter, type ShardFilter } from './level0-options.ts';
import { DEFAULT_TARGET_SIZE } from './split-delta-writer.ts';

/** Where image layers are made, and how. */
export interface TimelineImageOptions {
  /**
   * LSN of the images: from the branch point and the GC cutoff to the last LSN in layers. Default: the last.
   */
  readonly lsn?: Lsn | undefined;
  /** Minimum number of stacked deltas, not counting L0s, for which images are made. Default: 3. */
  readonly threshold?: number | undefined;
  /** The same for sparse keys, such as those of auxiliary files. Default: 16. */
  readonly sparseThreshold?: number | undefined;
  /** Bytes of an image layer. Default: 128 MiB. */
  readonly targetSize?: number | undefined;
  /**
   * Minimum number of images for a layer between two keys that need redo, since no image layer may cover such keys.
   * Default: 32.
   */
  readonly minimumRun?: number | undefined;
  /** Default: zstd at level 1. */
  readonly compression?: Compression | undefined;
}

const IMAGE_OPTIONS: KnownOptions<TimelineImageOptions> = {
  lsn: true,
  threshold: true,
  sparseThreshold: true,
  targetSize: true,
  minimumRun: true,
  compression: true,
};

/** Progress of a compaction. */
export interface CompactionProgress {
  /** `merge`: L0s into L1s; `images`: image layers; `copy`: layers that the index keeps. */
  readonly step: 'merge' | 'images' | 'copy';
  /** Bytes of this step that are done; an estimate for images. */
  readonly done: number;
  /** Bytes of this step. */
  readonly total: number;
}

/** Options of `compactTimeline`. */
export interface CompactTimelineOptions extends Level0Options {
  /** Where layers and index go. */
  readonly output: LayerOutput;
  /** What `planCompaction` returned for the same options. Default: the work is planned here. */
  readonly plan?: PlannedCompaction | undefined;
  /** If given, image layers are made where they help. Default: none. */
  readonly images?: TimelineImageOptions | undefined;
  /**
   * Whether the new index can name an existing layer without copying it. Default: it cannot, and all layers that the
   * index keeps are copied.
   */
  readonly isStored?: ((name: string, layer: IndexLayer) => Promise<boolean>) | undefined;
  /** Keys of other shards are left out of the L1s and of the image layers. Default: none are. */
  readonly shard?: ShardFilter | undefined;
  /**
   * Number of image layers that are made, or layers that are copied, at a time; from 2 on, also the number of threads
   * that merge L0s. Default: 1.
   */
  readonly concurrency?: number | undefined;
  /** Descriptors to use; default: those of the process. */
  readonly openFiles?: OpenFiles | undefined;
  /** Called with each layer once it is stored. */
  readonly onLayer?: ((layer: ReshapedLayer) => void | Promise<void>) | undefined;
  /**
   * Called with the error of each record that cannot be read while images are made. Its key is treated as one that
   * needs redo, and keeps its values.
   */
  readonly onUnreadable?: ((error: StorageError) => void) | undefined;
  /** Called from time to time. */
  readonly onProgress?: ((progress: CompactionProgress) => void) | undefined;
  /** Ends the compaction with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

const OPTIONS: KnownOptions<CompactTimelineOptions> = {
  ...LEVEL0_OPTIONS,
  output: true,
  plan: true,
  images: true,
  isStored: 'function',
  shard: true,
  concurrency: true,
  openFiles: true,
  onLayer: 'function',
  onUnreadable: 'function',
  onProgress: 'function',
  signal: true,
};

/** The result of compacting a timeline. */
export interface CompactedTimeline {
  /** The L0s that were compacted; none if there were too few. */
  readonly inputs: readonly MapLayer[];
  /** The L1s, image layers, and copies of layers that stay, in the order in which they were stored. */
  readonly layers: readonly ReshapedLayer[];
  /** Entries of the L0s. */
  readonly entries: number;
  /** Of these, entries of keys of other shards. */
  readonly droppedEntries: number;
  /** Key ranges that no L1 spans. */
  readonly holes: readonly KeyRange[];
  /** The result for images; undefined if none were requested. */
  readonly images: CreatedImages | undefined;
  /** Path of the new index; undefined if nothing was made. */
  readonly indexPath: string | undefined;
}

/** The plan of a compaction. */
export interface PlannedCompaction {
  /** The L0s; none if there are too few. */
  readonly inputs: readonly MapLayer[];
  /** Where image layers would be made, ascending. */
  readonly imageRanges: readonly KeyRange[];
}

/** What happened to the keys for which images were requested. */
export interface CreatedImages {
  /** LSN of the images. */
  readonly lsn: Lsn;
  /** Keys that have an image in a new layer. */
  readonly images: number;
  /**
   * Keys whose value needs Postgres's redo, or has no base. They get no image, and no new image layer covers them, so
   * that reads find them as before.
   */
  readonly needsRedo: number;
  /** Keys between such keys that get no image because there are too few of them. */
  readonly leftOut: number;
}

/**
 * Compacts the L0s of a timeline that a pageserver would compact next, and makes image layers if requested.
 *
 * @param timeline A timeline with an index; of a sharded tenant, one shard.
 * @throws `not-found` without an index; `out-of-range` for an LSN at which no images can be made; as
 * `compactLevel0`, `copyLayer`, reads of the timeline, and the output.
 *
 * Durability: once this resolves, the layers and the index survive a crash. Until then, the index does not
 * exist.
 */
export async function compactTimeline(
  timeline: Timeline,
  options: CompactTimelineOptions,
): Promise<CompactedTimeline> {
  checkMethod('timeline', timeline, 'acquireLayer');
  checkOptions(options, OPTIONS);
  const { output, plan, isStored, shard, onLayer, onProgress, onUnreadable, signal, ...rest } =
    options;
  const { images, concurrency = 1, openFiles, ...choosing } = rest;
  checkCount('concurrency', concurrency, { from: 1 });
  checkShardFilter(shard);
  if (plan !== undefined) checkPlan(plan);
  const index = indexOf(timeline);
  const imageLsn = images === undefined ? 0n : checkedImageLsn(timeline, images);
  const inputs = plan?.inputs ?? chooseLevel0(timeline.map.layers(), choosing);
  const stored = new StoredLayers(output, onLayer);
  const work: Work = {
    ...{ timeline, index, inputs, plan, stored, output, shard, concurrency, openFiles },
    ...{ onProgress, onUnreadable, signal },
  };
  const { entries, droppedEntries, holes } =
    inputs.length === 0 ? NOTHING : await merge(work, choosing);
  const made = images && { lsn: imageLsn, ...(await makeImages(work, images, imageLsn)) };
  const done = { inputs, entries, droppedEntries, holes, images: made };
  if (inputs.length === 0 && output.layers.size === 0)
    return { ...done, layers: [], indexPath: undefined };
  const layers = await keepLayers(work, isStored);
  const indexPath = await stored.putIndex(index.with({ layers }));
  return { ...done, layers: stored.list, indexPath };
}

/**
 * The L0s that would be compacted, and the key ranges in which image layers would be made. The ranges are based on the
 * present layers, as the L1s are not known yet.
 *
 * @throws As `compactTimeline` for its options.
 */
export function planCompaction(
  timeline: Timeline,
  options: Level0Options & Pick<CompactTimelineOptions, 'images'>,
): PlannedCompaction {
  checkMethod('timeline', timeline, 'acquireLayer');
  checkObject('options', options);
  const { images, ...choosing } = options;
  const inputs = chooseLevel0(timeline.map.layers(), choosing);
  if (images === undefined) return { inputs, imageRanges: [] };
  const lsn = checkedImageLsn(timeline, images);
  return {
    inputs,
    imageRanges: imageRanges(timeline.map, { lsn, thresholds: thresholdsOf(images) }),
  };
}

/** Throws `invalid-input` unless it could be the result of `planCompaction`. */
function checkPlan(plan: PlannedCompaction): void {
  checkObject('plan', plan);
  checkArray('inputs of the plan', plan.inputs);
  for (const input of Array.from(plan.inputs)) {
    checkObject('input of the plan', input);
    checkText('name of an input', input.name);
  }
  checkArray('imageRanges of the plan', plan.imageRanges);
  for (const range of Array.from(plan.imageRanges)) checkKeyRange(range);
}

/** What all steps share. */
interface Work
  extends Pick<
    CompactTimelineOptions,
    'output' | 'plan' | 'shard' | 'openFiles' | 'onProgress' | 'onUnreadable' | 'signal'
  > {
  readonly timeline: Timeline;
  readonly index: IndexPart;
  readonly inputs: readonly MapLayer[];
  readonly stored: StoredLayers;
  readonly concurrency: number;
}

const NOTHING = { entries: 0, droppedEntries: 0, holes: [] };
const NO_IDS = { tenantId: '', timelineId: '' };

async function merge(
  {
    timeline,
    index,
    inputs,
    stored,
    output,
    shard,
    concurrency,
    openFiles,
    onProgress,
    signal,
  }: Work,
  { checkpointDistance = DEFAULT_CHECKPOINT_DISTANCE }: Level0Options,
) {
  const held: HeldLayer[] = [];
  try {
    for (const { name } of inputs) held.push(await timeline.acquireLayer(name, signal));
    const readers = held.map(({ reader }) => reader);
    const [{ tenantId, timelineId } = NO_IDS] = readers.map(({ summary }) => summary);
    const total = readers.reduce((bytes, { size }) => bytes + size, 0);
    return await compactLevel0({
      ...{ readers, directory: output.stagingDirectory, tenantId, timelineId, shard },
      ...{ openFiles, signal },
      map: timeline.map,
      lastRecordLsn: index.fields.metadata.diskConsistentLsn,
      targetSize: checkpointDistance,
      threadCount: concurrency < 2 ? 0 : concurrency,
      onLayer: (layer) => stored.add(layer),
      onProgress: (_entries, done) => onProgress?.({ step: 'merge', done, total }),
    });
  } finally {
    for (const layer of held) layer.release();
  }
}

/** Values are read from the timeline as it was opened: an L1 contains the same entries as its L0s. */
async function makeImages(
  work: Work,
  options: TimelineImageOptions,
  lsn: Lsn,
): Promise<ImageCounts> {
  const { timeline, stored, output, shard, concurrency, openFiles, onProgress } = work;
  const { onUnreadable, signal } = work;
  const { compression, targetSize = DEFAULT_TARGET_SIZE, minimumRun = 32 } = options;
  const ranges = rangesOfImages(work, options, lsn);
  if (ranges.length === 0) return { images: 0, needsRedo: 0, leftOut: 0 };
  const { tenantId, timelineId } = await idsOf(timeline, signal);
  return createImages({
    ...{ timeline, lsn, ranges, targetSize, minimumRun, concurrency, shard, compression },
    ...{ openFiles, onUnreadable, signal },
    ...{ directory: output.stagingDirectory, tenantId, timelineId },
    onLayer: (layer) => stored.add(layer),
    onProgress: (done, total) => onProgress?.({ step: 'images', done, total }),
  });
}

/**
 * The planned ranges, unless L1s were made since: then those of the layers that the new index will name.
 */
function rangesOfImages(
  { timeline, inputs, plan, output }: Work,
  options: TimelineImageOptions,
  lsn: Lsn,
): readonly KeyRange[] {
  if (plan !== undefined && inputs.length === 0 && output.layers.size === 0)
    return plan.imageRanges;
  const compacted = new Set(inputs.map(({ name }) => name));
  const names = new Set(output.layers.keys());
  for (const { name } of timeline.map.layers()) if (!compacted.has(name)) names.add(name);
  return imageRanges(LayerMap.fromNames(names), { lsn, thresholds: thresholdsOf(options) });
}

/** The ids of the source; if they are unknown, those of its first layer. */
async function idsOf(timeline: Timeline, signal: AbortSignal | undefined) {
  const { tenantId, timelineId } = timeline.facts;
  if (tenantId !== undefined && timelineId !== undefined) return { tenantId, timelineId };
  const [first] = timeline.map.layers();
  if (first === undefined) return NO_IDS;
  const held = await timeline.acquireLayer(first.name, signal);
  const { summary } = held.reader;
  held.release();
  return { tenantId: summary.tenantId, timelineId: summary.timelineId };
}

/** The layers of the new index. Those that it keeps are copied unless they are already in the output. */
async function keepLayers(
  work: Work,
  isStored: CompactTimelineOptions['isStored'],
): Promise<ReadonlyMap<string, IndexLayer>> {
  const { index, inputs, output, stored, concurrency, onProgress } = work;
  const layers = new Map(output.layers);
  const compacted = new Set(inputs.map(({ name }) => name));
  const { diskConsistentLsn } = index.fields.metadata;
  const copied: string[] = [];
  let total = 0;
  for (const [name, layer] of index.fields.layers) {
    if (compacted.has(name) || layers.has(name)) continue;
    // A pageserver would drop it from the index at startup.
    if (isFutureLayer(name, diskConsistentLsn)) continue;
    if (await isStored?.(name, layer)) layers.set(name, layer);
    else {
      copied.push(name);
      total += Number(layer.fileSize);
    }
  }
  let done = 0;
  const copies = inOrder(copied, concurrency, (name) => copyOf(work, name));
  for await (const copy of copies) {
    if (copy === undefined) continue;
    await stored.add(copy);
    done += copy.size;
    onProgress?.({ step: 'copy', done, total });
  }
  for (const [name, layer] of output.layers) layers.set(name, layer);
  return layers;
}

async function copyOf({ timeline, output, openFiles, signal }: Work, name: string) {
  const held = await timeline.acquireLayer(name, signal);
  try {
    const directory = output.stagingDirectory;
    return (await copyLayer(held.reader, { directory, openFiles, signal })).layer;
  } finally {
    held.release();
  }
}

function thresholdsOf({ threshold = 3, sparseThreshold = 16 }: TimelineImageOptions) {
  return { dense: threshold, sparse: sparseThreshold };
}

/** Throws `out-of-range`, `invalid-input`. */
function checkedImageLsn(timeline: Timeline, options: TimelineImageOptions): Lsn {
  checkOptions(options, IMAGE_OPTIONS);
  const { lsn = timeline.lastLsn, threshold, sparseThreshold, targetSize, minimumRun } = options;
  checkBigint('lsn', lsn);
  for (const [what, count] of Object.entries({
    threshold,
    sparseThreshold,
    targetSize,
    minimumRun,
  })) {
    if (count !== undefined) checkCount(what, count, { from: 1 });
  }
  const { latestGcCutoffLsn = 0n, ancestor } = timeline.facts;
  const branchLsn = ancestor?.lsn ?? 0n;
  // Below the cutoff, layers may be gone; at the branch point, the ancestor still has values.
  const lowest = latestGcCutoffLsn > branchLsn ? latestGcCutoffLsn : branchLsn;
  const highest = timeline.lastLsn;
  if (lsn >= lowest && lsn <= highest && lsn > 0n) return lsn;
  throw new StorageError('out-of-range', {
    what: 'LSN of images',
    expected: `${formatLsn(lowest)} to ${formatLsn(highest)}`,
    actual: formatLsn(lsn),
  });
}

/** Throws `not-found`. */
export function indexOf({ stored, facts }: Timeline) {
  const index = stored?.index;
  if (index !== undefined) return index;
  throw new StorageError('not-found', {
    what: `no index_part.json of timeline ${facts.timelineId ?? ''}`.trimEnd(),
    expected: 'a timeline of one shard, with its index',
  });
}

/**
 * Compacts the L0s of a timeline: L1s are made of them, and an index of a new generation names the L1s
 * in their place. No layer is deleted or changed, and older indices stay: who reads the timeline by one of
 * these finds all that it names.
 *
 *   1  the L1s are made and stored, one after the other
 *   2  layers that stay and are not where the index goes are copied there
 *   3  the index of the new generation is stored
 *
 * A run that was cut left layers that no index names. The next run of the same generation makes the same
 * layers, and stores only those that are missing.
 */
import { checkMethod, checkObject } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import type { KeyRange } from '../layers/key.ts';
import { isFutureLayer } from '../timeline/index-part/check.ts';
import type { IndexLayer } from '../timeline/index-part/layer-entry.ts';
import type { HeldLayer } from '../timeline/layer-files.ts';
import type { MapLayer } from '../timeline/layer-map/layer-map.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { compactLevel0, type ShardFilter } from './compact-level0.ts';
import { copyLayer } from './copy-layer.ts';
import { type LayerOutput, type ReshapedLayer, StoredLayers } from './layer-output.ts';
import { chooseLevel0, DEFAULT_CHECKPOINT_DISTANCE, type Level0Options } from './level0.ts';

/** Options of `compactTimeline`. */
export interface CompactTimelineOptions extends Level0Options {
  /** Where layers and index go. */
  readonly output: LayerOutput;
  /**
   * Whether a layer of the index can be named by the new one as it is. Default: none can, and all layers
   * that stay are copied.
   */
  readonly isStored?: ((name: string, layer: IndexLayer) => Promise<boolean>) | undefined;
  /** Keys of other shards are left out of the L1s. Default: none are. */
  readonly shard?: ShardFilter | undefined;
  /** Called with each layer once it is stored. */
  readonly onLayer?: ((layer: ReshapedLayer) => void | Promise<void>) | undefined;
  /** Called now and then with the number of entries that were merged. */
  readonly onProgress?: ((entries: number) => void) | undefined;
  /** Ends the compaction with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** What a compaction of a timeline did. */
export interface CompactedTimeline {
  /** The L0s that were compacted; none if there were too few. */
  readonly inputs: readonly MapLayer[];
  /** The L1s, and copies of layers that stay, in the order in which they were stored. */
  readonly layers: readonly ReshapedLayer[];
  /** Entries of the L0s. */
  readonly entries: number;
  /** Of these, entries of keys of other shards. */
  readonly droppedEntries: number;
  /** Key ranges that no L1 was laid across. */
  readonly holes: readonly KeyRange[];
  /** Path of the new index; undefined if nothing was compacted. */
  readonly indexPath: string | undefined;
}

const NOTHING: CompactedTimeline = {
  inputs: [],
  layers: [],
  entries: 0,
  droppedEntries: 0,
  holes: [],
  indexPath: undefined,
};

/**
 * Compacts the L0s of a timeline that a pageserver would compact next.
 *
 * @param timeline One with an index; of a tenant that is cut, one shard.
 * @throws `not-found` without an index; as `compactLevel0`, `copyLayer`, and the output.
 *
 * Durability: once this resolves, the layers and the index survive a crash. Until then, the index does not
 * exist.
 */
export async function compactTimeline(
  timeline: Timeline,
  options: CompactTimelineOptions,
): Promise<CompactedTimeline> {
  checkMethod('timeline', timeline, 'acquireLayer');
  checkObject('options', options);
  const { output, isStored, shard, onLayer, onProgress, signal, ...choosing } = options;
  const index = indexOf(timeline);
  const inputs = chooseLevel0(timeline.map.layers(), choosing);
  if (inputs.length === 0) return NOTHING;
  const stored = new StoredLayers(output, onLayer);
  const directory = output.stagingDirectory;
  const held: HeldLayer[] = [];
  try {
    for (const { name } of inputs) held.push(await timeline.acquireLayer(name, signal));
    const readers = held.map(({ reader }) => reader);
    const [{ tenantId, timelineId } = NO_IDS] = readers.map(({ summary }) => summary);
    const { entries, droppedEntries, holes } = await compactLevel0({
      ...{ readers, directory, tenantId, timelineId, shard, onProgress, signal },
      map: timeline.map,
      lastRecordLsn: index.fields.metadata.diskConsistentLsn,
      targetSize: choosing.checkpointDistance ?? DEFAULT_CHECKPOINT_DISTANCE,
      onLayer: (layer) => stored.add(layer),
    });
    const layers = new Map(output.layers);
    const compacted = new Set(inputs.map(({ name }) => name));
    for (const [name, layer] of index.fields.layers) {
      if (compacted.has(name) || layers.has(name)) continue;
      // A pageserver would drop it from the index as it starts.
      if (isFutureLayer(name, index.fields.metadata.diskConsistentLsn)) continue;
      if (await isStored?.(name, layer)) layers.set(name, layer);
      else {
        const kept = await timeline.acquireLayer(name, signal);
        held.push(kept);
        const { layer: copy } = await copyLayer(kept.reader, { directory, signal });
        if (copy !== undefined) await stored.add(copy);
        held.pop()?.release();
      }
    }
    for (const [name, layer] of output.layers) layers.set(name, layer);
    const indexPath = await output.putIndex(index.with({ layers }));
    return { inputs, layers: stored.list, entries, droppedEntries, holes, indexPath };
  } finally {
    for (const layer of held) layer.release();
  }
}

const NO_IDS = { tenantId: '', timelineId: '' };

/** Throws `not-found`. */
export function indexOf({ stored, facts }: Timeline) {
  const index = stored?.index;
  if (index !== undefined) return index;
  throw new StorageError('not-found', {
    what: `no index_part.json of timeline ${facts.timelineId ?? ''}`.trimEnd(),
    expected: 'a timeline of one shard, with its index',
  });
}

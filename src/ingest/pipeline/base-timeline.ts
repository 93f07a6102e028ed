/** Finds the timeline that an ingest continues: its index, where its layers are, and a reader of it. */
import { StorageError } from '../../errors.ts';
import { openLayer } from '../../layers/open-layer.ts';
import { isCommonPrefix, pathOfObject } from '../../object-store/object-store.ts';
import { chooseIndex } from '../../timeline/chosen-generation.ts';
import type { Generation } from '../../timeline/generation.ts';
import type { IndexPart } from '../../timeline/index-part/index-part.ts';
import type { LayerPlace } from '../../timeline/layer-files.ts';
import { placeOfSource, type StoredSource, timelineOfFiles } from '../../timeline/open-timeline.ts';
import { INDEX_NAME, indexGeneration, type TimelinePlace } from '../../timeline/remote-path.ts';
import { readStripeSize } from '../../timeline/shard-set.ts';
import { formatShardIndex, parseShardIndex, type ShardIndex } from '../../timeline/tenant-shard.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import { readTimelineFiles, type TimelineRoot } from '../../timeline/timeline-files.ts';
import {
  findTimelines,
  formatLocation,
  isIndexName,
  noTimelineError,
  type TimelineLocation,
} from '../../timeline/timeline-layout.ts';

/** Which timeline of a source. */
export interface TimelineChoice {
  /** Tenant, 32 hex digits. Needed if the source has several. */
  readonly tenant?: string | undefined;
  /** Timeline, 32 hex digits. Needed if the source has several. */
  readonly timeline?: string | undefined;
  /** The shard. Needed if the source has several. */
  readonly shard?: ShardIndex | undefined;
  /** Generation of the pageserver: newer indices are ignored. Default: the newest index is used. */
  readonly generation?: number | undefined;
  /** Ends the call with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

/** A timeline with an index. */
export interface IndexedTimeline {
  readonly place: TimelinePlace;
  /** For messages. */
  readonly path: string;
  readonly index: IndexPart;
  /** In the name of the index. */
  readonly generation: Generation;
  /** By names without a generation. */
  readonly layers: ReadonlyMap<string, LayerPlace>;
  /** Pages of a stripe, from the files of the tenant; otherwise the default of a new tenant. */
  readonly stripeSize: number;
  /** The caller closes it. */
  readonly timeline: Timeline;
}

/**
 * Opens the one timeline that is chosen.
 *
 * Throws: `not-found` without a timeline or an index; `invalid-input` if several timelines or shards are left, or the
 * timeline is a branch, whose layers are partly another timeline's; `unsupported-version` if relations have separate
 * keys; and as `openTimeline`.
 */
export async function openIndexed(
  source: StoredSource,
  choice: TimelineChoice,
): Promise<IndexedTimeline> {
  const { generation, signal } = choice;
  const { root, prefix, indexName } = await placeOfSource(source);
  const location = await chosenLocation(root, prefix, choice);
  const path = pathOfObject(root.store, location.prefix);
  const chosen = indexName ?? (await newestIndex(root, location, choice));
  const own = chosen === undefined ? 'invalid' : indexGeneration(chosen);
  const files =
    chosen === undefined || own === 'invalid'
      ? undefined
      : await readTimelineFiles({ root, location, indexName: chosen, signal });
  if (files?.index === undefined || own === 'invalid') {
    throw new StorageError('not-found', { what: 'timeline has no index_part.json', path });
  }
  const { index, places } = files;
  checkRelationKeys(index, path);
  const { ancestorTimeline } = index.fields.metadata;
  if (ancestorTimeline !== null) {
    throw new StorageError('invalid-input', {
      what: 'base is a branch: its layers are partly those of another timeline',
      path,
      actual: `ancestor ${ancestorTimeline}`,
    });
  }
  const place = await placeOfTimeline(location, places, choice);
  const { number, count } = place.shard;
  const shards = { count, locations: new Map([[number, location]]) };
  const stripeSize = await readStripeSize({ store: root.store, shards, generation, signal });
  const request = { root, location, indexName: chosen, options: { generation, signal } };
  const timeline = timelineOfFiles({ ...request, descendants: [] }, files);
  return { place, path, index, generation: own, layers: places, stripeSize, timeline };
}

/**
 * Ingest only writes relation directories. In a timeline whose relations also, or only, have separate keys, neither
 * form would stay complete.
 */
function checkRelationKeys({ fields }: IndexPart, path: string): void {
  const { relSizeMigration } = fields;
  if (relSizeMigration === 'legacy') return;
  throw new StorageError('unsupported-version', {
    what: 'rel_size_migration of the base: ingest does not write separate keys for relations',
    path,
    expected: 'legacy',
    actual: relSizeMigration,
  });
}

/** Name of the index to use; undefined if there is none. */
async function newestIndex(
  { store }: TimelineRoot,
  { prefix }: TimelineLocation,
  { generation, signal }: TimelineChoice,
): Promise<string | undefined> {
  const names: string[] = [];
  for await (const item of store.list(prefix + INDEX_NAME, { delimiter: '/', signal })) {
    if (!isCommonPrefix(item)) names.push(item.key.slice(prefix.length));
  }
  return chooseIndex(names.filter(isIndexName), generation)?.name;
}

async function chosenLocation(
  root: TimelineRoot,
  prefix: string,
  { tenant, timeline, shard, signal }: TimelineChoice,
): Promise<TimelineLocation> {
  const wanted = shard === undefined ? undefined : formatShardIndex(shard);
  const found: TimelineLocation[] = [];
  for await (const location of findTimelines(root.store, prefix, { tenant, timeline, signal })) {
    const isWanted =
      (tenant === undefined || (location.tenantId ?? tenant) === tenant) &&
      (timeline === undefined || (location.timelineId ?? timeline) === timeline) &&
      (wanted === undefined || (location.shard ?? '0000') === wanted);
    if (isWanted) found.push(location);
    if (found.length > 1) break;
  }
  const [first, second] = found;
  if (first === undefined) throw noTimelineError(root.store, prefix);
  if (second === undefined) return first;
  throw new StorageError('invalid-input', {
    what: 'base has several timelines: choose a tenant, a timeline and a shard',
    path: pathOfObject(root.store, prefix),
    actual: `${formatLocation(first)}, ${formatLocation(second)}`,
  });
}

/** If the layout does not contain the ids, a layer does. */
async function placeOfTimeline(
  { tenantId, timelineId, shard }: TimelineLocation,
  layers: ReadonlyMap<string, LayerPlace>,
  { signal }: TimelineChoice,
): Promise<TimelinePlace> {
  const index = parseShardIndex(shard ?? '0000');
  if (tenantId !== undefined && timelineId !== undefined) {
    return { tenantId, timelineId, shard: index };
  }
  const [first] = layers.values();
  if (first === undefined) throw new StorageError('empty', { what: 'base has no layers' });
  await using reader = await openLayer(await first.input(signal), { nameCheck: 'ignore', signal });
  const { summary } = reader;
  return { tenantId: summary.tenantId, timelineId: summary.timelineId, shard: index };
}

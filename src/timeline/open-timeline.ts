/** Opens a timeline from any source: a directory, a bucket, an index next to its layers, or a list of names. */
import { stat } from 'node:fs/promises';
import { basename, dirname, parse, resolve } from 'node:path';
import {
  checkCount,
  checkObject,
  checkOptions,
  checkSignal,
  checkText,
  itemsOf,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError } from '../errors.ts';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import { READ_OPTIONS, type ReadOptions } from '../layers/layer-file/open-file.ts';
import { nameOfSummary } from '../layers/layer-file/summary.ts';
import { formatLayerName, parseLayerName } from '../layers/layer-name.ts';
import type { Lsn } from '../layers/lsn.ts';
import { openLayer } from '../layers/open-layer.ts';
import { directoryStore } from '../object-store/directory-store.ts';
import { checkedStore } from '../object-store/foreign-store.ts';
import { directoryPrefix, type ObjectStore, pathOfObject } from '../object-store/object-store.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
import type { TimelineMetadataFields } from '../write-once/timeline-metadata.ts';
import type { IndexPartFields } from './index-part/index-fields.ts';
import { LayerFiles, type LayerPlace } from './layer-files.ts';
import { LayerMap } from './layer-map/layer-map.ts';
import { MAXIMUM_LAYERS } from './layer-map/layer-table.ts';
import { chooseShards, factsOfShards, readStripeSize, type ShardSet } from './shard-set.ts';
import {
  type StoredIndexPart,
  Timeline,
  type TimelineAncestor,
  type TimelineFacts,
  type TimelineShards,
} from './timeline.ts';
import { readTimelineFiles, type TimelineFiles, type TimelineRoot } from './timeline-files.ts';
import {
  findTimelines,
  formatLocation,
  isIndexName,
  locationOfPrefix,
  noTimelineError,
  siblingPrefix,
  type TimelineLocation,
} from './timeline-layout.ts';

/**
 * Where a timeline is. A path: a pageserver's directory, a copy of a bucket, a directory with the files of one
 * timeline, an `index_part.json` next to its layers, or a layer file, which is then treated as the whole timeline. A
 * store with a prefix: the same in a bucket. A layer: a source of its bytes. Names: nothing can be read, but the layer
 * map can be used.
 */
export type TimelineSource =
  | string
  | {
      readonly store: ObjectStore;
      readonly prefix?: string | undefined;
      /** Name of the index below the prefix. Default: the one that a pageserver would use. */
      readonly indexName?: string | undefined;
    }
  | { readonly layer: LayerInput }
  | { readonly names: Iterable<string> };

/** A source that contains timelines. */
export type StoredSource = Exclude<
  TimelineSource,
  { readonly names: unknown } | { readonly layer: unknown }
>;

/** Options of `openTimeline`. */
export interface OpenTimelineOptions {
  /** Tenant, 32 hex digits. Needed if the source has several. */
  readonly tenant?: string | undefined;
  /** Timeline, 32 hex digits. Needed if the source has several. */
  readonly timeline?: string | undefined;
  /** Generation of the pageserver: newer indices are ignored. Default: the newest index counts. */
  readonly generation?: number | undefined;
  /** Major version of Postgres, 14 to 17, for a source without an index. */
  readonly pgVersion?: number | undefined;
  /** Pages of a stripe of a sharded tenant. Default: the value in the tenant's files, or 2,048. */
  readonly stripeSize?: number | undefined;
  /** How layers are read. */
  readonly readOptions?: ReadOptions | undefined;
  /** Layers that stay open when no read uses them. Default: 64. */
  readonly maximumIdleLayers?: number | undefined;
  /** Maximum bytes of all values of one read together. Default: 1 GiB. */
  readonly maximumBytes?: number | undefined;
  /** Aborts the opening. */
  readonly signal?: AbortSignal | undefined;
}

const OPTIONS: KnownOptions<OpenTimelineOptions> = {
  tenant: true,
  timeline: true,
  generation: true,
  pgVersion: true,
  stripeSize: true,
  readOptions: true,
  maximumIdleLayers: true,
  maximumBytes: true,
  signal: true,
};

const DEFAULT_IDLE_LAYERS = 64;
const DEFAULT_MAXIMUM_BYTES = 1024 * 1024 * 1024;
/** Maximum number of timelines that an error lists. */
const LISTED_TIMELINES = 20;

/**
 * Opens a timeline. Its index is read, or its files are listed; layers are opened when they are needed.
 *
 * Several shards of one timeline are read as one: each key from the shard that owns it. If a tenant was split, the
 * shards of the highest count of which all are present are read. The directory or prefix of a single shard is read as
 * that shard only.
 *
 * @returns The timeline; close it when done.
 * @throws `not-found` if there is no timeline; `invalid-input` if there are several and none is chosen, with the
 * first of them in the message; `corrupt` for an index that cannot be read, or names a layer twice; `too-large` for
 * more than 2,097,152 files or names of layers; `io`, `network`, `denied`, `aborted`.
 *
 * @example
 * await using timeline = await openTimeline('/data/pageserver', { timeline: '5c4d…' });
 * const page = await timeline.readPage(key, timeline.lastLsn);
 */
export async function openTimeline(
  source: TimelineSource,
  options: OpenTimelineOptions = {},
): Promise<Timeline> {
  checkOpenOptions(options);
  if (typeof source === 'string') {
    if (await isLayerFile(source)) return timelineOfLayer(source, options);
    return openStored(source, options);
  }
  checkObject('source', source);
  if ('names' in source) return timelineOfNames(source.names, options);
  return 'layer' in source ? timelineOfLayer(source.layer, options) : openStored(source, options);
}

async function openStored(source: StoredSource, options: OpenTimelineOptions): Promise<Timeline> {
  const { root, prefix, indexName } = await placeOfSource(source);
  if (indexName !== undefined) {
    const location = locationOfPrefix(prefix)?.location ?? unknownAt(prefix);
    return openAt({ root, location, indexName, options, descendants: [] });
  }
  const shards = await chooseTimeline({ root, prefix }, options);
  const [location, ...others] = shards.locations.values();
  if (location !== undefined && others.length === 0) {
    return openAt({ root, location, options, descendants: [] });
  }
  return openShards(root, shards, options);
}

async function openShards(
  root: TimelineRoot,
  shards: ShardSet,
  options: OpenTimelineOptions,
): Promise<Timeline> {
  const { generation, signal } = options;
  const stripeSize =
    options.stripeSize ?? (await readStripeSize({ store: root.store, shards, generation, signal }));
  const timelines = new Map<number, Timeline>();
  for (const [number, location] of shards.locations) {
    timelines.set(number, await openAt({ root, location, options, descendants: [] }));
  }
  const facts = factsOfShards([...timelines.values()].map((timeline) => timeline.facts));
  return timelineOf(new Map(), {
    facts,
    options,
    openAncestor: noAncestor,
    shards: { sharding: { count: shards.count, stripeSize }, timelines },
  });
}

/**
 * Lists the timelines of a source.
 *
 * @returns Their places, in byte order of their prefixes.
 * @throws `not-found`, `io`, `network`, `denied`, `aborted`, `invalid-input`.
 */
export async function listTimelines(
  source: StoredSource,
  options: Pick<OpenTimelineOptions, 'tenant' | 'timeline' | 'signal'> = {},
): Promise<TimelineLocation[]> {
  checkOpenOptions(options);
  const { root, prefix } = await placeOfSource(source);
  const found: TimelineLocation[] = [];
  for await (const location of findTimelines(root.store, prefix, options)) found.push(location);
  return found;
}

/** @internal A place to search for timelines. */
export interface SourcePlace {
  readonly root: TimelineRoot;
  readonly prefix: string;
  readonly indexName?: string | undefined;
}

/** @internal The root is above all tenants if the path shows it, so that ancestors are found. */
export async function placeOfSource(source: StoredSource): Promise<SourcePlace> {
  if (typeof source === 'string') return placeOfPath(source);
  checkObject('source', source);
  const store = checkedStore(source.store);
  if (source.prefix !== undefined) checkText('prefix', source.prefix);
  const prefix = source.prefix ?? '';
  const root = { store, directory: undefined };
  if (source.indexName !== undefined) checkText('indexName', source.indexName);
  return { root, prefix: directoryPrefix(prefix), indexName: source.indexName };
}

async function placeOfPath(path: string): Promise<SourcePlace> {
  const isFile = !(await statOf(path)).isDirectory();
  const directory = resolve(isFile ? dirname(path) : path);
  const indexName = isFile ? basename(path) : undefined;
  const { root } = parse(directory);
  const parts = directory.slice(root.length).replaceAll('\\', '/');
  const timeline = locationOfPrefix(`${parts}/`);
  if (timeline === undefined) return { ...placeOf(directory, ''), indexName };
  const prefix = `${parts}/`.slice(timeline.root.length);
  return { ...placeOf(root + timeline.root, prefix), indexName };
}

function placeOf(directory: string, prefix: string): SourcePlace {
  return { root: { store: directoryStore(directory), directory }, prefix };
}

/** Any other file than an index can only be a layer. */
async function isLayerFile(path: string): Promise<boolean> {
  return !isIndexName(basename(path)) && !(await statOf(path)).isDirectory();
}

async function statOf(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    throw fromNodeError('look up source', path, error);
  }
}

async function chooseTimeline(
  { root, prefix }: SourcePlace,
  options: OpenTimelineOptions,
): Promise<ShardSet> {
  const found: TimelineLocation[] = [];
  const names = new Set<string>();
  for await (const location of findTimelines(root.store, prefix, options)) {
    if (!isWanted(location, options)) continue;
    found.push(location);
    names.add(formatLocation({ ...location, shard: undefined }));
    if (names.size > LISTED_TIMELINES) break;
  }
  const [first] = found;
  if (first === undefined) throw noTimelineError(root.store, prefix);
  if (found.length === 1) return { count: 0, locations: new Map([[0, first]]) };
  const shards = names.size === 1 ? chooseShards(found) : undefined;
  if (shards !== undefined) return shards;
  const listed = found.slice(0, LISTED_TIMELINES).map(formatLocation).join(', ');
  const more = found.length > LISTED_TIMELINES ? ', ...' : '';
  throw new StorageError('invalid-input', {
    what: `several timelines: choose a tenant and a timeline of ${listed}${more}`,
    path: pathOfObject(root.store, prefix),
  });
}

function unknownAt(prefix: string): TimelineLocation {
  return { tenantId: undefined, shard: undefined, timelineId: undefined, prefix };
}

function isWanted(
  { tenantId, timelineId }: TimelineLocation,
  options: OpenTimelineOptions,
): boolean {
  const { tenant, timeline } = options;
  return (
    (tenant === undefined || tenantId === undefined || tenant === tenantId) &&
    (timeline === undefined || timelineId === undefined || timeline === timelineId)
  );
}

/** @internal A timeline that was found. */
export interface OpenRequest {
  readonly root: TimelineRoot;
  readonly location: TimelineLocation;
  readonly indexName?: string | undefined;
  readonly options: OpenTimelineOptions;
  /** Timelines whose ancestor this one is. */
  readonly descendants: readonly string[];
}

async function openAt(request: OpenRequest): Promise<Timeline> {
  const { root, location, indexName, options } = request;
  const { generation, signal } = options;
  const files = await readTimelineFiles({ root, location, generation, indexName, signal });
  return timelineOfFiles(request, files);
}

/** @internal The timeline at a location whose files were read; the caller closes it. */
export function timelineOfFiles(
  request: OpenRequest,
  { places, ...stored }: TimelineFiles,
): Timeline {
  const { location, options } = request;
  const { index } = stored;
  const { timelineId, tenantId, shard } = location;
  const facts: TimelineFacts = {
    timelineId,
    tenantId,
    shard,
    ancestor: index && ancestorOf(index.fields.metadata),
    diskConsistentLsn: index?.fields.metadata.diskConsistentLsn,
    latestGcCutoffLsn: index?.fields.metadata.latestGcCutoffLsn,
    pgVersion: index?.fields.metadata.pgVersion ?? options.pgVersion,
    relationsMovedAt: index && relationsMovedAtOf(index.fields),
  };
  const openAncestor = (ancestorId: string) => openAncestorOf(request, ancestorId);
  return timelineOf(places, { facts, options, openAncestor, stored });
}

function relationsMovedAtOf({
  relSizeMigration,
  relSizeMigratedAt,
}: IndexPartFields): Lsn | undefined {
  return relSizeMigration === 'migrated' ? (relSizeMigratedAt ?? 0n) : undefined;
}

function ancestorOf({
  ancestorTimeline,
  ancestorLsn,
}: TimelineMetadataFields): TimelineAncestor | undefined {
  return ancestorTimeline === null ? undefined : { timelineId: ancestorTimeline, lsn: ancestorLsn };
}

async function openAncestorOf(request: OpenRequest, ancestorId: string): Promise<Timeline> {
  const { root, location, options, descendants } = request;
  const prefix = siblingPrefix(location, ancestorId);
  const path = pathOfObject(root.store, prefix ?? location.prefix);
  const family = [...descendants, location.timelineId ?? ''];
  if (family.includes(ancestorId)) {
    throw new StorageError('corrupt', { what: `timeline ${ancestorId} is its own ancestor`, path });
  }
  const missing = { what: `ancestor ${ancestorId} is not in the source`, path };
  if (prefix === undefined) throw new StorageError('not-found', missing);
  const ancestor = { ...location, timelineId: ancestorId, prefix };
  const { generation, pgVersion, readOptions, maximumIdleLayers, maximumBytes } = options;
  const opened = await openAt({
    root,
    location: ancestor,
    options: { generation, pgVersion, readOptions, maximumIdleLayers, maximumBytes },
    descendants: family,
  });
  // A prefix without objects is not a timeline: its content is unknown, not absent.
  if (opened.facts.diskConsistentLsn !== undefined || opened.map.layerCount > 0) return opened;
  throw new StorageError('not-found', missing);
}

/** A layer under any name. */
async function timelineOfLayer(layer: LayerInput, options: OpenTimelineOptions): Promise<Timeline> {
  const { readOptions, signal } = options;
  await using reader = await openLayer(layer, { ...readOptions, nameCheck: 'ignore', signal });
  const { timelineId, tenantId } = reader.summary;
  const name = formatLayerName(nameOfSummary(reader.summary));
  const place = { path: reader.path ?? name, size: undefined, input: async () => layer };
  return timelineOf(new Map([[name, place]]), {
    facts: { ...NO_FACTS, timelineId, tenantId, pgVersion: options.pgVersion },
    options,
    openAncestor: noAncestor,
  });
}

const NO_FACTS = {
  shard: undefined,
  ancestor: undefined,
  diskConsistentLsn: undefined,
  latestGcCutoffLsn: undefined,
  relationsMovedAt: undefined,
};

async function noAncestor(): Promise<Timeline> {
  throw new StorageError('not-found', { what: 'a source without an index has no ancestors' });
}

function timelineOfNames(names: Iterable<string>, options: OpenTimelineOptions): Timeline {
  const places = new Map<string, LayerPlace>();
  for (const name of itemsOf('names', names)) {
    // The layer map refuses them.
    if (places.size > MAXIMUM_LAYERS) break;
    const canonical = formatLayerName({ ...parseLayerName(name), generation: undefined });
    places.set(canonical, {
      path: name,
      size: undefined,
      input: async () => {
        throw new StorageError('invalid-input', {
          what: 'the source has only names of layers: they cannot be read',
          path: name,
        });
      },
    });
  }
  const { timeline: timelineId, tenant: tenantId, pgVersion } = options;
  const facts = { ...NO_FACTS, timelineId, tenantId, pgVersion };
  return timelineOf(places, { facts, options, openAncestor: noAncestor });
}

function timelineOf(
  places: ReadonlyMap<string, LayerPlace>,
  about: {
    readonly facts: TimelineFacts;
    readonly options: OpenTimelineOptions;
    readonly openAncestor: (timelineId: string) => Promise<Timeline>;
    readonly shards?: TimelineShards;
    readonly stored?: StoredIndexPart;
  },
): Timeline {
  const { facts, options, openAncestor, shards, stored } = about;
  const sizes = new Map<string, number | bigint>();
  for (const [name, { size }] of places) if (size !== undefined) sizes.set(name, size);
  const files = new LayerFiles(places, {
    readOptions: options.readOptions ?? {},
    tenantId: facts.tenantId,
    maximumIdle: options.maximumIdleLayers ?? DEFAULT_IDLE_LAYERS,
  });
  const map = LayerMap.fromNames(places.keys(), { sizes });
  const maximumBytes = options.maximumBytes ?? DEFAULT_MAXIMUM_BYTES;
  return new Timeline({ facts, map, files, openAncestor, shards, stored, maximumBytes });
}

function checkOpenOptions(options: OpenTimelineOptions): void {
  checkOptions(options, OPTIONS);
  const { tenant, timeline, generation, pgVersion, stripeSize, readOptions, signal } = options;
  for (const [what, id] of Object.entries({ tenant, timeline })) {
    if (id !== undefined) checkText(what, id);
    if (id === undefined || /^[0-9a-f]{32}$/.test(id)) continue;
    throw new StorageError('invalid-input', {
      what,
      expected: '32 lower-case hex digits',
      actual: id,
    });
  }
  if (generation !== undefined) checkCount('generation', generation, { to: 0xffff_ffff });
  if (pgVersion !== undefined) checkCount('pgVersion', pgVersion, { from: 14, to: 17 });
  if (stripeSize !== undefined) checkCount('stripeSize', stripeSize, { from: 1, to: 0xffff_ffff });
  if (readOptions !== undefined) checkOptions(readOptions, READ_OPTIONS);
  checkSignal(signal);
}

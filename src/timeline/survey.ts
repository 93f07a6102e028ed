/** Surveys the place of a timeline: its index, its layers, leftovers of writers, and unknown files. */
import { isStorageError, type StorageError } from '../errors.ts';
import { type ObjectInfo, type ObjectStore, pathOfObject } from '../object-store/object-store.ts';
import { readWhole } from '../object-store/read-whole.ts';
import { chooseIndex } from './chosen-generation.ts';
import { formatGenerationSuffix } from './generation.ts';
import { IndexPart, MAXIMUM_INDEX_SIZE } from './index-part/index-part.ts';
import type { IndexLayer } from './index-part/layer-entry.ts';
import { listFiles } from './list-files.ts';
import { parseLocalTimelineFile } from './local-name.ts';
import type { LayerFileRecord, LayerRecord } from './reconcile.ts';
import { INDEX_NAME, indexGeneration, parseTimelineObject } from './remote-path.ts';
import { formatShardIndex, isUnsharded } from './tenant-shard.ts';
import { findTimelines, shardPrefix, type TimelineLocation } from './timeline-layout.ts';

/** A file that is not a layer. */
export interface SurveyedFile {
  /** Without its directory. */
  readonly name: string;
  /** For messages. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

/** An object of a layer, and where it is in the store. */
export interface SurveyedLayer extends LayerFileRecord {
  /** Key in the store. */
  readonly key: string;
  /** Bytes, according to the listing. */
  readonly size: number;
}

/** The index that is used. */
export interface SurveyedIndex {
  /** For messages. */
  readonly path: string;
  /** By its name. */
  readonly generation: number | undefined;
  readonly content: IndexPart;
  readonly layers: readonly LayerRecord[];
}

/** The result of the survey of one timeline. */
export interface TimelineSurvey {
  readonly location: TimelineLocation;
  readonly store: ObjectStore;
  /** The directory that the store is, if it is one: its layers can be opened as files. */
  readonly directory: string | undefined;
  /** A place with an index is a bucket, or a copy of one; a place without an index is the directory of a pageserver. */
  readonly kind: 'local' | 'remote';
  /** Undefined without an index, and for one that cannot be read. */
  readonly index: SurveyedIndex | undefined;
  /** Why the index cannot be read. */
  readonly indexError: StorageError | undefined;
  /** False if the store cannot list: then it is unknown which layers exist. */
  readonly isListed: boolean;
  /** In byte order of their keys. */
  readonly layers: readonly SurveyedLayer[];
  /** Files that a pageserver removes at startup. */
  readonly leftovers: readonly SurveyedFile[];
  /** Files that are unknown to a pageserver. */
  readonly unknown: readonly SurveyedFile[];
}

export interface SurveyRequest {
  readonly store: ObjectStore;
  /** The directory that the store is, if it is one. */
  readonly directory: string | undefined;
  readonly location: TimelineLocation;
  /** Name of the index to use. Default: the one that a pageserver would use. */
  readonly indexName?: string | undefined;
  /** Generation of the pageserver: newer indices are ignored. */
  readonly generation?: number | undefined;
  /** More files than this are refused. Default: 2,097,152. */
  readonly maximumFiles?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Lists a timeline and reads its index.
 *
 * @throws As the store; `too-large` for too many files. An index that is damaged is part of the result.
 */
export async function surveyTimeline(request: SurveyRequest): Promise<TimelineSurvey> {
  const { store, directory, location } = request;
  const { prefix } = location;
  const files = await listFiles(store, prefix, request);
  const names = files.map(({ key }) => key.slice(prefix.length));
  const indexName = request.indexName ?? chooseIndex(names, request.generation)?.name;
  const kind = names.some(isIndex) ? 'remote' : 'local';
  const read = indexName === undefined ? NO_INDEX : await readIndex(request, prefix + indexName);
  const indexed = read.index?.layers ?? [];
  const sorted = sortFiles(store, prefix, files, kind);
  const own = withShards(sorted.layers, location, indexed);
  const claimed = await claimsOfOtherShards(request, own, indexed);
  const elsewhere = await layersOfOtherShards(request, indexed);
  const layers = [...own.filter((layer) => !claimed.has(claimOf(layer))), ...elsewhere];
  return { location, store, directory, kind, isListed: true, ...read, ...sorted, layers };
}

/** Reads an index from a store that cannot list. Throws as the store. */
export async function surveyIndex(request: SurveyRequest, key: string): Promise<TimelineSurvey> {
  const { store, directory, location } = request;
  const read = await readIndex(request, key);
  const nothing = { layers: [], leftovers: [], unknown: [] };
  return { location, store, directory, kind: 'remote', isListed: false, ...read, ...nothing };
}

/** Only the index of a timeline; undefined if there is none or it is damaged. Throws as the store. */
export async function surveyedIndex(request: SurveyRequest): Promise<SurveyedIndex | undefined> {
  const { prefix } = request.location;
  const files = await listFiles(request.store, prefix + INDEX_NAME, request);
  const names = files.map(({ key }) => key.slice(prefix.length));
  const chosen = chooseIndex(names, request.generation);
  return chosen && (await readIndex(request, prefix + chosen.name)).index;
}

/**
 * The location of a layer according to the index; undefined if the layer belongs to a shard whose location is unknown.
 */
export function keyOfIndexed(
  { location }: Pick<TimelineSurvey, 'location'>,
  { name, generation, shard }: LayerRecord,
): string | undefined {
  const isOwn = shard === location.shard || location.tenantId === undefined;
  const prefix = isOwn ? location.prefix : shardPrefix(location, shard ?? '0000');
  return prefix === undefined ? undefined : prefix + name + formatGenerationSuffix(generation);
}

/** An index, or why there is none. */
type ReadIndex = Pick<TimelineSurvey, 'index' | 'indexError'>;

const NO_INDEX: ReadIndex = { index: undefined, indexError: undefined };

async function readIndex({ store, signal }: SurveyRequest, key: string): Promise<ReadIndex> {
  const path = pathOfObject(store, key);
  try {
    const reading = { maximumLength: MAXIMUM_INDEX_SIZE, signal };
    const { bytes } = await readWhole(store, key, reading);
    const content = IndexPart.parse(bytes, { path });
    const named = indexGeneration(key.slice(key.lastIndexOf('/') + 1));
    const generation = named === 'invalid' ? undefined : named;
    const layers = [...content.fields.layers].map(recordOf);
    return { index: { path, generation, content, layers }, indexError: undefined };
  } catch (error) {
    if (!isStorageError(error) || !INDEX_DAMAGE.has(error.code)) throw error;
    return { index: undefined, indexError: error };
  }
}

/** Codes of errors for an index that was read but is invalid. */
const INDEX_DAMAGE: ReadonlySet<string> = new Set([
  'corrupt',
  'truncated',
  'unsupported-version',
  'out-of-range',
  'too-large',
  'invalid-input',
  'ambiguous-name',
]);

function recordOf([name, { fileSize, generation, shard }]: readonly [
  string,
  IndexLayer,
]): LayerRecord {
  return {
    name,
    size: fileSize,
    generation,
    shard: isUnsharded(shard) ? undefined : formatShardIndex(shard),
  };
}

type SortedFiles = Pick<TimelineSurvey, 'layers' | 'leftovers' | 'unknown'>;

function sortFiles(
  store: ObjectStore,
  prefix: string,
  files: readonly ObjectInfo[],
  kind: 'local' | 'remote',
): SortedFiles {
  const layers: SurveyedLayer[] = [];
  const leftovers: SurveyedFile[] = [];
  const unknown: SurveyedFile[] = [];
  for (const { key, size } of files) {
    const name = key.slice(prefix.length);
    const file = { name, path: pathOfObject(store, key), size };
    const what = kind === 'remote' ? whatInBucket(name) : parseLocalTimelineFile(name);
    if (what.kind === 'layer') {
      layers.push({ ...file, name: what.name, generation: what.generation, key });
    } else if (what.kind === 'leftover') leftovers.push(file);
    else if (what.kind === 'unknown') unknown.push(file);
  }
  return { layers, leftovers, unknown };
}

/** A copy of a bucket may have layers under their local names, and what a pageserver left. */
function whatInBucket(
  name: string,
): ReturnType<typeof parseTimelineObject> | ReturnType<typeof parseLocalTimelineFile> {
  const object = parseTimelineObject(name);
  return object.kind === 'unknown' ? parseLocalTimelineFile(name) : object;
}

function isIndex(name: string): boolean {
  return name.startsWith(INDEX_NAME) && indexGeneration(name) !== 'invalid';
}

/** Files in one directory, without a tenant above them, belong to its index, whatever their shards. */
function withShards(
  layers: readonly SurveyedLayer[],
  location: TimelineLocation,
  indexed: readonly LayerRecord[],
): SurveyedLayer[] {
  if (layers.length === 0) return [];
  if (location.tenantId !== undefined) {
    return layers.map((layer) => ({ ...layer, shard: location.shard }));
  }
  const shards = new Map(indexed.map(({ name, shard }) => [name, shard]));
  return layers.map((layer) => ({ ...layer, shard: shards.get(layer.name) }));
}

/** After a split, layers of the parent shard stay where they are. Other layers there do not belong to this shard. */
async function layersOfOtherShards(
  request: SurveyRequest,
  indexed: readonly LayerRecord[],
): Promise<SurveyedLayer[]> {
  const { store, location } = request;
  const wanted = new Map<string, Set<string>>();
  for (const { name, shard = '0000' } of indexed) {
    if (shard === (location.shard ?? '0000')) continue;
    const names = wanted.get(shard) ?? new Set();
    wanted.set(shard, names.add(name));
  }
  const found: SurveyedLayer[] = [];
  for (const [shard, names] of wanted) {
    const prefix = shardPrefix(location, shard);
    if (prefix === undefined) continue;
    const { layers } = sortFiles(store, prefix, await listFiles(store, prefix, request), 'remote');
    for (const layer of layers) {
      if (names.has(layer.name))
        found.push({ ...layer, shard: shard === '0000' ? undefined : shard });
    }
  }
  return found;
}

/**
 * After a split, the indices of the children name layers in the directory of the parent, which the parent's index may
 * not name. They are read only if there are layers that the own index does not name.
 */
async function claimsOfOtherShards(
  request: SurveyRequest,
  layers: readonly SurveyedLayer[],
  indexed: readonly LayerRecord[],
): Promise<Set<string>> {
  const { store, location, signal } = request;
  const { tenantId, timelineId, prefix } = location;
  const claimed = new Set<string>();
  if (layers.length === 0 || tenantId === undefined || timelineId === undefined) return claimed;
  const own = new Set(indexed.map(claimOf));
  const isNamed = layers.every((layer) => own.has(claimOf(layer)));
  if (isNamed || indexed.length === 0) return claimed;
  const root = prefix.slice(0, prefix.lastIndexOf('tenants/'));
  const filter = { tenant: tenantId, timeline: timelineId, signal };
  for await (const other of findTimelines(store, root, filter)) {
    if (other.prefix === prefix || other.timelineId !== timelineId) continue;
    const index = await surveyedIndex({ ...request, location: other });
    for (const layer of index?.layers ?? []) {
      if (layer.shard === location.shard && !own.has(claimOf(layer))) claimed.add(claimOf(layer));
    }
  }
  return claimed;
}

function claimOf({ name, generation }: LayerRecord): string {
  return `${name} ${generation}`;
}

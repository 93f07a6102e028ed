/**
 * The files of one timeline in its place: which layers it has, by its index or, without one, by the listing, and
 * from where each is read.
 */
import { join } from 'node:path';
import { isStorageError, StorageError } from '../errors.ts';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import { formatLayerName, type LayerName, parseLayerName } from '../layers/layer-name.ts';
import type { Lsn } from '../layers/lsn.ts';
import {
  isCommonPrefix,
  type ObjectInfo,
  type ObjectStore,
  pathOfObject,
  readWhole,
} from '../object-store/object-store.ts';
import {
  type IndexedLayer,
  newestIndexName,
  parseTimelineIndex,
  type TimelineIndex,
} from './index-fields.ts';
import type { LayerPlace } from './layer-files.ts';
import { isIndexName, shardPrefix, type TimelineLocation } from './timeline-layout.ts';

/** An object store, and the directory that it is, if it is one. */
export interface TimelineRoot {
  readonly store: ObjectStore;
  /** Layers below a directory are opened as files. */
  readonly directory: string | undefined;
}

/** What one timeline has, before any layer is opened. */
export interface TimelineFiles {
  /** By names without a generation. */
  readonly places: ReadonlyMap<string, LayerPlace>;
  /** Undefined for a pageserver's directory, whose index is in the bucket. */
  readonly index: TimelineIndex | undefined;
}

export interface TimelineFilesRequest {
  readonly root: TimelineRoot;
  readonly location: TimelineLocation;
  /** Generation of the pageserver: newer indices are ignored. Default: the newest counts. */
  readonly generation?: number | undefined;
  /** Name of the index to use. Default: the one that counts. */
  readonly indexName?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An index of 10,000 layers has 2 MB. */
const MAXIMUM_INDEX_LENGTH = 1024 * 1024 * 1024;

/** Throws as the store, and `corrupt` for an index that cannot be read. */
export async function readTimelineFiles(request: TimelineFilesRequest): Promise<TimelineFiles> {
  const { root, location, generation, signal } = request;
  const { prefix } = location;
  const listed = root.directory === undefined ? undefined : await listFiles(request, prefix);
  const indices = listed ?? (await listFiles(request, `${prefix}index_part.json`));
  const names = indices.map(({ key }) => key.slice(prefix.length)).filter(isIndexName);
  const indexName = request.indexName ?? newestIndexName(names, generation);
  if (indexName === undefined) {
    return {
      places: placesOf(root, listed ?? (await listFiles(request, prefix)), prefix),
      index: undefined,
    };
  }
  const key = prefix + indexName;
  const reading = { maximumLength: MAXIMUM_INDEX_LENGTH, signal };
  const { bytes } = await readWhole(root.store, key, reading);
  const index = parseTimelineIndex(bytes, pathOfObject(root.store, key));
  return { places: indexedPlaces(request, index, listed), index };
}

async function listFiles(
  { root, signal }: TimelineFilesRequest,
  prefix: string,
): Promise<ObjectInfo[]> {
  const files: ObjectInfo[] = [];
  for await (const item of root.store.list(prefix, { delimiter: '/', signal })) {
    if (!isCommonPrefix(item)) files.push(item);
  }
  return files;
}

/** Layers by their files. Of two files of one layer the last one counts, as for a pageserver. */
function placesOf(
  root: TimelineRoot,
  files: readonly ObjectInfo[],
  prefix: string,
): Map<string, LayerPlace> {
  const places = new Map<string, LayerPlace>();
  for (const { key } of files) {
    const name = layerNameOf(key.slice(prefix.length));
    if (name !== undefined) places.set(canonicalName(name), placeOf(root, key, undefined));
  }
  return places;
}

/** Layers of the index. A local file may have another suffix than the index says: its layer counts. */
function indexedPlaces(
  { root, location }: TimelineFilesRequest,
  index: TimelineIndex,
  listed: readonly ObjectInfo[] | undefined,
): Map<string, LayerPlace> {
  const places = new Map<string, LayerPlace>();
  const present = new Set(listed?.map(({ key }) => key));
  const beside = listed === undefined ? undefined : placesOf(root, listed, location.prefix);
  for (const layer of index.layers) {
    const name = parseLayerName(layer.name);
    if (isFuture(name, index.diskConsistentLsn)) continue;
    const canonical = canonicalName(name);
    const key = keyOfLayer(location, layer, canonical);
    const local = present.has(key) ? undefined : beside?.get(canonical);
    places.set(canonical, { ...(local ?? placeOf(root, key, undefined)), size: layer.size });
  }
  return places;
}

/** Whether a layer was written after the LSN up to which everything is durable; a pageserver drops it. */
function isFuture(name: LayerName, diskConsistentLsn: Lsn): boolean {
  if (name.kind === 'image') return name.lsn > diskConsistentLsn;
  return name.lsnRange.end > diskConsistentLsn + 1n;
}

/** After a split, layers of the parent shard stay where they are. */
function keyOfLayer(location: TimelineLocation, layer: IndexedLayer, canonical: string): string {
  const isOwn = layer.shard === (location.shard ?? '0000');
  const prefix = isOwn ? location.prefix : (shardPrefix(location, layer.shard) ?? location.prefix);
  return `${prefix}${canonical}${layer.generation === undefined ? '' : `-${layer.generation}`}`;
}

function placeOf(
  { store, directory }: TimelineRoot,
  key: string,
  size: number | undefined,
): LayerPlace {
  const path = pathOfObject(store, key);
  if (directory !== undefined) return { path, size, input: async () => join(directory, key) };
  return { path, size, input: (signal) => objectInput(store, key, signal) };
}

/** The object as it is now: if it changes while it is read, reads fail. */
async function objectInput(
  store: ObjectStore,
  key: string,
  signal: AbortSignal | undefined,
): Promise<LayerInput> {
  const info = await store.head(key, { signal });
  const path = pathOfObject(store, key);
  if (info === undefined) throw new StorageError('not-found', { what: 'no such layer', path });
  const { size, etag } = info;
  return {
    size,
    path,
    maximumGap: store.maximumGap,
    async read(target, offset) {
      const length = Math.max(0, Math.min(target.length, size - offset));
      if (length === 0) return 0;
      await store.readRanges(key, [{ target: target.subarray(0, length), offset }], { etag });
      return length;
    },
    readRanges: (ranges, options) => store.readRanges(key, ranges, { ...options, etag }),
  };
}

function canonicalName(name: LayerName): string {
  return formatLayerName({ ...name, generation: undefined });
}

/** Undefined for other files, such as temporary ones. */
function layerNameOf(name: string): LayerName | undefined {
  if (/\.(___temp|temp_download)$/.test(name)) return undefined;
  try {
    return parseLayerName(name);
  } catch (error) {
    if (isStorageError(error, 'invalid-input')) return undefined;
    throw error;
  }
}

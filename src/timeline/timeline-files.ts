/**
 * The files of one timeline: which layers it has, according to its index or, without one, to the listing, and where
 * each is read from.
 */
import { join } from 'node:path';
import { isStorageError } from '../errors.ts';
import { formatLayerName, type LayerName, parseLayerName } from '../layers/layer-name.ts';
import { objectSource } from '../object-store/object-source.ts';
import { type ObjectInfo, type ObjectStore, pathOfObject } from '../object-store/object-store.ts';
import { readWhole } from '../object-store/read-whole.ts';
import { chooseIndex } from './chosen-generation.ts';
import { formatGenerationSuffix, type Generation } from './generation.ts';
import { isFutureLayer } from './index-part/check.ts';
import { IndexPart, MAXIMUM_INDEX_SIZE } from './index-part/index-part.ts';
import type { IndexLayer } from './index-part/layer-entry.ts';
import type { LayerPlace } from './layer-files.ts';
import { listFiles } from './list-files.ts';
import { INDEX_NAME, indexGeneration } from './remote-path.ts';
import { formatShardIndex } from './tenant-shard.ts';
import { isIndexName, shardPrefix, type TimelineLocation } from './timeline-layout.ts';

/** An object store, and the directory that it reads, if it does. */
export interface TimelineRoot {
  readonly store: ObjectStore;
  /** Layers below a directory are opened as files. */
  readonly directory: string | undefined;
}

/** The contents of one timeline, before any layer is opened. */
export interface TimelineFiles {
  /** By names without a generation. */
  readonly places: ReadonlyMap<string, LayerPlace>;
  /** Undefined for a pageserver's directory, whose index is in the bucket. */
  readonly index: IndexPart | undefined;
  /** Of the index, in its name. */
  readonly generation: Generation;
}

export interface TimelineFilesRequest {
  readonly root: TimelineRoot;
  readonly location: TimelineLocation;
  /** Generation of the pageserver: newer indices are ignored. Default: the newest index is used. */
  readonly generation?: number | undefined;
  /** Name of the index to use. Default: the one that a pageserver would use. */
  readonly indexName?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Throws as the store, `too-large` for too many files, and `corrupt` for an index that cannot be read. */
export async function readTimelineFiles(request: TimelineFilesRequest): Promise<TimelineFiles> {
  const { root, location, signal } = request;
  const { prefix } = location;
  const listed =
    root.directory === undefined ? undefined : await listFiles(root.store, prefix, { signal });
  const indexName = request.indexName ?? (await chosenIndex(request, listed));
  if (indexName === undefined) {
    return {
      places: placesOf(root, listed ?? (await listFiles(root.store, prefix, { signal })), prefix),
      index: undefined,
      generation: undefined,
    };
  }
  const key = prefix + indexName;
  const reading = { maximumLength: MAXIMUM_INDEX_SIZE, signal };
  const { bytes } = await readWhole(root.store, key, reading);
  const index = IndexPart.parse(bytes, { path: pathOfObject(root.store, key) });
  const generation = indexGeneration(indexName);
  return {
    places: indexedPlaces(request, index, listed),
    index,
    generation: generation === 'invalid' ? undefined : generation,
  };
}

async function chosenIndex(
  request: TimelineFilesRequest,
  listed: readonly ObjectInfo[] | undefined,
): Promise<string | undefined> {
  const { prefix } = request.location;
  const files = listed ?? (await listFiles(request.root.store, prefix + INDEX_NAME, request));
  const names = files.map(({ key }) => key.slice(prefix.length)).filter(isIndexName);
  return chooseIndex(names, request.generation)?.name;
}

/** Layers by their files. If a layer has two files, the last one is used, as by a pageserver. */
function placesOf(
  root: TimelineRoot,
  files: readonly ObjectInfo[],
  prefix: string,
): Map<string, LayerPlace> {
  const places = new Map<string, LayerPlace>();
  for (const { key } of files) {
    const name = layerNameOf(key.slice(prefix.length));
    if (name !== undefined) places.set(canonicalName(name), placeOf(root, key));
  }
  return places;
}

/**
 * Layers of the index. A local file may have another suffix than the index says; only the layer in its name matters.
 */
function indexedPlaces(
  { root, location }: TimelineFilesRequest,
  index: IndexPart,
  listed: readonly ObjectInfo[] | undefined,
): Map<string, LayerPlace> {
  const places = new Map<string, LayerPlace>();
  const present = new Set(listed?.map(({ key }) => key));
  const beside = listed === undefined ? undefined : placesOf(root, listed, location.prefix);
  const { layers, metadata } = index.fields;
  for (const [name, layer] of layers) {
    if (isFutureLayer(name, metadata.diskConsistentLsn)) continue;
    const canonical = canonicalName(parseLayerName(name));
    const key = keyOfLayer(location, layer, canonical);
    const local = present.has(key) ? undefined : beside?.get(canonical);
    places.set(canonical, { ...(local ?? placeOf(root, key)), size: layer.fileSize });
  }
  return places;
}

/** After a split, layers of the parent shard stay where they are. */
function keyOfLayer(location: TimelineLocation, layer: IndexLayer, canonical: string): string {
  const shard = formatShardIndex(layer.shard);
  const isOwn = shard === (location.shard ?? '0000');
  const prefix = isOwn ? location.prefix : (shardPrefix(location, shard) ?? location.prefix);
  return `${prefix}${canonical}${formatGenerationSuffix(layer.generation)}`;
}

function placeOf({ store, directory }: TimelineRoot, key: string): LayerPlace {
  const path = pathOfObject(store, key);
  if (directory !== undefined)
    return { path, size: undefined, input: async () => join(directory, key) };
  return { path, size: undefined, input: (signal) => objectSource(store, key, { signal }) };
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

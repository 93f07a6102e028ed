/**
 * Paths of objects in remote storage.
 *
 *   tenants/{T}{S}/timelines/{TL}/{layer name}{G}       layer; S and G from its index entry
 *   tenants/{T}{S}/timelines/{TL}/index_part.json{G}    index
 *   tenants/{T}/timelines/{TL}/initdb.tar.zst           never with a shard; and initdb-preserved.tar.zst
 *   tenants/{T}{S}/tenant-manifest{G}.json              manifest
 *   tenants/{T}{S}/heatmap-v1.json                      heatmap
 *
 *   T   tenant id, 32 hex digits       TL  timeline id, 32 hex digits
 *   S   - and 4 hex digits, or nothing G   - and 8 hex digits, or nothing
 *
 * Source: Neon pageserver/src/tenant/remote_timeline_client.rs.
 */
import { checkObject, checkOneOf, checkText } from '../check-options.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { formatIdentifier, parseIdentifier } from '../layers/identifier.ts';
import { formatLayerName, type LayerName, parseLayerName } from '../layers/layer-name.ts';
import { isCanonicalName } from '../layers/name-digits.ts';
import { formatGenerationSuffix, type Generation, parseGeneration } from './generation.ts';
import {
  formatTenantShard,
  parseTenantShard,
  type ShardIndex,
  type TenantShard,
  UNSHARDED,
} from './tenant-shard.ts';

/** Name of an index without its generation. */
export const INDEX_NAME = 'index_part.json';

/** The kind of an object of a timeline, by its name. */
export type TimelineObject =
  | {
      readonly kind: 'layer';
      /** In canonical form, without the generation. */
      readonly name: string;
      readonly generation: Generation;
    }
  | { readonly kind: 'index'; readonly generation: Generation }
  | { readonly kind: 'initdb' }
  | { readonly kind: 'initdb-preserved' }
  | { readonly kind: 'unknown'; readonly name: string };

/** The kind of an object of a tenant, by its path. */
export type RemoteObject = TenantShard &
  (
    | { readonly kind: 'manifest'; readonly generation: Generation }
    | { readonly kind: 'heatmap' }
    | { readonly kind: 'timeline'; readonly timelineId: string; readonly object: TimelineObject }
    | { readonly kind: 'unknown'; readonly name: string }
  );

/** Where a timeline is stored. */
export interface TimelinePlace extends TenantShard {
  /** 32 hex digits. */
  readonly timelineId: string;
}

/** The parts of a layer's path. */
export interface RemoteLayer {
  /** Tenant, timeline, and the shard that reads the layer. */
  readonly place: TimelinePlace;
  /** A layer name, with or without a generation, which is ignored. */
  readonly name: string;
  /** From the entry of the index. */
  readonly generation?: Generation;
  /** From the entry of the index: the shard that wrote the layer; default: not sharded. */
  readonly shard?: ShardIndex | undefined;
}

/** The directory of a timeline, without a slash at its end. */
export function remoteTimelinePath(place: TimelinePlace): string {
  checkObject('place of a timeline', place);
  const { tenantId, shard, timelineId } = place;
  const timeline = formatIdentifier(parseIdentifier(timelineId, 'timeline id'));
  return `tenants/${formatTenantShard({ tenantId, shard })}/timelines/${timeline}`;
}

/** The path of a layer. */
export function remoteLayerPath(layer: RemoteLayer): string {
  checkObject('layer', layer);
  const { place, name, generation, shard } = layer;
  const directory = remoteTimelinePath({ ...place, shard: shard ?? UNSHARDED });
  return `${directory}/${canonicalName(parseLayerName(name))}${formatGenerationSuffix(generation)}`;
}

/** The path of an index. */
export function remoteIndexPath(place: TimelinePlace, generation: Generation): string {
  return `${remoteTimelinePath(place)}/${INDEX_NAME}${formatGenerationSuffix(generation)}`;
}

/** The path of the archive of a new cluster, or of its preserved copy. */
export function remoteInitdbPath(
  place: TimelinePlace,
  which: 'initdb' | 'initdb-preserved' = 'initdb',
): string {
  checkOneOf('archive', which, ['initdb', 'initdb-preserved']);
  return `${remoteTimelinePath({ ...place, shard: UNSHARDED })}/${which}.tar.zst`;
}

/** The path of the manifest of a tenant. */
export function remoteManifestPath(tenant: TenantShard, generation: Generation): string {
  const suffix = formatGenerationSuffix(generation);
  return `tenants/${formatTenantShard(tenant)}/tenant-manifest${suffix}.json`;
}

/** The path of the heatmap of a tenant. */
export function remoteHeatmapPath(tenant: TenantShard): string {
  return `tenants/${formatTenantShard(tenant)}/heatmap-v1.json`;
}

/**
 * Parses the path of an object. The path begins with `tenants/`; anything before that is the prefix in the bucket.
 *
 * @throws `invalid-input` for a path that is not below a tenant.
 */
export function parseRemotePath(path: string): RemoteObject {
  checkText('path', path);
  const [root, tenant, ...rest] = path.split('/');
  if (root !== 'tenants' || tenant === undefined || rest.length === 0) {
    throw new StorageError('invalid-input', {
      what: 'path in remote storage',
      expected: 'tenants/{tenant}/…',
      actual: JSON.stringify(path),
    });
  }
  const place = parseTenantShard(tenant);
  const [first = '', timeline = '', name, ...deeper] = rest;
  if (first === 'timelines' && name !== undefined && deeper.length === 0) {
    if (/^[0-9a-fA-F]{32}$/.test(timeline)) {
      const object = parseTimelineObject(name);
      return { ...place, kind: 'timeline', timelineId: timeline.toLowerCase(), object };
    }
  }
  if (rest.length === 1) {
    if (first === 'heatmap-v1.json') return { ...place, kind: 'heatmap' };
    const generation = manifestGeneration(first);
    if (generation !== 'invalid') return { ...place, kind: 'manifest', generation };
  }
  return { ...place, kind: 'unknown', name: rest.join('/') };
}

/** What an object in the directory of a timeline is. */
export function parseTimelineObject(name: string): TimelineObject {
  checkText('name', name);
  if (name === 'initdb.tar.zst') return { kind: 'initdb' };
  if (name === 'initdb-preserved.tar.zst') return { kind: 'initdb-preserved' };
  if (name.startsWith(INDEX_NAME)) {
    const generation = indexGeneration(name);
    return generation === 'invalid' ? { kind: 'unknown', name } : { kind: 'index', generation };
  }
  const { stem, generation } = cutGeneration(name);
  if (generation !== 'invalid' && isCanonicalName(stem)) {
    return { kind: 'layer', name: stem, generation };
  }
  const layer = generation === 'invalid' ? undefined : parsedOrUndefined(stem);
  if (generation === 'invalid' || layer === undefined || layer.generation !== undefined)
    return { kind: 'unknown', name };
  return { kind: 'layer', name: canonicalName(layer), generation };
}

/** The generation in the name of an index: what follows the first `-`. */
export function indexGeneration(name: string): Generation | 'invalid' {
  checkText('name', name);
  const dash = name.indexOf('-');
  if (dash < 0) return name === INDEX_NAME ? undefined : 'invalid';
  return name.slice(0, dash) === INDEX_NAME ? parseGeneration(name.slice(dash + 1)) : 'invalid';
}

/** The generation in the name of a manifest: exactly 8 lower-case digits before the extension. */
export function manifestGeneration(name: string): Generation | 'invalid' {
  checkText('name', name);
  const match = /^tenant-manifest(?:-([0-9a-f]{8}))?\.json$/.exec(name);
  if (match === null) return 'invalid';
  return match[1] === undefined ? undefined : Number.parseInt(match[1], 16);
}

/**
 * Cut at the last `-` if 8 characters follow, so that the generation of an image is not mistaken for the end of a
 * delta.
 */
function cutGeneration(name: string): {
  readonly stem: string;
  readonly generation: Generation | 'invalid';
} {
  const dash = name.lastIndexOf('-');
  if (dash < 0 || name.length - dash !== 9) return { stem: name, generation: undefined };
  return { stem: name.slice(0, dash), generation: parseGeneration(name.slice(dash + 1)) };
}

function canonicalName(layer: LayerName): string {
  return formatLayerName({ ...layer, generation: undefined });
}

function parsedOrUndefined(name: string): LayerName | undefined {
  try {
    return parseLayerName(name);
  } catch (error) {
    if (isStorageError(error, 'invalid-input', 'ambiguous-name')) return undefined;
    throw error;
  }
}

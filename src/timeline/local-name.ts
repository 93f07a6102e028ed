/**
 * Names in the directories of a pageserver, and what it does with each at startup.
 *
 *   tenants/                 {T}{S}                             tenant
 *   tenants/{T}{S}/          config-v1, heatmap-v1.json, timelines/
 *   …/timelines/             {TL}                               timeline
 *   …/timelines/{TL}/        {layer name}-v1-{generation}       layer; no suffix: no generation
 *                            ephemeral-{decimal}                open layer, removed
 *                            *.___temp, *.temp_download, *.old  unfinished, removed
 *
 * Any other name in the directory of a timeline prevents the tenant from being loaded. A name is first tried as a layer
 * name, which may end in `-v` and any text: `K-K__L-v1-00000002.1.temp_download` is a layer.
 *
 * Source: Neon pageserver/src/tenant/timeline/init.rs and mgr.rs.
 */
import { checkText } from '../check-options.ts';
import { isStorageError } from '../errors.ts';
import { formatLayerName, type LayerName, parseLayerName } from '../layers/layer-name.ts';
import { formatGenerationSuffix, type Generation } from './generation.ts';
import { parseTenantShard, type TenantShard } from './tenant-shard.ts';

/** A file in the directory of a timeline. */
export type LocalTimelineFile =
  | {
      readonly kind: 'layer';
      /** In canonical form, without the generation. */
      readonly name: string;
      /** As in the name of the file; a pageserver does not compare it with the index. */
      readonly generation: Generation;
    }
  /** Removed by a pageserver at startup. */
  | { readonly kind: 'leftover'; readonly what: 'ephemeral' | 'temporary' | 'download' | 'old' }
  /** A pageserver that finds it does not load the tenant. */
  | { readonly kind: 'unknown' };

/** An entry of `timelines/`. */
export type LocalTimelinesEntry =
  /** Removed if there is no index of it in remote storage. */
  | { readonly kind: 'timeline'; readonly timelineId: string }
  /** Removed by a pageserver at startup. */
  | { readonly kind: 'leftover' }
  /** Left alone, with a warning. */
  | { readonly kind: 'unknown' };

/** An entry of `tenants/`. */
export type LocalTenantsEntry =
  | ({ readonly kind: 'tenant' } & TenantShard)
  /** A directory on its way out. Left alone, with a warning. */
  | { readonly kind: 'leftover' }
  /** Left alone, with a warning. */
  | { readonly kind: 'unknown' };

/** What a file in the directory of a timeline is. */
export function parseLocalTimelineFile(name: string): LocalTimelineFile {
  checkText('name', name);
  const layer = layerNamed(name);
  if (layer !== undefined) {
    const { generation } = layer;
    return {
      kind: 'layer',
      name: formatLayerName({ ...layer, generation: undefined }),
      generation: generation === undefined ? undefined : Number.parseInt(generation, 16),
    };
  }
  if (name.endsWith('.old')) return { kind: 'leftover', what: 'old' };
  if (name.endsWith('.temp_download')) return { kind: 'leftover', what: 'download' };
  if (isEphemeral(name)) return { kind: 'leftover', what: 'ephemeral' };
  if (name.endsWith('___temp')) return { kind: 'leftover', what: 'temporary' };
  return { kind: 'unknown' };
}

/** What an entry of `timelines/` is. */
export function parseLocalTimelinesEntry(name: string): LocalTimelinesEntry {
  checkText('name', name);
  if (name.endsWith('___temp')) return { kind: 'leftover' };
  if (/^[0-9a-fA-F]{32}$/.test(name)) return { kind: 'timeline', timelineId: name.toLowerCase() };
  return { kind: 'unknown' };
}

/** What an entry of `tenants/` is. */
export function parseLocalTenantsEntry(name: string): LocalTenantsEntry {
  checkText('name', name);
  if (/^[0-9a-fA-F]{32}(-[0-9a-fA-F]{4})?$/.test(name)) {
    return { kind: 'tenant', ...parseTenantShard(name) };
  }
  return { kind: name.endsWith('___temp') ? 'leftover' : 'unknown' };
}

/**
 * The file name under which a pageserver keeps a layer.
 *
 * @throws `invalid-input` and `ambiguous-name` for a text that is not a layer's name.
 */
export function formatLocalLayerName(name: string, generation: Generation): string {
  const canonical = formatLayerName({ ...parseLayerName(name), generation: undefined });
  return generation === undefined
    ? canonical
    : `${canonical}-v1${formatGenerationSuffix(generation)}`;
}

/** `ephemeral-` and a decimal u32. */
function isEphemeral(name: string): boolean {
  const digits = /^ephemeral-(\d+)$/.exec(name)?.[1];
  return digits !== undefined && Number(digits) <= 0xffff_ffff;
}

function layerNamed(name: string): LayerName | undefined {
  try {
    return parseLayerName(name);
  } catch (error) {
    if (isStorageError(error, 'invalid-input', 'ambiguous-name')) return undefined;
    throw error;
  }
}

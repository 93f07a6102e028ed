/** What `compact` and `split-shards` share: where a timeline goes, and the JSON of its layers. */
import { StorageError } from '../errors.ts';
import type { TimelineOutput } from '../ingest/output/timeline-output.ts';
import type { ReshapedLayer } from '../reshape/layer-output.ts';
import { compareGenerations, type Generation, nextGeneration } from '../timeline/generation.ts';
import type { IndexLayer } from '../timeline/index-part/layer-entry.ts';
import { INDEX_NAME, remoteLayerPath, remoteTimelinePath } from '../timeline/remote-path.ts';
import { parseShardIndex, type ShardIndex, UNSHARDED } from '../timeline/tenant-shard.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { directoryArgument, generationArgument } from './arguments.ts';
import { option, requiredOption } from './command.ts';
import type { Context } from './context.ts';
import type { Json } from './json.ts';
import { outputTarget, type RemoteOptions } from './remote-source.ts';

export const OUTPUT_OPTIONS = {
  out: requiredOption('--out <dir>', 'directory or s3:// prefix above tenants/', directoryArgument),
  newGeneration: option(
    '--new-generation <hex8>',
    'generation of the new index and layers (default: the next one)',
    generationArgument,
  ),
};

type OutputPlace = RemoteOptions & { readonly out: string };

/** Throws `usage`, and as `TimelineOutput.open`. */
export async function openOutput(
  { signal }: Pick<Context, 'signal'>,
  timeline: Timeline,
  options: OutputPlace & {
    readonly newGeneration?: string | undefined;
    readonly shard: ShardIndex;
    /** `continued` accepts the same index of this generation; the default is none. */
    readonly written?: 'continued' | undefined;
  },
): Promise<TimelineOutput> {
  const { TimelineOutput } = await import('../ingest/output/timeline-output.ts');
  const { tenantId, timelineId } = timeline.facts;
  if (tenantId === undefined || timelineId === undefined) {
    const what = 'the source does not tell its tenant and timeline: choose a prefix above tenants/';
    throw new StorageError('usage', { what });
  }
  const { newGeneration, shard, written } = options;
  const generation =
    newGeneration === undefined ? generationAfter(timeline) : Number.parseInt(newGeneration, 16);
  const target = await outputTarget(options.out, options);
  return TimelineOutput.open({
    ...{ target, tenantId, timelineId, shard, generation, signal },
    timeline: written,
  });
}

/** Tells whether the output has a layer under the name that the old index gives it. */
export async function storedChecker(
  { signal }: Pick<Context, 'signal'>,
  { place }: TimelineOutput,
  options: OutputPlace,
): Promise<(name: string, layer: IndexLayer) => Promise<boolean>> {
  const { store, prefix } = await outputStore(options);
  return async (name, { fileSize, generation, shard }) => {
    const key = prefix + remoteLayerPath({ place, name, generation, shard });
    const found = await store.head(key, { signal });
    return found !== undefined && BigInt(found.size) === fileSize;
  };
}

/** A pageserver that lacks the ancestor of a branch attaches nothing of the tenant. */
export async function warnOfMissingAncestor(
  { reporter, signal }: Pick<Context, 'reporter' | 'signal'>,
  timeline: Timeline,
  options: OutputPlace,
): Promise<void> {
  const ancestor = timeline.stored?.index?.fields.metadata.ancestorTimeline ?? null;
  const { tenantId } = timeline.facts;
  if (ancestor === null || tenantId === undefined) return;
  const { store, prefix } = await outputStore(options);
  const place = { tenantId, timelineId: ancestor, shard: shardOf(timeline) };
  const index = `${prefix}${remoteTimelinePath(place)}/${INDEX_NAME}`;
  for await (const _ of store.list(index, { signal })) return;
  reporter.warning(`the timeline is a branch: its ancestor ${ancestor} is not in ${options.out}`);
}

async function outputStore(options: OutputPlace) {
  const { directoryStore } = await import('../object-store/directory-store.ts');
  const target = await outputTarget(options.out, options);
  if (typeof target === 'string') return { store: directoryStore(target), prefix: '' };
  const prefix = target.prefix === '' ? '' : target.prefix.replace(/\/?$/, '/');
  return { store: target.store, prefix };
}

export function shardOf({ facts }: Timeline): ShardIndex {
  return facts.shard === undefined ? UNSHARDED : parseShardIndex(facts.shard);
}

/** As `build` prints a layer. */
export function layerJson(layer: ReshapedLayer): Json {
  const { path, size, entryCount, indexStartBlock, indexRootBlock } = layer;
  return {
    path,
    name: path.slice(path.lastIndexOf('/') + 1),
    size,
    entries: entryCount,
    index_start_blk: indexStartBlock,
    index_root_blk: indexRootBlock,
  };
}

/** Above those of the index and of all layers. */
function generationAfter(timeline: Timeline): number {
  const parts = timeline.shards.length === 0 ? [timeline] : timeline.shards;
  let highest: Generation;
  for (const { stored } of parts) {
    const layers = [...(stored?.index?.fields.layers.values() ?? [])];
    for (const generation of [stored?.generation, ...layers.map((layer) => layer.generation)]) {
      if (compareGenerations(generation, highest) > 0) highest = generation;
    }
  }
  const next = nextGeneration(highest);
  if (next !== undefined) return next;
  throw new StorageError('usage', { what: 'no generation is left: give --new-generation' });
}

/** What `compact`, `split-shards` and `redact` share: where a timeline goes. */
import { StorageError } from '../errors.ts';
import type { TimelineOutput } from '../ingest/output/timeline-output.ts';
import { compareGenerations, type Generation, nextGeneration } from '../timeline/generation.ts';
import { parseShardIndex, type ShardIndex, UNSHARDED } from '../timeline/tenant-shard.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { directoryArgument, generationArgument } from './arguments.ts';
import { option, requiredOption } from './command.ts';
import type { Context } from './context.ts';
import { outputTarget, type RemoteOptions } from './remote-source.ts';

export const OUTPUT_OPTIONS = {
  out: requiredOption('--out <dir>', 'directory or s3:// prefix above tenants/', directoryArgument),
  newGeneration: option(
    '--new-generation <hex8>',
    'generation of the new index and layers (default: the next one)',
    generationArgument,
  ),
};

/** Throws `usage`, and as `TimelineOutput.open`. */
export async function openOutput(
  { signal }: Pick<Context, 'signal'>,
  timeline: Timeline,
  options: RemoteOptions & {
    readonly out: string;
    readonly newGeneration?: string | undefined;
    readonly shard: ShardIndex;
    /** `continued` accepts the same index of this generation, `new` none of any; default: none of this generation. */
    readonly written?: 'continued' | 'new' | undefined;
  },
): Promise<TimelineOutput> {
  const { TimelineOutput } = await import('../ingest/output/timeline-output.ts');
  const { tenantId, timelineId } = timeline.facts;
  if (tenantId === undefined || timelineId === undefined) {
    const what =
      'the tenant and timeline of the source are unknown: choose a prefix above tenants/';
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

/** A pageserver that lacks the ancestor of a branch cannot attach the tenant. */
export async function warnOfMissingAncestor(
  { reporter }: Pick<Context, 'reporter'>,
  timeline: Timeline,
  output: TimelineOutput,
  out: string,
): Promise<void> {
  const ancestor = timeline.stored?.index?.fields.metadata.ancestorTimeline ?? null;
  if (ancestor === null || (await output.hasTimeline(ancestor))) return;
  reporter.warning(`the timeline is a branch: its ancestor ${ancestor} is not in ${out}`);
}

export function shardOf({ facts }: Timeline): ShardIndex {
  return facts.shard === undefined ? UNSHARDED : parseShardIndex(facts.shard);
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

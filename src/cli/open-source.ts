/**
 * The one place that turns the argument SOURCE into a timeline: a layer file, a directory, an index next to its layers,
 * or an object store.
 */
import type { OpenTimelineOptions, TimelineSource } from '../timeline/open-timeline.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { generationArgument, identifierArgument, majorVersionArgument } from './arguments.ts';
import { type OptionValues, option } from './command.ts';
import type { Context } from './context.ts';
import { REMOTE_OPTIONS } from './remote-source.ts';
import { limitOptions, type ReadLimits } from './shared-options.ts';

/** Options of every command that takes a timeline. */
export const SOURCE_OPTIONS = {
  tenant: option('--tenant <id>', 'tenant, if the source has several', identifierArgument),
  timeline: option('--timeline <id>', 'timeline, if the source has several', identifierArgument),
  generation: option(
    '--generation <hex8>',
    'generation of the pageserver: newer indices are ignored (default: use the newest)',
    generationArgument,
  ),
  pgVersion: option(
    '--pg-version <n>',
    'major version of Postgres, for a source without an index',
    majorVersionArgument,
  ),
  ...REMOTE_OPTIONS,
};

export type SourceOptions = OptionValues<typeof SOURCE_OPTIONS> & ReadLimits;

/** Opens the timeline. Throws as `openTimeline`. */
export async function openSource(
  { signal }: Pick<Context, 'signal'>,
  source: string,
  options: SourceOptions,
): Promise<Timeline> {
  const { tenant, timeline, generation, pgVersion } = options;
  const opening: OpenTimelineOptions = {
    tenant,
    timeline,
    generation: generation === undefined ? undefined : Number.parseInt(generation, 16),
    pgVersion,
    readOptions: limitOptions(options),
    signal,
  };
  const { openTimeline } = await import('../timeline/open-timeline.ts');
  return openTimeline(await sourceOf(source, options, signal), opening);
}

async function sourceOf(
  source: string,
  options: SourceOptions,
  signal: AbortSignal,
): Promise<TimelineSource> {
  const { placeOfArgument } = await import('./source-place.ts');
  const place = await placeOfArgument(source, options);
  switch (place.kind) {
    case 'file':
      return place.path;
    case 'object': {
      const { objectSource } = await import('../object-store/object-source.ts');
      return { layer: await objectSource(place.store, place.key, { signal }) };
    }
    case 'lone-index': {
      const { store, key } = place;
      const slash = key.lastIndexOf('/') + 1;
      return { store, prefix: key.slice(0, slash), indexName: key.slice(slash) };
    }
    case 'timelines': {
      const { root, prefix, indexName } = place;
      return root.directory === undefined ? { store: root.store, prefix, indexName } : source;
    }
  }
}

/** Warns if layers that the read would need may be gone. */
export function warnOfCutoff(
  { reporter }: Context,
  { timeline, lsn, source }: { timeline: Timeline; lsn: bigint; source: string },
): void {
  const { latestGcCutoffLsn } = timeline.facts;
  if (latestGcCutoffLsn === undefined || lsn >= latestGcCutoffLsn) return;
  reporter.warning('the LSN is below the GC cutoff: layers that it needs may be gone', source);
}

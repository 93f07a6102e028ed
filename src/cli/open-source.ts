/**
 * The one place that turns the argument SOURCE into a timeline: a layer file, a directory, an index with its
 * layers beside it, or an object store.
 */
import type { ObjectStore } from '../object-store/object-store.ts';
import type { OpenTimelineOptions, TimelineSource } from '../timeline/open-timeline.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { countArgument, generationArgument, identifierArgument } from './arguments.ts';
import { type OptionValues, option } from './command.ts';
import type { Context } from './context.ts';
import { isUrl, REMOTE_OPTIONS, remotePlace } from './remote-source.ts';
import { limitOptions, type ReadLimits } from './shared-options.ts';

/** Options of every command that takes a timeline. */
export const SOURCE_OPTIONS = {
  tenant: option('--tenant <id>', 'tenant, if the source has several', identifierArgument),
  timeline: option('--timeline <id>', 'timeline, if the source has several', identifierArgument),
  generation: option(
    '--generation <hex8>',
    'generation of the pageserver: newer indices are ignored (default: none is)',
    generationArgument,
  ),
  pgVersion: option(
    '--pg-version <n>',
    'major version of Postgres, for a source without an index',
    countArgument,
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
  return openTimeline(await sourceOf(source, options), opening);
}

/** A path, or a place in an object store, whose code is loaded only then. */
async function sourceOf(source: string, options: SourceOptions): Promise<TimelineSource> {
  if (!isUrl(source)) return source;
  const { store, key } = await remotePlace(source, options);
  return placeIn(store, key);
}

/** An index, a layer, or what lies below a prefix. */
async function placeIn(store: ObjectStore, key: string): Promise<TimelineSource> {
  const { isIndexName, isLayerKey } = await import('../timeline/timeline-layout.ts');
  const slash = key.lastIndexOf('/') + 1;
  const name = key.slice(slash);
  if (isIndexName(name)) return { store, prefix: key.slice(0, slash), indexName: name };
  if (!isLayerKey(name)) return { store, prefix: key };
  const { objectSource } = await import('../object-store/object-source.ts');
  return { layer: await objectSource(store, key) };
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

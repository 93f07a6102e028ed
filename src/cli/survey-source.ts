/** Turns the argument SOURCE of `ls`, `check` and `space` into what lies there: one survey for each shard. */
import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { isStorageError, StorageError } from '../errors.ts';
import { formatLayerName, parseLayerName } from '../layers/layer-name.ts';
import { directoryStore } from '../object-store/directory-store.ts';
import { pathOfObject } from '../object-store/object-store.ts';
import { placeOfSource, type SourcePlace } from '../timeline/open-timeline.ts';
import { surveyIndex, surveyTimeline, type TimelineSurvey } from '../timeline/survey.ts';
import {
  findTimelines,
  formatLocation,
  isIndexName,
  noTimelineError,
  type TimelineLocation,
} from '../timeline/timeline-layout.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
import type { OptionValues } from './command.ts';
import type { Context } from './context.ts';
import type { SOURCE_OPTIONS } from './open-source.ts';
import { isUrl, type RemoteOptions, remotePlace } from './remote-source.ts';

export type SurveyOptions = Pick<
  OptionValues<typeof SOURCE_OPTIONS>,
  'tenant' | 'timeline' | 'generation'
> &
  RemoteOptions;

/** Timelines that an error lists. */
const LISTED_TIMELINES = 20;

/**
 * Surveys the timeline of a source: all its shards, in the order of the listing.
 *
 * Throws `usage` if the source has several timelines and none is chosen; `not-found` if it has none.
 */
export async function surveySource(
  { signal }: Pick<Context, 'signal'>,
  source: string,
  options: SurveyOptions,
): Promise<TimelineSurvey[]> {
  if (!isUrl(source) && (await isLayerFile(source))) return [await surveyOfFile(source)];
  const place = await placeOf(source, options);
  const { root, indexName, prefix } = place;
  const generation =
    options.generation === undefined ? undefined : Number.parseInt(options.generation, 16);
  const request = { ...root, indexName, generation, signal };
  if ('indexKey' in place) {
    return [await surveyIndex({ ...request, location: NOWHERE }, place.indexKey)];
  }
  const surveys: TimelineSurvey[] = [];
  for (const location of await shardsOfTimeline(place, source, options, signal)) {
    surveys.push(await surveyTimeline({ ...request, location }));
  }
  if (surveys.length === 0) throw noTimelineError(root.store, prefix);
  return surveys;
}

type FoundPlace = SourcePlace | (SourcePlace & { readonly indexKey: string });

const NOWHERE: TimelineLocation = {
  tenantId: undefined,
  shard: undefined,
  timelineId: undefined,
  prefix: '',
};

async function placeOf(source: string, options: SurveyOptions): Promise<FoundPlace> {
  if (!isUrl(source)) return placeOfSource(source);
  const { store, key, canList } = await remotePlace(source, options);
  const name = key.slice(key.lastIndexOf('/') + 1);
  const root = { store, directory: undefined };
  if (!canList) {
    if (isIndexName(name)) return { root, prefix: '', indexKey: key };
    throw new StorageError('usage', {
      what: 'a web server cannot list: only an index_part.json is a timeline there',
      path: source,
    });
  }
  if (isIndexName(name)) {
    return { root, prefix: key.slice(0, key.length - name.length), indexName: name };
  }
  return placeOfSource({ store, prefix: key });
}

/** The shards of the one timeline that is chosen. */
async function shardsOfTimeline(
  { root, prefix }: SourcePlace,
  source: string,
  { tenant, timeline }: SurveyOptions,
  signal: AbortSignal,
): Promise<TimelineLocation[]> {
  const found: TimelineLocation[] = [];
  for await (const location of findTimelines(root.store, prefix, { tenant, timeline, signal })) {
    if (tenant !== undefined && (location.tenantId ?? tenant) !== tenant) continue;
    if (timeline !== undefined && (location.timelineId ?? timeline) !== timeline) continue;
    found.push(location);
  }
  const [first] = found;
  const isOne = found.every(
    ({ tenantId, timelineId }) => tenantId === first?.tenantId && timelineId === first?.timelineId,
  );
  if (isOne) return found;
  const listed = found.slice(0, LISTED_TIMELINES).map(formatLocation).join(', ');
  const more = found.length > LISTED_TIMELINES ? ', ...' : '';
  throw new StorageError('usage', {
    what: `several timelines: choose with --tenant and --timeline from ${listed}${more}`,
    path: source,
  });
}

async function isLayerFile(path: string): Promise<boolean> {
  try {
    return !(await stat(path)).isDirectory() && !isIndexName(basename(path));
  } catch (error) {
    throw fromNodeError('look up source', path, error);
  }
}

/** A layer file is all that is known of its timeline. */
async function surveyOfFile(path: string): Promise<TimelineSurvey> {
  const directory = resolve(dirname(path));
  const store = directoryStore(directory);
  const key = basename(path);
  const name = await nameOfLayer(path);
  const layer = {
    name: formatLayerName({ ...name, generation: undefined }),
    generation: name.generation === undefined ? undefined : Number.parseInt(name.generation, 16),
    size: (await stat(path)).size,
    path: pathOfObject(store, key),
    key,
  };
  return {
    location: NOWHERE,
    store,
    directory,
    kind: 'local',
    isListed: true,
    index: undefined,
    indexError: undefined,
    layers: [layer],
    leftovers: [],
    unknown: [],
  };
}

/** By its own name, else by its summary. */
async function nameOfLayer(path: string): Promise<ReturnType<typeof parseLayerName>> {
  try {
    return parseLayerName(basename(path));
  } catch (error) {
    if (!isStorageError(error)) throw error;
  }
  const { openLayer } = await import('../layers/open-layer.ts');
  const { nameOfSummary } = await import('../layers/layer-file/summary.ts');
  await using reader = await openLayer(path, { nameCheck: 'ignore' });
  return nameOfSummary(reader.summary);
}

/** Turns the argument SOURCE of `ls`, `check` and `space` into surveys, one for each shard. */
import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { isStorageError, StorageError } from '../errors.ts';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import { formatLayerName, type LayerName, parseLayerName } from '../layers/layer-name.ts';
import { directoryStore } from '../object-store/directory-store.ts';
import { type ObjectStore, pathOfObject } from '../object-store/object-store.ts';
import { surveyIndex, surveyTimeline, type TimelineSurvey } from '../timeline/survey.ts';
import { isLayerKey, noTimelineError } from '../timeline/timeline-layout.ts';
import type { OptionValues } from './command.ts';
import type { Context } from './context.ts';
import type { SOURCE_OPTIONS } from './open-source.ts';
import type { RemoteOptions } from './remote-source.ts';
import { placeOfArgument, shardsOfTimeline, unknownLocation } from './source-place.ts';

export type SurveyOptions = Pick<
  OptionValues<typeof SOURCE_OPTIONS>,
  'tenant' | 'timeline' | 'generation'
> &
  RemoteOptions;

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
  const place = await placeOfArgument(source, options);
  if (place.kind === 'file') return [await surveyOfFile(place.path)];
  if (place.kind === 'object') return [await surveyOfObject(place, source, signal)];
  const generation =
    options.generation === undefined ? undefined : Number.parseInt(options.generation, 16);
  if (place.kind === 'lone-index') {
    const { store, key } = place;
    const location = unknownLocation('');
    return [await surveyIndex({ store, directory: undefined, location, generation, signal }, key)];
  }
  const { root, indexName, prefix } = place;
  const request = { ...root, indexName, generation, signal };
  const surveys: TimelineSurvey[] = [];
  for (const location of await shardsOfTimeline(place, { ...options, source }, signal)) {
    surveys.push(await surveyTimeline({ ...request, location }));
  }
  if (surveys.length === 0) throw noTimelineError(root.store, prefix);
  return surveys;
}

/** A layer file is treated as the whole timeline. */
async function surveyOfFile(path: string): Promise<TimelineSurvey> {
  const directory = resolve(dirname(path));
  const { size } = await stat(path);
  return surveyOfLayer({
    store: directoryStore(directory),
    directory,
    key: basename(path),
    name: await nameOfLayer(path, basename(path)),
    size,
  });
}

/** The same for an object. */
async function surveyOfObject(
  { store, key }: { readonly store: ObjectStore; readonly key: string },
  source: string,
  signal: AbortSignal,
): Promise<TimelineSurvey> {
  const name = key.slice(key.lastIndexOf('/') + 1);
  if (!isLayerKey(name)) {
    throw new StorageError('usage', {
      what: 'a web server cannot list: only a layer or an index_part.json is a timeline there',
      path: source,
    });
  }
  const { objectSource } = await import('../object-store/object-source.ts');
  const input = await objectSource(store, key, { signal });
  const parsed = await nameOfLayer(input, name);
  return surveyOfLayer({ store, directory: undefined, key, name: parsed, size: input.size });
}

interface LoneLayer {
  readonly store: ObjectStore;
  readonly directory: string | undefined;
  readonly key: string;
  readonly name: LayerName;
  readonly size: number;
}

function surveyOfLayer({ store, directory, key, name, size }: LoneLayer): TimelineSurvey {
  const layer = {
    name: formatLayerName({ ...name, generation: undefined }),
    generation: name.generation === undefined ? undefined : Number.parseInt(name.generation, 16),
    size,
    path: pathOfObject(store, key),
    key,
  };
  return {
    location: unknownLocation(''),
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

/** The layer name: that of the file, or else the one in the summary. */
async function nameOfLayer(input: LayerInput, name: string): Promise<LayerName> {
  try {
    return parseLayerName(name);
  } catch (error) {
    if (!isStorageError(error)) throw error;
  }
  const { openLayer } = await import('../layers/open-layer.ts');
  const { nameOfSummary } = await import('../layers/layer-file/summary.ts');
  await using reader = await openLayer(input, { nameCheck: 'ignore' });
  return nameOfSummary(reader.summary);
}

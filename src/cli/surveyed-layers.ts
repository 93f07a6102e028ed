/** Opens the layers of a source one after the other: those of the index, if there is one. */
import { join } from 'node:path';
import { isStorageError, type StorageError } from '../errors.ts';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import { SalvageReader } from '../layers/layer-file/salvage-reader.ts';
import { openLayer } from '../layers/open-layer.ts';
import { objectSource } from '../object-store/object-source.ts';
import type { AnyLayerReader } from '../timeline/layer-versions.ts';
import { type LayerFileRecord, reconcileLayers } from '../timeline/reconcile.ts';
import { keyOfIndexed, type TimelineSurvey } from '../timeline/survey.ts';
import type { Context } from './context.ts';
import { limitOptions, type ReadLimits } from './shared-options.ts';
import { type SurveyOptions, surveySource } from './survey-source.ts';

export type SurveyedReader =
  | {
      /** Closed when the next one is requested. */
      readonly reader: AnyLayerReader;
      readonly name: string;
      /** Version of Postgres according to the index; undefined without one. */
      readonly pgVersion: number | undefined;
      /** Bytes of the layers before it, and of all layers. */
      readonly done: number;
      readonly total: number;
    }
  | { readonly error: StorageError };

/**
 * Throws as `surveySource`; the error of a single layer is an item. So is that of an unreadable index, which is
 * followed by all existing layers.
 */
export async function* openSurveyed(
  context: Context,
  source: string,
  options: SurveyOptions & ReadLimits,
): AsyncGenerator<SurveyedReader> {
  const surveys = await surveySource(context, source, options);
  for (const { indexError } of surveys) if (indexError !== undefined) yield { error: indexError };
  const wanted = surveys.flatMap((survey) =>
    layersToRead(survey).map((layer) => ({ ...layer, survey })),
  );
  const total = wanted.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  for (const { name, key, size, survey } of wanted) {
    let reader: AnyLayerReader;
    try {
      reader = await openAt(survey, key, { ...limitOptions(options), signal: context.signal });
    } catch (error) {
      if (!isStorageError(error) || error.code === 'aborted') throw error;
      yield { error };
      continue;
    }
    try {
      const pgVersion = survey.index?.content.fields.metadata.pgVersion;
      yield { reader, name, pgVersion, done, total };
    } finally {
      await reader.close();
    }
    done += size;
  }
}

/** All layers of a source, open at the same time, and those that could not be opened. */
export interface OpenLayers {
  readonly readers: readonly SalvageReader[];
  readonly failed: readonly { readonly name: string; readonly error: StorageError }[];
  /** Bytes of the layers that are open. */
  readonly size: number;
}

/** Opens the layers of a source, damaged or not; the caller closes them. Throws as `surveySource`. */
export async function openAllSurveyed(
  context: Context,
  source: string,
  options: SurveyOptions & ReadLimits,
): Promise<OpenLayers> {
  const surveys = await surveySource(context, source, options);
  const readers: SalvageReader[] = [];
  const failed: { name: string; error: StorageError }[] = [];
  const { signal } = context;
  try {
    for (const survey of surveys) {
      if (survey.indexError !== undefined) throw survey.indexError;
      for (const { name, key } of layersToRead(survey)) {
        try {
          const input = await inputAt(survey, key, signal);
          readers.push(await SalvageReader.open(input, { ...limitOptions(options), signal }));
        } catch (error) {
          if (!isStorageError(error) || error.code === 'aborted') throw error;
          failed.push({ name, error });
        }
      }
    }
  } catch (error) {
    await Promise.allSettled(readers.map((reader) => reader.close()));
    throw error;
  }
  return { readers, failed, size: readers.reduce((sum, reader) => sum + reader.size, 0) };
}

interface LayerToRead {
  readonly name: string;
  readonly key: string;
  readonly size: number;
}

function layersToRead(survey: TimelineSurvey): LayerToRead[] {
  const { index, layers, isListed } = survey;
  if (!isListed) {
    return (index?.layers ?? []).flatMap((layer) => {
      const key = keyOfIndexed(survey, layer);
      return key === undefined ? [] : [{ name: layer.name, key, size: Number(layer.size) }];
    });
  }
  const keys = new Map<LayerFileRecord, string>(layers.map((layer) => [layer, layer.key]));
  const reconciled = reconcileLayers({
    index: index && {
      layers: index.layers,
      diskConsistentLsn: index.content.fields.metadata.diskConsistentLsn,
    },
    local: undefined,
    remote: layers,
  });
  return reconciled.flatMap(({ name, state, remote, indexed }) => {
    if (state === 'extra' || state === 'future') return [];
    // A missing layer is opened as well, so that its error is reported.
    const key =
      (remote && keys.get(remote)) ??
      (indexed === undefined ? undefined : keyOfIndexed(survey, indexed));
    return key === undefined ? [] : [{ name, key, size: Number(remote?.size ?? 0) }];
  });
}

async function openAt(
  survey: TimelineSurvey,
  key: string,
  options: ReturnType<typeof limitOptions> & { readonly signal: AbortSignal },
): Promise<AnyLayerReader> {
  const input = await inputAt(survey, key, options.signal);
  return openLayer(input, { ...options, nameCheck: 'ignore' });
}

async function inputAt(
  { store, directory }: TimelineSurvey,
  key: string,
  signal: AbortSignal,
): Promise<LayerInput> {
  return directory === undefined ? objectSource(store, key, { signal }) : join(directory, key);
}

/** Opens a side of `diff`: one layer, or all layers of a timeline. */
import type { StorageError } from '../errors.ts';
import type { SalvageReader } from '../layers/layer-file/salvage-reader.ts';
import { parseLayerName } from '../layers/layer-name.ts';
import type { ComparedLayers } from '../reshape/diff/side.ts';
import type { Context } from './context.ts';
import { openForSalvage, warnOfSalvaged } from './open-layer.ts';
import { layerInput } from './remote-source.ts';
import type { ReadLimits } from './shared-options.ts';
import { placeOfArgument } from './source-place.ts';
import type { SurveyOptions } from './survey-source.ts';
import { openAllSurveyed } from './surveyed-layers.ts';

/** One side of a comparison, open until it is disposed of. */
export interface OpenSide extends AsyncDisposable {
  readonly side: ComparedLayers;
  /** Layers of the timeline that could not be opened. */
  readonly failed: readonly { readonly error: StorageError }[];
  /** Whether both sides are one layer each, with the same bytes. */
  readonly hasSameBytes: (other: OpenSide) => Promise<boolean>;
  /** The argument, if it is a layer. */
  readonly file: string | undefined;
}

/** Throws as `openForSalvage`, for a layer; as `surveySource`, for a timeline. */
export async function openSide(
  context: Context,
  source: string,
  options: SurveyOptions & ReadLimits,
): Promise<OpenSide> {
  const { kind } = await placeOfArgument(source, options);
  if (kind === 'file' || kind === 'object') return openFile(context, source, options);
  const { readers, failed } = await openAllSurveyed(context, source, options);
  const unopened = failed.map(({ name }) => parseLayerName(name));
  return {
    side: { layers: readers, unopened },
    failed,
    file: undefined,
    hasSameBytes: async () => false,
    [Symbol.asyncDispose]: () => closeAll(readers),
  };
}

async function openFile(
  context: Context,
  file: string,
  options: SurveyOptions & ReadLimits,
): Promise<OpenSide> {
  const { signal } = context;
  const reader = await openForSalvage(file, { ...options, signal });
  warnOfSalvaged(context, { file, reader });
  return {
    side: { layers: [reader] },
    failed: [],
    file,
    hasSameBytes: async (other) => {
      if (other.file === undefined) return false;
      const { sameBytes } = await import('../reshape/diff/same-bytes.ts');
      const inputs = [file, other.file].map((name) => layerInput(name, { ...options, signal }));
      const [one, another] = await Promise.all(inputs);
      return one !== undefined && another !== undefined && sameBytes(one, another, { signal });
    },
    [Symbol.asyncDispose]: () => closeAll([reader]),
  };
}

async function closeAll(readers: readonly SalvageReader[]): Promise<void> {
  for (const reader of readers) await reader.close();
}

/** How a command opens a layer, and what it says about the name. */
import type { DeltaLayerReader } from '../layers/delta-layer/reader.ts';
import type { ImageLayerReader } from '../layers/image-layer/reader.ts';
import { layerNameOf } from '../layers/layer-file/open-file.ts';
import { SalvageReader } from '../layers/layer-file/salvage-reader.ts';
import { nameOfSummary } from '../layers/layer-file/summary.ts';
import type { LayerSummary } from '../layers/layer-file/summary-format.ts';
import { sameLayer } from '../layers/layer-name.ts';
import { openLayer } from '../layers/open-layer.ts';
import type { Context } from './context.ts';
import { refuseInputAsOutput, STANDARD_OUTPUT } from './output-paths.ts';

export type AnyLayerReader = DeltaLayerReader | ImageLayerReader;

/** What a blob may cost. */
export interface ReadLimits {
  /** Bytes after decompression. */
  readonly maxBlob?: number | undefined;
  /** Bytes of the window of a zstd frame. */
  readonly maxWindow?: number | undefined;
}

/**
 * A name that contradicts the file keeps no command from reading it. Throws `usage` where standard
 * output goes into the layer itself.
 */
export async function openForReading(
  file: string,
  limits: ReadLimits = {},
): Promise<AnyLayerReader> {
  await refuseInputAsOutput(file, STANDARD_OUTPUT);
  return openLayer(file, { nameCheck: 'ignore', ...limitOptions(limits) });
}

/** For commands that show what is left of a file that may not open. Throws `usage` as above. */
export async function openForSalvage(
  file: string,
  limits: ReadLimits = {},
): Promise<SalvageReader> {
  await refuseInputAsOutput(file, STANDARD_OUTPUT);
  return SalvageReader.open(file, limitOptions(limits));
}

export function limitOptions({ maxBlob, maxWindow }: ReadLimits) {
  return { maximumBlobLength: maxBlob, maximumWindowSize: maxWindow };
}

/** Kind, key range and LSNs, by value; null where the name is none of a layer. */
export function nameMatches(path: string, summary: LayerSummary): boolean | null {
  const name = layerNameOf(path);
  return name === undefined ? null : sameLayer(name, nameOfSummary(summary));
}

/**
 * For the commands that go on although the name contradicts the file. Called once something could
 * be read: where nothing can, the error is all that is said.
 */
export function warnOfName(
  context: Context,
  { file, reader }: { file: string; reader: AnyLayerReader },
): void {
  warnOfSummary(context, file, reader.summary);
}

/** As `warnOfName`; a summary that cannot be read disagrees with no name. */
export function warnOfSalvaged(
  context: Context,
  { file, reader }: { file: string; reader: SalvageReader },
): void {
  if (reader.claimedSummary !== undefined) warnOfSummary(context, file, reader.claimedSummary);
}

function warnOfSummary(context: Context, file: string, summary: LayerSummary): void {
  if (nameMatches(file, summary) !== false) return;
  context.reporter.warning('the name of the file disagrees with its summary', file);
}

/** Opens a layer of either kind; its magic shows which. */

import { DeltaLayerReader } from './delta-layer/reader.ts';
import { ImageLayerReader } from './image-layer/reader.ts';
import type { LayerInput } from './layer-file/layer-input.ts';
import { openLayerFile, type ReadOptions } from './layer-file/open-file.ts';

/**
 * Opens a layer file of either kind. A signal ends the wait for a descriptor.
 *
 * @param from A path, or any source of the bytes of a layer file.
 * @returns A reader; `reader.summary.kind` says which. Close it when done.
 * @throws `not-found`, `io`, `truncated`, `corrupt`, `unsupported-version`, `invalid-input`,
 * `aborted`.
 *
 * @example
 * await using reader = await openLayer(path);
 * const entry = await reader.get(key, lsn);
 */
export async function openLayer(
  from: LayerInput,
  options: ReadOptions = {},
): Promise<DeltaLayerReader | ImageLayerReader> {
  const opened = await openLayerFile(from, options);
  const { summary } = opened;
  return summary.kind === 'delta'
    ? DeltaLayerReader.from({ ...opened, summary }, options)
    : ImageLayerReader.from({ ...opened, summary }, options);
}

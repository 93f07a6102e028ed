/** Opens a layer of either kind; its magic tells which. */
import type { ByteSource } from '../blob-writer/byte-source.ts';
import { DeltaLayerReader } from './delta-layer/reader.ts';
import { ImageLayerReader } from './image-layer/reader.ts';
import { openLayerFile, type ReadOptions } from './layer-file/open-file.ts';

/**
 * Opens a layer file, or any source of its bytes.
 *
 * Returns: a reader; `reader.summary.kind` tells which.
 * Throws: `not-found`, `io`, `truncated`, `corrupt`, `unsupported-version`.
 */
export async function openLayer(
  from: string | ByteSource,
  options: ReadOptions = {},
): Promise<DeltaLayerReader | ImageLayerReader> {
  const opened = await openLayerFile(from, options);
  const { summary } = opened;
  return summary.kind === 'delta'
    ? DeltaLayerReader.from({ ...opened, summary }, options)
    : ImageLayerReader.from({ ...opened, summary }, options);
}

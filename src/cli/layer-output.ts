/** What build and import share: compression from flags, and the line about the finished layer. */

import type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';
import { type Compression, DEFAULT_COMPRESSION } from '../zstd/compression.ts';
import { encodeJson, type Json } from './json.ts';
import type { Output } from './output.ts';

export interface CompressionFlags {
  /** A level, where `--zstd` is given. */
  readonly zstd?: number | undefined;
  /** False with `--no-compress`. */
  readonly compress: boolean;
}

export function compressionOf({ zstd, compress }: CompressionFlags): Compression {
  if (!compress) return { kind: 'none' };
  return zstd === undefined ? DEFAULT_COMPRESSION : { kind: 'zstd', level: zstd };
}

export async function writeLayerLine(
  output: Output,
  layer: FinishedLayer,
  more: Readonly<Record<string, Json | undefined>> = {},
): Promise<void> {
  const line = encodeJson({
    path: layer.path,
    name: layer.name,
    size: layer.size,
    entries: layer.entryCount,
    index_start_blk: layer.indexStartBlock,
    index_root_blk: layer.indexRootBlock,
    ...more,
  });
  await output.write(`${line}\n`);
}

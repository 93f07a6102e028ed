/**
 * layerfile writes, reads, verifies and dumps the layer files of Neon's pageserver.
 *
 *   import { DeltaLayerWriter, maximumKey, minimumKey, openLayer, parseKey } from 'layerfile';
 *
 *   await using writer = await DeltaLayerWriter.create({
 *     directory: '.',
 *     tenantId: '000102030405060708090a0b0c0d0e0f',
 *     timelineId: 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
 *     keyRange: { start: minimumKey(), end: maximumKey() },
 *     lsnRange: { start: 0x1000n, end: 0x2000n },
 *   });
 *   const key = parseKey('000000067F00000005000040000000000000');
 *   await writer.put(key, 0x1008n, { type: 'image', bytes: new Uint8Array(8192) });
 *   const { path } = await writer.finish();
 *
 *   await using reader = await openLayer(path);
 *   const entry = await reader.get(key);
 *
 * The parts below have entries of their own: `layerfile/layers`, `layerfile/blob-writer`,
 * `layerfile/virtual-file`, `layerfile/write-once` and `layerfile/postgres`.
 */

export { CompressionPool } from './blob-writer/compression-pool.ts';
export {
  isStorageError,
  type Outcome,
  STORAGE_ERROR_CODES,
  StorageError,
  type StorageErrorCode,
} from './errors.ts';
export { DeltaLayerReader } from './layers/delta-layer/reader.ts';
export type { ValueBatch } from './layers/delta-layer/value-batch.ts';
export { DeltaLayerWriter, type DeltaWriteOptions } from './layers/delta-layer/writer.ts';
export {
  EphemeralLayer,
  type EphemeralOptions,
} from './layers/ephemeral-layer/ephemeral-layer.ts';
export type { LayerReport } from './layers/findings.ts';
export { ImageLayerReader } from './layers/image-layer/reader.ts';
export { ImageLayerWriter, type ImageWriteOptions } from './layers/image-layer/writer.ts';
export {
  formatKey,
  type Key,
  type KeyRange,
  maximumKey,
  minimumKey,
  nextKey,
  parseKey,
} from './layers/key.ts';
export type { LayerEntry } from './layers/layer-file/entry-batch.ts';
export type { FinishedLayer } from './layers/layer-file/layer-writer.ts';
export type { ReadOptions } from './layers/layer-file/open-file.ts';
export type { DeltaSummary, ImageSummary } from './layers/layer-file/summary-format.ts';
export { formatLsn, type Lsn, type LsnRange, parseLsn } from './layers/lsn.ts';
export { openLayer } from './layers/open-layer.ts';
export { decodeValue, encodeValue, type Value } from './layers/value-format.ts';
export { verifyLayer } from './layers/verify.ts';
export type { IoMode } from './virtual-file/file-system.ts';
export { OpenFiles } from './virtual-file/open-files.ts';
export type { Compression } from './zstd/compression.ts';

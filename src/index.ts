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
 * More is in separate entries: `layerfile/layers`, `layerfile/blob-writer`, `layerfile/virtual-file`,
 * `layerfile/write-once`, `layerfile/postgres`, `layerfile/object-store`, `layerfile/timeline`, `layerfile/wal`,
 * `layerfile/ingest`, `layerfile/reshape` and `layerfile/testing`.
 */

export type { ByteSource, ReadRangesOptions } from './blob-writer/byte-source.ts';
export { CompressionPool, type CompressionPoolOptions } from './blob-writer/compression-pool.ts';
export type { ReadRange } from './blob-writer/read-range.ts';
export {
  isStorageError,
  type Outcome,
  STORAGE_ERROR_CODES,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
} from './errors.ts';
export { DeltaLayerReader } from './layers/delta-layer/reader.ts';
export type { EntryKeyBatch, ValueBatch } from './layers/delta-layer/value-batch.ts';
export { DeltaLayerWriter, type DeltaWriteOptions } from './layers/delta-layer/writer.ts';
export { BlockCache, type BlockCacheOptions } from './layers/disk-btree/block-cache.ts';
export {
  type EphemeralEntry,
  EphemeralLayer,
  type EphemeralOptions,
} from './layers/ephemeral-layer/ephemeral-layer.ts';
export type { WriteDeltaOptions } from './layers/ephemeral-layer/write-delta-options.ts';
export type { Finding, LayerReport } from './layers/findings.ts';
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
export type { EntryBatch, LayerEntry } from './layers/layer-file/entry-batch.ts';
export type { IndexEntry } from './layers/layer-file/entry-layout.ts';
export type { EntryOptions, OrderedEntryOptions } from './layers/layer-file/entry-options.ts';
export type {
  DamagedBlock,
  DamagedEntry,
  ScannedBatch,
  ScannedItem,
} from './layers/layer-file/entry-scan.ts';
export type { IndexBlock, LayerStatistics } from './layers/layer-file/index-listing.ts';
export type { LayerInput } from './layers/layer-file/layer-input.ts';
export type { LayerReader } from './layers/layer-file/layer-reader.ts';
export type { FinishedLayer, WriteOptions } from './layers/layer-file/layer-writer.ts';
export type { DamagedBlob, LooseBlob } from './layers/layer-file/loose-blobs.ts';
export type { ReadOptions } from './layers/layer-file/open-file.ts';
export type { SalvagedItem } from './layers/layer-file/salvage.ts';
export type { SalvagedScanItem } from './layers/layer-file/salvage-scan.ts';
export type {
  DeltaSummary,
  ImageSummary,
  LayerSummary,
  SummaryBase,
} from './layers/layer-file/summary-format.ts';
export { formatLsn, type Lsn, type LsnRange, parseLsn } from './layers/lsn.ts';
export { openLayer } from './layers/open-layer.ts';
export {
  type DecodeValueOptions,
  decodeValue,
  encodeValue,
  type MultixactMember,
  type Value,
} from './layers/value-format.ts';
export type { InspectedValue, InspectValue } from './layers/value-inspection.ts';
export { type VerifyOptions, verifyLayer } from './layers/verify.ts';
export type { OnProgress } from './progress.ts';
export type {
  DirectoryEntry,
  FileKind,
  FileStat,
  FileSystem,
  IoMode,
  OpenFile,
  OpenOptions,
  Ownership,
  SyncOpenFile,
} from './virtual-file/file-system.ts';
export { OpenFiles, type OpenFilesOptions } from './virtual-file/open-files.ts';
export type { OwnerState, Owners } from './virtual-file/owners.ts';
export type { Compression } from './zstd/compression.ts';

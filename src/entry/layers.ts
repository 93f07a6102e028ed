/**
 * `layerfile/layers`: delta, image and ephemeral layers: writers, readers, names, keys and values.
 */
export type { ByteSource, ReadRangesOptions } from '../blob-writer/byte-source.ts';
export type { CompressionPool, CompressionPoolOptions } from '../blob-writer/compression-pool.ts';
export type { ReadRange } from '../blob-writer/read-range.ts';
export {
  isStorageError,
  type Outcome,
  STORAGE_ERROR_CODES,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
} from '../errors.ts';
export { DeltaLayerReader } from '../layers/delta-layer/reader.ts';
export type { EntryKeyBatch, ValueBatch } from '../layers/delta-layer/value-batch.ts';
export { DeltaLayerWriter, type DeltaWriteOptions } from '../layers/delta-layer/writer.ts';
export { BlockCache, type BlockCacheOptions } from '../layers/disk-btree/block-cache.ts';
export {
  type EphemeralEntry,
  EphemeralLayer,
  type EphemeralOptions,
} from '../layers/ephemeral-layer/ephemeral-layer.ts';
export type { WriteDeltaOptions } from '../layers/ephemeral-layer/write-delta-options.ts';
export type { Finding, LayerReport } from '../layers/findings.ts';
export { ImageLayerReader } from '../layers/image-layer/reader.ts';
export { ImageLayerWriter, type ImageWriteOptions } from '../layers/image-layer/writer.ts';
export {
  addToKey,
  compareKeys,
  fitsPageserver,
  formatKey,
  KEY_SIZE,
  type Key,
  type KeyFields,
  type KeyRange,
  keyFields,
  keyFromFields,
  maximumKey,
  minimumKey,
  nextKey,
  parseKey,
} from '../layers/key.ts';
export type { EntryBatch, LayerEntry } from '../layers/layer-file/entry-batch.ts';
export type { IndexEntry } from '../layers/layer-file/entry-layout.ts';
export type { EntryOptions, OrderedEntryOptions } from '../layers/layer-file/entry-options.ts';
export type {
  DamagedBlock,
  DamagedEntry,
  ScannedBatch,
  ScannedItem,
} from '../layers/layer-file/entry-scan.ts';
export {
  type FileLayoutOptions,
  fileLayout,
  type LayoutRange,
} from '../layers/layer-file/file-layout.ts';
export type { IndexBlock, LayerStatistics } from '../layers/layer-file/index-listing.ts';
export type { LayerInput } from '../layers/layer-file/layer-input.ts';
export type { LayerReader } from '../layers/layer-file/layer-reader.ts';
export type { FinishedLayer, WriteOptions } from '../layers/layer-file/layer-writer.ts';
export type { DamagedBlob, LooseBlob } from '../layers/layer-file/loose-blobs.ts';
export type { ReadOptions } from '../layers/layer-file/open-file.ts';
export type { SalvagedItem } from '../layers/layer-file/salvage.ts';
export { type DamagedSummary, SalvageReader } from '../layers/layer-file/salvage-reader.ts';
export type { SalvagedScanItem } from '../layers/layer-file/salvage-scan.ts';
export type {
  DeltaSummary,
  ImageSummary,
  LayerSummary,
  SummaryBase,
} from '../layers/layer-file/summary-format.ts';
export {
  type DeltaLayerName,
  formatLayerName,
  type ImageLayerName,
  type LayerName,
  parseLayerName,
} from '../layers/layer-name.ts';
export {
  formatLsn,
  formatPgLsn,
  type Lsn,
  type LsnRange,
  MAXIMUM_LSN,
  parseLsn,
} from '../layers/lsn.ts';
export { openLayer } from '../layers/open-layer.ts';
export { isTemporaryName } from '../layers/temporary-names.ts';
export {
  type DecodeValueOptions,
  decodeValue,
  encodeValue,
  type MultixactMember,
  type Value,
  type ValueType,
  valueWillInit,
} from '../layers/value-format.ts';
export type { InspectedValue, InspectValue } from '../layers/value-inspection.ts';
export { type VerifyOptions, verifyLayer } from '../layers/verify.ts';
export {
  type CheckManifestOptions,
  checkManifest,
  type ManifestFinding,
  type ManifestReport,
} from '../manifest/check-manifest.ts';
export type { FlippedBit } from '../manifest/flipped-bit.ts';
export {
  type FileManifest,
  formatManifestName,
  parseManifestName,
} from '../manifest/manifest-format.ts';
export { type MendedFile, mendFile } from '../manifest/mend.ts';
export type { FileInput, FileReadOptions } from '../manifest/pieces.ts';
export {
  type MakeManifestOptions,
  makeManifest,
  readManifest,
  writeManifest,
} from '../manifest/sidecar.ts';
export type { OnProgress } from '../progress.ts';
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
} from '../virtual-file/file-system.ts';
export type { OpenFiles, OpenFilesOptions } from '../virtual-file/open-files.ts';
export type { OwnerState, Owners } from '../virtual-file/owners.ts';
export type { Compression } from '../zstd/compression.ts';

/** Changes the shape of layers: merges, splits, filters, copies and compacts them. */

export type { ByteSource, ReadRangesOptions } from '../blob-writer/byte-source.ts';
export type { CompressionPool, CompressionPoolOptions } from '../blob-writer/compression-pool.ts';
export type { ReadRange } from '../blob-writer/read-range.ts';
export type { Outcome, StorageError, StorageErrorCode, StorageErrorDetails } from '../errors.ts';
export { STORAGE_ERROR_CODES } from '../errors.ts';
export type { DeltaLayerReader } from '../layers/delta-layer/reader.ts';
export type { DeltaWriteOptions } from '../layers/delta-layer/writer.ts';
export type { BlockCache, BlockCacheOptions } from '../layers/disk-btree/block-cache.ts';
export type { ImageLayerReader } from '../layers/image-layer/reader.ts';
export type { ImageWriteOptions } from '../layers/image-layer/writer.ts';
export type { Key, KeyRange } from '../layers/key.ts';
export type { EntryBatch, LayerEntry } from '../layers/layer-file/entry-batch.ts';
export type { IndexEntry } from '../layers/layer-file/entry-layout.ts';
export type { EntryOptions, OrderedEntryOptions } from '../layers/layer-file/entry-options.ts';
export type {
  DamagedBlock,
  DamagedEntry,
  ScannedBatch,
  ScannedItem,
} from '../layers/layer-file/entry-scan.ts';
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
export type { DeltaLayerName, ImageLayerName, LayerName } from '../layers/layer-name.ts';
export type { Lsn, LsnRange } from '../layers/lsn.ts';
export type { MultixactMember, Value, ValueType } from '../layers/value-format.ts';
export type { DirectoryDatabase, DirectoryRelation } from '../postgres/directory-values.ts';
export type { Fork, ForkName } from '../postgres/fork.ts';
export { FORK_NAMES } from '../postgres/fork.ts';
export type { DatabaseId, SlruName } from '../postgres/key-mapping.ts';
export { SLRU_NAMES } from '../postgres/key-mapping.ts';
export { compactLevel0 } from '../reshape/compact-level0.ts';
export {
  type CompactedTimeline,
  type CompactionProgress,
  type CompactTimelineOptions,
  type CreatedImages,
  compactTimeline,
  type PlannedCompaction,
  planCompaction,
  type TimelineImageOptions,
} from '../reshape/compact-timeline.ts';
export { type CopiedLayer, type CopyLayerOptions, copyLayer } from '../reshape/copy-layer.ts';
export {
  type DiffOptions,
  type DiffSideName,
  type DiffSummary,
  diffLayers,
  type EntryDifference,
} from '../reshape/diff/diff-layers.ts';
export type { ComparedLayer } from '../reshape/diff/input.ts';
export { type SameBytesOptions, sameBytes } from '../reshape/diff/same-bytes.ts';
export type { ComparedLayers } from '../reshape/diff/side.ts';
export type { OnLayer } from '../reshape/finished-pieces.ts';
export type { LayerOutput, ReshapedLayer } from '../reshape/layer-output.ts';
export {
  chooseLevel0,
  DEFAULT_CHECKPOINT_DISTANCE,
  type Level0Options,
} from '../reshape/level0.ts';
export type {
  CompactedLevel0,
  CompactLevel0Options,
  ShardFilter,
} from '../reshape/level0-options.ts';
export { type MergedEntry, type MergeLayersOptions, mergeLayers } from '../reshape/merge-layers.ts';
export { type RedactLayerOptions, redactLayer } from '../reshape/redact/redact-layer.ts';
export {
  type RedactedTimeline,
  type RedactTimelineOptions,
  redactTimeline,
} from '../reshape/redact/redact-timeline.ts';
export type { IdSource } from '../reshape/salvage/layer-origin.ts';
export type { LostRange } from '../reshape/salvage/loss-log.ts';
export {
  type SalvagedFile,
  type SalvageLayerOptions,
  salvageLayer,
} from '../reshape/salvage/salvage-layer.ts';
export type { UnkeyedBlob, UnkeyedReason } from '../reshape/salvage/unkeyed-blobs.ts';
export {
  DEFAULT_TARGET_SIZE,
  type SplitDeltaOptions,
  SplitDeltaWriter,
} from '../reshape/split-delta-writer.ts';
export { type SplitImageOptions, SplitImageWriter } from '../reshape/split-image-writer.ts';
export {
  type WriteShardOptions,
  type WrittenShard,
  writeShard,
} from '../reshape/split-timeline.ts';
export type {
  CatalogReading,
  DatabaseListing,
  RelationListing,
  SegmentListing,
  SlruListing,
  TimelineDirectory,
} from '../timeline/directory.ts';
export type { JsonObject, JsonValue } from '../timeline/exact-json.ts';
export type { Generation } from '../timeline/generation.ts';
export type {
  GcBlocking,
  IndexPartFields,
  Lineage,
  PgdataImport,
  RelSizeMigration,
} from '../timeline/index-part/index-fields.ts';
export type {
  IndexPart,
  IndexPartChanges,
  NewIndexPart,
  ParseIndexPartOptions,
} from '../timeline/index-part/index-part.ts';
export type { IndexLayer } from '../timeline/index-part/layer-entry.ts';
export type { KeyHole } from '../timeline/layer-map/holes.ts';
export type {
  ImageSegment,
  LayerMap,
  LayerMapOptions,
  LayerVisibility,
  MapLayer,
  RangeSearchResult,
  SearchResult,
} from '../timeline/layer-map/layer-map.ts';
export type { LayerLevel } from '../timeline/layer-map/layer-table.ts';
export type { MemoryLayer } from '../timeline/layer-map/memory-layers.ts';
export type { NeededRedo, RedoRunner } from '../timeline/materialize.ts';
export type { PageResult } from '../timeline/read-page.ts';
export type { LayerVisit, Reconstruction, TimelineEntry } from '../timeline/reconstruct.ts';
export type { Sharding } from '../timeline/shard-owner.ts';
export type { OffloadedTimeline, TenantManifest } from '../timeline/tenant-manifest.ts';
export type { ShardIndex } from '../timeline/tenant-shard.ts';
export type {
  DirectoryOptions,
  HistoryOptions,
  RangeReconstruction,
  ReadPageOptions,
  ReconstructOptions,
  Timeline,
  TimelineAncestor,
  TimelineFacts,
  TimelineReadOptions,
} from '../timeline/timeline.ts';
export type { RedoRecord, RedoRequest } from '../timeline/wal-redo/messages.ts';
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
export type { TimelineMetadataFields } from '../write-once/timeline-metadata.ts';
export type { Compression } from '../zstd/compression.ts';

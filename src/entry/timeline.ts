/**
 * `layerfile/timeline`: the layers of a timeline together, and its index.
 *
 *   import { IndexPart, LayerMap } from 'layerfile/timeline';
 *
 *   const index = IndexPart.parse(await readFile('index_part.json-00000002'));
 *   const map = LayerMap.fromNames(index.fields.layers.keys());
 *   const next = map.search(key, lsn + 1n);      // the layer that a pageserver would read first
 */

export type { ByteSource, ReadRangesOptions } from '../blob-writer/byte-source.ts';
export type { ReadRange } from '../blob-writer/read-range.ts';
export {
  isStorageError,
  type Outcome,
  STORAGE_ERROR_CODES,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
} from '../errors.ts';
export type { BlockCache, BlockCacheOptions } from '../layers/disk-btree/block-cache.ts';
export type { Key, KeyRange } from '../layers/key.ts';
export type { LayerEntry } from '../layers/layer-file/entry-batch.ts';
export type { IndexEntry } from '../layers/layer-file/entry-layout.ts';
export type { LayerInput } from '../layers/layer-file/layer-input.ts';
export type { ReadOptions } from '../layers/layer-file/open-file.ts';
export type { Lsn, LsnRange } from '../layers/lsn.ts';
export type { MultixactMember, Value, ValueType } from '../layers/value-format.ts';
export type {
  CommonPrefix,
  ObjectInfo,
  ObjectListOptions,
  ObjectPutOptions,
  ObjectReadOptions,
  ObjectRequestOptions,
  ObjectStart,
  ObjectStore,
} from '../object-store/object-store.ts';
export type { DirectoryDatabase, DirectoryRelation } from '../postgres/directory-values.ts';
export type { Fork, ForkName } from '../postgres/fork.ts';
export { FORK_NAMES } from '../postgres/fork.ts';
export type { DatabaseId, SlruName } from '../postgres/key-mapping.ts';
export { SLRU_NAMES } from '../postgres/key-mapping.ts';
export {
  type ChosenName,
  chooseIndex,
  chooseManifest,
} from '../timeline/chosen-generation.ts';
export { type CollectedKeySpace, collectKeySpace } from '../timeline/collect-key-space.ts';
export type {
  CatalogReading,
  DatabaseListing,
  RelationListing,
  SegmentListing,
  SlruListing,
  TimelineDirectory,
} from '../timeline/directory.ts';
export type { JsonObject, JsonValue } from '../timeline/exact-json.ts';
export {
  compareGenerations,
  formatGenerationSuffix,
  type Generation,
  MAXIMUM_GENERATION,
  nextGeneration,
  parseGeneration,
} from '../timeline/generation.ts';
export {
  type Heatmap,
  type HeatmapLayer,
  type HeatmapTimeline,
  parseHeatmap,
} from '../timeline/heatmap.ts';
export {
  type CheckIndexPartOptions,
  checkIndexPart,
  type IndexFinding,
  isFutureLayer,
} from '../timeline/index-part/check.ts';
export {
  diffIndexParts,
  type FieldDifference,
  type IndexDifference,
  type LayerDifference,
} from '../timeline/index-part/diff.ts';
export {
  canonicalLayerName,
  type GcBlocking,
  INDEX_VERSION,
  type IndexPartFields,
  type Lineage,
  type PgdataImport,
  type RelSizeMigration,
} from '../timeline/index-part/index-fields.ts';
export { type WriteIndexPartOptions, writeIndexPart } from '../timeline/index-part/index-file.ts';
export {
  IndexPart,
  type IndexPartChanges,
  type NewIndexPart,
  type ParseIndexPartOptions,
} from '../timeline/index-part/index-part.ts';
export type { IndexLayer } from '../timeline/index-part/layer-entry.ts';
export {
  type ListedLayer,
  type RebuiltIndexPart,
  rebuildIndexPart,
} from '../timeline/index-part/rebuild.ts';
export type { KeyHole } from '../timeline/layer-map/holes.ts';
export {
  type ImageSegment,
  LayerMap,
  type LayerMapOptions,
  type LayerVisibility,
  type MapLayer,
  type RangeSearchResult,
  type SearchResult,
} from '../timeline/layer-map/layer-map.ts';
export type { LayerLevel } from '../timeline/layer-map/layer-table.ts';
export type { MemoryLayer } from '../timeline/layer-map/memory-layers.ts';
export {
  formatLocalLayerName,
  type LocalTenantsEntry,
  type LocalTimelineFile,
  type LocalTimelinesEntry,
  parseLocalTenantsEntry,
  parseLocalTimelineFile,
  parseLocalTimelinesEntry,
} from '../timeline/local-name.ts';
export type { MaterializeOptions, NeededRedo, RedoRunner } from '../timeline/materialize.ts';
export {
  listTimelines,
  type OpenTimelineOptions,
  openTimeline,
  type StoredSource,
  type TimelineSource,
} from '../timeline/open-timeline.ts';
export type { PageResult } from '../timeline/read-page.ts';
export {
  type CheckFinding,
  isLayerOk,
  type LayerDecision,
  type LayerFileRecord,
  type LayerRecord,
  type LayerState,
  type ReconciledLayer,
  type ReconcileInput,
  reconcileLayers,
} from '../timeline/reconcile.ts';
export type {
  LayerVisit,
  Reconstruction,
  TimelineEntry,
} from '../timeline/reconstruct.ts';
export {
  INDEX_NAME,
  indexGeneration,
  manifestGeneration,
  parseRemotePath,
  parseTimelineObject,
  type RemoteLayer,
  type RemoteObject,
  remoteHeatmapPath,
  remoteIndexPath,
  remoteInitdbPath,
  remoteLayerPath,
  remoteManifestPath,
  remoteTimelinePath,
  type TimelineObject,
  type TimelinePlace,
} from '../timeline/remote-path.ts';
export {
  DEFAULT_STRIPE_SIZE,
  isOnEveryShard,
  OLD_STRIPE_SIZE,
  type Sharding,
  shardKeeps,
  shardOfKey,
} from '../timeline/shard-owner.ts';
export {
  formatTenantManifest,
  type OffloadedTimeline,
  parseTenantManifest,
  type TenantManifest,
} from '../timeline/tenant-manifest.ts';
export {
  formatShardIndex,
  formatTenantShard,
  isUnsharded,
  parseShardIndex,
  parseTenantShard,
  type ShardIndex,
  type TenantShard,
  UNSHARDED,
} from '../timeline/tenant-shard.ts';
export {
  type DirectoryOptions,
  type HistoryOptions,
  type RangeReconstruction,
  type ReadPageOptions,
  type ReconstructOptions,
  Timeline,
  type TimelineAncestor,
  type TimelineFacts,
  type TimelineReadOptions,
} from '../timeline/timeline.ts';
export type { TimelineLocation } from '../timeline/timeline-layout.ts';
export {
  encodeRedoMessages,
  type RedoRecord,
  type RedoRequest,
} from '../timeline/wal-redo/messages.ts';
export { RedoProcess, type RedoProcessOptions } from '../timeline/wal-redo/redo-process.ts';
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
export type { CreateOnceOptions } from '../write-once/create-once.ts';
export type { TimelineMetadataFields } from '../write-once/timeline-metadata.ts';

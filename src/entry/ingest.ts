/**
 * `layerfile/ingest`: timelines made from other data or continued with WAL, where they are stored, and export to a data
 * directory.
 *
 *   import { WalIngest } from 'layerfile/ingest';
 *   import { openWal, walDirectory } from 'layerfile/wal';
 *
 *   await using ingest = await WalIngest.open({ base: 'bucket', target: 'bucket' });
 *   const { layers } = await ingest.ingest(
 *     await openWal(walDirectory('pg_wal'), { start: ingest.startLsn }),
 *   );
 *
 *   import { TimelineOutput } from 'layerfile/ingest';
 *   import { IndexPart } from 'layerfile/timeline';
 *
 *   await using output = await TimelineOutput.open({ target: 'out', ...place, generation: 1 });
 *   await output.putLayer(await writer.finish());
 *   await output.putIndex(IndexPart.create({ layers: output.layers, metadata }));
 */

export type { ByteSource, ReadRangesOptions } from '../blob-writer/byte-source.ts';
export type { ReadRange } from '../blob-writer/read-range.ts';
export type { ViewedBytes } from '../byte-words.ts';
export {
  isStorageError,
  type Outcome,
  STORAGE_ERROR_CODES,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
} from '../errors.ts';
export {
  type ExportedPgdata,
  type ExportPgdataOptions,
  exportPgdata,
} from '../ingest/export/export-pgdata.ts';
export type { ServerKind } from '../ingest/export/server-files.ts';
export type { OutputTarget } from '../ingest/output/output-target.ts';
export {
  type StoredLayer,
  TimelineOutput,
  type TimelineOutputOptions,
} from '../ingest/output/timeline-output.ts';
export {
  type ImportedShard,
  type ImportedTimeline,
  type ImportedTimelineLayer,
  type ImportTimelineOptions,
  importTimeline,
} from '../ingest/pgdata/import-timeline.ts';
export type { ImportWay } from '../ingest/pgdata/source-cluster.ts';
export type { TimelineChoice } from '../ingest/pipeline/base-timeline.ts';
export type { StartOptions } from '../ingest/pipeline/continued-timeline.ts';
export { WalIngest, type WalIngestResult } from '../ingest/pipeline/wal-ingest.ts';
export type { WalIngestOptions } from '../ingest/pipeline/wal-ingest-options.ts';
export type { IngestShard } from '../ingest/wal/ingest-state.ts';
export type { IngestBase, PutSink } from '../ingest/wal/put-sink.ts';
export { RecordIngest, type RecordIngestOptions } from '../ingest/wal/record-ingest.ts';
export type { Key, KeyRange } from '../layers/key.ts';
export type { LayerEntry } from '../layers/layer-file/entry-batch.ts';
export type { IndexEntry } from '../layers/layer-file/entry-layout.ts';
export type { LayerInput } from '../layers/layer-file/layer-input.ts';
export type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';
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
export type { ClusterState, ControlFile } from '../postgres/control-file.ts';
export { CLUSTER_STATES } from '../postgres/control-file.ts';
export type { DirectoryDatabase, DirectoryRelation } from '../postgres/directory-values.ts';
export { FORK_NAMES, type Fork, type ForkName } from '../postgres/fork.ts';
export { type DatabaseId, SLRU_NAMES, type SlruName } from '../postgres/key-mapping.ts';
export type { LeftOutFile } from '../postgres/left-out.ts';
export type { LeftOutReason } from '../postgres/relation-file-name.ts';
export type { OnProgress } from '../progress.ts';
export { DEFAULT_CHECKPOINT_DISTANCE } from '../reshape/level0.ts';
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
export type { StoredSource, TimelineSource } from '../timeline/open-timeline.ts';
export type { PageResult } from '../timeline/read-page.ts';
export type { LayerVisit, Reconstruction, TimelineEntry } from '../timeline/reconstruct.ts';
export type { TimelinePlace } from '../timeline/remote-path.ts';
export type { Sharding } from '../timeline/shard-owner.ts';
export type { OffloadedTimeline, TenantManifest } from '../timeline/tenant-manifest.ts';
export type { ShardIndex, TenantShard } from '../timeline/tenant-shard.ts';
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
  OpenFile,
  OpenOptions,
  Ownership,
  SyncOpenFile,
} from '../virtual-file/file-system.ts';
export type { OpenFiles, OpenFilesOptions } from '../virtual-file/open-files.ts';
export type { HeapDialect } from '../wal/heap-dialect.ts';
export type { WalRecordBatch } from '../wal/record-batch.ts';
export type { WalEnd, WalSkip } from '../wal/wal-end.ts';
export type { WalReader } from '../wal/wal-reader.ts';
export type { TimelineMetadataFields } from '../write-once/timeline-metadata.ts';
export type { Compression } from '../zstd/compression.ts';

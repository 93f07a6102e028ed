/**
 * `layerfile/ingest`: timelines made from other data or continued with WAL, and the place in which they are stored.
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
export {
  isStorageError,
  type Outcome,
  STORAGE_ERROR_CODES,
  StorageError,
  type StorageErrorCode,
  type StorageErrorDetails,
} from '../errors.ts';
export {
  type OutputTarget,
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
export {
  DEFAULT_CHECKPOINT_DISTANCE,
  WalIngest,
  type WalIngestOptions,
  type WalIngestResult,
} from '../ingest/pipeline/wal-ingest.ts';
export type { IngestShard } from '../ingest/wal/ingest-state.ts';
export type { IngestBase, PutSink } from '../ingest/wal/put-sink.ts';
export { RecordIngest, type RecordIngestOptions } from '../ingest/wal/record-ingest.ts';

/**
 * `layerfile/ingest`: timelines made from other data, and the place in which they are stored.
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
export type { IngestShard } from '../ingest/wal/ingest-state.ts';
export type { IngestBase, PutSink } from '../ingest/wal/put-sink.ts';
export { RecordIngest, type RecordIngestOptions } from '../ingest/wal/record-ingest.ts';

/** Options of an ingest of WAL. */
import { availableParallelism } from 'node:os';
import {
  checkCount,
  checkMethod,
  checkObject,
  checkOpenFiles,
  checkOptions,
  checkSignal,
  type KnownOptions,
} from '../../check-options.ts';
import { WriteOutThread } from '../../layers/ephemeral-layer/write-out-thread.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { DEFAULT_CHECKPOINT_DISTANCE } from '../../reshape/level0.ts';
import type { RedoRunner } from '../../timeline/materialize.ts';
import type { HeapDialect } from '../../wal/heap-dialect.ts';
import type { StartOptions } from './continued-timeline.ts';

/** Options of `WalIngest.open`. */
export interface WalIngestOptions extends StartOptions {
  /** Bytes of values, or of WAL, after which a layer ends; of WAL, for each shard. Default 256 MiB. */
  readonly checkpointDistance?: number | undefined;
  /** Dialect of the heap records of Postgres 14 and 15. Default: detected for each record. */
  readonly dialect?: HeapDialect | undefined;
  /**
   * Builds the pages that records copy if WAL must be replayed for it, such as a `RedoProcess`: a database that is
   * copied by file may have changed since the last images of its pages. Without it, such a record is `needs-redo`.
   */
  readonly redo?: RedoRunner | undefined;
  /** Pages of a stripe of a sharded tenant. Default: the value in the files of the base's tenant, or 2,048. */
  readonly stripeSize?: number | undefined;
  /**
   * Number of threads, including the caller's. With 2 or more, a second one writes larger layers out while the next one
   * fills, unless `openFiles` is given. Default: the number of processors.
   */
  readonly threadCount?: number | undefined;
  /** Bytes of values above which a record gets a separate layer. Default 32 MiB. @internal */
  readonly recordSize?: number | undefined;
  /** Called with the LSN up to which WAL has been read. */
  readonly onProgress?: ((lsn: Lsn) => void) | undefined;
}

const OPTIONS: KnownOptions<WalIngestOptions> = {
  base: true,
  baseChoice: true,
  target: true,
  generation: true,
  mode: true,
  shard: true,
  stagingDirectory: true,
  openFiles: true,
  onCopied: 'function',
  signal: true,
  checkpointDistance: true,
  dialect: true,
  redo: true,
  stripeSize: true,
  threadCount: true,
  recordSize: true,
  onProgress: 'function',
};

/** Bytes that a layer leaves free, so that its last record does not exceed the distance. */
const MAXIMUM_ROOM = 1024 * 1024;
const MINIMUM_DISTANCE = 8192;
const MAXIMUM_DISTANCE = 4 * 1024 * 1024 * 1024;
/** Bytes of the values of one record that are kept in memory; with more, the record gets a separate layer. */
const RECORD_SIZE = 32 * 1024 * 1024;

/** Throws `invalid-input`. */
export function checkIngestOptions(options: WalIngestOptions): void {
  checkOptions(options, OPTIONS);
  const { checkpointDistance, stripeSize, threadCount, generation, recordSize, signal } = options;
  if (checkpointDistance !== undefined) {
    const bounds = { from: MINIMUM_DISTANCE, to: MAXIMUM_DISTANCE };
    checkCount('checkpointDistance', checkpointDistance, bounds);
  }
  if (threadCount !== undefined) checkCount('threadCount', threadCount, { from: 1 });
  if (stripeSize !== undefined) checkCount('stripeSize', stripeSize, { from: 1, to: 0xffff_ffff });
  if (generation !== undefined) checkCount('generation', generation, { to: 0xffff_ffff });
  if (recordSize !== undefined) checkCount('recordSize', recordSize, { from: 1 });
  if (options.redo !== undefined) checkMethod('redo', options.redo, 'apply');
  if (options.baseChoice !== undefined) checkObject('baseChoice', options.baseChoice);
  checkOpenFiles(options.openFiles);
  checkSignal(signal);
}

/** Bytes. */
export interface IngestSizes {
  /** Of WAL, after which a layer ends; for each shard. */
  readonly distance: number;
  /** Of values, after which a layer ends. */
  readonly layer: number;
  /** Of the values of one record, above which it gets a separate layer. */
  readonly record: number;
}

/** The sizes that options choose. */
export function sizesOf(options: WalIngestOptions): IngestSizes {
  const { checkpointDistance: distance = DEFAULT_CHECKPOINT_DISTANCE } = options;
  const { recordSize: record = RECORD_SIZE } = options;
  return { distance, layer: distance - Math.min(MAXIMUM_ROOM, distance / 16), record };
}

/** The caller's own table of open files works on one thread only. */
export function threadOf({ threadCount, openFiles }: WalIngestOptions): WriteOutThread | undefined {
  const count = threadCount ?? availableParallelism();
  return count < 2 || openFiles !== undefined ? undefined : new WriteOutThread();
}

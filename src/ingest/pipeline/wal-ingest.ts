/**
 * Continues a timeline with WAL: the values that a pageserver would put for each record become L0 delta layers, and the
 * index advances with them.
 *
 *   WAL -> records -> values -> open layer -> frozen layer, written out -> stored -> index
 *
 * The index says how far the timeline reaches. It advances at each border of a layer, after the layer is durable, and
 * never before; so however an ingest ends, the next one continues at `disk_consistent_lsn`, and nothing is lost or put
 * twice. A layer ends after a record, when its values have nearly reached the checkpoint distance in bytes, or when its
 * LSNs span it; and before a record with many values, which may fill several layers.
 */
import { checkObject } from '../../check-options.ts';
import { isStorageError, StorageError, throwIfAborted } from '../../errors.ts';
import type { FinishedLayer } from '../../layers/layer-file/layer-writer.ts';
import { formatLsn, type Lsn, MAXIMUM_LSN } from '../../layers/lsn.ts';
import { joinHalves, splitLsn } from '../../layers/lsn-halves.ts';
import { isUnsharded, UNSHARDED } from '../../timeline/tenant-shard.ts';
import type { WalRecordBatch } from '../../wal/record-batch.ts';
import type { WalReader } from '../../wal/wal-reader.ts';
import type { IngestShard } from '../wal/ingest-state.ts';
import { RecordIngest } from '../wal/record-ingest.ts';
import { type Cluster, checkFirstRecord, checkSameCluster, readCluster } from './base-cluster.ts';
import { type ContinuedTimeline, continueTimeline } from './continued-timeline.ts';
import { TimelineBase } from './ingest-base.ts';
import { type Border, LayerLine } from './layer-line.ts';
import { localLayers, type OpenLayers } from './open-layers.ts';
import { RecordPuts } from './record-puts.ts';
import {
  checkIngestOptions,
  type IngestSizes,
  sizesOf,
  threadOf,
  type WalIngestOptions,
} from './wal-ingest-options.ts';

/** The result of an ingest. */
export interface WalIngestResult {
  /** As they are stored, in the order of their LSNs. */
  readonly layers: readonly FinishedLayer[];
  /** End of the last record that the timeline had before. */
  readonly startLsn: Lsn;
  /** End of the last record that it has now: `disk_consistent_lsn` of the index. */
  readonly endLsn: Lsn;
  /** Number of records. */
  readonly recordCount: number;
  /** Path of the index, as messages name it. */
  readonly indexPath: string;
}

/** Batches on their way into a layer on this thread. */
const BATCH_COUNT = 2;

/**
 * An ingest of WAL into a timeline. One call of `ingest` at a time; after an error, only `close`.
 *
 * @example
 * await using ingest = await WalIngest.open({ base: 'timeline', target: 'timeline' });
 * const wal = await openWal(walDirectory('pg_wal'), { start: ingest.startLsn });
 * const { layers, endLsn } = await ingest.ingest(wal);
 */
export class WalIngest {
  readonly #options: WalIngestOptions;
  readonly #timeline: ContinuedTimeline;
  readonly #cluster: Cluster;
  readonly #base: TimelineBase;
  readonly #line: LayerLine;
  readonly #puts: RecordPuts;
  readonly #records: RecordIngest;
  readonly #sizes: IngestSizes;
  readonly #stored: readonly FinishedLayer[];
  /** End of the last record, in halves. */
  #lastHigh: number;
  #lastLow: number;
  /** End of the preceding record, in halves; null if unknown. */
  #previousHigh: number | null = null;
  #previousLow = 0;
  /** Whether a record came after the last border. */
  #isAfterBorder = false;
  #recordCount = 0;
  /** LSN at which the open layer ends regardless of its size, in halves. */
  #limitHigh = 0;
  #limitLow = 0;
  #hasFirst = false;

  /**
   * Finds the timeline, copies it if it goes elsewhere, stores an index of the new generation, and reads what the
   * first record needs.
   *
   * @throws `exists` (the output has the timeline already: resume, or take a higher generation), `not-found` (no
   * timeline, no index, no checkpoint), `unsupported-version` (the index says that relations have separate keys),
   * `invalid-input`, `needs-redo`, `corrupt`, `io`, `network`, `denied`, `aborted`.
   */
  static async open(options: WalIngestOptions): Promise<WalIngest> {
    checkIngestOptions(options);
    const timeline = await continueTimeline(options);
    try {
      const cluster = await readCluster(timeline.reader);
      const place = {
        ...timeline.output.place,
        directory: timeline.output.stagingDirectory,
        generation: undefined,
        ioMode: undefined,
        openFiles: options.openFiles,
      };
      const layers = localLayers(place, threadOf(options));
      return await WalIngest.#create(options, { timeline, cluster, layers });
    } catch (error) {
      await Promise.allSettled([timeline.close(), timeline.reader.close()]);
      throw error;
    }
  }

  static async #create(
    options: WalIngestOptions,
    parts: {
      readonly timeline: ContinuedTimeline;
      readonly cluster: Cluster;
      readonly layers: OpenLayers;
    },
  ): Promise<WalIngest> {
    const { timeline, cluster, layers } = parts;
    const { lastLsn } = timeline;
    const stored: FinishedLayer[] = [];
    const line = await LayerLine.create(layers, {
      startLsn: lastLsn + 1n,
      onBorder: async (border, layers) => {
        const finished = await timeline.advance(border, layers);
        base.noteAdvance();
        stored.push(...finished);
      },
    });
    const puts = new RecordPuts(line, BATCH_COUNT, sizesOf(options));
    const base = new TimelineBase({
      timeline: timeline.reader,
      own: (key, lsn) => puts.versions(key, lsn),
      reopen: () => timeline.reopen(),
      pgVersion: cluster.majorVersion,
      redo: options.redo,
      signal: options.signal,
    });
    try {
      const records = await RecordIngest.open({
        base,
        sink: puts,
        lsn: lastLsn,
        majorVersion: cluster.majorVersion,
        dialect: options.dialect,
        shard: shardOf(timeline, options),
      });
      return new WalIngest(options, { timeline, cluster, base, line, puts, records, stored });
    } catch (error) {
      await Promise.allSettled([line.close()]);
      throw error;
    }
  }

  private constructor(
    options: WalIngestOptions,
    parts: {
      readonly timeline: ContinuedTimeline;
      readonly cluster: Cluster;
      readonly base: TimelineBase;
      readonly line: LayerLine;
      readonly puts: RecordPuts;
      readonly records: RecordIngest;
      readonly stored: readonly FinishedLayer[];
    },
  ) {
    this.#options = options;
    this.#timeline = parts.timeline;
    this.#cluster = parts.cluster;
    this.#base = parts.base;
    this.#line = parts.line;
    this.#puts = parts.puts;
    this.#records = parts.records;
    this.#stored = parts.stored;
    this.#sizes = sizesOf(options);
    const { lastLsn, previousLsn } = parts.timeline;
    ({ high: this.#lastHigh, low: this.#lastLow } = splitLsn(lastLsn));
    if (previousLsn !== null) {
      ({ high: this.#previousHigh, low: this.#previousLow } = splitLsn(previousLsn));
    }
    this.#setLimit();
  }

  /** Where WAL is read from: the end of the last record that the timeline has. */
  get startLsn(): Lsn {
    return this.#timeline.lastLsn;
  }

  /** Everything up to this LSN is in the index, and is durable. */
  get durableLsn(): Lsn {
    return this.#timeline.durableLsn;
  }

  /**
   * Ingests WAL up to its end. If a record cannot be ingested, or the WAL is damaged, everything before it is made
   * durable first.
   *
   * Durability: once it resolves, and after an error of a record or of the WAL, all records before the end survive a
   * crash, and the index names their layers. After any other error, `durableLsn` says how much survives.
   *
   * @param wal A reader that starts at `startLsn`.
   * @throws `invalid-input` for WAL of another cluster or version; `gap` if the first record does not follow the
   * timeline, or a segment is missing; `corrupt`, `truncated` and others, with the LSN, for WAL that ends in damage and
   * for records that cannot be ingested; `needs-redo`; as the output; `aborted`.
   */
  async ingest(wal: WalReader): Promise<WalIngestResult> {
    checkObject('WAL to ingest', wal);
    checkSameCluster(wal, this.#cluster);
    let failure: { readonly error: unknown } | undefined;
    try {
      for await (const batch of wal) {
        await this.#ingestBatch(batch);
        this.#options.onProgress?.(this.#lastLsn);
      }
      failure = damageOf(wal);
    } catch (error) {
      if (!isStorageError(error) || isStorageError(error, 'aborted')) throw error;
      failure = { error };
    }
    await this.#freeze();
    await this.#line.drained();
    if (failure !== undefined) throw failure.error;
    return {
      layers: this.#stored,
      startLsn: this.startLsn,
      endLsn: this.#lastLsn,
      recordCount: this.#recordCount,
      indexPath: this.#timeline.output.indexPath,
    };
  }

  /** Deletes what is not durable. Idempotent. */
  async close(): Promise<void> {
    await this.#line.close();
    await this.#base.close();
    await this.#timeline.close();
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #ingestBatch(batch: WalRecordBatch): Promise<void> {
    throwIfAborted(this.#options.signal);
    const { length } = batch;
    if (length > 0 && !this.#hasFirst) {
      const before = checkFirstRecord(batch, this.#timeline);
      ({ high: this.#lastHigh, low: this.#lastLow } = splitLsn(before));
      this.#hasFirst = true;
    }
    this.#records.beginBatch();
    for (let at = 0; at < length; ) {
      const room = this.#sizes.layer - this.#puts.flushedSize;
      let next = this.#records.ingestRun(batch, at, this.#endOfLayer(batch, at), room);
      if (next === at) {
        const waiting = this.#ingestOne(batch, at);
        if (waiting !== undefined) await waiting;
        next = at + 1;
      }
      this.#noteRecords(batch, at, next);
      at = next;
      const isFull = this.#isLimitReached || this.#puts.size >= this.#sizes.layer;
      if (isFull || this.#puts.isSplit) await this.#freeze();
      else if (this.#puts.isFull) await this.#puts.flush();
    }
  }

  /** If the record fails, its values are removed again. */
  #ingestOne(batch: WalRecordBatch, at: number): void | Promise<void> {
    this.#puts.begin(this.#endLayer);
    try {
      const waiting = this.#records.ingestFrom(batch, at);
      return waiting === undefined ? undefined : this.#removeOnFailure(waiting);
    } catch (error) {
      this.#puts.rollBack();
      throw error;
    }
  }

  async #removeOnFailure(waiting: Promise<void>): Promise<void> {
    try {
      await waiting;
    } catch (error) {
      this.#puts.rollBack();
      throw error;
    }
  }

  /**
   * Number of the record after the one with which the layer ends regardless of its size; at most the length of the
   * batch.
   */
  #endOfLayer(batch: WalRecordBatch, from: number): number {
    let last = batch.length - 1;
    while (last > from && this.#isAtLimit(batch.endHigh(last - 1), batch.endLow(last - 1)))
      last -= 1;
    return last + 1;
  }

  /** The records from one up to another were ingested. */
  #noteRecords(batch: WalRecordBatch, from: number, to: number): void {
    const before = to - 2;
    this.#previousHigh = before < from ? this.#lastHigh : batch.endHigh(before);
    this.#previousLow = before < from ? this.#lastLow : batch.endLow(before);
    this.#lastHigh = batch.endHigh(to - 1);
    this.#lastLow = batch.endLow(to - 1);
    this.#isAfterBorder = true;
    this.#recordCount += to - from;
  }

  get #lastLsn(): Lsn {
    return joinHalves(this.#lastHigh, this.#lastLow);
  }

  get #isLimitReached(): boolean {
    return this.#isAtLimit(this.#lastHigh, this.#lastLow);
  }

  #isAtLimit(high: number, low: number): boolean {
    return high > this.#limitHigh || (high === this.#limitHigh && low >= this.#limitLow);
  }

  /** Ends the layer after the last record, if there was one since the last border. */
  async #freeze(): Promise<void> {
    const border = this.#endLayer();
    if (border !== undefined) await this.#puts.freeze(border);
  }

  /** The border after the last record, where the next layer starts; undefined if that is the last border. */
  readonly #endLayer = (): Border | undefined => {
    if (!this.#isAfterBorder) return undefined;
    this.#isAfterBorder = false;
    this.#setLimit();
    const high = this.#previousHigh;
    const previousLsn = high === null ? null : joinHalves(high, this.#previousLow);
    return { lastLsn: this.#lastLsn, previousLsn };
  };

  #setLimit(): void {
    const { count } = this.#timeline.output.place.shard;
    const limit = this.#lastLsn + BigInt(this.#sizes.distance) * BigInt(Math.max(1, count));
    ({ high: this.#limitHigh, low: this.#limitLow } = splitLsn(
      limit < MAXIMUM_LSN ? limit : MAXIMUM_LSN,
    ));
  }
}

function shardOf(
  { output, stripeSize }: ContinuedTimeline,
  options: WalIngestOptions,
): IngestShard {
  const { shard } = output.place;
  const { number, count } = isUnsharded(shard) ? UNSHARDED : shard;
  return { number, count, stripeSize: options.stripeSize ?? stripeSize };
}

/** The error of WAL that does not end where WAL ends. */
function damageOf({ end }: WalReader): { readonly error: unknown } | undefined {
  if (end === undefined || end.kind === 'end-of-range' || end.kind === 'end-of-wal') {
    return undefined;
  }
  const { error, kind, lsn } = end;
  const what = { gap: 'WAL has a gap', truncated: 'WAL is truncated', corrupt: 'WAL is damaged' };
  const fallback = new StorageError(kind, { what: what[kind], lsn: formatLsn(lsn) });
  return { error: error?.with({ lsn: formatLsn(lsn) }) ?? fallback };
}

/**
 * Ingests WAL records: puts the values that a pageserver would put for each, at the end LSN of the record.
 *
 *   1. the next transaction of the checkpoint, if the record's own is not below it
 *   2. the effects of the record's kind beyond its blocks: `handlers.ts`
 *   3. its blocks: a record of page images as images, any other as the whole record, once for each block;
 *      before them sizes of forks that grow, and zero pages for the blocks that are missing
 *   4. directories, sizes and other keys that are always images, and the checkpoint, if it changed
 *
 * For most records, nothing is read and nothing is allocated.
 *
 * Source: Neon pageserver/src/walingest.rs, libs/wal_decoder/src/serialized_batch.rs.
 */

import { ViewedBytes } from '../../byte-words.ts';
import {
  checkBytes,
  checkChoice,
  checkCount,
  checkMethod,
  checkObject,
  checkOptions,
  type KnownOptions,
} from '../../check-options.ts';
import { isStorageError, StorageError } from '../../errors.ts';
import { checkLsn, formatLsn, type Lsn } from '../../layers/lsn.ts';
import { joinHalves, splitLsn } from '../../layers/lsn-halves.ts';
import { checkpointKey } from '../../postgres/key-mapping.ts';
import { DEFAULT_STRIPE_SIZE } from '../../timeline/shard-owner.ts';
import { HEAP_DIALECTS, type HeapDialect } from '../../wal/heap-dialect.ts';
import { checkMajorVersion } from '../../wal/main-data/main-data.ts';
import type { WalRecordBatch } from '../../wal/record-batch.ts';
import { checkRecord, scannedRecord, type WalRecord } from '../../wal/record-format.ts';
import { RecordScanner } from '../../wal/record-scanner.ts';
import {
  HEAP,
  HEAP2,
  kindIndexOf,
  NEON,
  recordTypeOf,
  resourceManagerName,
} from '../../wal/resource-managers.ts';
import { putBlocks } from './blocks.ts';
import { CheckpointValue } from './checkpoint-value.ts';
import { type Handler, handlersOf } from './handlers.ts';
import { type IngestShard, IngestState, lacking } from './ingest-state.ts';
import type { Ask, Asking } from './metadata.ts';
import { PlainRecords } from './plain-records.ts';
import type { IngestBase, PutSink } from './put-sink.ts';
import { type RowSink, rowsOf } from './row-sink.ts';

/** Options of `RecordIngest.open`. */
export interface RecordIngestOptions {
  /** The values before the first record, and those put since. */
  readonly base: IngestBase;
  /** Takes the values. */
  readonly sink: PutSink;
  /** End of the last record that the base has. */
  readonly lsn: Lsn;
  /** Version of Postgres, 14 to 17. */
  readonly majorVersion: number;
  /** Dialect of the heap records of 14 and 15. Default: detected for each record. */
  readonly dialect?: HeapDialect | undefined;
  /** Default: the tenant is not sharded. */
  readonly shard?: IngestShard | undefined;
  /**
   * Maximum number of blocks that may be missing before one that a record names; each is put as zeros. Default
   * 262,144, 2 GiB. A hash index grows by a quarter of its size.
   */
  readonly maximumGap?: number | undefined;
}

const OPTIONS: KnownOptions<RecordIngestOptions> = {
  base: true,
  sink: true,
  lsn: true,
  majorVersion: true,
  dialect: true,
  shard: true,
  maximumGap: true,
};

const DEFAULT_MAXIMUM_GAP = 262_144;
const UNSHARDED: IngestShard = { number: 0, count: 0, stripeSize: DEFAULT_STRIPE_SIZE };

/** Of logical messages. */
const MESSAGES = 21;

/**
 * Managers whose records go to the first shard and to the shards that have one of their blocks, or a block of the
 * visibility map.
 */
const BLOCK_MANAGERS: readonly number[] = [HEAP, HEAP2, NEON, MESSAGES];

type Progress =
  | { readonly kind: 'ready' }
  | { readonly kind: 'waiting' }
  | { readonly kind: 'failed'; readonly error: unknown };

const READY: Progress = { kind: 'ready' };
const WAITING: Progress = { kind: 'waiting' };

/**
 * Turns records into values, in the order of the WAL. One record at a time: the next one only after a returned promise
 * has resolved.
 *
 * @example
 * const ingest = await RecordIngest.open({ base, sink, lsn, majorVersion: 17 });
 * for await (const batch of wal) {
 *   for (let index = 0; index < batch.length; index += 1) {
 *     const waiting = ingest.ingestFrom(batch, index);
 *     if (waiting !== undefined) await waiting;
 *   }
 * }
 */
export class RecordIngest {
  readonly #base: IngestBase;
  readonly #state: IngestState;
  readonly #handlers: readonly (Handler | undefined)[];
  readonly #scanner: RecordScanner;
  readonly #sink: RowSink;
  readonly #plainRecords: PlainRecords;
  #progress: Progress = READY;

  /**
   * Reads the checkpoint of the base.
   *
   * @throws `not-found` if the base has none; `corrupt`, `invalid-input`, `out-of-range`; as the base.
   */
  static async open(options: RecordIngestOptions): Promise<RecordIngest> {
    checkOptions(options, OPTIONS);
    checkMethod('base', options.base, 'get');
    checkMethod('sink', options.sink, 'put');
    checkMethod('sink', options.sink, 'putRecord');
    checkLsn(options.lsn, 'lsn');
    checkMajorVersion(options.majorVersion);
    checkChoice('dialect', options.dialect, HEAP_DIALECTS);
    const { base, shard = UNSHARDED, maximumGap = DEFAULT_MAXIMUM_GAP } = options;
    checkShard(shard);
    checkCount('maximumGap', maximumGap);
    const bytes = await base.get(checkpointKey(), options.lsn);
    if (bytes === undefined) {
      throw lacking('checkpoint', 'a checkpoint').with({ lsn: formatLsn(options.lsn) });
    }
    checkBytes(bytes, 'result of base.get');
    return new RecordIngest(options, { shard, maximumGap, checkpoint: new CheckpointValue(bytes) });
  }

  private constructor(
    options: RecordIngestOptions,
    chosen: {
      readonly shard: IngestShard;
      readonly maximumGap: number;
      readonly checkpoint: CheckpointValue;
    },
  ) {
    const { base, majorVersion, dialect, lsn } = options;
    const sink = rowsOf(options.sink);
    const { high, low } = splitLsn(lsn);
    this.#base = base;
    this.#sink = sink;
    this.#state = new IngestState({ sink, majorVersion, dialect, ...chosen });
    this.#state.lsnHigh = high;
    this.#state.lsnLow = low;
    this.#handlers = handlersOf(majorVersion);
    this.#scanner = new RecordScanner(majorVersion);
    this.#plainRecords = new PlainRecords(this.#state, sink);
  }

  /** End of the last record. */
  get lsn(): Lsn {
    return this.#state.lsn;
  }

  /**
   * Puts the values of a record.
   *
   * @param bytes One record, unchanged until a returned promise settles.
   * @param lsn Its end LSN, above that of the record before.
   * @returns Nothing if everything was put; else a promise.
   * @throws `corrupt`, `truncated`, `out-of-range`, `too-large` for a record that cannot be right; `not-found` if the
   *   base lacks what it needs, `exists` if it has what the record creates; `invalid-input` for a heap record that can
   *   be read in two dialects; `out-of-order`; as base and sink. An error of a record names its kind and its LSN, and
   *   ends the ingest: the sink may have some of the record's values.
   */
  ingest(bytes: Uint8Array, lsn: Lsn): void | Promise<void> {
    checkBytes(bytes, 'WAL record');
    checkLsn(lsn, 'end of the WAL record');
    const { high, low } = splitLsn(lsn);
    this.#begin(high, low);
    try {
      checkRecord(bytes);
    } catch (error) {
      throw this.#fail(error, undefined);
    }
    return this.#ingest(new ViewedBytes(bytes), 0, bytes.length);
  }

  /**
   * As `ingest`, for a record of a batch, whose checksum is known to be right.
   *
   * @param batch Unchanged until a returned promise settles. Its version must be that of the ingest.
   * @param index Number of the record in the batch.
   */
  ingestFrom(batch: WalRecordBatch, index: number): void | Promise<void> {
    checkMethod('batch of records', batch, 'endHigh');
    const { majorVersion } = this.#state;
    if (batch.majorVersion !== majorVersion) {
      const [expected, actual] = [`${majorVersion}`, `${batch.majorVersion}`];
      throw new StorageError('invalid-input', { what: 'version of the WAL', expected, actual });
    }
    this.#begin(batch.endHigh(index), batch.endLow(index));
    return this.#ingest(batch.memory, batch.offset(index), batch.size(index));
  }

  /** Called before the records of another batch. @internal */
  beginBatch(): void {
    this.#state.kernel?.beginBatch();
  }

  /**
   * Puts records of a batch in one run, as far as that is possible: before the record `to`, and until the values have
   * `size` bytes.
   *
   * Requires: `beginBatch` was called for the batch. Returns: number of the first record that is left for `ingestFrom`.
   * Throws: `out-of-order`.
   *
   * @internal
   */
  ingestRun(batch: WalRecordBatch, from: number, to: number, size: number): number {
    const state = this.#state;
    if (state.kernel === undefined || from >= to || batch.majorVersion !== state.majorVersion)
      return from;
    const { lsnHigh, lsnLow } = state;
    this.#begin(batch.endHigh(from), batch.endLow(from));
    const next = this.#plainRecords.putRun(batch, from, to, size);
    state.lsnHigh = next === from ? lsnHigh : batch.endHigh(next - 1);
    state.lsnLow = next === from ? lsnLow : batch.endLow(next - 1);
    return next;
  }

  /** The record ends at the LSN of these halves. */
  #begin(high: number, low: number): void {
    const progress = this.#progress;
    if (progress.kind === 'failed') throw progress.error;
    if (progress.kind === 'waiting') {
      throw new StorageError('out-of-order', {
        what: 'the previous record is still being ingested: await its promise first',
      });
    }
    const state = this.#state;
    if (high < state.lsnHigh || (high === state.lsnHigh && low <= state.lsnLow)) {
      throw new StorageError('out-of-order', {
        what: 'end of the WAL record',
        lsn: formatLsn(joinHalves(high, low)),
        expected: `above ${formatLsn(state.lsn)}`,
      });
    }
    state.lsnHigh = high;
    state.lsnLow = low;
    this.#sink.beginRows(high, low);
  }

  #ingest(memory: ViewedBytes, offset: number, size: number): void | Promise<void> {
    let record: WalRecord | undefined;
    try {
      this.#scanner.scan(memory.view, offset, size);
      if (this.#plainRecords.put(this.#scanner, memory, offset, size)) return;
      record = scannedRecord(memory.bytes, this.#scanner);
      const bytes = memory.bytes.subarray(offset, offset + size);
      const work = this.#work(record, bytes);
      const step = work.next();
      if (step.done !== true) return this.#wait(record, work, step.value);
    } catch (error) {
      throw this.#fail(error, record);
    }
  }

  *#work(record: WalRecord, bytes: Uint8Array): Asking<void> {
    const state = this.#state;
    const { checkpoint } = state;
    const { xid, resourceManager, info } = record;
    const handler = this.#handlers[kindIndexOf(resourceManager, info)];
    const isAboutBlocks = handler === undefined || BLOCK_MANAGERS.includes(resourceManager);
    const isSentToAll = state.isFirstShard || !isAboutBlocks;
    if (xid !== 0 && isSentToAll) checkpoint.noteXid(xid);
    const putsBefore = state.blockPuts;
    const rest = handler?.(state, record);
    if (rest !== undefined) yield* rest;
    yield* putBlocks(state, record, bytes);
    if (xid !== 0 && !isSentToAll && state.blockPuts > putsBefore) checkpoint.noteXid(xid);
    if (checkpoint.takeChange()) state.metadata.put(checkpointKey(), checkpoint.bytes());
    state.commit();
  }

  /** Does the rest of the work with what it asks for. */
  async #wait(record: WalRecord, work: Asking<void>, firstAsk: Ask): Promise<void> {
    this.#progress = WAITING;
    try {
      const { lsn } = this.#state;
      let ask = firstAsk;
      for (;;) {
        const answer = await (typeof ask === 'function' ? ask() : this.#base.get(ask, lsn));
        if (answer !== undefined) checkBytes(answer, 'result of base.get');
        const step = work.next(answer);
        if (step.done === true) break;
        ask = step.value;
      }
    } catch (error) {
      throw this.#fail(error, record);
    }
    this.#progress = READY;
  }

  /** Ends the ingest. Returns the error, with the record. */
  #fail(error: unknown, record: WalRecord | undefined): unknown {
    const placed = isStorageError(error) ? this.#placed(error, record) : error;
    this.#progress = { kind: 'failed', error: placed };
    return placed;
  }

  #placed(error: StorageError, record: WalRecord | undefined): StorageError {
    const { majorVersion, lsn } = this.#state;
    const kind =
      record === undefined
        ? ''
        : ` ${resourceManagerName(record.resourceManager, majorVersion)}/${recordTypeOf(record, majorVersion)}`;
    const { code, path, key } = error;
    return new StorageError(code, {
      what: `WAL record${kind}: ${error.message}`,
      ...{ path, key, lsn: formatLsn(lsn), cause: error },
    });
  }
}

function checkShard(shard: IngestShard): void {
  checkObject('shard', shard);
  checkCount('shard count', shard.count, { to: 0xff });
  checkCount('stripe size', shard.stripeSize, { from: 1, to: 0xffff_ffff });
  checkCount('shard number', shard.number, { to: Math.max(0, shard.count - 1) });
}

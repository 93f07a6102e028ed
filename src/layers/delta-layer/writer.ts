/**
 * Writes a delta layer: values in the order of (key, LSN), each greater than the one before.
 *
 * One writer at a time. A refusal is thrown synchronously: the call has changed nothing, and the next
 * one may follow. Everything else is in the layer in the order of the calls, whether or not the
 * promises are awaited, unless `finish` rejects.
 */

import { checkEncodedBlob } from '../../blob-writer/blob-writer.ts';
import { checkObject, type KnownOptions } from '../../check-options.ts';
import { checkKey, copyKeyRange, KEY_SIZE, type Key, type KeyRange } from '../key.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';
import {
  checkWriteOptions,
  type FinishedLayer,
  LayerFileWriter,
  WRITE_OPTIONS,
  type WriteOptions,
} from '../layer-file/layer-writer.ts';
import { encodeSummary, STORAGE_FORMAT_VERSION } from '../layer-file/summary-format.ts';
import { checkLsn, checkLsnRange, type Lsn, type LsnRange } from '../lsn.ts';
import { encodeValue, type Value, valueWillInit } from '../value-format.ts';
import { BatchWriter } from './batch-writer.ts';
import { NextEntry } from './next-entry.ts';
import type { EntryKeyBatch, ValueBatch } from './value-batch.ts';

/** Options of `DeltaLayerWriter.create`. */
export interface DeltaWriteOptions extends WriteOptions {
  /** Keys that the layer takes; part of its name. */
  readonly keyRange: KeyRange;
  /** LSNs that the layer takes; part of its name. */
  readonly lsnRange: LsnRange;
}

/** The ranges in the name of a delta layer. */
type DeltaRanges = Pick<DeltaWriteOptions, 'keyRange' | 'lsnRange'>;

const DELTA_OPTIONS: KnownOptions<DeltaWriteOptions> = {
  ...WRITE_OPTIONS,
  keyRange: true,
  lsnRange: true,
};

/**
 * Writes a delta layer. Ends with `finish`, which publishes it, or with `abandon`.
 *
 * @example
 * await using writer = await DeltaLayerWriter.create({
 *   ...{ directory, tenantId, timelineId, keyRange, lsnRange },
 * });
 * await writer.put(key, 0x1008n, { type: 'image', bytes: page });
 * const { path } = await writer.finish();
 */
export class DeltaLayerWriter {
  readonly #file: LayerFileWriter;
  readonly #options: DeltaWriteOptions;
  readonly #entry: NextEntry;
  readonly #batches: BatchWriter;

  /**
   * Begins a layer in a temporary file in the directory. A signal ends the wait for a descriptor.
   *
   * @throws `exists` if the layer exists already; `out-of-range` and `invalid-input` for options
   * that are not valid; `not-found`, `io`, `aborted`.
   */
  static async create(options: DeltaWriteOptions): Promise<DeltaLayerWriter> {
    return DeltaLayerWriter.#create(options, 'now');
  }

  /**
   * As `create`, for a layer whose ranges are known when it ends; those of the options are their
   * limits. Ends with `finishAs`.
   * @internal
   */
  static async createUnnamed(options: DeltaWriteOptions): Promise<DeltaLayerWriter> {
    return DeltaLayerWriter.#create(options, 'at-finish');
  }

  static async #create(
    options: DeltaWriteOptions,
    naming: 'now' | 'at-finish',
  ): Promise<DeltaLayerWriter> {
    checkWriteOptions(options, DELTA_OPTIONS);
    checkObject('lsnRange', options.lsnRange);
    checkLsnRange(options.lsnRange);
    const keyRange = copyKeyRange(options.keyRange);
    const lsnRange = { ...options.lsnRange };
    const name = { kind: 'delta', keyRange, lsnRange } as const;
    const file = await LayerFileWriter.create(name, { keySize: DELTA_KEY_SIZE, naming }, options);
    return new DeltaLayerWriter(file, { ...options, keyRange, lsnRange });
  }

  private constructor(file: LayerFileWriter, options: DeltaWriteOptions) {
    this.#file = file;
    this.#options = options;
    this.#entry = new NextEntry(file, options);
    this.#batches = new BatchWriter(file, this.#entry);
  }

  /** Values that were put, including those that wait for the disk. */
  get entryCount(): number {
    return this.#file.index.entryCount + this.#batches.waitingCount;
  }

  /** Size of the file if it were finished now, in bytes; waiting rows of a batch do not count. */
  get estimatedSize(): number {
    return this.#file.estimatedSize;
  }

  /**
   * Bytes of values and finished index blocks: what a pageserver compares with a target size.
   * @internal
   */
  get writtenSize(): number {
    return this.#file.writtenSize;
  }

  /**
   * Appends a value.
   *
   * @param key With the LSN, above the last one; both inside the layer's ranges.
   * @param value Its bytes must stay unchanged until a returned promise settles.
   * @returns Nothing while the buffer has room; else a promise. The value is in the layer whether or
   * not the promise is awaited; awaiting it bounds memory, and a failure that was not awaited
   * surfaces on the next call.
   * @throws `out-of-order`, `out-of-range`, `too-large` (also if too many bytes wait unawaited) and
   * `invalid-input`: nothing was changed. `closed`, `aborted` and `io`: the writer can only be
   * abandoned; a promise rejects with one of these only.
   *
   * Durability: none before `finish`.
   */
  put(key: Key, lsn: Lsn, value: Value): void | Promise<void> {
    return this.putSerialized(key, lsn, encodeValue(value), valueWillInit(value));
  }

  /**
   * Like `put`, for a serialized value, which is not decoded.
   *
   * @param willInit True if the value needs no older one.
   * @returns As `put`.
   * @throws As `put`.
   */
  putSerialized(key: Key, lsn: Lsn, bytes: Uint8Array, willInit: boolean): void | Promise<void> {
    const offset = this.#beginPut(key, lsn);
    return this.#entry.put(this.#file.blobs.append(bytes), offset, willInit);
  }

  /**
   * Like `put`, for a blob with its header, such as one read from another layer.
   *
   * @param willInit True if the value needs no older one.
   * @returns As `put`.
   * @throws As `put`; also `corrupt` and `truncated` unless the bytes are exactly one blob.
   */
  putBlob(key: Key, lsn: Lsn, blob: Uint8Array, willInit: boolean): void | Promise<void> {
    checkEncodedBlob(blob);
    const offset = this.#beginPut(key, lsn);
    return this.#entry.put(this.#file.blobs.appendEncoded(blob), offset, willInit);
  }

  /** Sets the key of the next entry. Returns: the offset of its blob. Throws if it is refused. */
  #beginPut(key: Key, lsn: Lsn): number {
    this.#batches.beforePut();
    checkKey(key);
    checkLsn(lsn);
    const { blobs, index } = this.#file;
    const { bytes, view } = index.nextKey;
    for (let byte = 0; byte < KEY_SIZE; byte += 1) bytes[byte] = key[byte] as number;
    view.setBigUint64(KEY_SIZE, lsn);
    this.#file.throwUnlessOpen();
    this.#entry.check(blobs.offset);
    return blobs.offset;
  }

  /**
   * Like `putSerialized` for each value in turn.
   *
   * @param batch Its arrays must stay unchanged until a returned promise settles.
   * @returns As `put`.
   * @throws As `put`, synchronously, for the first value that is refused; the values before it are in
   * the layer.
   */
  putBatch(batch: ValueBatch): void | Promise<void> {
    return this.#batches.put(batch);
  }

  /**
   * Like `putBatch`, for entry keys of 26 bytes, key and LSN.
   *
   * @returns As `putBatch`.
   * @throws As `putBatch`.
   */
  putEntries(batch: EntryKeyBatch): void | Promise<void> {
    return this.#batches.putEntries(batch, 'contents');
  }

  /**
   * As `putEntries`. Requires: each value is preceded by its blob header, and the blobs follow each other,
   * so that many are copied together.
   * @internal
   */
  putBlobEntries(batch: EntryKeyBatch): void | Promise<void> {
    return this.#batches.putEntries(batch, 'blobs');
  }

  /**
   * Writes index and summary, syncs the file, and publishes it under its final name. An aborted
   * signal ends its waits.
   *
   * @returns Where the layer is, and how large.
   * @throws `empty`, `exists`, `aborted`, `io`, `sync-failed`; `error.outcome` states what is on disk.
   * Unless that is `durable` or `in-doubt`, nothing is left. A second call throws `closed`, after the
   * first has ended and with its outcome.
   *
   * Durability: once this resolves, the complete layer survives a crash under its final name.
   */
  async finish(): Promise<FinishedLayer> {
    return this.finishAs(this.#options);
  }

  /**
   * As `finish`, under a name with these ranges. Requires: every entry lies in them.
   * @internal
   */
  async finishAs({ keyRange, lsnRange }: DeltaRanges): Promise<FinishedLayer> {
    const { tenantId, timelineId } = this.#options;
    const name = { kind: 'delta', keyRange, lsnRange } as const;
    const summary = { ...name, formatVersion: STORAGE_FORMAT_VERSION, tenantId, timelineId };
    return this.#file.finish({
      name,
      encodeSummary: (place) => encodeSummary({ ...summary, ...place }),
      lastPuts: () => this.#batches.drained(),
    });
  }

  /**
   * Deletes the temporary file. Idempotent; waits for a `finish` under way, and does nothing after it.
   *
   * @throws `io` if the file cannot be deleted.
   */
  async abandon(): Promise<void> {
    await this.#file.abandon();
  }

  /** Like `abandon`, but ignores a file that cannot be deleted. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }
}

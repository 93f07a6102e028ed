/**
 * Writes a delta layer: values in the order of (key, LSN), each greater than the one before.
 *
 * One writer at a time. What a call refuses, it throws at once: it has changed nothing, and the next
 * may follow. What it does not refuse is in the layer in the order of the calls, whether or not its
 * promise is awaited, or `finish` rejects.
 */

import { checkContent } from '../../blob-writer/blob-format.ts';
import { checkEncodedBlob } from '../../blob-writer/blob-writer.ts';
import { parseIdentifier } from '../identifier.ts';
import {
  checkKey,
  checkKeyRange,
  copyKeyRange,
  KEY_SIZE,
  type Key,
  type KeyRange,
} from '../key.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';
import {
  type FinishedLayer,
  LayerFileWriter,
  type WriteOptions,
} from '../layer-file/layer-writer.ts';
import { encodeSummary, STORAGE_FORMAT_VERSION } from '../layer-file/summary-format.ts';
import { checkLsn, checkLsnRange, type Lsn, type LsnRange } from '../lsn.ts';
import { encodeValue, type Value, valueWillInit } from '../value-format.ts';
import { BatchWriter } from './batch-writer.ts';
import { NextEntry } from './next-entry.ts';
import type { EntryKeyBatch, ValueBatch } from './value-batch.ts';

export interface DeltaWriteOptions extends WriteOptions {
  readonly keyRange: KeyRange;
  readonly lsnRange: LsnRange;
}

export class DeltaLayerWriter {
  readonly #file: LayerFileWriter;
  readonly #options: DeltaWriteOptions;
  readonly #entry: NextEntry;
  readonly #batches: BatchWriter;

  /**
   * Begins a layer in a temporary file of the directory.
   *
   * Throws: `exists` if the layer is there already, `out-of-range` and `invalid-input` for options
   * that no layer can have, `not-found`, `io`.
   */
  static async create(options: DeltaWriteOptions): Promise<DeltaLayerWriter> {
    checkKeyRange(options.keyRange);
    checkLsnRange(options.lsnRange);
    const keyRange = copyKeyRange(options.keyRange);
    const lsnRange = { ...options.lsnRange };
    parseIdentifier(options.tenantId, 'tenant id');
    parseIdentifier(options.timelineId, 'timeline id');
    const name = { kind: 'delta', keyRange, lsnRange } as const;
    const file = await LayerFileWriter.create(name, { keySize: DELTA_KEY_SIZE }, options);
    return new DeltaLayerWriter(file, { ...options, keyRange, lsnRange });
  }

  private constructor(file: LayerFileWriter, options: DeltaWriteOptions) {
    this.#file = file;
    this.#options = options;
    this.#entry = new NextEntry(file, options);
    this.#batches = new BatchWriter(file, this.#entry);
  }

  /** Values that were put, those that wait for the disk included. */
  get entryCount(): number {
    return this.#file.index.entryCount + this.#batches.waitingCount;
  }

  /** Bytes that the file would have if it was finished now, without rows of a batch that wait. */
  get estimatedSize(): number {
    return this.#file.estimatedSize;
  }

  /**
   * Appends a value.
   *
   * Requires: (key, LSN) above the last one; bytes in the value stay unchanged until a returned
   * promise settles.
   * Returns: nothing while the buffer has room, else a promise. It need not be awaited for the value
   * to be in the layer; to await it keeps memory bounded.
   * Throws: `out-of-order`, `out-of-range`, `too-large` (also where too much waits unawaited),
   * `invalid-input`, and nothing was changed; `closed`, `aborted`, `io`, and the writer can only be
   * abandoned. A returned promise rejects with one of the latter only.
   * Durability: none before `finish`.
   */
  put(key: Key, lsn: Lsn, value: Value): void | Promise<void> {
    return this.putSerialized(key, lsn, encodeValue(value), valueWillInit(value));
  }

  /** As `put`, for a value that is serialized already; it is not decoded. */
  putSerialized(key: Key, lsn: Lsn, bytes: Uint8Array, willInit: boolean): void | Promise<void> {
    this.#batches.beforePut();
    this.#setNextKey(key, lsn);
    checkContent(bytes);
    const { blobs } = this.#file;
    const { offset } = blobs;
    this.#file.throwUnlessOpen();
    this.#entry.check(offset);
    return this.#entry.put(blobs.append(bytes), offset, willInit);
  }

  /**
   * As `put`, for a blob with its header, such as one read from another layer.
   * Throws also: `corrupt`, `truncated` for what is not one whole blob.
   */
  putBlob(key: Key, lsn: Lsn, blob: Uint8Array, willInit: boolean): void | Promise<void> {
    checkEncodedBlob(blob);
    this.#batches.beforePut();
    this.#setNextKey(key, lsn);
    const { blobs } = this.#file;
    const { offset } = blobs;
    this.#file.throwUnlessOpen();
    this.#entry.check(offset);
    return this.#entry.put(blobs.appendEncoded(blob), offset, willInit);
  }

  /**
   * As `putSerialized` for each value in turn. When one is refused, that is thrown at once, and those
   * before it are in.
   * Requires: the arrays stay unchanged until a returned promise settles.
   */
  putBatch(batch: ValueBatch): void | Promise<void> {
    return this.#batches.put(batch);
  }

  /** As `putBatch`, for entry keys: 26 bytes each, key and LSN. */
  putEntries(batch: EntryKeyBatch): void | Promise<void> {
    return this.#batches.putEntries(batch);
  }

  /** See `LayerFileWriter.finish`. */
  async finish(): Promise<FinishedLayer> {
    const { tenantId, timelineId, keyRange, lsnRange } = this.#options;
    const formatVersion = STORAGE_FORMAT_VERSION;
    const ids = { formatVersion, tenantId, timelineId };
    return this.#file.finish({
      encodeSummary: (place) =>
        encodeSummary({ kind: 'delta', ...ids, keyRange, lsnRange, ...place }),
      lastPuts: () => this.#batches.drained(),
    });
  }

  /** Deletes the temporary file. Doing so again, or after `finish`, is harmless. */
  async abandon(): Promise<void> {
    await this.#file.abandon();
  }

  /** As `abandon`, but silent about what could not be deleted. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }

  #setNextKey(key: Key, lsn: Lsn): void {
    checkKey(key);
    checkLsn(lsn);
    const { bytes, view } = this.#file.index.nextKey;
    for (let byte = 0; byte < KEY_SIZE; byte += 1) bytes[byte] = key[byte] as number;
    view.setBigUint64(KEY_SIZE, lsn);
  }
}

/**
 * Writes a delta layer: values in the order of (key, LSN), each greater than the one before.
 *
 * One writer at a time. A put that is refused changes nothing, and the next may follow.
 */

import { blobHeaderSize, checkBlobLength, checkContent } from '../../blob-writer/blob-format.ts';
import { checkEncodedBlob } from '../../blob-writer/blob-writer.ts';
import { copyWords, ViewedBytes } from '../../byte-words.ts';
import { StorageError } from '../../errors.ts';
import type { EntryRun } from '../disk-btree/builder.ts';
import { parseIdentifier } from '../identifier.ts';
import {
  checkKey,
  checkKeyRange,
  copyKeyRange,
  formatKey,
  KEY_SIZE,
  type Key,
  type KeyRange,
} from '../key.ts';
import {
  DELTA_KEY_SIZE,
  DeltaBounds,
  halvesOf,
  LOW_HALF,
  lsnOfEntryKey,
  MAXIMUM_DELTA_OFFSET,
} from '../layer-file/entry-layout.ts';
import {
  type FinishedLayer,
  LayerFileWriter,
  type WriteOptions,
} from '../layer-file/layer-writer.ts';
import { encodeSummary, STORAGE_FORMAT_VERSION } from '../layer-file/summary-format.ts';
import { checkLsn, checkLsnRange, formatLsn, type Lsn, type LsnRange } from '../lsn.ts';
import { encodeValue, type Value, valueWillInit } from '../value-format.ts';
import {
  checkEntryKeyBatch,
  checkValueBatch,
  type EntryKeyBatch,
  type ValueBatch,
  valueBeyondBatch,
} from './value-batch.ts';

export interface DeltaWriteOptions extends WriteOptions {
  readonly keyRange: KeyRange;
  readonly lsnRange: LsnRange;
}

/** A batch with views of its bytes; the keys are entry keys unless there are LSNs beside them. */
interface Rows {
  readonly batch: Omit<ValueBatch, 'keys' | 'lsns'>;
  readonly values: ViewedBytes;
  readonly keys: DataView;
  readonly lsnHalves: Uint32Array | undefined;
}

/** Keys that go into the index at once, at most. */
const RUN_ROWS = 512;

export class DeltaLayerWriter {
  readonly #file: LayerFileWriter;
  readonly #options: DeltaWriteOptions;
  readonly #bounds: DeltaBounds;
  /** Keys and LSNs of a batch, put together; used for one run after the other. */
  readonly #entryKeys = new DataView(new ArrayBuffer(RUN_ROWS * DELTA_KEY_SIZE));
  /** Of a run; behind the last one what the next entry would have. */
  readonly #leafValues = new Float64Array(RUN_ROWS + 1);

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
    this.#bounds = new DeltaBounds(options.keyRange, options.lsnRange);
  }

  get entryCount(): number {
    return this.#file.index.entryCount;
  }

  /** Bytes that the file would have if it was finished now. */
  get estimatedSize(): number {
    return this.#file.estimatedSize;
  }

  /**
   * Appends a value.
   *
   * Requires: (key, LSN) above the last one; bytes in the value stay unchanged until a returned
   * promise settles.
   * Returns: nothing while the buffer has room, else a promise.
   * Throws: `out-of-order`, `out-of-range`, `too-large`, `invalid-input`, and nothing was changed;
   * `closed`, `aborted`, `io`, and the writer can only be abandoned.
   * Durability: none before `finish`.
   */
  put(key: Key, lsn: Lsn, value: Value): void | Promise<void> {
    return this.putSerialized(key, lsn, encodeValue(value), valueWillInit(value));
  }

  /** As `put`, for a value that is serialized already; it is not decoded. */
  putSerialized(key: Key, lsn: Lsn, bytes: Uint8Array, willInit: boolean): void | Promise<void> {
    this.#setNextKey(key, lsn);
    checkContent(bytes);
    const { blobs } = this.#file;
    const { offset } = blobs;
    this.#checkNext(offset);
    return this.#index(blobs.append(bytes), offset, willInit);
  }

  /**
   * As `put`, for a blob with its header, such as one read from another layer.
   * Throws also: `corrupt`, `truncated` for what is not one whole blob.
   */
  putBlob(key: Key, lsn: Lsn, blob: Uint8Array, willInit: boolean): void | Promise<void> {
    checkEncodedBlob(blob);
    this.#setNextKey(key, lsn);
    const { blobs } = this.#file;
    const { offset } = blobs;
    this.#checkNext(offset);
    return this.#index(blobs.appendEncoded(blob), offset, willInit);
  }

  /**
   * As `putSerialized` for each value in turn. When one is refused, those before it are in.
   * Requires: the arrays stay unchanged until a returned promise settles.
   */
  putBatch(batch: ValueBatch): void | Promise<void> {
    checkValueBatch(batch);
    const keys = new ViewedBytes(batch.keys).view;
    const values = new ViewedBytes(batch.values);
    return this.#putRows({ batch, values, keys, lsnHalves: halvesOf(batch.lsns) }, 0);
  }

  /** As `putBatch`, for entry keys: 26 bytes each, key and LSN. */
  putEntries(batch: EntryKeyBatch): void | Promise<void> {
    checkEntryKeyBatch(batch);
    const keys = new ViewedBytes(batch.entryKeys).view;
    const values = new ViewedBytes(batch.values);
    return this.#putRows({ batch, values, keys, lsnHalves: undefined }, 0);
  }

  /** See `LayerFileWriter.finish`. */
  async finish(): Promise<FinishedLayer> {
    const { tenantId, timelineId, keyRange, lsnRange } = this.#options;
    const formatVersion = STORAGE_FORMAT_VERSION;
    const ids = { formatVersion, tenantId, timelineId };
    return this.#file.finish({
      encodeSummary: (place) =>
        encodeSummary({ kind: 'delta', ...ids, keyRange, lsnRange, ...place }),
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

  #putRows(rows: Rows, from: number): void | Promise<void> {
    const { batch, values } = rows;
    const { blobs } = this.#file;
    for (let row = from; row < batch.count; row += 1) {
      this.#file.throwUnlessOpen();
      const { offset } = blobs;
      const { end, endOffset } = this.#putKeys(rows, row);
      if (end > row) blobs.appendParts({ ...batch, values }, row, end, endOffset - offset);
      row = end;
      // What does not fit into the buffer, is refused, or is the end.
      const room = row < batch.count ? this.#putRow(rows, row) : this.#file.indexRoom;
      if (room === undefined) continue;
      const rest = this.#continueRows(room, rows, row + 1);
      // Whoever does not await it hears of a failure from the next call: the writer keeps it.
      rest.catch(() => {});
      return rest;
    }
  }

  async #continueRows(room: Promise<void>, rows: Rows, from: number): Promise<void> {
    await room;
    await this.#putRows(rows, from);
  }

  /**
   * Puts the keys of as many rows as the buffer has room for, up to one that is to be refused; their
   * values must follow at once. Nothing is called that could fail.
   */
  #putKeys(rows: Rows, from: number): { readonly end: number; readonly endOffset: number } {
    const areEntryKeys = rows.lsnHalves === undefined;
    const run = {
      keys: areEntryKeys ? rows.keys : this.#entryKeys,
      keysAt: areEntryKeys ? from * DELTA_KEY_SIZE : 0,
      values: this.#leafValues,
    };
    const taken = this.#file.index.putRun(run, this.#fillRun(run, rows, from));
    // The offset of the row behind those that were taken.
    return { end: from + taken, endOffset: Math.floor((run.values[taken] as number) / 2) };
  }

  /** Sets keys and values of the rows that have room and are inside the layer; returns how many. */
  #fillRun({ keys, keysAt, values }: EntryRun, rows: Rows, from: number): number {
    const { blobs } = this.#file;
    const { starts, lengths, willInit } = rows.batch;
    const size = rows.values.bytes.length;
    const last = Math.min(blobs.offset + blobs.room, MAXIMUM_DELTA_OFFSET);
    const count = Math.min(rows.batch.count - from, RUN_ROWS);
    let { offset } = blobs;
    let at = 0;
    for (; at < count; at += 1) {
      const row = from + at;
      const keyAt = keysAt + at * DELTA_KEY_SIZE;
      const length = lengths[row] as number;
      const blobEnd = offset + blobHeaderSize(length) + length;
      if (blobEnd > last || (starts[row] as number) + length > size) break;
      if (rows.lsnHalves !== undefined) copyEntryKey(rows, row, keys, keyAt);
      if (!this.#bounds.contains(keys, keyAt)) break;
      values[at] = offset * 2 + (willInit[row] === 0 ? 0 : 1);
      offset = blobEnd;
    }
    values[at] = offset * 2;
    return at;
  }

  #putRow(rows: Rows, row: number): void | Promise<void> {
    const { starts, lengths, willInit } = rows.batch;
    const { bytes } = rows.values;
    const { blobs } = this.#file;
    const { offset } = blobs;
    const start = starts[row] as number;
    const end = start + (lengths[row] as number);
    if (end > bytes.length) throw valueBeyondBatch(row, end, bytes.length);
    checkBlobLength(end - start);
    copyEntryKey(rows, row, this.#file.index.nextKey.view, 0);
    this.#checkNext(offset);
    const buffered = blobs.append(bytes.subarray(start, end));
    return this.#index(buffered, offset, willInit[row] !== 0);
  }

  #setNextKey(key: Key, lsn: Lsn): void {
    checkKey(key);
    checkLsn(lsn);
    const { bytes, view } = this.#file.index.nextKey;
    for (let byte = 0; byte < KEY_SIZE; byte += 1) bytes[byte] = key[byte] as number;
    view.setBigUint64(KEY_SIZE, lsn);
  }

  /** Refuses the next key, or the offset of its value, before anything is changed. */
  #checkNext(offset: number): void {
    const { index } = this.#file;
    this.#file.throwUnlessOpen();
    if (!index.acceptsNext()) throw this.#refused('out-of-order', 'not above');
    if (!this.#bounds.contains(index.nextKey.view, 0)) {
      throw this.#refused('out-of-range', 'outside the layer');
    }
    if (offset > MAXIMUM_DELTA_OFFSET) throw this.#refused('too-large', 'beyond the last offset');
  }

  /** Puts the next key, whose value was appended at `offset`. */
  #index(buffered: void | Promise<void>, offset: number, willInit: boolean): void | Promise<void> {
    this.#file.index.putNext(offset * 2 + (willInit ? 1 : 0));
    return buffered ?? this.#file.indexRoom;
  }

  #refused(code: 'out-of-order' | 'out-of-range' | 'too-large', why: string): StorageError {
    const { bytes } = this.#file.index.nextKey;
    const { keyRange, lsnRange } = this.#options;
    const expected = {
      'out-of-order': 'a key and LSN above the last put',
      'out-of-range':
        `keys ${formatKey(keyRange.start)} to ${formatKey(keyRange.end)}, ` +
        `LSNs ${formatLsn(lsnRange.start)} to ${formatLsn(lsnRange.end)}`,
      'too-large': `a file offset of at most ${MAXIMUM_DELTA_OFFSET}`,
    }[code];
    return new StorageError(code, {
      what: `put is ${why}`,
      path: this.#file.path,
      key: formatKey(bytes),
      lsn: formatLsn(lsnOfEntryKey(bytes)),
      expected,
    });
  }
}

/** Copies the entry key of a row to `at`. */
function copyEntryKey({ keys, lsnHalves }: Rows, row: number, target: DataView, at: number): void {
  if (lsnHalves === undefined) {
    copyWords(keys, row * DELTA_KEY_SIZE, target, at, DELTA_KEY_SIZE);
    return;
  }
  copyWords(keys, row * KEY_SIZE, target, at, KEY_SIZE);
  target.setUint32(at + KEY_SIZE, lsnHalves[2 * row + 1 - LOW_HALF] as number);
  target.setUint32(at + KEY_SIZE + 4, lsnHalves[2 * row + LOW_HALF] as number);
}

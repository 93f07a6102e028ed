/**
 * Writes a delta layer: values in the order of (key, LSN), each greater than the one before.
 *
 * One writer at a time. A put that is refused changes nothing, and the next may follow.
 */

import { checkBlobLength } from '../../blob-writer/blob-format.ts';
import { checkEncodedBlob } from '../../blob-writer/blob-writer.ts';
import { StorageError } from '../../errors.ts';
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
  deltaEntryKeys,
  lsnOfEntryKey,
  MAXIMUM_DELTA_OFFSET,
} from '../layer-file/entry-layout.ts';
import {
  type FinishedLayer,
  LayerFileWriter,
  type WriteOptions,
} from '../layer-file/layer-writer.ts';
import { checkLsn, checkLsnRange, formatLsn, type Lsn, type LsnRange } from '../lsn.ts';
import { encodeValue, type Value, valueWillInit } from '../value-format.ts';
import { encodeDeltaSummary, STORAGE_FORMAT_VERSION } from './summary-format.ts';
import {
  checkValueBatch,
  type EntryKeyBatch,
  type ValueBatch,
  valueBeyondBatch,
} from './value-batch.ts';

export interface DeltaWriteOptions extends WriteOptions {
  readonly keyRange: KeyRange;
  readonly lsnRange: LsnRange;
}

export class DeltaLayerWriter {
  readonly #file: LayerFileWriter;
  readonly #options: DeltaWriteOptions;
  readonly #bounds: DeltaBounds;
  /** The entry key of the put at hand. */
  readonly #entryKey = new Uint8Array(DELTA_KEY_SIZE);
  readonly #entryKeyView = new DataView(this.#entryKey.buffer);

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
    const file = await LayerFileWriter.create(name, DELTA_KEY_SIZE, options);
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
    this.#setEntryKey(key, lsn);
    return this.#putEntry(this.#entryKey, 0, bytes, willInit);
  }

  /**
   * As `put`, for a blob with its header, such as one read from another layer.
   * Throws also: `corrupt`, `truncated` for what is not one whole blob.
   */
  putBlob(key: Key, lsn: Lsn, blob: Uint8Array, willInit: boolean): void | Promise<void> {
    checkEncodedBlob(blob);
    this.#setEntryKey(key, lsn);
    const offset = this.#file.blobs.offset;
    this.#checkPut(this.#entryKey, 0, offset);
    const buffered = this.#file.blobs.appendEncoded(blob);
    this.#file.index.put(this.#entryKey, offset * 2 + (willInit ? 1 : 0));
    return buffered ?? this.#file.indexRoom;
  }

  /**
   * As `putSerialized` for each value in turn. When one is refused, those before it are in.
   * Requires: the arrays stay unchanged until a returned promise settles.
   */
  putBatch(batch: ValueBatch): void | Promise<void> {
    checkValueBatch(batch);
    return this.putEntries({ ...batch, entryKeys: deltaEntryKeys(batch) });
  }

  /** As `putBatch`, for entry keys: 26 bytes each, key and LSN. */
  putEntries(batch: EntryKeyBatch): void | Promise<void> {
    // A Buffer would make each part a Buffer, at twice the cost.
    const { buffer, byteOffset, byteLength } = batch.values;
    const values = new Uint8Array(buffer, byteOffset, byteLength);
    return this.#putEntriesFrom({ ...batch, values }, 0);
  }

  /** See `LayerFileWriter.finish`. */
  async finish(): Promise<FinishedLayer> {
    const { tenantId, timelineId, keyRange, lsnRange } = this.#options;
    const formatVersion = STORAGE_FORMAT_VERSION;
    const ids = { formatVersion, tenantId, timelineId };
    return this.#file.finish({
      encodeSummary: (place) =>
        encodeDeltaSummary({ kind: 'delta', ...ids, keyRange, lsnRange, ...place }),
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

  #putEntriesFrom(batch: EntryKeyBatch, from: number): void | Promise<void> {
    const { count, entryKeys, values, starts, lengths, willInit } = batch;
    for (let row = from; row < count; row += 1) {
      const start = starts[row] as number;
      const end = start + (lengths[row] as number);
      if (end > values.length) throw valueBeyondBatch(row, end, values.length);
      const bytes = values.subarray(start, end);
      const at = row * DELTA_KEY_SIZE;
      const buffered = this.#putEntry(entryKeys, at, bytes, willInit[row] !== 0);
      if (buffered === undefined) continue;
      const rest = this.#continueBatch(buffered, batch, row + 1);
      // Whoever does not await it hears of a failure from the next call: the writer keeps it.
      rest.catch(() => {});
      return rest;
    }
  }

  async #continueBatch(buffered: Promise<void>, batch: EntryKeyBatch, from: number): Promise<void> {
    await buffered;
    await this.#putEntriesFrom(batch, from);
  }

  #putEntry(
    entryKeys: Uint8Array,
    at: number,
    bytes: Uint8Array,
    willInit: boolean,
  ): void | Promise<void> {
    const { blobs, index } = this.#file;
    checkBlobLength(bytes.length);
    const offset = blobs.offset;
    this.#checkPut(entryKeys, at, offset);
    const buffered = blobs.append(bytes);
    index.put(entryKeys, offset * 2 + (willInit ? 1 : 0), at);
    return buffered ?? this.#file.indexRoom;
  }

  #setEntryKey(key: Key, lsn: Lsn): void {
    checkKey(key);
    checkLsn(lsn);
    for (let byte = 0; byte < KEY_SIZE; byte += 1) this.#entryKey[byte] = key[byte] as number;
    this.#entryKeyView.setBigUint64(KEY_SIZE, lsn);
  }

  #checkPut(entryKeys: Uint8Array, at: number, offset: number): void {
    this.#file.throwUnlessOpen();
    if (!this.#file.index.accepts(entryKeys, at)) {
      throw this.#refused('out-of-order', 'not above', entryKeys, at);
    }
    if (!this.#bounds.contains(entryKeys, at)) {
      throw this.#refused('out-of-range', 'outside the layer', entryKeys, at);
    }
    if (offset > MAXIMUM_DELTA_OFFSET) {
      throw this.#refused('too-large', 'beyond the last offset', entryKeys, at);
    }
  }

  #refused(
    code: 'out-of-order' | 'out-of-range' | 'too-large',
    why: string,
    entryKeys: Uint8Array,
    at: number,
  ): StorageError {
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
      key: formatKey(entryKeys, at),
      lsn: formatLsn(lsnOfEntryKey(entryKeys, at)),
      expected,
    });
  }
}

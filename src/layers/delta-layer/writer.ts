/**
 * Writes a delta layer: values in the order of (key, LSN), each greater than the one before.
 *
 * One writer at a time. A put that is refused changes nothing, and the next may follow.
 */

import { checkBlobLength } from '../../blob-writer/blob-format.ts';
import { checkEncodedBlob } from '../../blob-writer/blob-writer.ts';
import { StorageError } from '../../errors.ts';
import { parseIdentifier } from '../identifier.ts';
import { checkKeyRange, formatKey, KEY_SIZE, type Key, type KeyRange } from '../key.ts';
import { DELTA_KEY_SIZE, DeltaBounds, MAXIMUM_DELTA_OFFSET } from '../layer-file/entry-layout.ts';
import {
  type FinishedLayer,
  LayerFileWriter,
  type WriteOptions,
} from '../layer-file/layer-writer.ts';
import { checkLsnRange, formatLsn, type Lsn, type LsnRange } from '../lsn.ts';
import { encodeValue, type Value, valueWillInit } from '../value-format.ts';
import { encodeDeltaSummary, STORAGE_FORMAT_VERSION } from './summary-format.ts';

export interface DeltaWriteOptions extends WriteOptions {
  readonly keyRange: KeyRange;
  readonly lsnRange: LsnRange;
}

/** Many serialized values in parallel arrays, in (key, LSN) order. */
export interface ValueBatch {
  readonly count: number;
  /** `count` keys of 18 bytes. */
  readonly keys: Uint8Array;
  readonly lsns: BigUint64Array;
  /** 0 or 1. */
  readonly willInit: Uint8Array;
  /** Value i has `lengths[i]` bytes of `values` from `starts[i]` on. */
  readonly values: Uint8Array;
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
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
    const { keyRange, lsnRange } = options;
    checkKeyRange(keyRange);
    checkLsnRange(lsnRange);
    parseIdentifier(options.tenantId, 'tenant id');
    parseIdentifier(options.timelineId, 'timeline id');
    const name = { kind: 'delta', keyRange, lsnRange } as const;
    const file = await LayerFileWriter.create(name, DELTA_KEY_SIZE, options);
    return new DeltaLayerWriter(file, options);
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
    this.#setEntryKey(key, 0, key.length, lsn);
    checkBlobLength(bytes.length);
    const offset = this.#file.blobs.offset;
    this.#checkPut(offset);
    const buffered = this.#file.blobs.append(bytes);
    this.#file.index.put(this.#entryKey, offset * 2 + (willInit ? 1 : 0));
    return buffered;
  }

  /**
   * As `put`, for a blob with its header, such as one read from another layer.
   * Throws also: `corrupt`, `truncated` for what is not one whole blob.
   */
  putBlob(key: Key, lsn: Lsn, blob: Uint8Array, willInit: boolean): void | Promise<void> {
    checkEncodedBlob(blob);
    this.#setEntryKey(key, 0, key.length, lsn);
    const offset = this.#file.blobs.offset;
    this.#checkPut(offset);
    const buffered = this.#file.blobs.appendEncoded(blob);
    this.#file.index.put(this.#entryKey, offset * 2 + (willInit ? 1 : 0));
    return buffered;
  }

  /**
   * As `putSerialized` for each value in turn. When one is refused, those before it are in.
   * Requires: the arrays stay unchanged until a returned promise settles.
   */
  putBatch(batch: ValueBatch): void | Promise<void> {
    return this.#putBatchFrom(batch, 0);
  }

  /** See `LayerFileWriter.finish`. */
  async finish(): Promise<FinishedLayer> {
    const { tenantId, timelineId, keyRange, lsnRange } = this.#options;
    return this.#file.finish((place) =>
      encodeDeltaSummary({
        kind: 'delta',
        formatVersion: STORAGE_FORMAT_VERSION,
        tenantId,
        timelineId,
        keyRange,
        lsnRange,
        ...place,
      }),
    );
  }

  /** Deletes the temporary file. Doing so again, or after `finish`, is harmless. */
  async abandon(): Promise<void> {
    await this.#file.abandon();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abandon();
  }

  #putBatchFrom(batch: ValueBatch, from: number): void | Promise<void> {
    const { blobs, index } = this.#file;
    for (let at = from; at < batch.count; at += 1) {
      const start = batch.starts[at] as number;
      const length = batch.lengths[at] as number;
      this.#setEntryKey(batch.keys, at * KEY_SIZE, KEY_SIZE, batch.lsns[at] as bigint);
      const offset = blobs.offset;
      this.#checkPut(offset);
      checkBlobLength(length);
      const buffered = blobs.append(batch.values.subarray(start, start + length));
      index.put(this.#entryKey, offset * 2 + (batch.willInit[at] as number));
      if (buffered !== undefined) return this.#continueBatch(buffered, batch, at + 1);
    }
  }

  async #continueBatch(buffered: Promise<void>, batch: ValueBatch, from: number): Promise<void> {
    await buffered;
    await this.#putBatchFrom(batch, from);
  }

  #setEntryKey(keys: Uint8Array, from: number, length: number, lsn: Lsn): void {
    if (length !== KEY_SIZE) {
      throw new StorageError('invalid-input', {
        what: 'key',
        expected: `${KEY_SIZE} bytes`,
        actual: `${length}`,
      });
    }
    for (let byte = 0; byte < KEY_SIZE; byte += 1) {
      this.#entryKey[byte] = keys[from + byte] as number;
    }
    this.#entryKeyView.setBigUint64(KEY_SIZE, lsn);
  }

  #checkPut(offset: number): void {
    this.#file.throwUnlessOpen();
    if (!this.#file.index.accepts(this.#entryKey)) throw this.#refused('out-of-order', 'not above');
    if (!this.#bounds.contains(this.#entryKey)) {
      throw this.#refused('out-of-range', 'outside the layer');
    }
    if (offset > MAXIMUM_DELTA_OFFSET) throw this.#refused('too-large', 'beyond the last offset');
  }

  #refused(code: 'out-of-order' | 'out-of-range' | 'too-large', why: string): StorageError {
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
      key: formatKey(this.#entryKey),
      lsn: formatLsn(this.#entryKeyView.getBigUint64(KEY_SIZE)),
      expected,
    });
  }
}

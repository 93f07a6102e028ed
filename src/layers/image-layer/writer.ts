/**
 * Writes an image layer: one image per key, keys ascending.
 *
 * One writer at a time. A put that is refused changes nothing, and the next one may follow. Images are
 * compressed by the threads of a pool, and appended in the order of the puts.
 */

import { checkContent, SHORT_BLOB_LIMIT } from '../../blob-writer/blob-format.ts';
import { type BlobWriter, checkEncodedBlob } from '../../blob-writer/blob-writer.ts';
import { CompressionPool } from '../../blob-writer/compression-pool.ts';
import { checkBigint, checkObject, type KnownOptions } from '../../check-options.ts';
import { StorageError, throwIfAborted } from '../../errors.ts';
import {
  type Compression,
  type Compressor,
  checkCompression,
  DEFAULT_COMPRESSION,
  loadCompressor,
} from '../../zstd/compression.ts';
import { MAXIMUM_LEAF_VALUE } from '../disk-btree/node-format.ts';
import {
  checkKey,
  compareKeys,
  copyKeyRange,
  fitsPageserver,
  formatKey,
  KEY_SIZE,
  type Key,
  type KeyRange,
  unfitKeyError,
} from '../key.ts';
import {
  checkWriteOptions,
  type FinishedLayer,
  LayerFileWriter,
  WRITE_OPTIONS,
  type WriteOptions,
} from '../layer-file/layer-writer.ts';
import { encodeSummary, STORAGE_FORMAT_VERSION } from '../layer-file/summary-format.ts';
import { checkLsn, formatLsn, type Lsn } from '../lsn.ts';
import { CompressionQueue, type KeyedBatch } from './compression-queue.ts';

/** Options of `ImageLayerWriter.create`. */
export interface ImageWriteOptions extends WriteOptions {
  /** Keys that the layer takes; part of its name. */
  readonly keyRange: KeyRange;
  /** The LSN of all images; part of the layer's name. */
  readonly lsn: Lsn;
  /** Default: zstd at level 1, as in Neon's pageserver. */
  readonly compression?: Compression | undefined;
  /** Threads that compress; default: the pool of the process. */
  readonly compressionPool?: CompressionPool | undefined;
}

/** Blobs with their headers, one after the other, and their keys. */
export interface BlobRun {
  readonly count: number;
  /** `count` keys of 18 bytes, ascending. */
  readonly keys: Uint8Array;
  /** Bytes of each blob, header included. */
  readonly sizes: Uint32Array;
  readonly blobs: Uint8Array;
}

const IMAGE_OPTIONS: KnownOptions<ImageWriteOptions> = {
  ...WRITE_OPTIONS,
  keyRange: true,
  lsn: true,
  compression: true,
  compressionPool: true,
};

/** Half of the usual bytes between syncs: while pages are compressed, the device is idle. */
const SYNC_EVERY = 8 * 1024 * 1024;

const REFUSALS = {
  'out-of-order': 'put is not above the last',
  'out-of-range': 'put is outside the layer',
  'too-large': 'put is beyond the last offset',
} as const;

/**
 * Writes an image layer. Ends with `finish`, which publishes it, or with `abandon`.
 *
 * @example
 * await using writer = await ImageLayerWriter.create({
 *   ...{ directory, tenantId, timelineId, keyRange, lsn },
 * });
 * await writer.put(key, page);
 * const { path } = await writer.finish();
 */
export class ImageLayerWriter {
  readonly #file: LayerFileWriter;
  readonly #options: ImageWriteOptions;
  readonly #queue: CompressionQueue | undefined;
  /** The last key put, whether or not its image is still in the queue. */
  readonly #lastKey = new Uint8Array(KEY_SIZE);
  #entryCount = 0;

  /**
   * Begins a layer in a temporary file in the directory. A signal ends the wait for a descriptor.
   *
   * @throws `exists` if the layer exists already; `out-of-range` and `invalid-input` for options
   * that are not valid; `not-found`, `io`, `aborted`.
   */
  static async create(options: ImageWriteOptions): Promise<ImageLayerWriter> {
    return ImageLayerWriter.#create(options, 'now');
  }

  /**
   * As `create`, for a layer whose key range is known when it ends; that of the options is its limit.
   * Ends with `finishAs`.
   * @internal
   */
  static async createUnnamed(options: ImageWriteOptions): Promise<ImageLayerWriter> {
    return ImageLayerWriter.#create(options, 'at-finish');
  }

  static async #create(
    options: ImageWriteOptions,
    naming: 'now' | 'at-finish',
  ): Promise<ImageLayerWriter> {
    checkWriteOptions(options, IMAGE_OPTIONS);
    const { lsn, compression = DEFAULT_COMPRESSION } = options;
    const keyRange = copyKeyRange(options.keyRange);
    checkBigint('lsn', lsn);
    checkLsn(lsn);
    checkCompressionPool(options.compressionPool);
    checkCompression(compression);
    const compressor =
      compression.kind === 'none' ? undefined : await loadCompressor(compression.level);
    const usualSyncEvery = compressor === undefined ? undefined : SYNC_EVERY;
    const entries = { keySize: KEY_SIZE, usualSyncEvery, naming };
    const file = await LayerFileWriter.create({ kind: 'image', keyRange, lsn }, entries, options);
    return new ImageLayerWriter(file, { ...options, keyRange }, compressor);
  }

  private constructor(
    file: LayerFileWriter,
    options: ImageWriteOptions,
    compressor: Compressor | undefined,
  ) {
    this.#file = file;
    this.#options = options;
    if (compressor === undefined) return;
    this.#queue = new CompressionQueue({
      pool: options.compressionPool ?? CompressionPool.shared(),
      compressor,
      use: (keyed) => this.#appendBatch(keyed),
    });
  }

  /** Images that were put. */
  get entryCount(): number {
    return this.#entryCount;
  }

  /** Size of the file if it were finished now, in bytes; images in compression do not count. */
  get estimatedSize(): number {
    return this.#file.estimatedSize;
  }

  /**
   * Bytes of values and finished index blocks, as a pageserver counts them. What waits for compression
   * does not count.
   * @internal
   */
  get writtenSize(): number {
    return this.#file.writtenSize;
  }

  /**
   * Resolves when nothing waits for compression any more.
   * @internal
   */
  async settled(): Promise<void> {
    await this.#queue?.drained();
  }

  /**
   * Appends an image; an empty one is a tombstone.
   *
   * @param key Above the last one, and inside the layer's range.
   * @param image Must stay unchanged until a returned promise settles.
   * @returns Nothing while there is room; else a promise. The image is in the layer whether or not
   * the promise is awaited; awaiting it bounds memory, and a failure that was not awaited surfaces on
   * the next call.
   * @throws `out-of-order`, `out-of-range`, `too-large` and `invalid-input`: nothing was changed.
   * `closed`, `aborted` and `io`: the writer can only be abandoned.
   *
   * Durability: none before `finish`.
   */
  put(key: Key, image: Uint8Array): void | Promise<void> {
    this.#checkPut(key);
    checkContent(image);
    const queue = this.#queueFor(image.length < SHORT_BLOB_LIMIT ? 'as-it-is' : 'to-compress');
    const room =
      queue === undefined
        ? this.#append(key, (blobs) => blobs.append(image))
        : queue.add(key, image, 'content');
    this.#notePut(key);
    return room;
  }

  /**
   * Like `put`, for a blob with its header, such as one read from another layer; it is not
   * compressed again.
   *
   * @returns As `put`.
   * @throws As `put`; also `corrupt` and `truncated` unless the bytes are exactly one blob.
   */
  putBlob(key: Key, blob: Uint8Array): void | Promise<void> {
    this.#checkPut(key);
    checkEncodedBlob(blob);
    const queue = this.#queueFor('as-it-is');
    const room =
      queue === undefined
        ? this.#append(key, (blobs) => blobs.appendEncoded(blob))
        : queue.add(key, blob, 'encoded');
    this.#notePut(key);
    return room;
  }

  /**
   * Like `putBlob` for blobs that this library has read, which follow each other in `blobs`.
   * Requires: their keys ascend; nothing waits for compression.
   *
   * @throws As `putBlob`, and nothing of the run is in the layer.
   * @internal
   */
  putBlobRun({ count, keys, sizes, blobs }: BlobRun): void | Promise<void> {
    if (count === 0) return;
    let { offset } = this.#file.blobs;
    let last = this.#last;
    for (let at = 0; at < count; at += 1) {
      const key = keys.subarray(at * KEY_SIZE, (at + 1) * KEY_SIZE);
      this.#checkPut(key, last);
      if (offset > MAXIMUM_LEAF_VALUE) throw this.#beyondLastOffset(key);
      offset += sizes[at] as number;
      last = key;
    }
    ({ offset } = this.#file.blobs);
    const buffered = this.#file.blobs.appendAllEncoded(blobs);
    for (let at = 0; at < count; at += 1) {
      this.#file.index.put(keys, offset, at * KEY_SIZE);
      offset += sizes[at] as number;
    }
    this.#lastKey.set(keys.subarray((count - 1) * KEY_SIZE, count * KEY_SIZE));
    this.#entryCount += count;
    return buffered ?? this.#file.indexRoom;
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
   * As `finish`, under a name with this key range. Requires: every key lies in it.
   * @internal
   */
  async finishAs({ keyRange }: Pick<ImageWriteOptions, 'keyRange'>): Promise<FinishedLayer> {
    const { tenantId, timelineId, lsn } = this.#options;
    const formatVersion = STORAGE_FORMAT_VERSION;
    const ids = { formatVersion, tenantId, timelineId };
    return this.#file.finish({
      name: { kind: 'image', keyRange, lsn },
      encodeSummary: (place) => encodeSummary({ kind: 'image', ...ids, keyRange, lsn, ...place }),
      lastPuts: () => this.#queue?.drained() ?? Promise.resolve(),
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

  /** Undefined for a blob that is not compressed, unless others before it wait for compression. */
  #queueFor(blob: 'to-compress' | 'as-it-is'): CompressionQueue | undefined {
    return blob === 'to-compress' || this.#queue?.isEmpty === false ? this.#queue : undefined;
  }

  #append(key: Key, append: (blobs: BlobWriter) => void | Promise<void>): void | Promise<void> {
    const offset = this.#file.blobs.offset;
    if (offset > MAXIMUM_LEAF_VALUE) throw this.#beyondLastOffset(key);
    const buffered = append(this.#file.blobs);
    this.#file.index.put(key, offset);
    return buffered ?? this.#file.indexRoom;
  }

  /** Appends all blobs of a batch in one call, so that file and index have them in the same order. */
  #appendBatch({ keys, batch }: KeyedBatch): void | Promise<void> {
    let { offset } = this.#file.blobs;
    const buffered = this.#file.blobs.appendAllEncoded(batch.encoded);
    for (let index = 0; index < batch.count; index += 1) {
      const at = index * KEY_SIZE;
      if (offset > MAXIMUM_LEAF_VALUE)
        throw this.#beyondLastOffset(keys.subarray(at, at + KEY_SIZE));
      this.#file.index.put(keys, offset, at);
      offset += batch.encodedSize(index);
    }
    return buffered ?? this.#file.indexRoom;
  }

  #beyondLastOffset(key: Key): StorageError {
    return this.#refused('too-large', key, `a file offset of at most ${MAXIMUM_LEAF_VALUE}`);
  }

  #notePut(key: Key): void {
    this.#lastKey.set(key);
    this.#entryCount += 1;
  }

  get #last(): Key | undefined {
    return this.#entryCount === 0 ? undefined : this.#lastKey;
  }

  #checkPut(key: Key, last = this.#last): void {
    this.#file.throwUnlessOpen();
    throwIfAborted(this.#options.signal, this.#file.path);
    this.#queue?.throwIfFailed();
    checkKey(key);
    const { start, end } = this.#options.keyRange;
    if (last !== undefined && compareKeys(key, last) <= 0) {
      throw this.#refused('out-of-order', key, `a key above ${formatKey(last)}`);
    }
    if (compareKeys(key, start) < 0 || compareKeys(key, end) >= 0) {
      throw this.#refused('out-of-range', key, `${formatKey(start)} to ${formatKey(end)}`);
    }
    if (this.#options.keyCheck !== 'ignore' && !fitsPageserver(key)) {
      throw unfitKeyError(key, 0, { path: this.#file.path, lsn: formatLsn(this.#options.lsn) });
    }
  }

  #refused(code: keyof typeof REFUSALS, key: Key, expected: string): StorageError {
    return new StorageError(code, {
      what: REFUSALS[code],
      path: this.#file.path,
      key: formatKey(key),
      lsn: formatLsn(this.#options.lsn),
      expected,
    });
  }
}

/** Throws `invalid-input` unless the value is undefined or a pool, of any copy of the library. */
function checkCompressionPool(pool: unknown): void {
  if (pool === undefined) return;
  checkObject('compressionPool', pool);
  if ('compress' in pool) return;
  throw new StorageError('invalid-input', {
    what: 'compressionPool',
    expected: 'a CompressionPool',
  });
}

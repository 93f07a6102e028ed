/**
 * Writes an image layer: one image a key, keys ascending.
 *
 * One writer at a time. A put that is refused changes nothing, and the next may follow. Images are
 * compressed by the threads of a pool, and appended in the order of the puts.
 */
import { checkContent, SHORT_BLOB_LIMIT } from '../../blob-writer/blob-format.ts';
import { type BlobWriter, checkEncodedBlob } from '../../blob-writer/blob-writer.ts';
import { CompressionPool } from '../../blob-writer/compression-pool.ts';
import { StorageError, throwIfAborted } from '../../errors.ts';
import {
  type Compression,
  type Compressor,
  checkCompression,
  DEFAULT_COMPRESSION,
  loadCompressor,
} from '../../zstd/compression.ts';
import { MAXIMUM_LEAF_VALUE } from '../disk-btree/node-format.ts';
import { parseIdentifier } from '../identifier.ts';
import {
  checkKey,
  checkKeyRange,
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
  type FinishedLayer,
  LayerFileWriter,
  type WriteOptions,
} from '../layer-file/layer-writer.ts';
import { encodeSummary, STORAGE_FORMAT_VERSION } from '../layer-file/summary-format.ts';
import { checkLsn, formatLsn, type Lsn } from '../lsn.ts';
import { CompressionQueue, type KeyedBatch } from './compression-queue.ts';

export interface ImageWriteOptions extends WriteOptions {
  readonly keyRange: KeyRange;
  readonly lsn: Lsn;
  /** Default: zstd at level 1, as Neon's pageserver. */
  readonly compression?: Compression | undefined;
  /** Whose threads compress; default: the pool that the process shares. */
  readonly compressionPool?: CompressionPool | undefined;
}

/** Half of what others write between syncs: while pages are compressed, the device has time. */
const SYNC_EVERY = 8 * 1024 * 1024;

const REFUSALS = {
  'out-of-order': 'put is not above the last',
  'out-of-range': 'put is outside the layer',
  'too-large': 'put is beyond the last offset',
} as const;

export class ImageLayerWriter {
  readonly #file: LayerFileWriter;
  readonly #options: ImageWriteOptions;
  readonly #queue: CompressionQueue | undefined;
  /** The last key put, in the queue or behind it. */
  readonly #lastKey = new Uint8Array(KEY_SIZE);
  #entryCount = 0;

  /**
   * Begins a layer in a temporary file of the directory.
   *
   * Throws: `exists` if the layer is there already, `out-of-range` and `invalid-input` for options
   * that no layer can have, `not-found`, `io`.
   */
  static async create(options: ImageWriteOptions): Promise<ImageLayerWriter> {
    const { lsn, compression = DEFAULT_COMPRESSION } = options;
    checkKeyRange(options.keyRange);
    const keyRange = copyKeyRange(options.keyRange);
    checkLsn(lsn);
    checkCompression(compression);
    parseIdentifier(options.tenantId, 'tenant id');
    parseIdentifier(options.timelineId, 'timeline id');
    const compressor =
      compression.kind === 'none' ? undefined : await loadCompressor(compression.level);
    const usualSyncEvery = compressor === undefined ? undefined : SYNC_EVERY;
    const entries = { keySize: KEY_SIZE, usualSyncEvery };
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

  get entryCount(): number {
    return this.#entryCount;
  }

  /** Bytes that the file would have if it was finished now; images in compression do not count. */
  get estimatedSize(): number {
    return this.#file.estimatedSize;
  }

  /**
   * Appends an image; an empty one is a tombstone.
   *
   * Requires: a key above the last one; the image stays unchanged until a returned promise settles.
   * Returns: nothing while there is room, else a promise.
   * Throws: `out-of-order`, `out-of-range`, `too-large`, `invalid-input`, and nothing was changed;
   * `closed`, `aborted`, `io`, and the writer can only be abandoned.
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
   * As `put`, for a blob with its header, such as one read from another layer; it is not
   * compressed again.
   * Throws also: `corrupt`, `truncated` for what is not one whole blob.
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

  /** See `LayerFileWriter.finish`. */
  async finish(): Promise<FinishedLayer> {
    const { tenantId, timelineId, keyRange, lsn } = this.#options;
    const formatVersion = STORAGE_FORMAT_VERSION;
    const ids = { formatVersion, tenantId, timelineId };
    return this.#file.finish({
      encodeSummary: (place) => encodeSummary({ kind: 'image', ...ids, keyRange, lsn, ...place }),
      lastPuts: () => this.#queue?.drained() ?? Promise.resolve(),
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

  /** None for what stays as it is, as long as nothing before it waits for compression. */
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

  /** All blobs of a batch at once, so that they are in the file as they are in the index. */
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

  #checkPut(key: Key): void {
    this.#file.throwUnlessOpen();
    throwIfAborted(this.#options.signal, this.#file.path);
    this.#queue?.throwIfFailed();
    checkKey(key);
    const { start, end } = this.#options.keyRange;
    if (this.#entryCount > 0 && compareKeys(key, this.#lastKey) <= 0) {
      throw this.#refused('out-of-order', key, `a key above ${formatKey(this.#lastKey)}`);
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

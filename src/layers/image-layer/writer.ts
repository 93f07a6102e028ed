/**
 * Writes an image layer: one image a key, keys ascending.
 *
 * One writer at a time. A put that is refused changes nothing, and the next may follow. Images are
 * compressed on the thread pool, where that is possible, and appended in the order of the puts.
 */
import { checkBlobLength, SHORT_BLOB_LIMIT } from '../../blob-writer/blob-format.ts';
import { checkEncodedBlob } from '../../blob-writer/blob-writer.ts';
import {
  type Compression,
  checkCompression,
  DEFAULT_COMPRESSION,
  loadCompressor,
} from '../../blob-writer/compression.ts';
import { StorageError, throwIfAborted } from '../../errors.ts';
import { STORAGE_FORMAT_VERSION } from '../delta-layer/summary-format.ts';
import { MAXIMUM_LEAF_VALUE } from '../disk-btree/node-format.ts';
import { parseIdentifier } from '../identifier.ts';
import {
  checkKey,
  checkKeyRange,
  compareKeys,
  copyKeyRange,
  formatKey,
  KEY_SIZE,
  type Key,
  type KeyRange,
} from '../key.ts';
import {
  type FinishedLayer,
  LayerFileWriter,
  type WriteOptions,
} from '../layer-file/layer-writer.ts';
import { checkLsn, formatLsn, type Lsn } from '../lsn.ts';
import { CompressionQueue } from './compression-queue.ts';
import { encodeImageSummary } from './summary-format.ts';

export interface ImageWriteOptions extends WriteOptions {
  readonly keyRange: KeyRange;
  readonly lsn: Lsn;
  /** Default: zstd at level 1, as Neon's pageserver. */
  readonly compression?: Compression | undefined;
}

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
    const file = await LayerFileWriter.create({ kind: 'image', keyRange, lsn }, KEY_SIZE, options);
    const queue = compressor === undefined ? undefined : new CompressionQueue(compressor);
    return new ImageLayerWriter(file, { ...options, keyRange }, queue);
  }

  private constructor(
    file: LayerFileWriter,
    options: ImageWriteOptions,
    queue: CompressionQueue | undefined,
  ) {
    this.#file = file;
    this.#options = options;
    this.#queue = queue;
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
    checkBlobLength(image.length);
    const compress = this.#queue !== undefined && image.length >= SHORT_BLOB_LIMIT;
    if (!compress) return this.#append(key, image, (bytes) => this.#file.blobs.append(bytes));
    // The caller may change the image when we return; the pool reads it later. (The slice of a
    // Buffer would be no copy.)
    const copy = new Uint8Array(image);
    return this.#enqueue(key, copy, true, (frame) =>
      this.#file.blobs.appendCompressed(copy, frame),
    );
  }

  /**
   * As `put`, for a blob with its header, such as one read from another layer; it is not
   * compressed again.
   * Throws also: `corrupt`, `truncated` for what is not one whole blob.
   */
  putBlob(key: Key, blob: Uint8Array): void | Promise<void> {
    this.#checkPut(key);
    checkEncodedBlob(blob);
    return this.#append(key, blob, (bytes) => this.#file.blobs.appendEncoded(bytes));
  }

  /** See `LayerFileWriter.finish`. */
  async finish(): Promise<FinishedLayer> {
    const { tenantId, timelineId, keyRange, lsn } = this.#options;
    const formatVersion = STORAGE_FORMAT_VERSION;
    const ids = { formatVersion, tenantId, timelineId };
    return this.#file.finish({
      encodeSummary: (place) =>
        encodeImageSummary({ kind: 'image', ...ids, keyRange, lsn, ...place }),
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

  /** At once where nothing is in compression before it; else behind what is, as a copy. */
  #append(
    key: Key,
    bytes: Uint8Array,
    append: (bytes: Uint8Array) => void | Promise<void>,
  ): void | Promise<void> {
    if (this.#queue !== undefined && !this.#queue.isEmpty) {
      return this.#enqueue(key, new Uint8Array(bytes), false, append);
    }
    const room = this.#appendNow(key, bytes, append);
    this.#notePut(key);
    return room;
  }

  #enqueue(
    key: Key,
    bytes: Uint8Array,
    compress: boolean,
    append: (frame: Uint8Array) => void | Promise<void>,
  ): void | Promise<void> {
    const keyCopy = new Uint8Array(key);
    const room = this.#queue?.add(bytes, compress, (frame) =>
      this.#appendNow(keyCopy, frame, append),
    );
    this.#notePut(key);
    return room;
  }

  #appendNow(
    key: Key,
    bytes: Uint8Array,
    append: (bytes: Uint8Array) => void | Promise<void>,
  ): void | Promise<void> {
    const offset = this.#file.blobs.offset;
    if (offset > MAXIMUM_LEAF_VALUE) {
      throw this.#refused('too-large', key, `a file offset of at most ${MAXIMUM_LEAF_VALUE}`);
    }
    const buffered = append(bytes);
    this.#file.index.put(key, offset);
    return buffered ?? this.#file.indexRoom;
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

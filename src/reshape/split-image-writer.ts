/**
 * Writes images into image layers of about a target size.
 *
 *   a new layer begins    before an image, if values + finished index blocks + 8,192 + 18 + image >= target
 *   key range             end of the previous layer .. first key of the next; the caller gives both ends
 *
 * Written images count with their stored, compressed size; only the image that is about to be added counts before
 * compression. So where a layer ends depends on the compressor, and near the target each image must be compressed
 * before the next one can be placed.
 *
 * Source: Neon pageserver/src/tenant/storage_layer/batch_split_writer.rs.
 */
import { checkContent, MAXIMUM_BLOB_HEADER_SIZE } from '../blob-writer/blob-format.ts';
import { checkCount, checkObject, checkOptions, type KnownOptions } from '../check-options.ts';
import { StorageError, tooLarge } from '../errors.ts';
import { ImageLayerWriter, type ImageWriteOptions } from '../layers/image-layer/writer.ts';
import {
  checkKey,
  checkKeyRange,
  compareKeys,
  copyKeyRange,
  formatKey,
  KEY_SIZE,
  type Key,
} from '../layers/key.ts';
import type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';
import { WRITE_OPTIONS } from '../layers/layer-file/layer-writer.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';
import { LARGEST_LAYER } from './delta-pieces.ts';
import { FinishedPieces, type OnLayer } from './finished-pieces.ts';
import { DEFAULT_TARGET_SIZE } from './split-delta-writer.ts';

/** Options of `SplitImageWriter`. */
export interface SplitImageOptions extends ImageWriteOptions {
  /** Bytes of a layer after which the next one begins. Default: 128 MiB. */
  readonly targetSize?: number | undefined;
  /** Called with each layer once it is durable, in order; the next one waits for its promise. */
  readonly onLayer?: OnLayer | undefined;
}

const OPTIONS: KnownOptions<SplitImageOptions> = {
  ...WRITE_OPTIONS,
  keyRange: true,
  lsn: true,
  compression: true,
  compressionPool: true,
  targetSize: true,
  onLayer: 'function',
};

/** What a pageserver adds for the summary and the next key. */
const MORE_BYTES = BLOCK_SIZE + KEY_SIZE;

/** Entries of a full leaf before it is compressed for the first time. */
const LEAF_ENTRIES = Math.floor((BLOCK_SIZE - 6) / (KEY_SIZE + 5));
/** Leaf that is open, and a node on each level above. */
const MORE_BLOCKS = 5;

/**
 * Writes images into layers of about a target size, without gaps between their key ranges. Ends with
 * `finish` or `abandon`; await each call before the next.
 *
 * @example
 * await using writer = new SplitImageWriter({ directory, tenantId, timelineId, keyRange, lsn });
 * for (const { key, page } of pages) await writer.put(key, page);
 * const layers = await writer.finish();
 */
export class SplitImageWriter {
  readonly #options: ImageWriteOptions;
  readonly #pieces: FinishedPieces;
  readonly #targetSize: number;
  #writer: ImageLayerWriter | undefined;
  /** Where the open layer, or the next one, starts. */
  #start: Key;
  #lastKey: Key | undefined;
  /** Images that may not have been compressed yet, and their bytes if they stay uncompressed. */
  #waitingCount = 0;
  #waitingBytes = 0;
  #state: 'open' | 'finished' | 'abandoned' = 'open';

  /** @throws `invalid-input`, `out-of-range` for a target size or key range that is not valid. */
  constructor(options: SplitImageOptions) {
    checkOptions(options, OPTIONS);
    const { targetSize = DEFAULT_TARGET_SIZE, onLayer, ...image } = options;
    checkCount('targetSize', targetSize, { from: 1 });
    checkObject('keyRange', image.keyRange);
    checkKeyRange(image.keyRange);
    const keyRange = copyKeyRange(image.keyRange);
    this.#options = { ...image, keyRange };
    this.#targetSize = targetSize;
    this.#start = keyRange.start;
    this.#pieces = new FinishedPieces(onLayer);
  }

  /**
   * Writes an image.
   *
   * @param key Above the last one, and inside the key range.
   * @param image Is copied.
   * @throws `out-of-order`, `out-of-range`, `too-large`, `invalid-input`, `exists`, `io`, `sync-failed`,
   * `aborted`, `closed`.
   */
  async put(key: Key, image: Uint8Array): Promise<void> {
    if (this.#state !== 'open') throw this.#closedError();
    checkContent(image);
    this.#check(key);
    if (this.#writer !== undefined && (await this.#isFull(image.length))) await this.#endPiece(key);
    const { end } = this.#options.keyRange;
    this.#writer ??= await ImageLayerWriter.createUnnamed({
      ...this.#options,
      keyRange: { start: this.#start, end },
    });
    const room = this.#writer.put(key, image);
    this.#lastKey = Uint8Array.from(key);
    this.#waitingCount += 1;
    this.#waitingBytes += MAXIMUM_BLOB_HEADER_SIZE + image.length;
    if (room !== undefined) await room;
  }

  /**
   * Ends the last layer.
   *
   * @param end Where its key range ends, above the last key. Default: where that of the options ends.
   * @returns The layers in the order of their keys, all durable; none if nothing was put.
   * @throws As `put`; after `out-of-range` and `invalid-input` for the end, the writer stays usable.
   */
  async finish(end: Key = this.#options.keyRange.end): Promise<readonly FinishedLayer[]> {
    if (this.#state !== 'open') throw this.#closedError();
    this.#checkEnd(end);
    this.#state = 'finished';
    try {
      if (this.#writer !== undefined) await this.#endPiece(end);
      return await this.#pieces.all();
    } catch (error) {
      await this.#deleteOpen();
      throw error;
    }
  }

  /** Deletes the unfinished layer; layers that were passed to `onLayer` stay. Idempotent. */
  async abandon(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'abandoned';
    await this.#deleteOpen();
  }

  /** As `abandon`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.abandon();
  }

  async #deleteOpen(): Promise<void> {
    await this.#writer?.abandon();
    await this.#pieces.settle();
  }

  async #isFull(length: number): Promise<boolean> {
    const written = this.#writer?.writtenSize ?? 0;
    const more = MORE_BYTES + length;
    if (written + more >= this.#targetSize) return true;
    const blocks = Math.ceil(this.#waitingCount / LEAF_ENTRIES) + MORE_BLOCKS;
    if (written + this.#waitingBytes + blocks * BLOCK_SIZE + more < this.#targetSize) return false;
    await this.#writer?.settled();
    this.#waitingCount = 0;
    this.#waitingBytes = 0;
    return (this.#writer?.writtenSize ?? 0) + more >= this.#targetSize;
  }

  async #endPiece(end: Key): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) return;
    const own = Uint8Array.from(end);
    await writer.settled();
    if (writer.writtenSize > LARGEST_LAYER) {
      throw tooLarge('layer', { maximum: LARGEST_LAYER, actual: writer.writtenSize });
    }
    const keyRange = { start: this.#start, end: own };
    await this.#pieces.begin(() => {
      this.#writer = undefined;
      return writer.finishAs({ keyRange });
    });
    this.#start = own;
    this.#waitingCount = 0;
    this.#waitingBytes = 0;
  }

  #check(key: Key): void {
    checkKey(key);
    const { start, end } = this.#options.keyRange;
    const last = this.#lastKey;
    if (last !== undefined && compareKeys(key, last) <= 0) {
      throw new StorageError('out-of-order', {
        what: 'put is not above the last',
        key: formatKey(key),
        expected: `a key above ${formatKey(last)}`,
      });
    }
    if (compareKeys(key, start) >= 0 && compareKeys(key, end) < 0) return;
    throw new StorageError('out-of-range', {
      what: 'put is outside the layers',
      key: formatKey(key),
      expected: `${formatKey(start)} to ${formatKey(end)}`,
    });
  }

  #checkEnd(end: Key): void {
    checkKey(end);
    const last = this.#lastKey ?? this.#options.keyRange.start;
    const isAbove = compareKeys(end, last) > 0;
    if (isAbove && compareKeys(end, this.#options.keyRange.end) <= 0) return;
    throw new StorageError('out-of-range', {
      what: 'end of the layers',
      key: formatKey(end),
      expected: `above ${formatKey(last)}, up to ${formatKey(this.#options.keyRange.end)}`,
    });
  }

  #closedError(): StorageError {
    return new StorageError('closed', { what: `split writer is ${this.#state}` });
  }
}

/**
 * Makes image layers of a timeline at an LSN, for keys whose values do not need Postgres's redo.
 *
 * A read that reaches an image layer goes no deeper for any key in the layer's range: a key that is not in the layer
 * does not exist. So every key of the range that has a value must be in the layer. A key whose value needs redo must
 * not be in any range: the run of images ends before it, and the next one begins after it. Keys without a value are
 * left out.
 *
 *   run     images up to a key that needs redo, or to the end of the part; a layer, or several of the target size
 *   short   a run that ends at such a key and has few images gets no layer: it would cost more than it helps
 *
 * All keys that have a value are kept, listed in directories or not; those of other shards are left out.
 */
import { isStorageError, type StorageError } from '../errors.ts';
import { isDamage } from '../layers/damage.ts';
import type { ImageWriteOptions } from '../layers/image-layer/writer.ts';
import { compareKeys, formatKey, type Key, type KeyRange, nextKey } from '../layers/key.ts';
import type { Lsn } from '../layers/lsn.ts';
import { inOrder } from '../timeline/in-order.ts';
import { type Materialized, materialize } from '../timeline/materialize.ts';
import { isSparseKey, type Reconstruction } from '../timeline/reconstruct.ts';
import { shardKeeps } from '../timeline/shard-owner.ts';
import type { Timeline } from '../timeline/timeline.ts';
import type { OnLayer } from './finished-pieces.ts';
import { type ImageBatch, type ImagePart, imageParts } from './image-plan.ts';
import type { ShardFilter } from './level0-options.ts';
import { SplitImageWriter } from './split-image-writer.ts';

/** Bytes of values that are read together; more are read only if one leaf of an index has them. */
const BATCH_SIZE = 32 * 1024 * 1024;
/** Bytes that a batch may turn out to have before it is cut. */
const MAXIMUM_BATCH_SIZE = 2 * BATCH_SIZE;

/** The input and options of making images. */
export interface ImageCreation extends Omit<ImageWriteOptions, 'keyRange' | 'lsn' | 'signal'> {
  readonly timeline: Timeline;
  readonly lsn: Lsn;
  /** Where images help, as returned by `imageRanges`. */
  readonly ranges: readonly KeyRange[];
  /** Bytes of a layer. */
  readonly targetSize: number;
  /** Minimum number of images in a run that gets a layer, unless the run is a whole part. */
  readonly minimumRun: number;
  /** Parts at a time. */
  readonly concurrency: number;
  readonly shard: ShardFilter | undefined;
  readonly onLayer: OnLayer;
  /** Called with the error of each record that cannot be read; its key is treated as one that needs redo. */
  readonly onUnreadable?: ((error: StorageError) => void) | undefined;
  /** Called with bytes of values that were read, and all of them; both are estimates. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Numbers of keys by what happened to them. */
export interface ImageCounts {
  /** In layers. */
  readonly images: number;
  /** Keys that need redo, or have no base or an unreadable record: they are not in a layer, nor in the range of one. */
  readonly needsRedo: number;
  /** Images between such keys that are left out because there were too few. */
  readonly leftOut: number;
}

/** Throws: as reads of the timeline, `materialize`, `SplitImageWriter` and `onLayer`. */
export async function createImages(creation: ImageCreation): Promise<ImageCounts> {
  const { timeline, lsn, ranges, targetSize, concurrency, signal } = creation;
  const parts = await imageParts({
    ...{ timeline, lsn, ranges, signal },
    partSize: targetSize,
    batchSize: Math.min(BATCH_SIZE, targetSize),
  });
  const total = parts.reduce((bytes, part) => bytes + bytesOf(part), 0);
  const counts = { images: 0, needsRedo: 0, leftOut: 0 };
  let done = 0;
  const make = (part: ImagePart): Promise<ImageCounts> => {
    const onBatch = ({ bytes }: ImageBatch): void => {
      done += bytes;
      creation.onProgress?.(done, total);
    };
    return new PartImages(creation, part.keyRange).make(part, onBatch);
  };
  for await (const { images, needsRedo, leftOut } of inOrder(parts, concurrency, make)) {
    counts.images += images;
    counts.needsRedo += needsRedo;
    counts.leftOut += leftOut;
  }
  return counts;
}

function bytesOf({ batches }: ImagePart): number {
  return batches.reduce((total, { bytes }) => total + bytes, 0);
}

interface Image {
  readonly key: Key;
  readonly bytes: Uint8Array;
}

/** The image layers of one part. */
class PartImages {
  readonly #creation: ImageCreation;
  readonly #keyRange: KeyRange;
  /** Where the run begins. */
  #start: Key;
  #writer: SplitImageWriter | undefined;
  /** The first images of the run, until there are enough for a layer. */
  #waiting: Image[] = [];
  #images = 0;
  #needsRedo = 0;
  #leftOut = 0;

  constructor(creation: ImageCreation, keyRange: KeyRange) {
    this.#creation = creation;
    this.#keyRange = keyRange;
    this.#start = keyRange.start;
  }

  async make({ batches }: ImagePart, onBatch: (batch: ImageBatch) => void): Promise<ImageCounts> {
    try {
      for (const batch of batches) {
        await this.#addBatch(batch);
        onBatch(batch);
      }
      await this.#endRun(this.#keyRange.end);
    } finally {
      // Does nothing after a finish.
      await this.#writer?.abandon();
    }
    return { images: this.#images, needsRedo: this.#needsRedo, leftOut: this.#leftOut };
  }

  async #addBatch({ keyRange, cuts }: Pick<ImageBatch, 'keyRange' | 'cuts'>): Promise<void> {
    const { timeline, lsn, signal } = this.#creation;
    // A batch without cuts is a single leaf, and is read whatever its size, within the limit of the timeline.
    const maximumBytes = cuts.length === 0 ? undefined : MAXIMUM_BATCH_SIZE;
    let found: readonly Reconstruction[];
    try {
      ({ found } = await timeline.reconstructRanges([keyRange], lsn, { maximumBytes, signal }));
    } catch (error) {
      if (cuts.length === 0 || !isStorageError(error, 'too-large')) throw error;
      const middle = cuts.length >> 1;
      const cut = cuts[middle] as Key;
      await this.#addBatch({
        keyRange: { start: keyRange.start, end: cut },
        cuts: cuts.slice(0, middle),
      });
      await this.#addBatch({
        keyRange: { start: cut, end: keyRange.end },
        cuts: cuts.slice(middle + 1),
      });
      return;
    }
    for (const reconstruction of found) await this.#add(reconstruction);
  }

  async #add(reconstruction: Reconstruction): Promise<void> {
    const { shard } = this.#creation;
    const { key, outcome } = reconstruction;
    if (shard !== undefined && !shardKeeps(key, shard.sharding, shard.shardNumber)) return;
    const made = outcome === 'complete' ? await this.#materialized(reconstruction) : undefined;
    if (made?.kind !== 'value') {
      this.#needsRedo += 1;
      await this.#endRun(key);
      this.#start = nextKey(key);
      return;
    }
    // A sparse key with an empty value has been removed.
    if (made.bytes.length === 0 && isSparseKey(key)) return;
    await this.#put({ key, bytes: made.bytes });
  }

  /** Undefined if a record cannot be read: the value stays where it is, and reads will report the error. */
  async #materialized(reconstruction: Reconstruction): Promise<Materialized | undefined> {
    const { timeline, onUnreadable, signal } = this.#creation;
    const { pgVersion } = timeline.facts;
    try {
      return await materialize(reconstruction, { pgVersion, signal });
    } catch (error) {
      if (!isDamage(error)) throw error;
      onUnreadable?.(error.with({ key: formatKey(reconstruction.key) }));
      return undefined;
    }
  }

  async #put(image: Image): Promise<void> {
    if (this.#writer !== undefined) return this.#write(this.#writer, [image]);
    this.#waiting.push(image);
    if (this.#waiting.length >= this.#creation.minimumRun) await this.#beginWriting();
  }

  async #beginWriting(): Promise<void> {
    const {
      timeline,
      ranges,
      minimumRun,
      concurrency,
      shard,
      onProgress,
      onUnreadable,
      ...writing
    } = this.#creation;
    const keyRange = { start: this.#start, end: this.#keyRange.end };
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#writer = new SplitImageWriter({ ...writing, keyRange });
    await this.#write(this.#writer, waiting);
  }

  async #write(writer: SplitImageWriter, images: readonly Image[]): Promise<void> {
    for (const { key, bytes } of images) await writer.put(key, bytes);
    this.#images += images.length;
  }

  /** Ends the run before a key, where the range of its last layer ends. */
  async #endRun(end: Key): Promise<void> {
    const { start, end: partEnd } = this.#keyRange;
    const isWholePart = compareKeys(this.#start, start) === 0 && compareKeys(end, partEnd) === 0;
    if (this.#waiting.length > 0 && isWholePart) await this.#beginWriting();
    this.#leftOut += this.#waiting.length;
    this.#waiting = [];
    const writer = this.#writer;
    if (writer === undefined) return;
    await writer.finish(end);
    this.#writer = undefined;
  }
}

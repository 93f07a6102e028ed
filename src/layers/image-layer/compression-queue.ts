/**
 * Collects blobs in batches, compresses several batches concurrently, and passes them on in the
 * order in which the blobs were added. Bounded: adding to a full queue returns a promise for room.
 */

import { checkWaiting } from '../../blob-writer/buffered-writer-options.ts';
import {
  batchRoomFor,
  CompressionBatch,
  MAXIMUM_BATCH_COUNT,
} from '../../blob-writer/compression-batch.ts';
import type { CompressionPool } from '../../blob-writer/compression-pool.ts';
import type { Compressor } from '../../zstd/compression.ts';
import { KEY_SIZE, type Key } from '../key.ts';

/** A batch, and the keys of its blobs. */
export interface KeyedBatch {
  readonly keys: Uint8Array;
  readonly batch: CompressionBatch;
}

export interface CompressionQueueOptions {
  readonly pool: CompressionPool;
  readonly compressor: Compressor;
  /** Receives the compressed batches, one at a time; a batch is reused once the call has ended. */
  readonly use: (keyed: KeyedBatch) => void | Promise<void>;
}

/** Bytes that one message to a thread carries: 32 pages, about a millisecond of work. */
const BATCH_CAPACITY = 32 * batchRoomFor(8192);

/** Bytes of submitted batches above which `add` returns a promise. */
const MAXIMUM_BYTES = 4 * 1024 * 1024;

interface Submitted {
  readonly keys: Uint8Array;
  readonly capacity: number;
  readonly compressing: Promise<CompressionBatch>;
}

export class CompressionQueue {
  readonly #pool: CompressionPool;
  readonly #compressor: Compressor;
  readonly #use: CompressionQueueOptions['use'];
  /** The batch that is being filled. */
  #current: KeyedBatch | undefined;
  readonly #submitted: Submitted[] = [];
  #submittedBytes = 0;
  readonly #free: KeyedBatch[] = [];
  #draining: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #waiting: (() => void)[] = [];

  constructor({ pool, compressor, use }: CompressionQueueOptions) {
    this.#pool = pool;
    this.#compressor = compressor;
    this.#use = use;
  }

  get isEmpty(): boolean {
    return this.#current === undefined && this.#submitted.length === 0;
  }

  /**
   * Copies a content to compress, or an encoded blob, into the queue.
   *
   * Returns: nothing while there is room, else a promise for it.
   * Throws: the first failure of a batch; `too-large` if too many bytes wait unawaited.
   */
  add(key: Key, bytes: Uint8Array, form: 'content' | 'encoded'): void | Promise<void> {
    this.throwIfFailed();
    checkWaiting('unawaited images: await what put returns', this.#submittedBytes);
    if (this.#current?.batch.hasRoomFor(bytes.length) === false) this.#submit();
    this.#current ??= this.#newBatch(bytes.length);
    const { keys, batch } = this.#current;
    keys.set(key, batch.count * KEY_SIZE);
    if (form === 'content') batch.add(bytes);
    else batch.addEncoded(bytes);
    if (!this.#isFull) return;
    const room = this.#room();
    // If not awaited, the failure surfaces on the next call: it is kept.
    room.catch(() => {});
    return room;
  }

  /** Resolves when everything that was added has been used. Throws the first failure. */
  async drained(): Promise<void> {
    this.#submit();
    while (this.#draining !== undefined) await this.#draining;
    this.throwIfFailed();
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  get #isFull(): boolean {
    return this.#submittedBytes >= MAXIMUM_BYTES;
  }

  async #room(): Promise<void> {
    while (this.#isFull && this.#failure === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.throwIfFailed();
  }

  #newBatch(length: number): KeyedBatch {
    const capacity = batchRoomFor(length);
    const free = capacity <= BATCH_CAPACITY ? this.#free.pop() : undefined;
    if (free !== undefined) return free;
    return {
      keys: new Uint8Array(MAXIMUM_BATCH_COUNT * KEY_SIZE),
      batch: CompressionBatch.create(Math.max(BATCH_CAPACITY, capacity)),
    };
  }

  #submit(): void {
    if (this.#current === undefined) return;
    const { keys, batch } = this.#current;
    const { capacity } = batch;
    this.#current = undefined;
    const compressing = this.#pool.compress(batch, this.#compressor);
    // `#drain` reports a failure; it may have to await earlier batches first.
    compressing.catch(() => {});
    this.#submitted.push({ keys, capacity, compressing });
    this.#submittedBytes += capacity;
    this.#draining ??= this.#drain();
  }

  /** Never rejects: the failure is kept for the next call. */
  async #drain(): Promise<void> {
    for (let next = this.#submitted[0]; next !== undefined; next = this.#submitted[0]) {
      const { keys, capacity, compressing } = next;
      try {
        const keyed = { keys, batch: await compressing };
        const used = this.#use(keyed);
        if (used !== undefined) await used;
        this.#recycle(keyed);
      } catch (error) {
        this.#failure ??= { error };
        this.#submitted.length = 0;
        this.#submittedBytes = 0;
        break;
      }
      this.#submitted.shift();
      this.#submittedBytes -= capacity;
      this.#wake();
    }
    this.#draining = undefined;
    this.#wake();
  }

  #recycle({ keys, batch }: KeyedBatch): void {
    if (batch.capacity > BATCH_CAPACITY) return;
    batch.clear();
    this.#free.push({ keys, batch });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

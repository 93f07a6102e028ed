/**
 * Compresses blobs on the thread pool, several at once, and hands them on in the order in which they
 * came. Bounded: whoever adds to a full queue gets a promise for room.
 */
import type { Compressor } from '../../blob-writer/compression.ts';

interface Job {
  readonly frame: Uint8Array | Promise<Uint8Array>;
  /** Runs when the frame is there and all jobs before have run. */
  readonly use: (frame: Uint8Array) => void | Promise<void>;
  readonly length: number;
}

const MAXIMUM_JOBS = 32;
const MAXIMUM_BYTES = 16 * 1024 * 1024;

export class CompressionQueue {
  readonly #compressor: Compressor;
  readonly #jobs: Job[] = [];
  #bytes = 0;
  #draining: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #waiting: (() => void)[] = [];

  constructor(compressor: Compressor) {
    this.#compressor = compressor;
  }

  get isEmpty(): boolean {
    return this.#jobs.length === 0;
  }

  /**
   * Adds a blob, which must not change until `use` is called, or one that stays as it is.
   * Returns: nothing while there is room, else a promise for it.
   * Throws: the first failure of an earlier job.
   */
  add(bytes: Uint8Array, compress: boolean, use: Job['use']): void | Promise<void> {
    this.throwIfFailed();
    const frame = compress ? this.#compressor.compress(bytes) : bytes;
    // A failure is reported by the drain; the job may have to wait for others before.
    if (frame instanceof Promise) frame.catch(() => {});
    this.#jobs.push({ frame, use, length: bytes.length });
    this.#bytes += bytes.length;
    this.#draining ??= this.#drain();
    if (!this.#isFull) return;
    const room = this.#room();
    // Whoever does not await it hears of a failure from the next call: it is kept.
    room.catch(() => {});
    return room;
  }

  /** Resolves when every job has run. Throws the first failure. */
  async drained(): Promise<void> {
    while (this.#draining !== undefined) await this.#draining;
    this.throwIfFailed();
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  get #isFull(): boolean {
    return this.#jobs.length >= MAXIMUM_JOBS || this.#bytes >= MAXIMUM_BYTES;
  }

  async #room(): Promise<void> {
    while (this.#isFull && this.#failure === undefined) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.throwIfFailed();
  }

  /** Never rejects: the failure is kept for the next call. */
  async #drain(): Promise<void> {
    for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
      try {
        const used = job.use(await job.frame);
        if (used !== undefined) await used;
      } catch (error) {
        this.#failure ??= { error };
        this.#jobs.length = 0;
        this.#bytes = 0;
        break;
      } finally {
        this.#jobs.shift();
        this.#bytes = Math.max(0, this.#bytes - job.length);
      }
      this.#wake();
    }
    this.#draining = undefined;
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

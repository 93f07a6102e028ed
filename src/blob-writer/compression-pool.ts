/**
 * Threads that compress batches of blobs, shared by all writers of the process.
 *
 * The first batches are compressed on the caller's own thread, in short turns, so that a small layer
 * neither waits nor pays for threads. After that, threads are started. Once ready they are served first.
 * The caller's thread, which would otherwise idle and has the pages in its cache, compresses what they have
 * no room for, unless that would take long. If threads cannot start (one processor, a program bundled
 * without their file, a process that may not start threads), the caller's thread compresses everything.
 *
 * Threads keep the process alive only while they have something to compress. One that ends is not
 * started again.
 */
import { availableParallelism } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { assert } from '../assert.ts';
import { checkCount, checkLimit, checkOptions, type KnownOptions } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import type { Compressor } from '../zstd/compression.ts';
import type { CompressionBatch } from './compression-batch.ts';
import { compressorFailed } from './compression-thread.ts';
import { PoolThread } from './pool-thread.ts';

/** Options of `CompressionPool`. */
export interface CompressionPoolOptions {
  /**
   * Maximum number of threads; 0 for none. Default: one less than the number of processors, since the
   * caller's thread compresses as well, and at most 4.
   */
  readonly threadCount?: number | undefined;
  /**
   * The file that a thread runs: `layerfile/compression-thread`, as installed or bundled. Default:
   * `compression-thread.js` beside this module. If that is missing, as in most bundled programs, the
   * caller's thread compresses everything.
   */
  readonly program?: URL | undefined;
  /** Bytes that the caller's thread compresses before threads are started; default 1 MiB. */
  readonly startAfter?: number | undefined;
}

const OPTIONS: KnownOptions<CompressionPoolOptions> = {
  threadCount: true,
  program: true,
  startAfter: true,
};

const DEFAULT_START_AFTER = 1024 * 1024;
const MAXIMUM_DEFAULT_THREADS = 4;

/** How long the caller's thread compresses before it yields to the event loop. */
const TURN_MS = 0.5;

/** Contents above this length go to libuv's pool if the library can, so that no turn takes long. */
const LARGE_CONTENT = 256 * 1024;

/**
 * Limits of what the caller's thread compresses while other threads are ready. Above this level a page
 * takes longer than a turn, and so does a content that has a batch to itself.
 */
const LAST_QUICK_LEVEL = 9;
const LARGEST_QUICK_BATCH = 2 * LARGE_CONTENT;

interface Job {
  readonly batch: CompressionBatch;
  readonly compressor: Compressor;
  readonly resolve: (batch: CompressionBatch) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Threads that compress the blobs of image layers. All writers share one pool by default; pass a pool of
 * your own to limit the threads, or to name their program in a bundle. Threads keep the process alive only
 * while they compress. The bytes of a layer do not depend on the pool.
 *
 * @example
 * await using pool = new CompressionPool({ threadCount: 2 });
 * const writer = await ImageLayerWriter.create({ ...options, compressionPool: pool });
 */
export class CompressionPool {
  /** Maximum number of threads. */
  readonly threadCount: number;
  readonly #program: URL | undefined;
  readonly #startAfter: number;
  readonly #waiting: Job[] = [];
  /** Threads that are ready. */
  readonly #threads: PoolThread[] = [];
  #starting: Promise<void> | undefined;
  #acceptedBytes = 0;
  #isBusyHere = false;
  /** Aborted when the pool is closed. */
  readonly #closing = new AbortController();

  static #shared: CompressionPool | undefined;

  /** The pool that writers use by default. */
  static shared(): CompressionPool {
    CompressionPool.#shared ??= new CompressionPool();
    return CompressionPool.#shared;
  }

  /** @throws `invalid-input` for an option out of range */
  constructor(options: CompressionPoolOptions = {}) {
    checkOptions(options, OPTIONS);
    const { threadCount = defaultThreadCount(), startAfter = DEFAULT_START_AFTER } = options;
    checkCount('number of compression threads', threadCount);
    checkLimit('bytes compressed before threads are started', startAfter);
    this.threadCount = threadCount;
    this.#startAfter = startAfter;
    this.#program = options.program;
  }

  get #isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Number of threads that are ready to compress. */
  get readyCount(): number {
    return this.#threads.length;
  }

  /**
   * Compresses a batch, which belongs to the pool after the call.
   *
   * @internal
   * @returns the compressed batch, the same one or another
   * @throws `closed`; `io` if the compressor fails or its thread ends
   */
  compress(batch: CompressionBatch, compressor: Compressor): Promise<CompressionBatch> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) throw closedError();
      this.#acceptedBytes += batch.length;
      this.#waiting.push({ batch, compressor, resolve, reject });
      if (this.#acceptedBytes > this.#startAfter) this.#starting ??= this.#startThreads(compressor);
      this.#assign();
    });
  }

  /**
   * Ends the threads and resolves once they have ended. Batches in flight and waiting ones reject with
   * `closed`. Idempotent.
   */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const { reject } of this.#waiting.splice(0)) reject(closedError());
    await this.#starting;
    await Promise.all(this.#threads.splice(0).map((thread) => thread.end(closedError())));
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Gives jobs to the thread with most room while one has room, and the rest to the caller's thread. */
  #assign(): void {
    for (let thread = this.#freest(); thread !== undefined; thread = this.#freest()) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      void this.#compressOn(thread, job);
    }
    if (!this.#isBusyHere && this.#hasWorkHere()) void this.#compressHere();
  }

  #freest(): PoolThread | undefined {
    let freest: PoolThread | undefined;
    for (const thread of this.#threads) if (thread.room > (freest?.room ?? 0)) freest = thread;
    return freest;
  }

  #hasWorkHere(): boolean {
    const [first] = this.#waiting;
    return first !== undefined && (this.#threads.length === 0 || isQuick(first));
  }

  async #compressOn(thread: PoolThread, job: Job): Promise<void> {
    try {
      const { batch, isCompressed } = await thread.compress(job.batch, job.compressor);
      if (isCompressed) job.resolve(batch);
      else await compressInTurns({ ...job, batch }, new Turn());
    } catch (error) {
      job.reject(error);
    }
    this.#assign();
  }

  async #compressHere(): Promise<void> {
    this.#isBusyHere = true;
    await nextTurn();
    const turn = new Turn();
    while (this.#hasWorkHere()) {
      const job = this.#waiting.shift();
      assert(job !== undefined, 'work for this thread waits');
      await compressInTurns(job, turn);
    }
    this.#isBusyHere = false;
  }

  /** Starts one thread at a time, so that the first can work while the next one loads. */
  async #startThreads(first: Compressor): Promise<void> {
    while (this.#threads.length < this.threadCount && !this.#isClosed) {
      const { signal } = this.#closing;
      const thread = await PoolThread.start(first, { program: this.#program, signal });
      if (thread === undefined) return;
      this.#threads.push(thread);
      void thread.ended.then(() => this.#remove(thread));
      this.#assign();
    }
  }

  #remove(thread: PoolThread): void {
    const index = this.#threads.indexOf(thread);
    if (index >= 0) this.#threads.splice(index, 1);
    this.#assign();
  }
}

function isQuick({ batch, compressor }: Job): boolean {
  return compressor.level <= LAST_QUICK_LEVEL && batch.length <= LARGEST_QUICK_BATCH;
}

/** Limits how long the caller's thread compresses without yielding, over one batch or several. */
class Turn {
  #end = performance.now() + TURN_MS;

  get isOver(): boolean {
    return performance.now() >= this.#end;
  }

  async pass(): Promise<void> {
    await nextTurn();
    this.#end = performance.now() + TURN_MS;
  }
}

async function compressInTurns(
  { batch, compressor, resolve, reject }: Job,
  turn: Turn,
): Promise<void> {
  const compression = batch.compression();
  try {
    for (let content = compression.next(); content !== undefined; content = compression.next()) {
      if (turn.isOver) await turn.pass();
      const isLarge = content.length > LARGE_CONTENT;
      const frame = isLarge ? await compressor.compress(content) : compressor.compressSync(content);
      compression.store(frame);
    }
    resolve(batch);
  } catch (error) {
    reject(compressorFailed(error));
  }
}

function defaultThreadCount(): number {
  return Math.min(availableParallelism() - 1, MAXIMUM_DEFAULT_THREADS);
}

function closedError(): StorageError {
  return new StorageError('closed', { what: 'compression pool is closed' });
}

/** One thread of the compression pool, seen from the pool. */
import { Worker } from 'node:worker_threads';
import type { StorageError } from '../errors.ts';
import type { Compressor } from '../zstd/compression.ts';
import { CompressionBatch } from './compression-batch.ts';
import {
  type CompressionReply,
  type CompressionRequest,
  type CompressorChoice,
  compressorFailed,
  isReadyReply,
} from './compression-thread.ts';

/**
 * The program of a thread, beside this module. If both names stood in one `new URL`, bundlers would treat
 * the file as an asset: copy it without its imports, and minify it as a script, which it is not.
 */
const PROGRAM = './compression-thread.js';
const HERE = import.meta.url;

/** Maximum number of batches of a thread, so that the next one is available when one is done. */
const MAXIMUM_BATCHES = 2;

export interface PoolThreadOptions {
  /** The program of the thread. Default: `compression-thread.js` beside this module. */
  readonly program?: URL | undefined;
  /** Ends a thread that has not started yet. */
  readonly signal: AbortSignal;
}

/** What a thread returns. */
export interface ReturnedBatch {
  readonly batch: CompressionBatch;
  /** False if the batch is unchanged, because the thread cannot load the compressor. */
  readonly isCompressed: boolean;
}

interface Pending {
  readonly resolve: (returned: ReturnedBatch) => void;
  readonly reject: (error: unknown) => void;
}

export class PoolThread {
  /** Resolves when the thread has ended, for any reason. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #isEnding = false;
  #nextId = 0;

  /** Returns: undefined if the thread cannot start. */
  static async start(
    { name, level }: Compressor,
    { program, signal }: PoolThreadOptions,
  ): Promise<PoolThread | undefined> {
    const first: CompressorChoice = { name, level };
    try {
      const place = program ?? new URL(PROGRAM, HERE);
      // Without the options of the process: its loaders and hooks would cost more than the thread itself.
      const worker = new Worker(place, { workerData: first, execArgv: [] });
      return (await isReady(worker, signal)) ? new PoolThread(worker) : undefined;
    } catch {
      // The program is not in a file, or a policy forbids threads.
      return undefined;
    }
  }

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', (reply: CompressionReply) => this.#take(reply));
    this.ended = new Promise((resolve) => {
      worker.on('error', (error) => this.#rejectAll(compressorFailed(error)));
      worker.on('exit', () => {
        this.#rejectAll(compressorFailed(new Error('the thread has ended')));
        resolve();
      });
    });
    worker.unref();
  }

  /** Number of batches that it accepts now; 0 once it has ended. */
  get room(): number {
    return this.#isEnding ? 0 : MAXIMUM_BATCHES - this.#pending.size;
  }

  /**
   * Transfers a batch to the thread, which detaches its memory.
   *
   * Requires: room.
   * Returns: the result in another batch. Throws: `io`.
   */
  compress(batch: CompressionBatch, { name, level }: Compressor): Promise<ReturnedBatch> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId += 1;
      const { buffer } = batch;
      const request: CompressionRequest = { id, choice: { name, level }, buffer };
      this.#worker.postMessage(request, [buffer]);
      if (this.#pending.size === 0) this.#worker.ref();
      this.#pending.set(id, { resolve, reject });
    });
  }

  /** Ends the thread; batches in flight reject with the error. */
  async end(error: StorageError): Promise<void> {
    this.#rejectAll(error);
    await this.#worker.terminate();
  }

  #take(reply: CompressionReply): void {
    // Once the thread is ending, its batches have been rejected already.
    if (reply.kind === 'ready' || this.#isEnding) return;
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (reply.kind === 'failed') pending?.reject(compressorFailed(new Error(reply.reason)));
    else {
      const batch = new CompressionBatch(reply.buffer);
      pending?.resolve({ batch, isCompressed: reply.kind === 'compressed' });
    }
  }

  /**
   * Rejects all batches in flight; the thread accepts no others. It keeps the process alive until it has
   * ended, because only then the waiting batches go elsewhere.
   */
  #rejectAll(error: StorageError): void {
    this.#isEnding = true;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    this.#worker.ref();
  }
}

/**
 * Returns: whether the thread has loaded its compressor. False if it ended first, by itself or by the
 * signal, or if it runs another program, which is then ended.
 */
async function isReady(worker: Worker, signal: AbortSignal): Promise<boolean> {
  const ready = new Promise<boolean>((resolve) => {
    worker.once('message', (reply: unknown) => {
      if (!isReadyReply(reply)) end();
      resolve(isReadyReply(reply));
    });
    worker.once('error', () => resolve(false));
    worker.once('exit', () => resolve(false));
    // Must follow `on('message')`, which keeps the process alive; likewise in the constructor.
    worker.unref();
  });
  // Terminating keeps the process alive until the thread has ended, since a caller waits for that.
  const end = (): void => void worker.terminate();
  signal.addEventListener('abort', end);
  try {
    return await ready;
  } finally {
    signal.removeEventListener('abort', end);
  }
}

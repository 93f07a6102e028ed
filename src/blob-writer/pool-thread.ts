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
 * The program of a thread, beside this module. Bundlers that see both names in one `new URL` take the
 * file for an asset: they copy it as it is, without what it imports, and minify it as a script, which
 * it is not.
 */
const PROGRAM = './compression-thread.js';
const HERE = import.meta.url;

/** Batches that a thread has at once, so that it need not wait for the next. */
const MAXIMUM_BATCHES = 2;

export interface PoolThreadOptions {
  /** Where the program of a thread is. Default: `compression-thread.js` beside this module. */
  readonly program?: URL | undefined;
  /** Ends a thread that has not started yet. */
  readonly signal: AbortSignal;
}

/** What a thread hands back. */
export interface ReturnedBatch {
  readonly batch: CompressionBatch;
  /** False: it is as it was, since the thread cannot load the compressor. */
  readonly isCompressed: boolean;
}

interface Pending {
  readonly resolve: (returned: ReturnedBatch) => void;
  readonly reject: (error: unknown) => void;
}

export class PoolThread {
  /** Resolves when the thread has ended, for whatever reason. */
  readonly ended: Promise<void>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #isEnding = false;
  #nextId = 0;

  /** Undefined if it cannot start. */
  static async start(
    { name, level }: Compressor,
    { program, signal }: PoolThreadOptions,
  ): Promise<PoolThread | undefined> {
    const first: CompressorChoice = { name, level };
    try {
      const place = program ?? new URL(PROGRAM, HERE);
      // Without what the process was started with: loaders and hooks would cost each thread more
      // than it takes to start.
      const worker = new Worker(place, { workerData: first, execArgv: [] });
      return (await isReady(worker, signal)) ? new PoolThread(worker) : undefined;
    } catch {
      // A program that is in no file, or a policy that forbids threads.
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

  /** Batches that it can be given now; none once it has ended. */
  get room(): number {
    return this.#isEnding ? 0 : MAXIMUM_BATCHES - this.#pending.size;
  }

  /**
   * Hands the batch over.
   *
   * Requires: room.
   * Returns: another one, with what became of it. Throws: `io`.
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

  /** What is under way is rejected with the error. */
  async end(error: StorageError): Promise<void> {
    this.#rejectAll(error);
    await this.#worker.terminate();
  }

  #take(reply: CompressionReply): void {
    // An answer that comes when the thread is to end has been given already.
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
   * It takes nothing more, since nobody would answer. Until it has ended it keeps the process alive:
   * only then others take what waits.
   */
  #rejectAll(error: StorageError): void {
    this.#isEnding = true;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    this.#worker.ref();
  }
}

/**
 * Whether the thread has loaded its compressor; false if it ended over it or by the signal, or if it
 * is another program, which is ended.
 */
async function isReady(worker: Worker, signal: AbortSignal): Promise<boolean> {
  const ready = new Promise<boolean>((resolve) => {
    worker.once('message', (reply: unknown) => {
      if (!isReadyReply(reply)) end();
      resolve(isReadyReply(reply));
    });
    worker.once('error', () => resolve(false));
    worker.once('exit', () => resolve(false));
    // A listener for messages keeps the process alive: so this comes behind it, here and above.
    worker.unref();
  });
  // Which keeps the process alive until it has ended: somebody waits for it.
  const end = (): void => void worker.terminate();
  signal.addEventListener('abort', end);
  try {
    return await ready;
  } finally {
    signal.removeEventListener('abort', end);
  }
}

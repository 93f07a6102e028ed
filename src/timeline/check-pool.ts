/**
 * Reads many layers in parallel, usually on one thread per processor, with several layers in flight on each. One of the
 * threads is the caller's own, whose code is already compiled. It also reads the layers that other threads
 * cannot open, and all layers if no other thread can start.
 */
import type { Worker } from 'node:worker_threads';
import { assert } from '../assert.ts';
import { StorageError } from '../errors.ts';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import { objectSource } from '../object-store/object-source.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { unlessAborted } from '../on-abort.ts';
import type { OnProgress } from '../progress.ts';
import { startReadyWorker } from '../threads.ts';
import {
  answerTask,
  type LayerAnswer,
  type LayerReply,
  type LayerRequest,
  type LayerTask,
  type PlaceOnThread,
} from './check-thread.ts';
import type { LayerCheckResult, LayerExpectation } from './layer-check.ts';
import type { LayerVerdict, LayerVerification } from './layer-verdict.ts';

/** If both names stood in one `new URL`, bundlers would treat the file as an asset. */
const PROGRAM = './check-thread.js';
const HERE = import.meta.url;

/**
 * Layers that each thread should have at a time, so that it can continue with another one while it waits for a server,
 * or for new work from the caller's thread, which may be busy with its own layer. With two, files took 15 % longer.
 */
export const LAYERS_PER_THREAD = 8;

export interface CheckPoolOptions {
  /** Number of threads, including the caller's: 0 and 1 mean that no other is started. */
  readonly threadCount: number;
  /** The program of a thread. Default: `check-thread.js` next to this module. */
  readonly program?: URL | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A layer to read: a path, an object, or a source that only the caller's thread can read. */
export type LayerPlace = LayerInput | { readonly store: ObjectStore; readonly key: string };

export class CheckPool {
  readonly #options: CheckPoolOptions;
  #threads: Promise<readonly CheckThread[]> | undefined;
  /** Number of layers that the caller's thread is reading. */
  #load = 0;

  constructor(options: CheckPoolOptions) {
    this.#options = options;
  }

  /** As `checkLayer`. Throws `aborted`, and `closed` if the pool is closed in the meantime. */
  async check(place: LayerPlace, expected: LayerExpectation): Promise<LayerCheckResult> {
    const answer = await this.#answer(place, { kind: 'check', expected });
    assert(answer.kind === 'checked', 'the answer is that to the task');
    return answer.result;
  }

  /**
   * As `verdictOf`; other threads do not report progress. Throws `aborted`, and `closed` if the pool is closed in the
   * meantime.
   */
  async verify(
    place: LayerPlace,
    verification: LayerVerification,
    onProgress?: OnProgress,
  ): Promise<LayerVerdict> {
    const answer = await this.#answer(place, { kind: 'verify', verification }, onProgress);
    assert(answer.kind === 'verified', 'the answer is that to the task');
    return answer.verdict;
  }

  async #answer(place: LayerPlace, task: LayerTask, onProgress?: OnProgress): Promise<LayerAnswer> {
    const { signal } = this.#options;
    const placeOnThread = onThread(place);
    const threads = placeOnThread === undefined ? [] : await this.#startedThreads();
    // No await before the thread has the layer, so that the next choice of a thread takes it into account.
    const thread = this.#freestOf(threads);
    if (thread === undefined || placeOnThread === undefined) {
      this.#load += 1;
      try {
        return await answerTask(task, () => inputOf(place, signal), { signal, onProgress });
      } finally {
        this.#load -= 1;
      }
    }
    // The thread continues until the pool is closed.
    return unlessAborted(thread.ask(placeOnThread, task), signal);
  }

  async #startedThreads(): Promise<readonly CheckThread[]> {
    if (this.#options.threadCount < 2) return [];
    this.#threads ??= this.#start();
    return this.#threads;
  }

  /** Undefined for the caller's. */
  #freestOf(threads: readonly CheckThread[]): CheckThread | undefined {
    let freest: CheckThread | undefined;
    for (const thread of threads) {
      const load = freest?.load ?? this.#load + 1;
      if (thread.isRunning && thread.load < load) freest = thread;
    }
    return freest;
  }

  /** Ends the threads; their pending checks reject with `closed`. Idempotent. */
  async close(): Promise<void> {
    const threads = await (this.#threads ?? []);
    await Promise.all(threads.map((thread) => thread.end()));
  }

  async #start(): Promise<readonly CheckThread[]> {
    const { threadCount, program = new URL(PROGRAM, HERE) } = this.#options;
    const starting = Array.from({ length: threadCount - 1 }, () => CheckThread.start(program));
    return (await Promise.all(starting)).filter((thread) => thread !== undefined);
  }
}

async function inputOf(place: LayerPlace, signal: AbortSignal | undefined): Promise<LayerInput> {
  return isStored(place) ? objectSource(place.store, place.key, { signal }) : place;
}

/** Undefined for a source that a thread cannot open by itself. */
function onThread(place: LayerPlace): PlaceOnThread | undefined {
  if (typeof place === 'string') return place;
  if (!isStored(place)) return undefined;
  const { settings } = place.store;
  return settings && { settings, key: place.key };
}

function isStored(place: LayerPlace): place is Extract<LayerPlace, { store: ObjectStore }> {
  return typeof place === 'object' && 'store' in place;
}

interface Pending {
  readonly resolve: (answer: LayerAnswer) => void;
  readonly reject: (error: unknown) => void;
}

class CheckThread {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  isRunning = true;

  /** Undefined if the thread cannot start. */
  static async start(program: URL): Promise<CheckThread | undefined> {
    const worker = await startReadyWorker(program);
    return worker && new CheckThread(worker);
  }

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', (reply: LayerReply) => this.#take(reply));
    worker.on('error', (error) => this.#rejectAll(`thread failed: ${error.message}`, 'io'));
    worker.on('exit', () => this.#rejectAll('thread has ended', 'closed'));
    worker.unref();
  }

  /** Layers that it has. */
  get load(): number {
    return this.#pending.size;
  }

  ask(place: PlaceOnThread, task: LayerTask): Promise<LayerAnswer> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId += 1;
      const request: LayerRequest = { id, place, task };
      if (this.#pending.size === 0) this.#worker.ref();
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage(request);
    });
  }

  async end(): Promise<void> {
    this.#rejectAll('check is closed', 'closed');
    await this.#worker.terminate();
  }

  #take(reply: LayerReply): void {
    if (reply.kind === 'ready') return;
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (reply.kind !== 'failed') pending?.resolve(reply);
    else pending?.reject(new StorageError('io', { what: `cannot check: ${reply.reason}` }));
  }

  #rejectAll(what: string, code: 'io' | 'closed'): void {
    this.isRunning = false;
    for (const { reject } of this.#pending.values()) reject(new StorageError(code, { what }));
    this.#pending.clear();
    this.#worker.unref();
  }
}

/**
 * Checks many layers side by side: files on threads, one for each processor, and objects on the caller's
 * thread, with requests in flight. If threads cannot start, files are checked on the caller's thread as well.
 */
import { Worker } from 'node:worker_threads';
import { StorageError } from '../errors.ts';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import type { LayerCheckReply, LayerCheckRequest } from './check-thread.ts';
import { checkLayerFile, type LayerCheckResult, type LayerExpectation } from './layer-check.ts';

/** If both names stood in one `new URL`, bundlers would treat the file as an asset. */
const PROGRAM = './check-thread.js';
const HERE = import.meta.url;

export interface CheckPoolOptions {
  /** Threads; with 0 or 1 there are none, because one thread is no faster than the caller's. */
  readonly threadCount: number;
  /** The program of a thread. Default: `check-thread.js` beside this module. */
  readonly program?: URL | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class CheckPool {
  readonly #options: CheckPoolOptions;
  #threads: Promise<readonly CheckThread[]> | undefined;

  constructor(options: CheckPoolOptions) {
    this.#options = options;
  }

  /** As `checkLayerFile`. */
  async check(input: LayerInput, expected: LayerExpectation): Promise<LayerCheckResult> {
    const { signal } = this.#options;
    if (typeof input !== 'string') return checkLayerFile(input, expected, signal);
    this.#threads ??= this.#start();
    let freest: CheckThread | undefined;
    for (const thread of await this.#threads) {
      if (thread.isRunning && thread.load < (freest?.load ?? Number.POSITIVE_INFINITY)) {
        freest = thread;
      }
    }
    return freest === undefined
      ? checkLayerFile(input, expected, signal)
      : freest.check(input, expected);
  }

  /** Ends the threads; what they check rejects with `closed`. Idempotent. */
  async close(): Promise<void> {
    const threads = await (this.#threads ?? []);
    await Promise.all(threads.map((thread) => thread.end()));
  }

  async #start(): Promise<readonly CheckThread[]> {
    const { threadCount, program = new URL(PROGRAM, HERE) } = this.#options;
    if (threadCount < 2) return [];
    const starting = Array.from({ length: threadCount }, () => CheckThread.start(program));
    return (await Promise.all(starting)).filter((thread) => thread !== undefined);
  }
}

interface Pending {
  readonly resolve: (result: LayerCheckResult) => void;
  readonly reject: (error: unknown) => void;
}

class CheckThread {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  isRunning = true;

  /** Undefined if the thread cannot start. */
  static async start(program: URL): Promise<CheckThread | undefined> {
    let worker: Worker;
    try {
      // Without the options of the process: its loaders and hooks would cost more than the thread itself.
      worker = new Worker(program, { execArgv: [] });
    } catch {
      // The program is not in a file, or a policy forbids threads.
      return undefined;
    }
    const isReady = await new Promise<boolean>((resolve) => {
      worker.once('message', (reply: LayerCheckReply) => resolve(reply.kind === 'ready'));
      worker.once('error', () => resolve(false));
      worker.once('exit', () => resolve(false));
    });
    return isReady ? new CheckThread(worker) : undefined;
  }

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', (reply: LayerCheckReply) => this.#take(reply));
    worker.on('error', (error) => this.#rejectAll(`thread failed: ${error.message}`, 'io'));
    worker.on('exit', () => this.#rejectAll('thread has ended', 'closed'));
    worker.unref();
  }

  /** Files that it has. */
  get load(): number {
    return this.#pending.size;
  }

  check(path: string, expected: LayerExpectation): Promise<LayerCheckResult> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId += 1;
      const request: LayerCheckRequest = { id, path, expected };
      if (this.#pending.size === 0) this.#worker.ref();
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage(request);
    });
  }

  async end(): Promise<void> {
    this.#rejectAll('check is closed', 'closed');
    await this.#worker.terminate();
  }

  #take(reply: LayerCheckReply): void {
    if (reply.kind === 'ready') return;
    const pending = this.#pending.get(reply.id);
    this.#pending.delete(reply.id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (reply.kind === 'checked') pending?.resolve(reply.result);
    else pending?.reject(new StorageError('io', { what: `cannot check: ${reply.reason}` }));
  }

  #rejectAll(what: string, code: 'io' | 'closed'): void {
    this.isRunning = false;
    for (const { reject } of this.#pending.values()) reject(new StorageError(code, { what }));
    this.#pending.clear();
    this.#worker.unref();
  }
}

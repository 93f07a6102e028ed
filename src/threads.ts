/** Starts threads from the location of their program; some answer requests one at a time, in order. */
import { type MessagePort, Worker } from 'node:worker_threads';

/** Returns: undefined if a policy forbids threads, or the program is not in a file. */
function startWorker(program: URL, workerData?: unknown): Worker | undefined {
  try {
    // Without the options of the process: its loaders and hooks would cost more than the thread itself.
    return new Worker(program, { workerData, execArgv: [] });
  } catch {
    return undefined;
  }
}

/**
 * As `startWorker`, for a program whose first message is of the kind `ready`; undefined also if it ends before that.
 */
export async function startReadyWorker(program: URL): Promise<Worker | undefined> {
  const worker = startWorker(program);
  if (worker === undefined) return undefined;
  const isReady = await new Promise<boolean>((resolve) => {
    worker.once('message', (message: { readonly kind: string }) => {
      resolve(message.kind === 'ready');
    });
    worker.once('error', () => resolve(false));
    worker.once('exit', () => resolve(false));
  });
  if (isReady) return worker;
  await worker.terminate();
  return undefined;
}

/** Undefined for a request that the thread leaves to the caller. */
interface Reply<Result> {
  readonly result: Result | undefined;
}

/**
 * Serves a `SerialThread` until it is terminated. A failure ends the thread.
 *
 * @param transferred Returns the buffers of a result that are transferred to the caller instead of being copied.
 */
export function serveInOrder<Request, Result>(
  port: MessagePort,
  answer: (request: Request) => Promise<Result | undefined>,
  transferred: (result: Result) => ArrayBuffer[] = () => [],
): void {
  let last = Promise.resolve();
  port.on('message', (request: Request) => {
    last = last.then(async () => {
      const reply: Reply<Result> = { result: await answer(request) };
      port.postMessage(reply, reply.result === undefined ? [] : transferred(reply.result));
    });
  });
}

/** A thread that answers its requests in their order. Requests and results must be plain data. */
export class SerialThread<Request, Result> {
  readonly #worker: Worker;
  /** In the order of the requests, which is that of the replies. */
  readonly #waiting: ((result: Result | undefined) => void)[] = [];
  #isRunning = true;

  /**
   * @param program The program of the thread, which calls `serveInOrder`.
   * @returns as `startWorker`
   */
  static start<Request, Result>(
    program: URL,
    workerData?: unknown,
  ): SerialThread<Request, Result> | undefined {
    const worker = startWorker(program, workerData);
    return worker && new SerialThread(worker);
  }

  private constructor(worker: Worker) {
    this.#worker = worker;
    const onEnd = (): void => {
      this.#isRunning = false;
      for (const resolve of this.#waiting.splice(0)) resolve(undefined);
    };
    worker.on('message', ({ result }: Reply<Result>) => this.#waiting.shift()?.(result));
    worker.on('error', onEnd);
    worker.on('exit', onEnd);
  }

  /** False once the thread has ended, or if it could not load its program. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** What the program answers; undefined also if the thread ends before it has replied. */
  ask(request: Request, transferred: ArrayBuffer[] = []): Promise<Result | undefined> {
    return new Promise((resolve) => {
      if (!this.#isRunning) {
        resolve(undefined);
        return;
      }
      this.#waiting.push(resolve);
      this.#worker.postMessage(request, transferred);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** A thread that reads parts of WAL: its messages, what its program does, and how the caller sees it. */
import { type MessagePort, Worker } from 'node:worker_threads';

/** Undefined for a part that is not complete and valid. */
interface Reply<Result> {
  readonly result: Result | undefined;
}

/**
 * Serves until the thread is terminated, one part after the other. A failure ends the thread.
 *
 * @param transferred What of a result is moved to the caller instead of being copied.
 */
export function serveParts<Part, Result>(
  port: MessagePort,
  read: (part: Part) => Promise<Result | undefined>,
  transferred: (result: Result) => ArrayBuffer[] = () => [],
): void {
  let last = Promise.resolve();
  port.on('message', (part: Part) => {
    last = last.then(async () => {
      const reply: Reply<Result> = { result: await read(part) };
      port.postMessage(reply, reply.result === undefined ? [] : transferred(reply.result));
    });
  });
}

/** Parts and results must be plain data. */
export class PartThread<Part, Result> {
  readonly #worker: Worker;
  /** In the order of the parts, which is that of the replies. */
  readonly #waiting: ((result: Result | undefined) => void)[] = [];
  #isRunning = true;

  /**
   * @param program The program of the thread, which calls `serveParts`.
   * @returns undefined if a policy forbids threads, or the program is not in a file
   */
  static start<Part, Result>(program: URL): PartThread<Part, Result> | undefined {
    try {
      // Without the options of the process: its loaders and hooks would cost more than the thread itself.
      return new PartThread(new Worker(program, { execArgv: [] }));
    } catch {
      return undefined;
    }
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

  /** What the program makes of a part; undefined also if the thread ends before it has replied. */
  read(part: Part): Promise<Result | undefined> {
    return new Promise((resolve) => {
      if (!this.#isRunning) {
        resolve(undefined);
        return;
      }
      this.#waiting.push(resolve);
      this.#worker.postMessage(part);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

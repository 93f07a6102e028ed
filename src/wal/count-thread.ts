/** A thread that counts parts of WAL: its messages, its program, and how the caller sees it. */
import { type MessagePort, Worker } from 'node:worker_threads';
import { type CountedPart, countPart, type WalPart } from './counted-part.ts';

/** If both names stood in one `new URL`, bundlers would treat the file as an asset. */
const PROGRAM = './wal-count-thread.js';
const HERE = import.meta.url;

/** Undefined for a part that is not complete and valid. */
interface CountReply {
  readonly counted: CountedPart | undefined;
}

/** Serves until the thread is terminated. A failure ends the thread. */
export function serveCounting(port: MessagePort): void {
  port.on('message', async (part: WalPart) => {
    const reply: CountReply = { counted: await countPart(part) };
    port.postMessage(reply);
  });
}

export class CountThread {
  readonly #worker: Worker;
  #resolve: (counted: CountedPart | undefined) => void = () => {};
  #isRunning = true;

  /**
   * @param program The program of the thread; default: `wal-count-thread.js` beside this module.
   * @returns undefined if a policy forbids threads, or the program is not in a file
   */
  static start(program: URL = new URL(PROGRAM, HERE)): CountThread | undefined {
    try {
      // Without the options of the process: its loaders and hooks would cost more than the thread itself.
      return new CountThread(new Worker(program, { execArgv: [] }));
    } catch {
      return undefined;
    }
  }

  private constructor(worker: Worker) {
    this.#worker = worker;
    const onEnd = (): void => {
      this.#isRunning = false;
      this.#resolve(undefined);
    };
    worker.on('message', ({ counted }: CountReply) => this.#resolve(counted));
    worker.on('error', onEnd);
    worker.on('exit', onEnd);
  }

  /** False once the thread has ended, or if it could not load its program. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** As `countPart`, for one part at a time; undefined also if the thread ends before it has counted. */
  count(part: WalPart): Promise<CountedPart | undefined> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
      if (this.#isRunning) this.#worker.postMessage(part);
      else resolve(undefined);
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Bounds how many operations of one sort run at once; the others wait in order of arrival. */
import { assert } from '../assert.ts';
import { WaitingLine } from './waiting-line.ts';

export class Limiter {
  readonly #limit: number;
  readonly #waiting = new WaitingLine();
  #running = 0;

  constructor(limit: number) {
    assert(limit >= 1, 'at least one operation may run');
    this.#limit = limit;
  }

  async run<T>(operation: () => Promise<T>): Promise<T> {
    await this.enter();
    try {
      return await operation();
    } finally {
      this.leave();
    }
  }

  /**
   * Takes a place, to be left again; a promise only where one must be waited for.
   * Throws: `aborted` if the signal ends the wait.
   */
  enter(signal?: AbortSignal): Promise<void> | undefined {
    if (this.#running === this.#limit) return this.#waiting.wait(signal, () => this.leave());
    this.#running += 1;
    return undefined;
  }

  leave(): void {
    // The place passes straight to the next in line, so that nobody can slip in between.
    if (!this.#waiting.wakeNext()) this.#running -= 1;
  }
}

/**
 * Syncs of all files of the process. A slow sync holds a thread of libuv's pool; as many as the
 * pool has threads would delay every read, so one thread is kept free.
 */
export const MAXIMUM_SYNCS = Math.max(1, threadPoolSize() - 1);

export const syncLimiter = new Limiter(MAXIMUM_SYNCS);

function threadPoolSize(): number {
  const size = Number.parseInt(process.env['UV_THREADPOOL_SIZE'] ?? '', 10);
  return Number.isNaN(size) || size < 1 ? 4 : Math.min(size, 1024);
}

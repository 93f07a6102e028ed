/** Limits how many operations run concurrently; the others wait in order of arrival. */
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
   * Takes a place; call `leave` afterwards. Returns a promise only if there is a wait.
   * Throws: `aborted` if the signal ends the wait.
   */
  enter(signal?: AbortSignal): Promise<void> | undefined {
    if (this.#running === this.#limit) return this.#waiting.wait(signal, () => this.leave());
    this.#running += 1;
    return undefined;
  }

  leave(): void {
    // The place passes directly to the next in line, so that no new caller can take it.
    if (!this.#waiting.wakeNext()) this.#running -= 1;
  }
}

/**
 * Most concurrent syncs of the process. A slow sync occupies a thread of libuv's pool; if syncs took
 * all of them, every read would wait, so one thread is kept free.
 */
export const MAXIMUM_SYNCS = Math.max(1, threadPoolSize() - 1);

export const syncLimiter = new Limiter(MAXIMUM_SYNCS);

function threadPoolSize(): number {
  const size = Number.parseInt(process.env['UV_THREADPOOL_SIZE'] ?? '', 10);
  return Number.isNaN(size) || size < 1 ? 4 : Math.min(size, 1024);
}

/** A queue of operations that wait for their turn. */
import { unlessAborted } from '../on-abort.ts';

export class WaitingLine {
  readonly #waiting: (() => void)[] = [];

  /**
   * Waits for the turn. If the signal fires first, the place in line is given up; if the turn has come
   * by then, `passOn` is called.
   * Throws: `aborted`.
   */
  async wait(signal: AbortSignal | undefined, passOn: () => void): Promise<void> {
    let begin = (): void => {};
    const turn = new Promise<void>((resolve) => {
      begin = resolve;
    });
    this.#waiting.push(begin);
    try {
      await unlessAborted(turn, signal);
    } catch (error) {
      const place = this.#waiting.indexOf(begin);
      if (place >= 0) this.#waiting.splice(place, 1);
      else passOn();
      throw error;
    }
  }

  /** Wakes the first in line; false if the line is empty. */
  wakeNext(): boolean {
    const begin = this.#waiting.shift();
    begin?.();
    return begin !== undefined;
  }
}

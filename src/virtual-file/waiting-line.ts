/** Operations that wait for their turn, in order of arrival. */
import { unlessAborted } from '../unless-aborted.ts';

export class WaitingLine {
  readonly #waiting: (() => void)[] = [];

  /**
   * Waits for the turn, or until the signal fires; then `passOn` is called if the turn had come already.
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

  /** Returns: false if nobody waits. */
  wakeNext(): boolean {
    const begin = this.#waiting.shift();
    begin?.();
    return begin !== undefined;
  }
}

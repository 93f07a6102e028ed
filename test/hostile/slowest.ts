/**
 * Times many short actions. One that took too long is run again, up to ten times, since on a busy
 * machine any may be interrupted: what counts is its best time.
 */
export interface Slowest {
  measure<K, T>(input: K, action: () => Promise<T>): Promise<T>;
  /** Inputs that took too long each time. */
  readonly slow: { readonly input: unknown; readonly ms: number }[];
  readonly slowestMs: number;
}

export function slowest(maximumMs: number): Slowest {
  const slow: { input: unknown; ms: number }[] = [];
  let slowestMs = 0;
  return {
    slow,
    get slowestMs() {
      return slowestMs;
    },
    async measure(input, action) {
      const start = performance.now();
      const result = await action();
      let ms = performance.now() - start;
      for (let again = 0; ms > maximumMs && again < 10; again += 1) {
        const startAgain = performance.now();
        await action();
        ms = Math.min(ms, performance.now() - startAgain);
      }
      slowestMs = Math.max(slowestMs, ms);
      if (ms > maximumMs) slow.push({ input, ms });
      return result;
    },
  };
}

/**
 * Times many short actions, by what they cost of the processor, since others may be at work on the
 * machine. One that took too long is done again, up to ten times: what counts is its best time.
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
      const start = process.cpuUsage();
      const result = await action();
      let ms = cpuMsSince(start);
      for (let again = 0; ms > maximumMs && again < 10; again += 1) {
        const startAgain = process.cpuUsage();
        await action();
        ms = Math.min(ms, cpuMsSince(startAgain));
      }
      slowestMs = Math.max(slowestMs, ms);
      if (ms > maximumMs) slow.push({ input, ms });
      return result;
    },
  };
}

function cpuMsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

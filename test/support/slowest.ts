/**
 * Times many short actions, by what they cost of the processor, since others may be at work on the
 * machine. One that took too long is done again, up to thirty times, in which its code is compiled:
 * what counts is its best time. The collector's work for everything else in the process counts, too.
 */
export interface Slowest<K> {
  measure<T>(input: K, action: () => Promise<T>): Promise<T>;
  /** Inputs that took too long each time. */
  readonly slow: readonly SlowInput<K>[];
  readonly slowestMs: number;
}

export interface SlowInput<K> {
  readonly input: K;
  readonly ms: number;
}

export function slowest<K>(maximumMs: number): Slowest<K> {
  const slow: SlowInput<K>[] = [];
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
      for (let again = 0; ms > maximumMs && again < 30; again += 1) {
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

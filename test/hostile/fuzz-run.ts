/** Many executions of the fuzzer, from one seed on. */
import { type SlowInput, slowest } from '../support/slowest.ts';
import { execute } from './fuzzing.ts';

export interface FuzzInput {
  readonly firstSeed: number;
  readonly executions: number;
  /** Ends earlier when this many seconds have passed. */
  readonly seconds?: number;
  readonly maximumMs: number;
}

export interface Fuzzed {
  readonly firstSeed: number;
  readonly executions: number;
  readonly elapsedMs: number;
  /** How many executions ended in which way. */
  readonly counts: Readonly<Record<string, number>>;
  /** At most 20; each can be executed again by its seed. */
  readonly failures: readonly { readonly seed: number; readonly error: string }[];
  /** Seeds whose execution took too long each time. */
  readonly slow: readonly SlowInput<number>[];
  readonly slowestMs: number;
}

export async function fuzzFrom({
  firstSeed,
  executions,
  seconds = 1e9,
  maximumMs,
}: FuzzInput): Promise<Fuzzed> {
  const counts: Record<string, number> = {};
  const failures: { seed: number; error: string }[] = [];
  const started = performance.now();
  const times = slowest<number>(maximumMs);
  let done = 0;
  for (; done < executions && performance.now() - started < seconds * 1000; done += 1) {
    const seed = (firstSeed + done) >>> 0;
    try {
      const result = await times.measure(seed, () => execute(seed));
      counts[result] = (counts[result] ?? 0) + 1;
    } catch (error) {
      failures.push({ seed, error: error instanceof Error ? String(error.stack) : String(error) });
      if (failures.length >= 20) break;
    }
  }
  const { slow, slowestMs } = times;
  const elapsedMs = Math.round(performance.now() - started);
  return { firstSeed, executions: done, elapsedMs, counts, failures, slow, slowestMs };
}

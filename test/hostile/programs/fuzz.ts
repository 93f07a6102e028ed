/**
 * Executes the fuzzer from one seed on. Prints a line of JSON with the counts at the end, and one
 * for each failure, by whose seed it can be executed again.
 */
import { execute } from '../fuzzing.ts';
import { slowest } from '../slowest.ts';

interface Input {
  readonly firstSeed: number;
  readonly executions: number;
  /** Ends earlier when this many seconds have passed. */
  readonly seconds?: number;
  readonly maximumMs: number;
}

const {
  firstSeed,
  executions,
  seconds = 1e9,
  maximumMs,
}: Input = JSON.parse(process.argv[2] ?? '{}');
const counts: Record<string, number> = {};
const failures: { seed: number; error: string }[] = [];
const started = performance.now();
const times = slowest(maximumMs);
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
for (const failure of failures) process.stderr.write(`${JSON.stringify(failure)}\n`);
const elapsedMs = Math.round(performance.now() - started);
process.stdout.write(
  `${JSON.stringify({ firstSeed, executions: done, elapsedMs, counts, failures, slow: times.slow, slowestMs: times.slowestMs })}\n`,
);

/**
 * The fuzzer: mutated layers, and everything else that is read, from seeds that count up. Each
 * execution ends with a typed error of damage or is sound by the format's own rules (oracle.ts).
 *
 * LAYERFILE_FUZZ_EXECUTIONS says how many (`npm run test:fuzz`: 10 million), LAYERFILE_SEED where to
 * begin. A failure tells its seed: that, and LAYERFILE_FUZZ_EXECUTIONS=1, does it again.
 */
import { expect, it } from 'vitest';
import { bundledProgram, resultOf, startProgram } from '../support/programs.ts';

const EXECUTIONS = Number(process.env['LAYERFILE_FUZZ_EXECUTIONS'] ?? 3000);
const SEED = Number(process.env['LAYERFILE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const PROCESSES = Math.min(2, EXECUTIONS);
const CHUNK = 500_000;

interface Fuzzed {
  readonly executions: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly failures: readonly unknown[];
  readonly slow: readonly unknown[];
}

it(`${EXECUTIONS} mutations from seed ${SEED} on are survived`, {
  timeout: 24 * 3_600_000,
}, async () => {
  const program = await bundledProgram(new URL('programs/fuzz.ts', import.meta.url));
  const share = Math.ceil(EXECUTIONS / PROCESSES);
  const done = await Promise.all(
    Array.from({ length: PROCESSES }, (_, index) => fuzz(program, SEED + index * share, share)),
  );
  expect(done.reduce((sum, executions) => sum + executions, 0)).toBe(share * PROCESSES);
});

async function fuzz(program: string, firstSeed: number, executions: number): Promise<number> {
  let done = 0;
  while (done < executions) {
    const result = await resultOf<Fuzzed>(
      startProgram(program, {
        firstSeed: firstSeed + done,
        executions: Math.min(CHUNK, executions - done),
        maximumMs: 100,
      }),
    );
    if (executions > CHUNK) process.stdout.write(`${JSON.stringify(result)}\n`);
    expect(result.failures).toEqual([]);
    expect(result.slow).toEqual([]);
    done += result.executions;
  }
  return done;
}

/**
 * The fuzzer: mutated layers, and everything else that is read, from seeds that count up. Each
 * execution ends with a typed error of damage or is valid by the format's own rules (oracle.ts).
 *
 * LAYERFILE_FUZZ_EXECUTIONS says how many (`npm run test:fuzz`: 10 million), LAYERFILE_SEED where to
 * begin. The default runs in this process, more in two. A failure reports its seed: that, and LAYERFILE_FUZZ_EXECUTIONS=1, does it again.
 */
import { expect, it } from 'vitest';
import { bundledProgram, resultOf, startProgram } from '../support/programs.ts';
import { rounds } from '../support/rounds.ts';
import { type Fuzzed, type FuzzInput, fuzzFrom } from './fuzz-run.ts';

const EXECUTIONS = Number(process.env['LAYERFILE_FUZZ_EXECUTIONS'] ?? rounds(1000));
const SEED = Number(process.env['LAYERFILE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const PROGRAM = new URL('programs/fuzz.ts', import.meta.url);
const FEW = 3000;
const PROCESSES = 2;
const CHUNK = 500_000;
const MAXIMUM_CPU_MS = 100;

it(`${EXECUTIONS} mutations from seed ${SEED} on are survived`, {
  timeout: 24 * 3_600_000,
}, async () => {
  if (EXECUTIONS <= FEW) {
    expect(await fuzz(fuzzFrom, SEED, EXECUTIONS)).toBe(EXECUTIONS);
    return;
  }
  const program = await bundledProgram(PROGRAM);
  const inProcess = (input: FuzzInput) => resultOf<Fuzzed>(startProgram(program, input));
  const share = Math.ceil(EXECUTIONS / PROCESSES);
  const done = await Promise.all(
    Array.from({ length: PROCESSES }, (_, index) => fuzz(inProcess, SEED + index * share, share)),
  );
  expect(done.reduce((sum, executions) => sum + executions, 0)).toBe(share * PROCESSES);
});

async function fuzz(
  run: (input: FuzzInput) => Promise<Fuzzed>,
  firstSeed: number,
  executions: number,
): Promise<number> {
  let done = 0;
  while (done < executions) {
    const result = await run({
      firstSeed: firstSeed + done,
      executions: Math.min(CHUNK, executions - done),
      maximumMs: MAXIMUM_CPU_MS,
    });
    if (executions > CHUNK) process.stdout.write(`${JSON.stringify(result)}\n`);
    expect(result.failures).toEqual([]);
    for (const { input } of result.slow) expect(await slowAlone(input)).toEqual([]);
    done += result.executions;
  }
  return done;
}

/** Times a seed again in a process that executes nothing else, whose collector has no other garbage. */
async function slowAlone(seed: number): Promise<Fuzzed['slow']> {
  const program = await bundledProgram(PROGRAM);
  const input: FuzzInput = { firstSeed: seed, executions: 1, maximumMs: MAXIMUM_CPU_MS };
  const { slow } = await resultOf<Fuzzed>(startProgram(program, input));
  return slow;
}

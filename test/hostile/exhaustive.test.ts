/**
 * Small files with every change of a kind: each is refused with a typed error, or read consistently by
 * the format's own rules (see oracle.ts), within 50 ms. By default a sample, from LAYERFILE_SEED,
 * in this process; LAYERFILE_EXHAUSTIVE=1 does all, 25 million, in two processes: some hours. 10 does one of ten.
 */
import { describe, expect, it } from 'vitest';
import { bundledProgram, resultOf, startProgram } from '../support/programs.ts';
import { HAS_ALL_ROUNDS } from '../support/rounds.ts';
import { CHANGES, type Exhausted, exhaust, type Part } from './exhaustion.ts';

/** One in N; undefined for the sample. */
const { LAYERFILE_EXHAUSTIVE: ONE_OF } = process.env;
const SEED = Number(process.env['LAYERFILE_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** Done at the same time. */
const PROCESSES = ONE_OF === undefined ? 1 : 2;

/** One in N, by default. */
const SAMPLE: Record<(typeof CHANGES)[number], number> = {
  'bytes of delta': 1000,
  'bytes of image': 1000,
  lengths: 500,
  metadata: 4000,
};

describe(`every change of a small file, seed ${SEED}`, () => {
  it.each(CHANGES)(
    'every change of a small file is survived: %s',
    { timeout: 24 * 3_600_000 },
    async (change) => {
      const parts = Array.from({ length: PROCESSES }, (_, part): Part => {
        const oneOf = Number(ONE_OF ?? (HAS_ALL_ROUNDS ? 1 : 4) * SAMPLE[change]);
        return { change, part, parts: PROCESSES, oneOf, seed: SEED };
      });
      const results = await (ONE_OF === undefined ? exhaustHere(parts) : exhaustInProcesses(parts));
      const executions = results.reduce((sum, result) => sum + result.executions, 0);
      if (ONE_OF !== undefined) process.stdout.write(`${change}: ${JSON.stringify(results)}\n`);
      expect(results.flatMap(({ failures }) => failures)).toEqual([]);
      expect(results.flatMap(({ slow }) => slow)).toEqual([]);
      // Of the 65,536 lengths, 131 on average, with a standard deviation of 11; in a quarter 33 and 6.
      expect(executions).toBeGreaterThan(ONE_OF === '1' ? 60_000 : HAS_ALL_ROUNDS ? 60 : 8);
    },
  );
});

async function exhaustInProcesses(parts: readonly Part[]): Promise<Exhausted[]> {
  const program = await bundledProgram(new URL('programs/exhaust.ts', import.meta.url));
  return Promise.all(parts.map((part) => resultOf<Exhausted>(startProgram(program, part))));
}

async function exhaustHere(parts: readonly Part[]): Promise<Exhausted[]> {
  const { stackTraceLimit } = Error;
  // Almost every change ends with an error.
  Error.stackTraceLimit = 0;
  try {
    return await Promise.all(parts.map(exhaust));
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

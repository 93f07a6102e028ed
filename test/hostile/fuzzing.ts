/**
 * One execution of the fuzzer from one seed: four of five read a mutated layer, a quarter of them
 * in every way, and one of sixteen with the command line; the others read something else. The same seed makes the same input everywhere.
 */
import { seededChoices } from '../../src/testing/choices.ts';
import { mutateBytes, mutateLayer } from './mutations.ts';
import { checkLayer } from './oracle.ts';
import { OTHER_TARGETS } from './other-targets.ts';
import { checkPrinting } from './printing.ts';
import { fuzzSeeds } from './seeds.ts';

export const FUZZ_SEEDS = await fuzzSeeds();

/** What was read, and how it ended: `layer valid`, `value refused`. Throws what should not be. */
export async function execute(seed: number): Promise<string> {
  const choose = seededChoices(seed);
  if (choose(5) === 0) {
    const target = OTHER_TARGETS[choose(OTHER_TARGETS.length)];
    return `${target?.name} ${(await target?.run(choose)) ? 'read' : 'refused'}`;
  }
  const bytes = fuzzInput(seed);
  const { verdict, verifies } = await checkLayer(bytes, choose(4) === 0 ? 'full' : 'quick');
  if (choose(16) === 0) await checkPrinting(bytes, verifies, choose);
  return `layer ${verdict}`;
}

/** The layer that this seed makes; the bytes alone are mutated in one of four. */
export function fuzzInput(seed: number): Buffer {
  const choose = seededChoices(seed ^ 0x5bd1_e995);
  if (choose(4) > 0) return mutateLayer(FUZZ_SEEDS, choose);
  const { bytes } = FUZZ_SEEDS[choose(FUZZ_SEEDS.length)] ?? { bytes: Buffer.alloc(1) };
  return mutateBytes(bytes, choose);
}

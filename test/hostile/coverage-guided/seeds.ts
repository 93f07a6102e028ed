/** Writes the inputs that the fuzzer starts from into the directory that is named. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { seededChoices } from '../../../src/testing/choices.ts';
import { FUZZ_SEEDS } from '../fuzzing.ts';
import { INPUTS } from '../other-targets.ts';

const [directory = 'corpus'] = process.argv.slice(2);
const INPUTS_OF_EACH_KIND = 20;

mkdirSync(directory, { recursive: true });
for (const [index, { bytes }] of FUZZ_SEEDS.entries()) {
  writeFileSync(join(directory, `layer-${index}`), bytes);
}
for (const [kind, makeInput] of Object.values(INPUTS).entries()) {
  for (let seed = 0; seed < INPUTS_OF_EACH_KIND; seed += 1) {
    const input = Buffer.concat([Buffer.from([kind]), makeInput(seededChoices(seed))]);
    writeFileSync(join(directory, `small-${kind}-${seed}`), input);
  }
}

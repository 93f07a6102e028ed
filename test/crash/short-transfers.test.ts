/** A system may read and write less than it was asked to, down to one byte, or nothing. */
import { describe, expect, test } from 'vitest';
import { seededChoices } from '../../src/testing/choices.ts';
import type { FileSystemOperation, Intercept } from '../../src/testing/faults.ts';
import { type Files, foundContent } from './checks.ts';
import { runWithFaults } from './faulty-disk.ts';
import { between, type MakeScenario, type Scenario } from './scenario.ts';
import { SCENARIOS } from './scenarios/all.ts';
import { manyFiles, readDelta, readImages, verifyDelta } from './scenarios/readers.ts';
import { READING_SCENARIOS } from './scenarios/reads.ts';

const OPERATIONS: ReadonlyMap<string, MakeScenario> = new Map([
  ...SCENARIOS,
  ['read-delta', readDelta],
  ['read-image', readImages],
  ['verify', verifyDelta],
  ['many-files', manyFiles],
  ...READING_SCENARIOS,
]);

const SEED = 3;

describe.each([...OPERATIONS])('%s', (_kind, make) => {
  test.each<[string, Intercept]>([
    ['one byte', (operation) => (isTransfer(operation) ? { limit: 1 } : undefined)],
    ['any part', atRandom(1)],
    ['any other part', atRandom(2)],
  ])('comes to the same where %s is transferred at a time', async (_what, limit) => {
    const scenario = await make(seededChoices(SEED));
    const whole = await runWithFaults(scenario, () => undefined, { mustSucceed: true });
    const parts = await runWithFaults(scenario, limit, { mustSucceed: true });
    expect(digest(parts.files, scenario)).toEqual(digest(whole.files, scenario));
  });
});

/** A file that ends early under the eyes of `verify` or `salvage` is a finding, as it should be. */
const NO_FINDINGS = [...OPERATIONS].filter(([kind]) => !/verify|salvage/.test(kind));

test.each(NO_FINDINGS)('%s takes no transfer of nothing for success', async (_kind, make) => {
  const scenario = await make(seededChoices(SEED));
  const { operations } = await runWithFaults(scenario, () => undefined);
  for (const { index } of operations.filter(isTransfer)) {
    await runWithFaults(scenario, (operation) =>
      operation.index === index ? { limit: 0 } : undefined,
    );
  }
});

function isTransfer({ kind }: FileSystemOperation): boolean {
  return kind === 'read' || kind === 'write';
}

function atRandom(seed: number): Intercept {
  const random = seededChoices(seed);
  return (operation) =>
    isTransfer(operation) ? { limit: between(random, 1, operation.length ?? 1) } : undefined;
}

/** Who needs more transfers is later where two race for a name: either of them may have it. */
function digest(files: Files, { raced }: Scenario): string[] {
  return [...files].map(([path, bytes]) => {
    const isFromRace = path === raced?.path && foundContent(bytes, raced.contents) !== undefined;
    return `${path}: ${isFromRace ? 'one of those that raced' : Buffer.from(bytes).toString('base64')}`;
  });
}

/**
 * A system may read and write less than it was asked to, down to one byte, or nothing.
 *
 *   LAYERFILE_FAULTS   `all`: one byte at a time to the end; by default parts of 97 bytes join in after a while
 */
import { describe, expect, test } from 'vitest';
import { seededChoices } from '../../src/testing/choices.ts';
import type { FileSystemOperation, Intercept } from '../../src/testing/faults.ts';
import { type Files, foundContent } from './checks.ts';
import { failingOperations, runWithFaults } from './faulty-disk.ts';
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

const ALL = process.env['LAYERFILE_FAULTS'] === 'all';

const SHORT_TRANSFERS = 1000;

describe.each([...OPERATIONS])('%s', (kind, make) => {
  test.each<[string, () => Intercept]>([
    ['one byte', byBytes],
    ['any part', () => atRandom(1)],
    ['any other part', () => atRandom(2)],
  ])(`${kind} ends the same if %s is transferred at a time`, async (_what, limit) => {
    const scenario = await make(seededChoices(SEED));
    const whole = await runWithFaults(scenario, () => undefined, { mustSucceed: true });
    const parts = await runWithFaults(scenario, limit(), { mustSucceed: true });
    expect(digest(parts.files, scenario)).toEqual(digest(whole.files, scenario));
  });
});

/** A file that ends early under the eyes of `verify` or `salvage` is a finding, as it should be. */
const NO_FINDINGS = [...OPERATIONS].filter(([kind]) => !/verify|salvage/.test(kind));

test.each(NO_FINDINGS)(
  '%s does not take a transfer of nothing for success',
  async (_kind, make) => {
    const scenario = await make(seededChoices(SEED));
    const { operations } = await runWithFaults(scenario, () => undefined);
    for (const { index } of failingOperations(operations.filter(isTransfer))) {
      await runWithFaults(scenario, (operation) =>
        operation.index === index ? { limit: 0 } : undefined,
      );
    }
  },
);

function isTransfer({ kind }: FileSystemOperation): boolean {
  return kind === 'read' || kind === 'write';
}

/** One byte at a time; after many transfers every other one takes more, unless all are wanted. */
function byBytes(): Intercept {
  let count = 0;
  return (operation) => {
    if (!isTransfer(operation)) return undefined;
    count += 1;
    const isLong = !ALL && count > SHORT_TRANSFERS && count % 2 === 0;
    return { limit: isLong ? Math.min(97, operation.length ?? 1) : 1 };
  };
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

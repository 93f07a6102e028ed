/**
 * Every call of the file system that a public operation makes fails in turn: once, from then on, and
 * from then on together with its kind (a full disk still deletes files).
 *
 *   LAYERFILE_FAULTS   `all`: every error for every call; by default the errors take turns, and of many calls a sample fails
 */
import { describe, expect, test } from 'vitest';
import { seededChoices } from '../../src/testing/choices.ts';
import type { FileSystemOperation, Intercept } from '../../src/testing/faults.ts';
import { failingOperations, runWithFaults } from './faulty-disk.ts';
import type { MakeScenario, Scenario } from './scenario.ts';
import { SCENARIOS } from './scenarios/all.ts';
import { deltaAbandoned, deltaWithoutLinks } from './scenarios/layers.ts';
import { manyFiles, readDelta, readImages, verifyDelta } from './scenarios/readers.ts';
import { READING_SCENARIOS } from './scenarios/reads.ts';

const ERRNOS = [
  'EIO',
  'ENOSPC',
  'EDQUOT',
  'EINTR',
  'EMFILE',
  'ENFILE',
  'EACCES',
  'EROFS',
  'ENOENT',
  'EEXIST',
  'EFBIG',
  'EXDEV',
];

const EXTENTS = ['once', 'from then on', 'its kind from then on'] as const;

const ALL = process.env['LAYERFILE_FAULTS'] === 'all';

const OPERATIONS: ReadonlyMap<string, MakeScenario> = new Map([
  ...SCENARIOS,
  ['delta-abandoned', deltaAbandoned],
  ['delta-without-links', deltaWithoutLinks],
  ['read-delta', readDelta],
  ['read-image', readImages],
  ['verify', verifyDelta],
  ['many-files', manyFiles],
  ...READING_SCENARIOS,
]);

/** Small worlds of each kind: with and without old files, leftovers and links. */
const SEEDS = [3, 4, 8];

describe.each([...OPERATIONS])('%s', (kind, make) => {
  test(`the operation ${kind} keeps its promises whatever call fails`, async () => {
    const { cases, failures } = await runAll(kind, make);
    expect(failures.slice(0, 20)).toEqual([]);
    expect(cases).toBeGreaterThan(10);
    console.log(`${kind}: ${cases} cases`);
  }, 3_600_000);
});

async function runAll(
  kind: string,
  make: MakeScenario,
): Promise<{ cases: number; failures: string[] }> {
  const failures: string[] = [];
  let cases = 0;
  for (const seed of ALL ? SEEDS : SEEDS.slice(0, 1)) {
    const scenario = await make(seededChoices(seed));
    const { operations } = await runWithFaults(scenario, () => undefined);
    for (const operation of failingOperations(operations)) {
      for (const [turn, extent] of EXTENTS.entries()) {
        for (const errno of errnosFor(operation.index + 2 * turn)) {
          cases += 1;
          const failure = await failureOf(scenario, failing(operation, errno, extent));
          const what = `${operation.kind} ${operation.index}, ${errno} ${extent}`;
          if (failure !== undefined) failures.push(`${kind}/${seed}: ${what}: ${failure}`);
          if (failure === 'hangs') return { cases, failures };
        }
      }
    }
  }
  return { cases, failures };
}

/** By default one for each turn, so that an operation meets three in its three extents. */
function errnosFor(turn: number): string[] {
  return ALL ? ERRNOS : ERRNOS.filter((_, at) => at === turn % ERRNOS.length);
}

function failing(
  { index, kind }: FileSystemOperation,
  errno: string,
  extent: (typeof EXTENTS)[number],
): Intercept {
  return (operation) => {
    const fails =
      operation.index === index ||
      (operation.index > index &&
        (extent === 'from then on' ||
          (extent === 'its kind from then on' && operation.kind === kind)));
    return fails ? { fail: errno } : undefined;
  };
}

async function failureOf(scenario: Scenario, faults: Intercept): Promise<string | undefined> {
  try {
    await runWithFaults(scenario, faults);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

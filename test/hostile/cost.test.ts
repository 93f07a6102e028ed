/**
 * What files of at most 64 KiB cost, with the limit of a blob at 1 MiB: each raises the resident
 * memory of a process by at most 16 MiB more than a valid file of its kind does, and takes at most
 * 100 ms of processor time, or as much more as a slow processor needs for a fixed task. Each kind has two processes
 * of its own, one after the other: for memory, and for processor time. Beside another process, processor time grows by
 * a fifth: the limit is twice what the costliest file takes alone.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BundledProgram, bundleProgram, resultOf, startNode } from '../support/programs.ts';
import { HAS_ALL_ROUNDS } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import {
  type CostlyFile,
  type CostlyKind,
  hostileLayers,
  MAXIMUM_SIZE,
  validLayers,
} from './costly-files.ts';
import { HOSTILE_SMALL_FILES, VALID_SMALL_FILES } from './costly-small-files.ts';

const MAXIMUM_MIB = 16;
const MAXIMUM_CPU_MS = 100;

/** Rounds of a file at most, until it costs little enough: other work on the machine adds to what it costs. */
const ROUNDS = 8;

type FileCost = readonly [file: string, cost: number];

interface Costs {
  readonly valid: FileCost[];
  readonly hostile: FileCost[];
}

function byCost(left: FileCost, right: FileCost): number {
  return right[1] - left[1];
}

/** By default one layer in four, others each time: a layer is read in many ways. */
const TURN = Date.now() % 4;
const LAYERS = (await hostileLayers()).filter((_, at) => HAS_ALL_ROUNDS || at % 4 === TURN);

const HOSTILE = { layer: LAYERS, ...HOSTILE_SMALL_FILES };
const VALID = { layer: await validLayers(), ...VALID_SMALL_FILES };

const KINDS = Object.keys(HOSTILE) as CostlyKind[];

describe.runIf(process.platform === 'linux')('what hostile files cost', () => {
  let program: BundledProgram;
  beforeAll(async () => {
    program = await bundleProgram(new URL('programs/cost.ts', import.meta.url));
  });
  afterAll(() => program.remove());

  it.each(KINDS)(
    'a hostile %s takes at most 16 MiB and 100 ms',
    { timeout: 300_000 },
    async (kind) => {
      const directory = join(temporaryDirectory(), 'hostile');
      const validDirectory = join(temporaryDirectory(), 'valid');
      store(directory, HOSTILE[kind]);
      store(validDirectory, VALID[kind]);
      const costsOf = async (what: 'memory' | 'processor', flags: string[]) => {
        const maximum = what === 'memory' ? MAXIMUM_MIB : MAXIMUM_CPU_MS;
        const input = { directory, validDirectory, kind, what, rounds: ROUNDS, maximum };
        const { valid, hostile } = await resultOf<Costs>(
          startNode([...flags, program.path, JSON.stringify(input)]),
        );
        expect(hostile.length).toBeGreaterThanOrEqual(HOSTILE[kind].length);
        return { valid: valid.sort(byCost), hostile: hostile.sort(byCost) };
      };
      const memory = await costsOf('memory', ['--expose-gc', '--max-semi-space-size=1']);
      const processor = await costsOf('processor', []);
      process.stdout.write(
        `${kind}: ${textOf(memory.hostile[0], 'MiB')}, valid ${textOf(memory.valid[0], 'MiB')}; ` +
          `${textOf(processor.hostile[0], 'ms')}\n`,
      );
      const allowedMib = MAXIMUM_MIB + (memory.valid[0]?.[1] ?? 0);
      expect(memory.hostile.filter(([, cost]) => cost > allowedMib)).toEqual([]);
      expect(processor.hostile.filter(([, cost]) => cost > MAXIMUM_CPU_MS)).toEqual([]);
    },
  );
});

function textOf(cost: FileCost | undefined, unit: string): string {
  return cost === undefined ? 'nothing' : `${cost[1].toFixed(1)} ${unit} (${cost[0]})`;
}

function store(directory: string, files: readonly CostlyFile[]): void {
  mkdirSync(directory);
  for (const { name, bytes } of files) {
    expect([name, bytes.length <= MAXIMUM_SIZE]).toEqual([name, true]);
    writeFileSync(join(directory, name), bytes);
  }
}

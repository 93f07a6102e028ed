/**
 * What files of at most 64 KiB cost, with the limit of a blob at 1 MiB: each raises the resident
 * memory of a process that has read sound files of its kind by at most 16 MiB, and takes at most
 * 100 ms of the processor. Files of a kind are read by a process of their own.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bundledProgram, resultOf, startNode } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import {
  type CostlyFile,
  type CostlyKind,
  hostileLayers,
  MAXIMUM_SIZE,
  soundLayers,
} from './costly-files.ts';
import { HOSTILE_SMALL_FILES, SOUND_SMALL_FILES } from './costly-small-files.ts';

const MAXIMUM_MIB = 16;
const MAXIMUM_CPU_MS = 100;

/** Each cost is the least of so many, since others may be at work on the machine. */
const ROUNDS = 5;

type FileCost = readonly [file: string, cost: number];

const HOSTILE = { layer: await hostileLayers(), ...HOSTILE_SMALL_FILES };
const SOUND = { layer: await soundLayers(), ...SOUND_SMALL_FILES };

const KINDS = Object.keys(HOSTILE) as CostlyKind[];

describe.runIf(process.platform === 'linux')('a hostile file costs little', () => {
  it.each(KINDS)('%s', { timeout: 300_000 }, async (kind) => {
    const directory = join(temporaryDirectory(), 'hostile');
    const soundDirectory = join(temporaryDirectory(), 'sound');
    store(directory, HOSTILE[kind]);
    store(soundDirectory, SOUND[kind]);
    const program = await bundledProgram(new URL('programs/cost.ts', import.meta.url));
    const costsOf = async (what: 'memory' | 'processor', flags: string[]) => {
      const enough = (what === 'memory' ? MAXIMUM_MIB : MAXIMUM_CPU_MS) / 2;
      const input = { directory, soundDirectory, kind, what, rounds: ROUNDS, enough };
      const costs = await resultOf<FileCost[]>(
        startNode([...flags, program, JSON.stringify(input)]),
      );
      expect(costs.length).toBeGreaterThanOrEqual(HOSTILE[kind].length);
      return costs.sort((left, right) => right[1] - left[1]);
    };
    const mib = await costsOf('memory', ['--expose-gc', '--max-semi-space-size=1']);
    const cpuMs = await costsOf('processor', []);
    process.stdout.write(`${kind}: ${textOf(mib[0], 'MiB')}, ${textOf(cpuMs[0], 'ms')}\n`);
    expect(mib.filter(([, cost]) => cost > MAXIMUM_MIB)).toEqual([]);
    expect(cpuMs.filter(([, cost]) => cost > MAXIMUM_CPU_MS)).toEqual([]);
  });
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

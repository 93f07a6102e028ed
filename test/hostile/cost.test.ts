/**
 * What files of at most 64 KiB cost, with the limit of a blob at 1 MiB: a process that reads hostile
 * ones, in every way, needs at most 16 MiB more at its peak than one that reads sound ones, and each
 * takes at most 100 ms of the processor.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { bundledProgram, resultOf, startProgram } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { type CostlyFile, hostileFiles, soundFiles } from './costly-files.ts';

interface Cost {
  readonly files: number;
  readonly peakMib: number;
  readonly slowest: readonly (readonly [file: string, cpuMs: number])[];
}

const MAXIMUM_MIB = 16;
const MAXIMUM_CPU_MS = 100;

/** The peak depends on when the collector runs: the least of so many runs is what is needed. */
const RUNS = 3;

it.runIf(process.platform === 'linux')(
  'a hostile file costs little more than a sound one',
  { timeout: 600_000 },
  async () => {
    const directory = temporaryDirectory();
    const program = await bundledProgram(new URL('programs/cost.ts', import.meta.url));
    store(join(directory, 'sound'), await soundFiles());
    store(join(directory, 'hostile'), await hostileFiles());
    const costs = { sound: Number.POSITIVE_INFINITY, hostile: Number.POSITIVE_INFINITY };
    let slowest: Cost['slowest'] = [];
    for (let run = 0; run < RUNS; run += 1) {
      for (const which of ['sound', 'hostile'] as const) {
        const input = { directory: join(directory, which), rounds: 2 };
        const cost = await resultOf<Cost>(startProgram(program, input));
        costs[which] = Math.min(costs[which], cost.peakMib);
        if (which === 'hostile') slowest = cost.slowest;
      }
    }
    process.stdout.write(
      `peak MiB: ${costs.sound.toFixed(0)} sound, ${costs.hostile.toFixed(0)} hostile; slowest: ` +
        `${slowest[0]?.join(', ')} ms\n`,
    );
    expect(costs.hostile - costs.sound).toBeLessThanOrEqual(MAXIMUM_MIB);
    expect(slowest.filter(([, cpuMs]) => cpuMs > MAXIMUM_CPU_MS)).toEqual([]);
  },
);

function store(directory: string, files: readonly CostlyFile[]): void {
  mkdirSync(directory);
  for (const { name, bytes } of files) {
    expect(bytes.length).toBeLessThanOrEqual(64 * 1024);
    writeFileSync(join(directory, name), bytes);
  }
}

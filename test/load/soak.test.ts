/**
 * The same work again and again: memory and descriptors stay where they were.
 *
 * LAYERFILE_SOAK_SECONDS sets for how long at least; by default there are just some rounds.
 */
import { expect, test } from 'vitest';
import { bundledProgram, resultOf, startNode } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import type { SoakInput, SoakResult, SoakSample } from './programs/soak.ts';

const SECONDS = Number(process.env['LAYERFILE_SOAK_SECONDS'] ?? 0);
const ROUNDS = 20;
const LENGTH = SECONDS === 0 ? `${ROUNDS} rounds` : `${SECONDS} seconds`;

/** Part of the rounds in which code is compiled, and caches and buffers are filled. */
const WARM_UP = 0.4;
const MEBIBYTE = 1024 * 1024;

test(`memory and descriptors are flat over ${LENGTH} of work`, {
  timeout: 300_000 + SECONDS * 2000,
}, async () => {
  const program = await bundledProgram(new URL('programs/soak.ts', import.meta.url));
  const input: SoakInput = { directory: temporaryDirectory(), seconds: SECONDS, rounds: ROUNDS };
  const running = startNode(['--expose-gc', program, JSON.stringify(input)]);
  const { iterations, samples } = await resultOf<SoakResult>(running);
  const steady = samples.slice(Math.floor(samples.length * WARM_UP));
  const live = growth(steady, ({ liveBytes }) => liveBytes);
  const resident = growth(steady, ({ residentBytes }) => residentBytes);
  const descriptors = new Set(steady.map((sample) => sample.descriptors));
  const last = steady.at(-1);
  console.info(
    `soak: ${iterations} rounds in ${last?.seconds.toFixed(0)} s; after warm-up live memory grew by ` +
      `${(live / MEBIBYTE).toFixed(2)} MiB to ${((last?.liveBytes ?? 0) / MEBIBYTE).toFixed(1)}, ` +
      `resident by ${(resident / MEBIBYTE).toFixed(1)} MiB to ` +
      `${((last?.residentBytes ?? 0) / MEBIBYTE).toFixed(1)}; descriptors ${[...descriptors]}`,
  );
  expect(descriptors.size).toBe(1);
  expect(live).toBeLessThan(4 * MEBIBYTE);
  expect(resident).toBeLessThan(32 * MEBIBYTE);
});

/** From the first third to the last one; medians, since a single collection may come late. */
function growth(samples: readonly SoakSample[], of: (sample: SoakSample) => number): number {
  const third = Math.ceil(samples.length / 3);
  return median(samples.slice(-third).map(of)) - median(samples.slice(0, third).map(of));
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

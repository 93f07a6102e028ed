/**
 * Very many files over few slots, in a process that may have only 88 descriptors.
 *
 * LAYERFILE_LOAD_FILES and LAYERFILE_LOAD_READS set the size.
 */
import { rm } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { bundledProgram, resultOf, startProgram } from '../support/programs.ts';
import { rounds } from '../support/rounds.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import type { ManyFilesInput, ManyFilesResult } from './programs/many-files.ts';

const FILE_COUNT = Number(process.env['LAYERFILE_LOAD_FILES'] ?? rounds(2000));
const READ_COUNT = Number(process.env['LAYERFILE_LOAD_READS'] ?? rounds(10_000));
const DESCRIPTOR_LIMIT = 88;

test(`${READ_COUNT} reads of ${FILE_COUNT} files over 64 slots under ulimit -n 88: right bytes, at most 64 files and 2 directories open`, {
  timeout: 60_000 + READ_COUNT + FILE_COUNT,
}, async () => {
  const result = await run({ fileCount: FILE_COUNT, readCount: READ_COUNT, capacity: 64, seed: 1 });
  expect(result.mostFiles).toBe(64);
  expect(result.mostDirectories).toBe(2);
});

test('a table above the limit of the system releases descriptors, and reads the right bytes', async () => {
  const result = await run({
    fileCount: rounds(1000),
    readCount: rounds(4000),
    capacity: 1024,
    seed: 2,
  });
  expect(result.outOfDescriptors).toBeGreaterThan(0);
  expect(result.mostDirectories).toBe(2);
});

async function run(input: Omit<ManyFilesInput, 'directory'>): Promise<ManyFilesResult> {
  const program = await bundledProgram(new URL('programs/many-files.ts', import.meta.url));
  const wrapper = ['bash', '-c', `ulimit -n ${DESCRIPTOR_LIMIT} && exec "$@"`, 'bash'];
  const whole: ManyFilesInput = { ...input, directory: temporaryDirectory() };
  const result = await resultOf<ManyFilesResult>(startProgram(program, whole, { wrapper }));
  // Here, since a hook has less time than a hundred thousand files take.
  await rm(whole.directory, { recursive: true });
  console.info(
    `${input.fileCount} files, ${result.reads} reads in ${result.seconds.toFixed(0)} s: ` +
      `${result.opens} opens, at most ${result.mostFiles} files and ` +
      `${result.mostDirectories} directories open, EMFILE ${result.outOfDescriptors} times`,
  );
  expect(result.reads).toBe(input.readCount);
  expect(result.openAtEnd).toBe(0);
  expect(result.descriptorLimit).toBe(DESCRIPTOR_LIMIT);
  return result;
}

/**
 * Very many files over 64 slots, in a process that may have only 88 descriptors.
 *
 * LAYERFILE_LOAD_FILES and LAYERFILE_LOAD_READS set the size.
 */
import { expect, test } from 'vitest';
import { bundledProgram, resultOf, startProgram } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import type { ManyFilesInput, ManyFilesResult } from './programs/many-files.ts';

const FILE_COUNT = Number(process.env['LAYERFILE_LOAD_FILES'] ?? 10_000);
const READ_COUNT = Number(process.env['LAYERFILE_LOAD_READS'] ?? 60_000);
const CAPACITY = 64;
const DESCRIPTOR_LIMIT = 88;

test(`${READ_COUNT} reads of ${FILE_COUNT} files: right bytes, at most 64 files and 2 directories open, under ulimit -n 88`, {
  timeout: 60_000 + READ_COUNT + FILE_COUNT,
}, async () => {
  const program = await bundledProgram(new URL('programs/many-files.ts', import.meta.url));
  const input: ManyFilesInput = {
    directory: temporaryDirectory(),
    fileCount: FILE_COUNT,
    readCount: READ_COUNT,
    capacity: CAPACITY,
    seed: 1,
  };
  const wrapper = ['bash', '-c', `ulimit -n ${DESCRIPTOR_LIMIT} && exec "$@"`, 'bash'];
  const result = await resultOf<ManyFilesResult>(startProgram(program, input, { wrapper }));
  console.info(
    `${FILE_COUNT} files, ${result.reads} reads in ${result.seconds.toFixed(0)} s: ` +
      `${result.opens} opens, at most ${result.mostFiles} files and ` +
      `${result.mostDirectories} directories open, EMFILE ${result.outOfDescriptors} times`,
  );
  expect(result.reads).toBe(READ_COUNT);
  expect(result.mostFiles).toBe(CAPACITY);
  expect(result.mostDirectories).toBe(2);
  expect(result.openAtEnd).toBe(0);
});

/** Compression threads neither keep a process alive nor let it end before they are done. */
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { bundledProgram, startProgram } from '../support/programs.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import type { CompressingInput } from './programs/compressing.ts';
import type { EndingThreads } from './programs/ending-threads.ts';

test.each(['finish', 'leave', 'exit'] as const)(
  'a process with compression threads that ends by %s ends',
  async (end) => {
    const threadProgram = await bundledProgram(
      new URL('../../src/entry/compression-thread.ts', import.meta.url),
    );
    const program = await bundledProgram(new URL('programs/compressing.ts', import.meta.url));
    const directory = temporaryDirectory();
    const input: CompressingInput = { directory, threadProgram, end };
    const { lines, ended } = startProgram(program, input);
    const told: string[] = [];
    for await (const line of lines) told.push(line);
    expect(await ended).toEqual({ status: 0, signal: null, stderr: '' });
    expect(told).toEqual(end === 'exit' ? [] : ['threads']);
    const layers = readdirSync(directory).filter((name) => !name.endsWith('.___temp'));
    expect(layers.length).toBe(end === 'finish' ? 1 : 0);
  },
);

test.each<EndingThreads>([
  'closed-while-they-start',
  'closed-while-they-answer',
  'failing-while-others-wait',
])('a process does not end while it waits for threads that are %s', async (ending) => {
  const program = await bundledProgram(new URL('programs/ending-threads.ts', import.meta.url));
  const { lines, ended } = startProgram(program, ending);
  const told: string[] = [];
  for await (const line of lines) told.push(line);
  expect(told).toEqual(['settled']);
  expect(await ended).toEqual({ status: 0, signal: null, stderr: '' });
});

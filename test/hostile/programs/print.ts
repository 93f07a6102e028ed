/**
 * Runs commands of the command line one after the other, each with standard output in a file of its own. Prints as JSON
 * how they ended.
 */
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { OutputStream } from '../../../src/cli/output.ts';
import { run } from '../../../src/cli/run.ts';

export interface PrintInput {
  readonly directory: string;
  readonly commands: readonly (readonly string[])[];
}

const { directory, commands }: PrintInput = JSON.parse(process.argv[2] ?? '{}');
const results: { status: number; stderr: string; output: string }[] = [];
for (const [index, words] of commands.entries()) {
  const output = join(directory, String(index));
  const stdout = createWriteStream(output);
  let told = '';
  const stderr: OutputStream = {
    on: () => undefined,
    write: (chunk, done) => {
      told += Buffer.from(chunk).toString();
      setImmediate(done);
      return true;
    },
  };
  const status = await run(words, {
    stdin: async function* () {},
    stdinIsTerminal: false,
    stdinSize: undefined,
    stdout,
    stderr,
    stdoutIsFile: false,
    environment: { NO_COLOR: '1' },
    signal: new AbortController().signal,
  });
  stdout.end();
  await finished(stdout);
  results.push({ status, stderr: told, output });
}
process.stdout.write(`${JSON.stringify(results)}\n`);

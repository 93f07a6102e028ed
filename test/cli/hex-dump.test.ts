import { expect, test } from 'vitest';
import { writeHexDump } from '../../src/cli/commands/get.ts';
import { Output } from '../../src/cli/output.ts';

async function dumpOf(bytes: Uint8Array): Promise<string[]> {
  let text = '';
  const stream = {
    write(chunk: string | Uint8Array, done: () => void): boolean {
      text += Buffer.from(chunk).toString();
      done();
      return true;
    },
    on: () => undefined,
  };
  const signal = new AbortController().signal;
  const output = new Output(stream, { name: 'output', isTerminal: false, colour: false, signal });
  await writeHexDump(output, bytes);
  await output.flush();
  return text.split('\n').slice(0, -1);
}

test('characters from 0x20 to 0x7e are shown, others are dots', async () => {
  expect(await dumpOf(Uint8Array.of(0x1f, 0x20, 0x21, 0x7d, 0x7e, 0x7f))).toEqual([
    `00000000  1f 20 21 7d 7e 7f        ${' '.repeat(23)}  . !}~.`,
  ]);
});

test('256 bytes are shown completely, 257 with a note that one is missing', async () => {
  const whole = await dumpOf(new Uint8Array(256));
  expect(whole).toHaveLength(16);
  const lines = await dumpOf(new Uint8Array(257));
  expect(lines.slice(0, 16)).toEqual(whole);
  expect(lines.slice(16)).toEqual(['... 1 more bytes; --raw prints all']);
});

import { beforeEach, describe, expect, test } from 'vitest';
import { writeHexDump } from '../../../src/cli/commands/get.ts';
import { Output } from '../../../src/cli/output.ts';
import { buildSmallLayers, keyText, lsnText, PAGE } from '../small-layers.ts';
import { parseLines, runCli } from '../support.ts';

let delta = '';
let image = '';

beforeEach(async () => {
  ({ delta, image } = await buildSmallLayers());
});

test('get shows a record that has bytes inside as one line', async () => {
  const { stdout } = await runCli(['get', delta, keyText(5)]);
  expect(stdout).toContain('\n{"type":"aux_file","path":"\\u001b]0;\\u202e","content":"00"}\n');
});

describe('get', () => {
  test.each<[string, string[], number, string]>([
    ['the newest value is found', [keyText(1)], 0, lsnText('200')],
    ['the newest value at an LSN is found', [keyText(1), '--lsn', '0/200'], 0, lsnText('200')],
    ['an older value is found', [keyText(1), '--lsn', '0/1FF'], 0, lsnText('100')],
    ['nothing is found at an LSN before the first', [keyText(1), '--lsn', '0/FF'], 1, ''],
    ['nothing is found for a key that is not there', [keyText(3)], 1, ''],
    ['nothing is found for a key below the layer', ['0'.repeat(36)], 1, ''],
    ['nothing is found for a key above the layer', ['F'.repeat(36)], 1, ''],
    [
      'a value is found by the fields of its key',
      ['rel=1663/5/16384', 'blkno=4'],
      0,
      lsnText('400'),
    ],
  ])('get in a delta: %s', async (_, words, status, found) => {
    const result = await runCli(['get', delta, ...words, '--json']);
    expect(result).toMatchObject({ status, stderr: '' });
    if (status === 1) expect(result.stdout).toBe('{"found":false}\n');
    else expect(parseLines(result.stdout)).toMatchObject([{ found: true, lsn: found }]);
  });

  test.each<[string[], number]>([
    [[keyText(1)], 0],
    [[keyText(1), '--lsn', '0/500'], 0],
    [[keyText(1), '--lsn', '0/4FF'], 1],
    [[keyText(2)], 1],
    [[keyText(3)], 0],
  ])(
    'get of %j in an image layer ends with 0 if the image is there, else with 1',
    async (words, status) => {
      expect((await runCli(['get', image, ...words, '--ndjson'])).status).toBe(status);
    },
  );

  test('the line is that of dump, with the bytes', async () => {
    const dumped = await runCli([
      'dump',
      delta,
      '--ndjson',
      '--values',
      'hex',
      '--lsn-start',
      '0/300',
      '--limit',
      '1',
    ]);
    const found = await runCli(['get', delta, keyText(2), '--json']);
    expect(found.stdout).toBe(dumped.stdout.replace('{', '{"found":true,'));
  });

  test.each<[string, () => string, string, string]>([
    ['an image of a delta', () => delta, `${keyText(1)} --lsn 0/100`, PAGE],
    ['a WAL record', () => delta, keyText(1), 'aabb'],
    ['a WAL record of no bytes', () => delta, keyText(4), ''],
    ['another record, serialized', () => delta, keyText(2), '000000010000000101000000010003'],
    ['an image', () => image, keyText(8), '1234'],
    ['an image of no bytes', () => image, keyText(3), ''],
  ])('get --raw of %s writes its bytes', async (_, layer, words, hex) => {
    const result = await runCli(['get', layer(), ...words.split(' '), '--raw']);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdoutBytes.toString('hex')).toBe(hex);
  });

  test('--raw of nothing is an error', async () => {
    const result = await runCli(['get', delta, keyText(3), '--raw']);
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(result.stderr).toMatch(/^error\[not-found\]: /);
  });

  test('--raw does not go to a terminal', async () => {
    const result = await runCli(['get', delta, keyText(1), '--raw'], { terminal: true });
    expect(result).toMatchObject({ status: 2, stdout: '' });
  });

  test('people see the start of the bytes, without control characters', async () => {
    const page = await runCli(['get', image, keyText(1)]);
    expect(page.status).toBe(0);
    expect(page.stdout).toContain('block 1 of relation 1663/5/16384, main fork');
    expect(page.stdout).toContain('00000000  c0 de c0 de');
    expect(page.stdout).toContain('7,936 more bytes');
    const aux = await runCli(['get', delta, keyText(5)]);
    expect(aux.stdout.replaceAll('\n', '')).toMatch(/^[\x20-\x7e]+$/);
  });
});

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

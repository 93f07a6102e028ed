import { beforeEach, describe, expect, test } from 'vitest';
import { corruptFiles } from '../../support/golden.ts';
import { buildSmallLayers, keyText, lsnText } from '../small-layers.ts';
import { parseLines, runCli } from '../support.ts';

let delta = '';
let image = '';

beforeEach(async () => {
  ({ delta, image } = await buildSmallLayers());
});

async function dumpKeys(...words: string[]): Promise<unknown[]> {
  const result = await runCli(['dump', ...words, '--ndjson']);
  expect(result).toMatchObject({ status: 0, stderr: '' });
  return parseLines(result.stdout).map((line) => `${String(line['key']).at(-1)}@${line['lsn']}`);
}

describe('dump', () => {
  const all = () => [
    `1@${lsnText('100')}`,
    `1@${lsnText('200')}`,
    `2@${lsnText('300')}`,
    `4@${lsnText('400')}`,
    `5@${lsnText('800')}`,
  ];

  test.each<[string[], number, number]>([
    [[], 0, 5],
    [['--key-start', keyText(2)], 2, 5],
    [['--key-start', keyText(2).toLowerCase()], 2, 5],
    [['--key-end', keyText(2)], 0, 2],
    [['--key-start', keyText(1), '--key-end', keyText(4)], 0, 3],
    [['--key-start', keyText(6)], 5, 5],
    [['--key-start', keyText(4), '--key-end', keyText(4)], 0, 0],
    [['--key-start', keyText(4), '--key-end', keyText(2)], 0, 0],
    [['--lsn-start', '0/200'], 1, 5],
    [['--lsn-end', '200'], 0, 1],
    [['--lsn-start', '0000000000000200', '--lsn-end', '0/400'], 1, 3],
    [['--lsn-start', '0/400', '--lsn-end', '0/400'], 0, 0],
    [['--limit', '2'], 0, 2],
    [['--limit', '0'], 0, 0],
    [['--limit', '99'], 0, 5],
    [['--key-start', keyText(1), '--lsn-start', '0/200', '--limit', '1'], 1, 2],
  ])('dump of a delta with %j prints the entries that this selects', async (flags, from, to) => {
    expect(await dumpKeys(delta, ...flags)).toEqual(all().slice(from, to));
  });

  test.each<[string[], string[]]>([
    [[], ['1', '3', '8']],
    [
      ['--lsn-start', '0/500'],
      ['1', '3', '8'],
    ],
    [['--lsn-start', '0/501'], []],
    [['--lsn-end', '0/500'], []],
    [
      ['--lsn-end', '0/501', '--key-start', keyText(3)],
      ['3', '8'],
    ],
  ])(
    'dump of an image layer with %j prints the entries that this selects',
    async (flags, blocks) => {
      expect(await dumpKeys(image, ...flags)).toEqual(
        blocks.map((block) => `${block}@${lsnText('500')}`),
      );
    },
  );

  test('an array of nothing is an array', async () => {
    const result = await runCli(['dump', delta, '--json', '--limit', '0']);
    expect(result).toMatchObject({ status: 0, stdout: '[]\n' });
  });

  test('the fields of a line have their order', async () => {
    const { stdout } = await runCli(['dump', image, '--ndjson', '--limit', '1']);
    expect(stdout).toMatch(
      /^\{"key":"[0-9A-F]{36}","lsn":"0{13}500","will_init":true,"offset":8192,"stored_len":\d+,"len":8192,"compressed":true,"type":"image"\}\n$/,
    );
  });

  test('values that people see hold no control characters', async () => {
    const shown = await runCli(['dump', delta, '--values', 'json'], {
      terminal: true,
      columns: 300,
      environment: { NO_COLOR: '1' },
    });
    expect(shown.stdout).toContain('\\u001b]0;\\u202e');
    expect(shown.stdout.replaceAll('\n', '')).toMatch(/^[\x20-\x7e]+$/);
  });

  test.each(['none', 'hex', 'sha256', 'json'])(
    'dump shows people a table with values %s',
    async (values) => {
      const { stdout, status } = await runCli(['dump', delta, '--values', values, '--wide']);
      const lines = stdout.trimEnd().split('\n');
      expect([status, lines.length]).toEqual([0, 6]);
      expect(lines[0]).toMatch(/^KEY +LSN +TYPE +OFFSET +STORED +LENGTH/);
      expect(lines[1]).toMatch(/^[0-9A-F]{36} {2}0\/100 {2}image .* 8,208 +8,204 /);
    },
  );
});

test('a damaged row says what is wrong, and neither the path nor its columns again', async () => {
  const path = corruptFiles().find((file) => file.id === '40-blob-len-past-eof')?.path ?? '';
  const { status, stdout } = await runCli(['dump', path]);
  expect(status).toBe(1);
  const row = stdout.split('\n').find((line) => line.includes('damaged'));
  expect(row).toMatch(
    / 8351 +blob reaches beyond the values: expected an end at or before 147456,/,
  );
  expect(row).not.toContain('blob-len-past-eof');
});

test('damage outside of the wanted LSNs is not reported', async () => {
  const path = corruptFiles().find((file) => file.id === '40-blob-len-past-eof')?.path ?? '';
  for (const words of [
    ['--lsn-end', '0000000001000010'],
    ['--lsn-start', '00000000012DFB31'],
  ]) {
    const result = await runCli(['dump', path, '--ndjson', ...words]);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(result.stdout).not.toContain('error');
  }
  const damaged = await runCli(['dump', path, '--ndjson', '--lsn-start', '00000000012DFB30']);
  expect(damaged.status).toBe(1);
});

/** layout: every byte of a file, as a tree and as JSON. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { goldenLayers } from '../../support/golden.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { parseError, parseLines, runCli } from '../support.ts';

const [{ path: file } = { path: '' }] = goldenLayers();

describe('for people', () => {
  test('the parts of the file are headings, with their ranges below', async () => {
    const { status, stdout } = await runCli(['layout', file]);
    expect(status).toBe(0);
    const lines = stdout.split('\n').map((line) => line.trim().split(/ {2,}/));
    expect(lines[1]).toEqual(['summary']);
    expect(lines[2]).toEqual(['0', '2', 'magic', '0x5a61']);
    expect(lines).toContainEqual(['values']);
    expect(lines).toContainEqual(['padding']);
    expect(lines).toContainEqual(['index block 0']);
  });

  test('--hex shows the first 26 bytes of each range', async () => {
    const { stdout } = await runCli(['layout', file, '--hex']);
    expect(stdout).toMatch(/ 2 {4}magic +5a61 +0x5a61\n/);
    expect(stdout).toMatch(/blob +0{22}10[0-9a-f]{28}… /);
  });
});

describe('for programs', () => {
  test('a line each covers the file without gaps', async () => {
    const { status, stdout } = await runCli(['layout', file, '--ndjson']);
    expect(status).toBe(0);
    const end = parseLines(stdout).reduce((at, { offset, length, what }) => {
      expect(offset).toBe(at);
      expect(what).toBeTypeOf('string');
      return at + Number(length);
    }, 0);
    expect(end).toBe(readFileSync(file).length);
  });

  test('--json prints the same objects as one array', async () => {
    const lines = parseLines((await runCli(['layout', file, '--ndjson', '--hex'])).stdout);
    const { stdout } = await runCli(['layout', file, '--json', '--hex']);
    expect(JSON.parse(stdout)).toEqual(lines);
    expect(lines[0]).toEqual({
      offset: 0,
      length: 2,
      what: 'magic',
      detail: '0x5a61',
      hex: '5a61',
    });
  });
});

describe('a damaged file', () => {
  const damaged = (change: (bytes: Buffer) => Buffer): string => {
    const path = join(temporaryDirectory(), 'layer');
    writeFileSync(path, change(readFileSync(file)));
    return path;
  };

  test('a damaged file has its damage in its place, and exit status 1', async () => {
    const path = damaged((bytes) => {
      bytes[8192] = 0xb0;
      return bytes;
    });
    const { status, stdout } = await runCli(['layout', path, '--ndjson']);
    expect(status).toBe(1);
    expect(parseLines(stdout).filter(({ error }) => error !== undefined)).toMatchObject([
      { offset: 8192, length: 1, error: { code: 'corrupt', offset: 8192 } },
    ]);
    const people = await runCli(['layout', path]);
    expect(people.stdout).toContain('damaged blob header');
    expect(people.stdout).toContain('expected compression 000 or 001, found 011');
  });

  test('a damaged file that ends before its index is listed, then the error is reported', async () => {
    const path = damaged((bytes) => bytes.subarray(0, 10_000));
    for (const flags of [['--ndjson'], ['--json']]) {
      const result = await runCli(['layout', path, ...flags]);
      expect(result.status).toBe(1);
      expect(result.stdout).toContain('"what":"end LSN"');
      expect(parseError(result)).toMatchObject({ code: 'truncated', offset: 10_000 });
    }
  });

  test('a damaged file without a summary gives nothing but the error', async () => {
    const path = damaged((bytes) => bytes.fill(0, 0, 2));
    for (const flag of ['--ndjson', '--json']) {
      const result = await runCli(['layout', path, flag]);
      expect(result).toMatchObject({ status: 1, stdout: '' });
      expect(parseError(result)).toMatchObject({ code: 'corrupt', offset: 0 });
    }
  });

  test('a damaged file of an unknown version gives exit status 4', async () => {
    const path = damaged((bytes) => {
      bytes[3] = 9;
      return bytes;
    });
    expect(await runCli(['layout', path, '--ndjson'])).toMatchObject({ status: 4, stdout: '' });
  });
});

test('a file that is not there gives exit status 3', async () => {
  const result = await runCli(['layout', join(temporaryDirectory(), 'no-layer'), '--json']);
  expect(result.status).toBe(3);
  expect(parseError(result)).toMatchObject({ code: 'not-found' });
});

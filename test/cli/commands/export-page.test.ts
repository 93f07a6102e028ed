import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import { buildLayer, buildSmallLayers, IMAGE_HEADER, keyText, PAGE } from '../small-layers.ts';
import { parseError, runCli } from '../support.ts';

let directory = '';
let delta = '';
let image = '';

beforeEach(async () => {
  ({ directory, delta, image } = await buildSmallLayers());
});

describe('export page', () => {
  test('export page writes the bytes of an image to standard output', async () => {
    for (const words of [
      [image, keyText(1)],
      [delta, keyText(1), '--lsn', '0/100'],
      [image, 'rel=1663/5/16384', 'blkno=1'],
    ]) {
      const result = await runCli(['export', 'page', ...words]);
      expect(result).toMatchObject({ status: 0, stderr: '' });
      expect(result.stdoutBytes.toString('hex')).toBe(PAGE);
    }
  });

  test('export page writes or replaces a file', async () => {
    const out = join(temporaryDirectory(), 'page.bin');
    for (const _ of ['new', 'replaced']) {
      const result = await runCli(['export', 'page', image, keyText(1), '--out', out], {
        terminal: true,
      });
      expect(result).toMatchObject({ status: 0, stdout: '', stderr: '' });
      expect(readFileSync(out).toString('hex')).toBe(PAGE);
      writeFileSync(out, 'something else');
    }
    expect(readdirSync(join(out, '..'))).toEqual(['page.bin']);
  });

  test.each<[string, () => string[], string]>([
    ['a record', () => [delta, keyText(1)], 'needs-redo'],
    ['a record that begins a page', () => [delta, keyText(4)], 'needs-redo'],
    ['an empty image', () => [image, keyText(3)], 'out-of-range'],
    ['an image that is not a page', () => [image, keyText(8)], 'out-of-range'],
    ['nothing', () => [image, keyText(2)], 'not-found'],
    ['nothing that old', () => [image, keyText(1), '--lsn', '0/4FF'], 'not-found'],
  ])('export page of %s is an error', async (_, words, code) => {
    const result = await runCli(['export', 'page', ...words(), '--json']);
    expect(result).toMatchObject({ status: 1, stdout: '' });
    expect(parseError(result)['code']).toBe(code);
  });

  test('export page cuts the timestamp off a page of the transaction status', async () => {
    const clog = `010000000000000001000000000000000000`;
    const path = await buildLayer(
      directory,
      { ...IMAGE_HEADER, key_start: '0'.repeat(36), key_end: 'F'.repeat(36) },
      [{ key: clog, hex: `${PAGE}0011223344556677` }],
    );
    const result = await runCli(['export', 'page', path, 'slru=clog', 'segno=0', 'blkno=0']);
    expect(result.status).toBe(0);
    expect(result.stdoutBytes.toString('hex')).toBe(PAGE);
  });
});

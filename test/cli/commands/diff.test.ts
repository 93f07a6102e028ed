import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../../support/temporary-directory.ts';
import {
  buildLayer,
  buildSmallLayers,
  IMAGE_HEADER,
  keyText,
  lsnText,
  PAGE,
} from '../small-layers.ts';
import { parseError, parseLines, runCli } from '../support.ts';

const IMAGES = [1, 3, 8].map((block) => ({ key: keyText(block), hex: PAGE }));

function image(entries: readonly object[]): Promise<string> {
  return buildLayer(temporaryDirectory(), IMAGE_HEADER, entries);
}

function counts(same: number, onlyA = 0, onlyB = 0, differ = 0) {
  return { summary: { same, only_a: onlyA, only_b: onlyB, differ } };
}

const LSN = lsnText('500');

describe('diff of two layers', () => {
  test('diff of two layers that are copies says that the bytes are the same', async () => {
    const { delta, directory } = await buildSmallLayers();
    const copy = join(directory, 'copy');
    copyFileSync(delta, copy);
    const text = await runCli(['diff', delta, copy]);
    expect(text).toMatchObject({ status: 0, stdout: 'same bytes, 5 entries\n', stderr: '' });
    const json = await runCli(['diff', delta, copy, '--ndjson']);
    expect(json).toMatchObject({ status: 0, stderr: '' });
    expect(parseLines(json.stdout)).toEqual([counts(5)]);
  });

  test('diff of two layers with other compression says that the entries are the same', async () => {
    const packed = await image(IMAGES);
    const lines = [IMAGE_HEADER, ...IMAGES].map((line) => JSON.stringify(line)).join('\n');
    const built = await runCli(['build', '--out', temporaryDirectory(), '--no-compress'], {
      stdin: lines,
    });
    const plain = String(parseLines(built.stdout)[0]?.['path']);
    const result = await runCli(['diff', packed, plain]);
    expect(result.status).toBe(0);
    expect(result.stdout).toBe('same entries: 3 entries, 3 entries stored differently\n');
    expect(parseLines((await runCli(['diff', packed, plain, '--ndjson'])).stdout)).toEqual([
      counts(3),
    ]);
  });

  test('diff of two layers lists what is on one side only and what differs, then the counts', async () => {
    const a = await image(IMAGES);
    const b = await image([
      { key: keyText(1), hex: PAGE },
      { key: keyText(2), hex: PAGE },
      { key: keyText(3), hex: 'c0df' },
    ]);
    const expected = [
      { key: keyText(2), lsn: LSN, only: 'b' },
      { key: keyText(3), lsn: LSN, differs: 'value' },
      { key: keyText(8), lsn: LSN, only: 'a' },
      counts(1, 1, 1, 1),
    ];
    const lines = await runCli(['diff', a, b, '--ndjson']);
    expect(lines).toMatchObject({ status: 1, stderr: '' });
    expect(parseLines(lines.stdout)).toEqual(expected);
    const document = await runCli(['diff', a, b, '--json']);
    expect(JSON.parse(document.stdout)).toEqual(expected);
    const text = await runCli(['diff', a, b, '--limit', '1']);
    expect(text.stdout.split('\n').slice(1)).toEqual([
      expect.stringMatching(/^1663\/5\/16384 main 2 +0\/500 +only in b$/),
      '... 2 differences more',
      '1 entry the same, 1 entry only in a, 1 entry only in b, 1 entry different',
      '',
    ]);
    const one = await runCli(['diff', a, b, '--ndjson', '--key', keyText(1)]);
    expect(one.status).toBe(0);
    expect(parseLines(one.stdout)).toEqual([counts(1)]);
    const none = await runCli(['diff', a, b, '--ndjson', '--lsn-start', '0/501']);
    expect(parseLines(none.stdout)).toEqual([counts(0)]);
  });

  test('diff of two layers of which one is damaged does not call its entries missing', async () => {
    const { delta, directory } = await buildSmallLayers();
    const copy = join(directory, 'copy');
    const bytes = readFileSync(delta);
    // The root, the last block.
    writeFileSync(copy, bytes.fill(0xff, bytes.length - 8192));
    const result = await runCli(['diff', delta, copy, '--ndjson']);
    expect(result.status).toBe(1);
    expect(parseError(result)).toMatchObject({ path: copy });
    expect(parseLines(result.stdout)).toEqual([
      { summary: { ...counts(0).summary, unreadable: 5 } },
    ]);
    const text = await runCli(['diff', delta, copy]);
    expect(text.stdout).toBe('0 entries the same, 5 entries unreadable on one side\n');
  });

  test('diff of two layers of which one is not there could not look', async () => {
    const { delta } = await buildSmallLayers();
    const result = await runCli(['diff', delta, `${delta}x`, '--ndjson']);
    expect(result).toMatchObject({ status: 3, stdout: '' });
    expect(parseError(result)).toMatchObject({ code: 'not-found', path: `${delta}x` });
  });
});

describe('diff of two timelines', () => {
  test('diff of two timelines compares the entries of all layers, wherever they are', async () => {
    const { delta, image: images, directory } = await buildSmallLayers();
    const other = join(temporaryDirectory(), 'other');
    mkdirSync(other);
    for (const path of [delta, images]) copyFileSync(path, join(other, basename(path)));
    const same = await runCli(['diff', directory, other, '--ndjson']);
    expect(same).toMatchObject({ status: 0, stderr: '' });
    expect(parseLines(same.stdout)).toEqual([counts(8)]);
    rmSync(join(other, basename(images)));
    const less = await runCli(['diff', directory, other, '--ndjson']);
    expect(less.status).toBe(1);
    expect(parseLines(less.stdout)).toEqual([
      ...[1, 3, 8].map((block) => ({ key: keyText(block), lsn: LSN, only: 'a' })),
      counts(5, 3),
    ]);
    const file = await runCli(['diff', delta, other, '--ndjson']);
    expect(parseLines(file.stdout)).toEqual([counts(5)]);
  });

  test('diff of two timelines of which a layer cannot be opened does not call its entries missing', async () => {
    const { image: images, directory } = await buildSmallLayers();
    const other = join(temporaryDirectory(), 'other');
    mkdirSync(other);
    writeFileSync(join(other, basename(images)), 'short');
    const result = await runCli(['diff', directory, other, '--ndjson', '--lsn-start', LSN]);
    expect(result.status).toBe(1);
    expect(parseError(result)).toMatchObject({ code: 'truncated' });
    expect(parseLines(result.stdout)).toEqual([
      { key: keyText(5), lsn: lsnText('800'), only: 'a' },
      { summary: { ...counts(0, 1).summary, unreadable: 3 } },
    ]);
  });
});

/** What a salvage tells, and what it writes. */
import { describe, expect, test } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { formatKey } from '../../../src/layers/key.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { salvageLayer } from '../../../src/reshape/salvage/salvage-layer.ts';
import { sampleLayer } from '../../support/damaged-layers.ts';
import { BLOCK } from '../../support/hand-made.ts';
import {
  blockKey,
  DIRECTORY,
  IDS,
  memoryDisk,
  namesOn,
  noise,
  writeImages,
} from '../../support/layers.ts';

const IMAGES = await sampleLayer('image', 3);
const DELTA = await sampleLayer('delta', 2);

async function salvaged(bytes: Uint8Array, path: string, options = {}) {
  const disk = memoryDisk();
  const { openFiles } = disk;
  const made = await salvageLayer(bytesSource(bytes, path), {
    ...{ directory: DIRECTORY, openFiles },
    ...options,
  });
  return { made, disk };
}

describe('what is lost', () => {
  test('what is lost is the range of keys between the entries around a damaged leaf, and its values', async () => {
    const bytes = Buffer.from(IMAGES.bytes);
    const [at = 0] = IMAGES.entries[20]?.leaf ?? [];
    bytes.fill(0, at, at + BLOCK);
    const { made } = await salvaged(bytes, `/in/${IMAGES.name}`);
    const gone = IMAGES.entries.filter(({ leaf }) => leaf[0] === at);
    const first = IMAGES.entries.indexOf(gone[0] as (typeof gone)[0]);
    const [start] = gone[0]?.blob ?? [0];
    const [, end] = gone.at(-1)?.blob ?? [0, 0];
    expect(made.lost).toMatchObject([
      { offset: start, length: end - start, error: { code: 'corrupt', offset: at } },
    ]);
    const [lost] = made.lost;
    expect(formatKey(lost?.keyStart ?? blockKey(0))).toBe(formatKey(blockKey((first - 1) * 2 + 1)));
    expect(formatKey(lost?.keyEnd ?? blockKey(0))).toBe(
      formatKey(blockKey((first + gone.length) * 2)),
    );
    expect(made.recovered).toBe(IMAGES.entries.length - gone.length);
  });

  test('what is lost is the key and the LSN of an entry whose value cannot be read', async () => {
    const bytes = Buffer.from(DELTA.bytes);
    const [start, end] = DELTA.entries[4]?.blob ?? [0, 0];
    // The tag of the value.
    bytes[start + (end - start > 128 ? 4 : 1)] = 9;
    const { made } = await salvaged(bytes, `/in/${DELTA.name}`);
    expect(made.lost).toMatchObject([
      { offset: start, length: end - start, count: 1, lsnStart: 0x1004n, lsnEnd: 0x1005n },
    ]);
    expect(made.lost[0]?.keyStart).toEqual(blockKey(2));
    expect(made.lost[0]?.keyEnd).toEqual(blockKey(3));
  });

  test('what is lost is every image that zeros took the place of: none is in the new layer as an empty one', async () => {
    const images = Array.from({ length: 40 }, (_, block) => ({
      key: blockKey(block),
      image: block === 0 ? new Uint8Array(0) : noise(1000, block),
    }));
    const written = await writeImages(images, { compression: { kind: 'none' } });
    const bytes = Buffer.from(written.bytes);
    // The empty image takes one byte; the others 1,004.
    const offsetOf = (block: number) => BLOCK + 1 + (block - 1) * 1004;
    bytes.fill(0, offsetOf(5), offsetOf(8) + 100);
    const { made } = await salvaged(bytes, `/in/${written.finished.name}`);
    expect(made).toMatchObject({ recovered: 36, lostCount: 1 });
    expect(made.lost[0]).toMatchObject({ offset: offsetOf(5), length: 4 * 1004, count: 4 });
    expect(made.lost[0]?.error.message).toContain(
      'expected a blob that ends where the next one starts',
    );
  });

  test('what is lost is an image of zeros before damage, but not an empty image before zeros', async () => {
    const images = Array.from({ length: 40 }, (_, block) => ({
      key: blockKey(block),
      image: block === 0 ? new Uint8Array(0) : noise(1000, block),
    }));
    const written = await writeImages(images, { compression: { kind: 'none' } });
    const bytes = Buffer.from(written.bytes);
    const offsetOf = (block: number) => BLOCK + 1 + (block - 1) * 1004;
    bytes.fill(0, offsetOf(1), offsetOf(1) + 10);
    bytes.fill(0, offsetOf(5), offsetOf(6));
    bytes[offsetOf(6)] = 0xf0;
    const { made } = await salvaged(bytes, `/in/${written.finished.name}`);
    expect(made).toMatchObject({ recovered: 37, lostCount: 2 });
    expect(made.lost).toMatchObject([
      { offset: offsetOf(1), length: 1004, count: 1 },
      { offset: offsetOf(5), length: 2 * 1004, count: 2 },
    ]);
  });

  test('nothing is lost if only the root is gone, which is reported', async () => {
    const bytes = Buffer.from(IMAGES.bytes);
    bytes.fill(0, bytes.length - BLOCK);
    const { made } = await salvaged(bytes, `/in/${IMAGES.name}`);
    expect(made).toMatchObject({ lost: [], lostCount: 0, recovered: IMAGES.entries.length });
    expect(made.repairedCount).toBeGreaterThan(0);
    expect(made.layer?.name).toBe(IMAGES.name);
  });

  test('what is lost is one blob where the length of a large one is wrong, not those that it reaches over', async () => {
    const images = Array.from({ length: 400 }, (_, block) => ({
      key: blockKey(block),
      image: noise(8192, block),
    }));
    const written = await writeImages(images);
    const bytes = Buffer.from(written.bytes);
    // 8 KiB become 1 MiB and 8 KiB, and then 2 MiB and 8 KiB.
    bytes[BLOCK + 8196 * 3 + 1] = 0x10;
    const { made } = await salvaged(bytes, `/in/${written.finished.name}`);
    expect(made).toMatchObject({ recovered: 399, lostCount: 1 });
    expect(made.lost[0]).toMatchObject({ offset: BLOCK + 8196 * 3, length: 8196, count: 1 });
  });
});

describe('the ids of the new layer', () => {
  test.each([
    ['the summary', DELTA.bytes, '/in', IDS, 'known'],
    [
      'the path',
      zeroSummary(),
      `/tenants/${'ab'.repeat(16)}/timelines/${'cd'.repeat(16)}`,
      path(),
      'known',
    ],
    [
      'nothing',
      zeroSummary(),
      '/in',
      { tenantId: '0'.repeat(32), timelineId: '0'.repeat(32) },
      'unknown',
    ],
    ['what is left of the summary', wrongMagic(), '/in', IDS, 'presumed'],
  ])('the ids of the new layer are those of %s', async (_, bytes, directory, ids, idSource) => {
    const { made, disk } = await salvaged(bytes, `${directory}/${DELTA.name}`);
    expect(made.idSource).toBe(idSource);
    await using reader = await openLayer(made.layer?.path ?? '', { openFiles: disk.openFiles });
    expect(reader.summary).toMatchObject(ids);
    expect(made.lostCount).toBe(idSource === 'known' ? 0 : 1);
  });

  test('the ids of the new layer are those that are given', async () => {
    const ids = { tenantId: '12'.repeat(16), timelineId: '34'.repeat(16) };
    const { made, disk } = await salvaged(zeroSummary(), `/in/${DELTA.name}`, ids);
    await using reader = await openLayer(made.layer?.path ?? '', { openFiles: disk.openFiles });
    expect(reader.summary).toMatchObject(ids);
  });
});

function path() {
  return { tenantId: 'ab'.repeat(16), timelineId: 'cd'.repeat(16) };
}

function zeroSummary(): Buffer {
  return Buffer.from(DELTA.bytes).fill(0, 0, BLOCK);
}

function wrongMagic(): Buffer {
  const bytes = Buffer.from(DELTA.bytes);
  bytes[0] = 0;
  return bytes;
}

describe('the ranges of the new layer', () => {
  test('the ranges of the new layer are those of its entries if nothing states others', async () => {
    const { made } = await salvaged(zeroSummary(), '/in/a', IDS);
    const last = DELTA.entries.length - 1;
    const keys = `${formatKey(blockKey(0))}-${formatKey(blockKey((last >>> 1) + 1))}`;
    const end = (0x1001 + last).toString(16).toUpperCase().padStart(16, '0');
    expect(made.layer?.name).toBe(`${keys}__0000000000001000-${end}`);
  });

  test('the ranges of the new layer are those of the entries if a summary without a name excludes some', async () => {
    const bytes = Buffer.from(DELTA.bytes);
    // The end key.
    bytes.set(blockKey(3), 54);
    const { made } = await salvaged(bytes, '/in/a');
    expect(made.recovered).toBe(DELTA.entries.length);
  });

  test('the ranges of the new layer do not exist for images whose LSN is lost, unless it is given', async () => {
    const bytes = Buffer.from(IMAGES.bytes).fill(0, 0, BLOCK);
    const without = await salvaged(bytes, '/in/a', IDS);
    expect(without.made).toMatchObject({ layer: undefined, recovered: 0 });
    expect(without.made.lost.at(-1)?.error.message).toContain('LSN of the image layer is lost');
    expect(namesOn(without.disk)).toEqual([]);
    const given = await salvaged(bytes, '/in/a', { ...IDS, lsn: 0x1800n });
    expect(given.made).toMatchObject({ recovered: IMAGES.entries.length });
    expect(given.made.layer?.name).toMatch(/__0000000000001800$/);
  });
});

describe('a salvage that fails', () => {
  test('a salvage that fails because the layer exists leaves none of its files', async () => {
    const { disk } = await salvaged(DELTA.bytes, `/in/${DELTA.name}`);
    const { openFiles } = disk;
    const again = salvageLayer(bytesSource(DELTA.bytes, `/in/${DELTA.name}`), {
      ...{ directory: DIRECTORY, openFiles },
    });
    await expect(again).rejects.toMatchObject({ code: 'exists' });
    expect(namesOn(disk)).toEqual([DELTA.name]);
  });

  test('a salvage that fails because its signal is aborted leaves nothing', async () => {
    const disk = memoryDisk();
    const signal = AbortSignal.abort();
    const salvage = salvageLayer(bytesSource(DELTA.bytes, `/in/${DELTA.name}`), {
      ...{ directory: DIRECTORY, openFiles: disk.openFiles, signal },
    });
    await expect(salvage).rejects.toMatchObject({ code: 'aborted' });
    expect(namesOn(disk)).toEqual([]);
  });
});

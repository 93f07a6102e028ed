import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blobHeaderSize } from '../../src/blob-writer/blob-format.ts';
import { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import { ImageLayerReader } from '../../src/layers/image-layer/reader.ts';
import { addToKey, formatKey, type Key } from '../../src/layers/key.ts';
import { encodeValue } from '../../src/layers/value-format.ts';
import { SplitDeltaWriter } from '../../src/reshape/split-delta-writer.ts';
import { SplitImageWriter } from '../../src/reshape/split-image-writer.ts';
import { blockKey, DIRECTORY, IDS, memoryDisk, namesOn, noise } from '../support/layers.ts';
import { linesOf, type ModelEntry, modelEntries, modelValue } from '../support/random-layers.ts';
import { rounds } from '../support/rounds.ts';

const LSNS = { min: 16, max: 40 };
const LSN_RANGE = { start: 16n, end: 41n };

/** Where a layer begins, by the rule: values from 8,192 on, no index block finished yet. */
function borders(entries: readonly ModelEntry[], target: number): string[] {
  const starts: string[] = [];
  let offset = Number.POSITIVE_INFINITY;
  let last = -1;
  for (const entry of entries) {
    if (entry.block !== last && offset + 8192 + 106 >= target) {
      starts.push(formatKey(blockKey(entry.block)));
      offset = 8192;
    }
    const { length } = encodeValue(modelValue(entry));
    offset += blobHeaderSize(length) + length;
    last = entry.block;
  }
  return starts;
}

describe('a split delta writer', () => {
  test('puts every entry into one of its layers, which begin where the rule says', async () => {
    await fc.assert(
      fc.asyncProperty(
        modelEntries(LSNS),
        fc.integer({ min: 1, max: 22_000 }),
        async (entries, target) => {
          const disk = memoryDisk();
          const { openFiles } = disk;
          const told: string[] = [];
          await using writer = new SplitDeltaWriter({
            ...{ directory: DIRECTORY, openFiles, ...IDS, lsnRange: LSN_RANGE, targetSize: target },
            onLayer: ({ name }) => void told.push(name),
          });
          for (const entry of entries) {
            await writer.put(blockKey(entry.block), BigInt(entry.lsn), modelValue(entry));
          }
          const layers = await writer.finish();
          expect(told).toEqual(layers.map(({ name }) => name));
          expect([...namesOn(disk)].sort()).toEqual([...told].sort());
          const starts: string[] = [];
          const ends: string[] = [];
          let entryCount = 0;
          for (const { path } of layers) {
            await using reader = await DeltaLayerReader.open(path, { openFiles });
            starts.push(formatKey(reader.summary.keyRange.start));
            ends.push(formatKey(reader.summary.keyRange.end));
            entryCount += (await linesOf(reader)).length;
          }
          expect(starts).toEqual(borders(entries, target));
          const end = addToKey(blockKey(entries.at(-1)?.block ?? 0), 1);
          expect(ends).toEqual([...starts.slice(1), formatKey(end)]);
          expect(entryCount).toBe(entries.length);
        },
      ),
      { numRuns: rounds(15) },
    );
  });

  test('a split delta writer without entries makes no layer', async () => {
    const disk = memoryDisk();
    const { openFiles } = disk;
    const options = { directory: DIRECTORY, openFiles, ...IDS, lsnRange: LSN_RANGE };
    await using writer = new SplitDeltaWriter(options);
    expect(await writer.finish()).toEqual([]);
    expect(namesOn(disk)).toEqual([]);
  });

  test('a split delta writer refuses what is not above the last put or outside its LSNs, and continues', async () => {
    const disk = memoryDisk();
    const { openFiles } = disk;
    const options = { directory: DIRECTORY, openFiles, ...IDS, lsnRange: LSN_RANGE };
    await using writer = new SplitDeltaWriter(options);
    const value = { type: 'image', bytes: noise(9, 1) } as const;
    await writer.put(blockKey(5), 20n, value);
    for (const [key, lsn, code] of [
      [blockKey(5), 20n, 'out-of-order'],
      [blockKey(4), 30n, 'out-of-order'],
      [blockKey(6), 41n, 'out-of-range'],
      [blockKey(6), 15n, 'out-of-range'],
    ] as const) {
      await expect(writer.put(key, lsn, value)).rejects.toMatchObject({ code });
    }
    await writer.put(blockKey(5), 21n, value);
    expect((await writer.finish()).map(({ entryCount }) => entryCount)).toEqual([2]);
    await expect(writer.put(blockKey(9), 22n, value)).rejects.toMatchObject({ code: 'closed' });
  });

  test('a split delta writer that is abandoned leaves only the layers that it reported', async () => {
    const disk = memoryDisk();
    const { openFiles } = disk;
    const told: string[] = [];
    const writer = new SplitDeltaWriter({
      ...{ directory: DIRECTORY, openFiles, ...IDS, lsnRange: LSN_RANGE, targetSize: 1 },
      onLayer: ({ name }) => void told.push(name),
    });
    for (const block of [1, 2, 3, 4]) {
      await writer.put(blockKey(block), 20n, { type: 'image', bytes: noise(9, block) });
    }
    await writer.abandon();
    expect(told).toHaveLength(3);
    expect(namesOn(disk).sort()).toEqual(told.sort());
  });
});

describe('a split image writer', () => {
  test('a split image writer covers its key range without gaps, and has every image', async () => {
    const sizes = fc.array(fc.nat(20_000), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 60_000 }), async (lengths, target) => {
        const disk = memoryDisk();
        const { openFiles } = disk;
        const keyRange = { start: blockKey(0), end: blockKey(1000) };
        await using writer = new SplitImageWriter({
          ...{ directory: DIRECTORY, openFiles, ...IDS, keyRange, lsn: 32n, targetSize: target },
        });
        const images = lengths.map((length, block) => noise(length, block).fill(7, 0, length >> 1));
        for (const [block, image] of images.entries()) await writer.put(blockKey(3 * block), image);
        const layers = await writer.finish();
        const found: Uint8Array[] = [];
        let start: Key = keyRange.start;
        for (const { path } of layers) {
          await using reader = await ImageLayerReader.open(path, { openFiles });
          expect(reader.summary.keyRange.start).toEqual(start);
          start = reader.summary.keyRange.end;
          for await (const { bytes } of reader.entries()) found.push(bytes);
        }
        expect(start).toEqual(keyRange.end);
        expect(found.map(({ length }) => length)).toEqual(lengths);
        expect(found.every((bytes, at) => Buffer.compare(bytes, images[at] ?? bytes) === 0)).toBe(
          true,
        );
      }),
      { numRuns: rounds(12) },
    );
  });

  test('a split image writer refuses a key that is not above the last, or outside its range', async () => {
    const { openFiles } = memoryDisk();
    const keyRange = { start: blockKey(2), end: blockKey(9) };
    await using writer = new SplitImageWriter({
      ...{ directory: DIRECTORY, openFiles, ...IDS, keyRange, lsn: 32n },
    });
    await writer.put(blockKey(4), noise(9, 1));
    for (const [block, code] of [
      [4, 'out-of-order'],
      [3, 'out-of-order'],
      [9, 'out-of-range'],
    ] as const) {
      await expect(writer.put(blockKey(block), noise(9, 1))).rejects.toMatchObject({ code });
    }
  });

  test('the last layer of a split image writer ends at the given end, above its last key', async () => {
    const { openFiles } = memoryDisk();
    const keyRange = { start: blockKey(2), end: blockKey(9) };
    await using writer = new SplitImageWriter({
      ...{ directory: DIRECTORY, openFiles, ...IDS, keyRange, lsn: 32n },
    });
    await writer.put(blockKey(4), noise(9, 1));
    for (const end of [3, 4, 10]) {
      await expect(writer.finish(blockKey(end))).rejects.toMatchObject({ code: 'out-of-range' });
    }
    await writer.put(blockKey(5), noise(9, 1));
    const [layer] = await writer.finish(blockKey(6));
    const name = `${formatKey(blockKey(2))}-${formatKey(blockKey(6))}__`;
    expect(layer?.path).toContain(name);
  });
});

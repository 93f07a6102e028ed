import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { ImageLayerReader } from '../../src/layers/image-layer/reader.ts';
import { formatKey, keyFromFields } from '../../src/layers/key.ts';
import { openLayer } from '../../src/layers/open-layer.ts';
import { encodeValue, valueWillInit } from '../../src/layers/value-format.ts';
import { copyLayer } from '../../src/reshape/copy-layer.ts';
import { shardKeeps } from '../../src/timeline/shard-owner.ts';
import { loadCompressor } from '../../src/zstd/compression.ts';
import { zstdBlob } from '../support/blobs.ts';
import { blockKey, DIRECTORY, IDS, memoryDisk, namesOn } from '../support/layers.ts';
import {
  EVERYTHING,
  imageOf,
  linesOf,
  modelEntries,
  writeModelDelta,
  writeModelImages,
} from '../support/random-layers.ts';
import { rounds } from '../support/rounds.ts';

const LSNS = { min: 16, max: 40 };
const LSN_RANGE = { start: 16n, end: 41n };
const OTHER_IDS = {
  tenantId: 'aa'.repeat(16),
  timelineId: 'bb'.repeat(16),
};
const SHARDING = { count: 3, stripeSize: 1 };

describe('a copy of a delta layer', () => {
  test('a copy of a delta layer has the entries of the key range and below the LSN, and a name that says so', async () => {
    const range = fc.tuple(fc.nat(13), fc.integer({ min: 1, max: 13 }));
    const until = fc.option(fc.integer({ min: 15, max: 43 }), { nil: undefined });
    await fc.assert(
      fc.asyncProperty(modelEntries(LSNS), range, until, async (entries, [from, count], end) => {
        const disk = memoryDisk();
        const { openFiles } = disk;
        const reader = await writeModelDelta(disk, entries, LSN_RANGE);
        const keyRange = { start: blockKey(from), end: blockKey(from + count) };
        const lines = await linesOf(reader);
        const wanted = lines.filter((_, at) => {
          const { block, lsn } = entries[at] ?? { block: -1, lsn: 0 };
          return block >= from && block < from + count && lsn < (end ?? 99);
        });
        const { layer } = await copyLayer(reader, {
          ...{ directory: DIRECTORY, openFiles, keyRange, ...OTHER_IDS },
          until: end === undefined ? undefined : BigInt(end),
        });
        if (layer === undefined) {
          expect(wanted).toEqual([]);
          expect(namesOn(disk)).toHaveLength(1);
          return;
        }
        await using copy = await DeltaLayerReader.open(layer.path, { openFiles });
        expect(await linesOf(copy)).toEqual(wanted);
        expect(copy.summary).toMatchObject({
          ...OTHER_IDS,
          keyRange,
          lsnRange: { start: 16n, end: BigInt(Math.min(end ?? 41, 41)) },
        });
      }),
      { numRuns: rounds(20) },
    );
  });

  test('a copy of a delta layer with all entries has the same bytes, but for the ids', async () => {
    const [disk, target] = [memoryDisk(), memoryDisk()];
    const entries = Array.from({ length: 900 }, (_, at) => {
      return { block: at, lsn: 16 + (at % 20), kind: 'rec', length: at % 300 } as const;
    });
    const reader = await writeModelDelta(disk, entries, LSN_RANGE);
    const { openFiles } = target;
    const { layer } = await copyLayer(reader, { directory: DIRECTORY, openFiles, ...OTHER_IDS });
    const bytes = disk.fileSystem.contentOf(reader.path ?? '');
    const copied = target.fileSystem.contentOf(layer?.path ?? '');
    expect(layer?.name).toBe(namesOn(disk)[0]);
    expect(Buffer.compare(copied.subarray(8192), bytes.subarray(8192))).toBe(0);
    const { layer: back } = await copyLayer(await openLayer(copied), {
      ...{ directory: DIRECTORY, openFiles: memoryDisk().openFiles, ...IDS },
    });
    expect(back?.size).toBe(bytes.length);
  });

  test('a copy of a delta layer keeps compressed blobs as they are, and takes willInit of a prefix from the values', async () => {
    const disk = memoryDisk();
    const { openFiles } = disk;
    const value = { type: 'image', bytes: imageOf(5) } as const;
    const compressor = await loadCompressor(1);
    const blob = zstdBlob(compressor.compressSync(encodeValue(value)));
    const options = { directory: DIRECTORY, ...IDS, openFiles, keyRange: EVERYTHING };
    await using writer = await DeltaLayerWriter.create({ ...options, lsnRange: LSN_RANGE });
    await writer.putBlob(blockKey(1), 20n, blob, false);
    await writer.putSerialized(blockKey(2), 20n, encodeValue(value), !valueWillInit(value));
    const reader = await DeltaLayerReader.open((await writer.finish()).path, { openFiles });
    const same = await copyLayer(reader, {
      ...{ directory: DIRECTORY, openFiles, generation: '00000002' },
    });
    const prefix = await copyLayer(reader, { directory: DIRECTORY, openFiles, until: 30n });
    const found: unknown[] = [];
    for (const layer of [same.layer, prefix.layer]) {
      await using copy = await DeltaLayerReader.open(layer?.path ?? '', { openFiles });
      for await (const entry of copy.entries()) found.push([entry.compressed, entry.willInit]);
    }
    expect(found).toEqual([
      [true, false],
      [false, false],
      [true, true],
      [false, true],
    ]);
  });
});

describe('a copy of an image layer', () => {
  test('a copy of an image layer without the keys of other shards has the blobs of the others as they are', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.nat(60), { minLength: 1 }), async (unordered) => {
        const [disk, target] = [memoryDisk(), memoryDisk()];
        const { openFiles } = target;
        const blocks = unordered.sort((one, other) => one - other);
        const reader = await writeModelImages(disk, blocks, 32n);
        for (const shardNumber of [0, 1, 2]) {
          const shard = { sharding: SHARDING, shardNumber };
          const kept = blocks.filter((block) => shardKeeps(blockKey(block), SHARDING, shardNumber));
          const generation = `0000000${shardNumber}`;
          const { layer, droppedEntries } = await copyLayer(reader, {
            ...{ directory: DIRECTORY, openFiles, shard, generation },
          });
          expect(droppedEntries).toBe(blocks.length - kept.length);
          expect(layer?.entryCount ?? 0).toBe(kept.length);
          if (layer === undefined) continue;
          await using copy = await ImageLayerReader.open(layer.path, { openFiles });
          const found: unknown[] = [];
          for await (const { key, compressed, bytes } of copy.entries()) {
            found.push([formatKey(key), compressed, bytes]);
          }
          expect(found).toEqual(
            kept.map((block) => [formatKey(blockKey(block)), true, imageOf(block)]),
          );
        }
      }),
      { numRuns: rounds(15) },
    );
  });

  test('a copy of an image layer keeps keys that every shard has', async () => {
    const relmap = keyFromFields({
      ...{ field1: 0, field2: 1663, field3: 5 },
      field4: 0,
      field5: 0,
      field6: 0,
    });
    expect(shardKeeps(relmap, SHARDING, 2)).toBe(true);
  });

  test('no copy of an image layer is made at or above the LSN', async () => {
    const disk = memoryDisk();
    const { openFiles } = disk;
    const reader = await writeModelImages(disk, [1, 2], 32n);
    const at = await copyLayer(reader, { directory: DIRECTORY, openFiles, until: 32n });
    expect(at.layer).toBeUndefined();
    const above = await copyLayer(reader, {
      ...{ directory: DIRECTORY, openFiles, until: 33n, generation: '00000001' },
    });
    expect(above.layer?.entryCount).toBe(2);
  });

  test('a copy of an image layer of a damaged layer is not made', async () => {
    const disk = memoryDisk();
    const reader = await writeModelImages(disk, [1, 2, 3], 32n);
    const bytes = Uint8Array.from(disk.fileSystem.contentOf(reader.path ?? ''));
    bytes[8192] = 0xf0;
    const target = memoryDisk();
    const { openFiles } = target;
    await expect(
      copyLayer(await openLayer(bytes), { directory: DIRECTORY, openFiles }),
    ).rejects.toMatchObject({ code: 'corrupt', offset: 8192 });
    expect(namesOn(target)).toEqual([]);
  });
});

/** Image layers against an ordered list as the model, and when what is written is synced. */
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { ImageLayerReader } from '../../../src/layers/image-layer/reader.ts';
import {
  ImageLayerWriter,
  type ImageWriteOptions,
} from '../../../src/layers/image-layer/writer.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import type { Compression } from '../../../src/zstd/compression.ts';
import {
  BUFFER_SIZES,
  blobLengths,
  expectSameLayer,
  inOrder,
  type ModelEntry,
} from '../../support/layer-model.ts';
import {
  blockKey,
  COMPRESSIONS,
  entryName,
  IMAGE_LSN,
  imageOptions,
  type MemoryDisk,
  memoryDisk,
  noise,
} from '../../support/layers.ts';
import { rounds } from '../../support/rounds.ts';

/** LAYERFILE_LAYER_RUNS takes more of them. */
const RUNS = Number(process.env['LAYERFILE_LAYER_RUNS'] ?? rounds(10));

describe('an image layer', () => {
  it.each(COMPRESSIONS)(
    'an image layer gives what was put with $kind $level',
    async (compression) => {
      await fc.assert(
        fc.asyncProperty(
          imageModels(),
          fc.nat(),
          fc.constantFrom(...BUFFER_SIZES),
          async (model, seed, bufferSize) => {
            const disk = memoryDisk();
            const { path } = await writeImage(disk, model, { compression, bufferSize });
            const { openFiles } = disk;
            await using reader = await ImageLayerReader.open(path, { openFiles });
            await expectSameLayer(reader, model, seed);
            expect(await verifyLayer(path, { openFiles })).toMatchObject({
              ok: true,
              findings: [],
            });
          },
        ),
        { numRuns: RUNS },
      );
    },
  );

  it('an image layer is the same file, whichever way the images are put', async () => {
    await fc.assert(
      fc.asyncProperty(
        imageModels(),
        fc.constantFrom(...BUFFER_SIZES),
        fc.constantFrom(...COMPRESSIONS.slice(0, 3)),
        async (model, bufferSize, compression) => {
          const disk = memoryDisk();
          const { path } = await writeImage(disk, model, { compression, generation: '00000001' });
          const bytes = disk.fileSystem.contentOf(path);
          const layer = await ImageLayerReader.open(bytesSource(bytes));
          const ways: ((writer: ImageLayerWriter) => Promise<unknown>)[] = [
            async (writer) => {
              for (const { key, bytes: image } of model) void writer.put(key, image);
            },
            async (writer) => {
              for await (const { key, offset, storedLength } of layer.entries()) {
                void writer.putBlob(key, bytes.subarray(offset, offset + storedLength));
              }
            },
            // In turns, so that blobs wait for images in compression.
            async (writer) => {
              let index = 0;
              for await (const { key, offset, storedLength, bytes: image } of layer.entries()) {
                const blob = bytes.subarray(offset, offset + storedLength);
                void (index % 2 === 0 ? writer.put(key, image) : writer.putBlob(key, blob));
                index += 1;
              }
            },
          ];
          for (const [index, putAll] of ways.entries()) {
            const generation = `0000001${index}`;
            await using writer = await ImageLayerWriter.create(
              imageOptions(disk, { bufferSize, generation, compression }),
            );
            await putAll(writer);
            const finished = await writer.finish();
            expect(Buffer.compare(disk.fileSystem.contentOf(finished.path), bytes)).toBe(0);
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('an image layer compresses what gets smaller, from 128 bytes on', async () => {
    const images = [new Uint8Array(127), new Uint8Array(128), noise(128, 1), new Uint8Array(8192)];
    const model = images.map((bytes, block) => ({
      key: blockKey(block),
      lsn: IMAGE_LSN,
      willInit: true,
      bytes,
    }));
    const disk = memoryDisk();
    const { path } = await writeImage(disk, model, { compression: { kind: 'zstd', level: 1 } });
    await using reader = await ImageLayerReader.open(path, { openFiles: disk.openFiles });
    const stored = [];
    for await (const { compressed, storedLength } of reader.entries()) {
      stored.push([compressed, storedLength < 128]);
    }
    expect(stored).toEqual([
      [false, false],
      [true, true],
      [false, false],
      [true, true],
    ]);
  });
});

const MIB = 1024 * 1024;

/** While pages are compressed, the device has time: what is written is synced sooner. */
test.each<[string, Partial<ImageWriteOptions>, number]>([
  ['every 8 MiB where images are compressed', { compression: { kind: 'zstd', level: 1 } }, 2],
  ['every 16 MiB where they are not', { compression: { kind: 'none' } }, 1],
  ['as often as it is told to', { syncEvery: 4 * MIB }, 4],
  ['not by itself where transfers are direct', { ioMode: 'direct' }, 0],
])('18 MiB are synced beside the writing: %s', async (_, options, expected) => {
  const disk = memoryDisk();
  let syncs = 0;
  disk.fileSystem.intercept = ({ kind }) => {
    if (kind === 'sync-data') syncs += 1;
    return undefined;
  };
  await using writer = await ImageLayerWriter.create(imageOptions(disk, options));
  for (let block = 0; block < 18; block += 1) {
    await writer.put(blockKey(block), noise(MIB - 8, block));
  }
  await writer.finish();
  expect(syncs).toBe(expected);
});

async function writeImage(
  disk: MemoryDisk,
  model: readonly ModelEntry[],
  options: {
    readonly compression: Compression;
    readonly bufferSize?: number | undefined;
    readonly generation?: string;
  },
) {
  await using writer = await ImageLayerWriter.create(imageOptions(disk, options));
  for (const { key, bytes } of model) await writer.put(key, bytes);
  expect(writer.entryCount).toBe(model.length);
  return await writer.finish();
}

/** Images that compress well, badly and not at all. */
function imageModels(): fc.Arbitrary<ModelEntry[]> {
  return fc
    .uniqueArray(
      fc.record({
        key: fc.integer({ min: 0, max: 0xff_ffff }).map((block) => blockKey(block % 0x10_0000)),
        length: blobLengths(),
        noiseLength: fc.constantFrom(0, 50, 100_000),
        seed: fc.nat({ max: 1000 }),
      }),
      { minLength: 1, maxLength: 40, selector: ({ key }) => entryName({ key, lsn: 0n }) },
    )
    .map((entries) =>
      entries.map(({ key, length, noiseLength, seed }) => {
        const bytes = new Uint8Array(length);
        bytes.set(noise(Math.min(length, noiseLength), seed));
        return { key, lsn: IMAGE_LSN, willInit: true, bytes };
      }),
    )
    .map(inOrder);
}

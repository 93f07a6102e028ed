/** Delta layers against an ordered list as the model: what was put is what every reader gives. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/blob-writer/byte-source.ts';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { BlockCache } from '../../../src/layers/disk-btree/block-cache.ts';
import { encodeValue, valueWillInit } from '../../../src/layers/value-format.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import {
  BUFFER_SIZES,
  blobLengths,
  expectSameLayer,
  inOrder,
  type ModelEntry,
} from '../../support/layer-model.ts';
import {
  blockKey,
  deltaOptions,
  entryName,
  LSN_RANGE,
  type MemoryDisk,
  memoryDisk,
  noise,
} from '../../support/layers.ts';
import { rounds } from '../../support/rounds.ts';
import { valuesOfEveryType } from '../../support/values.ts';

describe('a delta layer', () => {
  it('a delta layer gives what was put', async () => {
    await fc.assert(
      fc.asyncProperty(
        deltaModels(),
        fc.nat(),
        fc.constantFrom(...BUFFER_SIZES),
        async (model, seed, bufferSize) => {
          const disk = memoryDisk();
          const { path } = await writeDelta(disk, model, { bufferSize });
          const openFiles = disk.openFiles;
          const blockCache = seed % 2 === 0 ? null : new BlockCache(2);
          await using reader = await DeltaLayerReader.open(path, { openFiles, blockCache });
          await expectSameLayer(reader, model, seed);
          expect(await verifyLayer(path, { openFiles })).toMatchObject({
            ok: true,
            findings: [],
            entries: model.length,
            bytes: reader.size,
          });
        },
      ),
      { numRuns: rounds(30) },
    );
  });

  it('a delta layer is the same file, whichever way the values are put', async () => {
    await fc.assert(
      fc.asyncProperty(
        deltaModels(),
        fc.constantFrom(...BUFFER_SIZES),
        async (model, bufferSize) => {
          const disk = memoryDisk();
          const one = await writeDelta(disk, model, {
            bufferSize: undefined,
            generation: '00000001',
          });
          const bytes = disk.fileSystem.contentOf(one.path);
          const layer = await DeltaLayerReader.open(bytesSource(bytes));
          const ways: ((writer: DeltaLayerWriter) => Promise<unknown>)[] = [
            // Awaited one by one.
            async (writer) => {
              for (const { key, lsn, bytes, willInit } of model) {
                await writer.putSerialized(key, lsn, bytes, willInit);
              }
            },
            // Never awaited.
            async (writer) => {
              for (const { key, lsn, bytes, willInit } of model) {
                void writer.putSerialized(key, lsn, bytes, willInit);
              }
            },
            // Many in one call.
            async (writer) => writer.putBatch(batchOf(model)),
            // As they lie in another layer.
            async (writer) => {
              for await (const { key, lsn, willInit, offset, storedLength } of layer.entries()) {
                const blob = bytes.subarray(offset, offset + storedLength);
                void writer.putBlob(key, lsn, blob, willInit);
              }
            },
          ];
          for (const [index, putAll] of ways.entries()) {
            const generation = `0000001${index}`;
            await using writer = await DeltaLayerWriter.create(
              deltaOptions(disk, { bufferSize, generation }),
            );
            await putAll(writer);
            const { path } = await writer.finish();
            expect(Buffer.compare(disk.fileSystem.contentOf(path), bytes)).toBe(0);
          }
        },
      ),
      { numRuns: rounds(20) },
    );
  });

  it('a delta layer holds values of every type as they were put', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(valuesOfEveryType(), { minLength: 1, maxLength: 30 }),
        async (values) => {
          const disk = memoryDisk();
          await using writer = await DeltaLayerWriter.create(deltaOptions(disk));
          for (const [index, value] of values.entries()) {
            await writer.put(blockKey(index), LSN_RANGE.start, value);
          }
          const { path } = await writer.finish();
          await using reader = await DeltaLayerReader.open(path, { openFiles: disk.openFiles });
          const read = [];
          for await (const item of reader.salvage()) {
            if (item.kind === 'entry') read.push([item.value, item.entry.willInit]);
          }
          expect(read).toEqual(values.map((value) => [value, valueWillInit(value)]));
        },
      ),
      { numRuns: rounds(30) },
    );
  });
});

it('a layer written byte by byte is the same file', async () => {
  const model = [0, 1, 127, 128, 300].map((length, block) => {
    const bytes = noise(length, block);
    return { key: blockKey(block), lsn: LSN_RANGE.start, willInit: false, bytes };
  });
  const disk = memoryDisk();
  const large = await writeDelta(disk, model, { bufferSize: undefined });
  const small = await writeDelta(disk, model, { bufferSize: 1, generation: '00000001' });
  const [expected, actual] = [large, small].map(({ path }) => disk.fileSystem.contentOf(path));
  expect(Buffer.compare(actual ?? noise(1, 1), expected ?? noise(1, 2))).toBe(0);
});

async function writeDelta(
  disk: MemoryDisk,
  model: readonly ModelEntry[],
  options: { readonly bufferSize: number | undefined; readonly generation?: string },
) {
  await using writer = await DeltaLayerWriter.create(deltaOptions(disk, options));
  for (const { key, lsn, bytes, willInit } of model) {
    await writer.putSerialized(key, lsn, bytes, willInit);
  }
  const estimate = writer.estimatedSize;
  const finished = await writer.finish();
  expect(finished.entryCount).toBe(model.length);
  expect(finished.size).toBe(disk.fileSystem.contentOf(finished.path).length);
  expect(Math.abs(finished.size - estimate)).toBeLessThanOrEqual(2 * 8192);
  return finished;
}

function batchOf(model: readonly ModelEntry[]) {
  const values = Buffer.concat(model.map(({ bytes }) => bytes));
  const lengths = Uint32Array.from(model, ({ bytes }) => bytes.length);
  let next = 0;
  const starts = lengths.map((length) => {
    next += length;
    return next - length;
  });
  return {
    count: model.length,
    keys: Buffer.concat(model.map(({ key }) => key)),
    lsns: BigUint64Array.from(model, ({ lsn }) => lsn),
    willInit: Uint8Array.from(model, ({ willInit }) => (willInit ? 1 : 0)),
    values,
    starts,
    lengths,
  };
}

/** Several LSNs a key; contents are values, so that what they say agrees with the index. */
function deltaModels(): fc.Arbitrary<ModelEntry[]> {
  return fc
    .uniqueArray(
      fc.record({
        key: fc.integer({ min: 0, max: 25 }).map((block) => blockKey(block * 0x1234)),
        lsn: fc.bigInt({ min: LSN_RANGE.start, max: LSN_RANGE.end - 1n }),
        length: blobLengths(),
        seed: fc.nat({ max: 1000 }),
        willInit: fc.boolean(),
      }),
      { minLength: 1, maxLength: 60, selector: entryName },
    )
    .map((entries) =>
      entries.map(({ key, lsn, length, seed, willInit }) => {
        // A WAL record takes 17 bytes around its content.
        const bytes = noise(Math.max(0, length - 17), seed);
        return { key, lsn, willInit, bytes: encodeValue({ type: 'wal', willInit, bytes }) };
      }),
    )
    .map(inOrder);
}

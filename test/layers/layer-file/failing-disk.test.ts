/** Every operation on the disk fails in turn: a typed error, the truth about the disk, no litter. */
import { deepStrictEqual } from 'node:assert/strict';
import { describe, expect, it } from 'vitest';
import { isStorageError, type StorageError } from '../../../src/errors.ts';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import type { ValueBatch } from '../../../src/layers/delta-layer/value-batch.ts';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { ImageLayerReader } from '../../../src/layers/image-layer/reader.ts';
import { ImageLayerWriter } from '../../../src/layers/image-layer/writer.ts';
import type { FinishedLayer } from '../../../src/layers/layer-file/layer-writer.ts';
import { openLayer } from '../../../src/layers/open-layer.ts';
import { verifyLayer } from '../../../src/layers/verify.ts';
import type { FaultAction, FileSystemOperation } from '../../../src/testing/faults.ts';
import { sharedCompressionThreads } from '../../support/compression-threads.ts';
import {
  blockKey,
  deltaOptions,
  drain,
  IMAGE_LSN,
  imageOptions,
  type MemoryDisk,
  memoryDisk,
  namesOn,
  noise,
} from '../../support/layers.ts';

type Write = (disk: MemoryDisk) => Promise<FinishedLayer>;

const ENTRIES = 40;

const pool = sharedCompressionThreads();

/** Made once, though each operation has a layer of its own that fails there. */
const LARGE_IMAGES = Array.from({ length: ENTRIES }, (_, block) =>
  noise(20_000, block).fill(1, 12_000),
);

const WRITES: readonly [string, Write][] = [
  [
    'a delta layer',
    async (disk) => {
      await using writer = await DeltaLayerWriter.create(deltaOptions(disk, { bufferSize: 4096 }));
      for (let block = 0; block < ENTRIES; block += 1) {
        await writer.put(blockKey(block), IMAGE_LSN, { type: 'image', bytes: noise(700, block) });
      }
      return await writer.finish();
    },
  ],
  [
    'an image layer, puts not awaited',
    async (disk) => {
      const compression = { kind: 'zstd', level: 1 } as const;
      await using writer = await ImageLayerWriter.create(
        imageOptions(disk, { bufferSize: 4096, compression }),
      );
      for (let block = 0; block < ENTRIES; block += 1) {
        void writer.put(blockKey(block), noise(700, block).fill(1, 400));
      }
      return await writer.finish();
    },
  ],
  [
    'a delta layer directly',
    async (disk) => {
      await using writer = await DeltaLayerWriter.create(
        deltaOptions(disk, { bufferSize: 4096, ioMode: 'direct' }),
      );
      for (let block = 0; block < ENTRIES; block += 1) {
        await writer.put(blockKey(block), IMAGE_LSN, { type: 'image', bytes: noise(700, block) });
      }
      return await writer.finish();
    },
  ],
  [
    'a delta layer that is synced on the way',
    async (disk) => {
      await using writer = await DeltaLayerWriter.create(
        deltaOptions(disk, { bufferSize: 4096, syncEvery: 8192 }),
      );
      for (let block = 0; block < ENTRIES; block += 1) {
        await writer.put(blockKey(block), IMAGE_LSN, { type: 'image', bytes: noise(700, block) });
      }
      return await writer.finish();
    },
  ],
  [
    'an image layer that threads compress',
    async (disk) => {
      const compression = { kind: 'zstd', level: 1 } as const;
      await using writer = await ImageLayerWriter.create(
        imageOptions(disk, { bufferSize: 32_768, compression, compressionPool: pool() }),
      );
      for (const [block, image] of LARGE_IMAGES.entries()) await writer.put(blockKey(block), image);
      return await writer.finish();
    },
  ],
  [
    'a delta layer in one batch, not awaited',
    async (disk) => {
      await using writer = await DeltaLayerWriter.create(deltaOptions(disk, { bufferSize: 4096 }));
      void writer.putBatch(batchOf(0, ENTRIES));
      return await writer.finish();
    },
  ],
  [
    'a delta layer in two batches and a put between them, none of them awaited',
    async (disk) => {
      await using writer = await DeltaLayerWriter.create(deltaOptions(disk, { bufferSize: 4096 }));
      void writer.putBatch(batchOf(0, 15));
      void writer.put(blockKey(15), IMAGE_LSN, { type: 'image', bytes: noise(700, 15) });
      void writer.putBatch(batchOf(16, ENTRIES));
      return await writer.finish();
    },
  ],
];

describe.each(WRITES)('writing %s', (_, write) => {
  it.each(['EIO', 'ENOSPC'])(
    'writing with %s at each operation in turn tells what is on disk',
    async (errno) => {
      const { bytes, operations } = await cleanRun(write);
      for (const [index, failing] of operations.entries()) {
        const disk = memoryDisk();
        const fail = (operation: FileSystemOperation): FaultAction | undefined =>
          operation.index === index ? { fail: errno } : undefined;
        const result = await run(write, disk, fail);
        const where = `operation ${index}: ${failing}`;
        expectTruth(disk, result, bytes, where);
        // A temporary file that cannot be deleted stays; nothing else does.
        const isUnlink = failing === 'unlink';
        const temporaries = namesOn(disk).filter((name) => name.endsWith('.___temp'));
        expect(temporaries.length, where).toBeLessThanOrEqual(isUnlink ? 1 : 0);
      }
    },
  );

  it('writing to a disk that fails from one operation on is a typed error, and leaves nothing', async () => {
    const { bytes, operations } = await cleanRun(write);
    for (const [index, failing] of operations.entries()) {
      const disk = memoryDisk();
      const fail = (operation: FileSystemOperation): FaultAction | undefined =>
        operation.index >= index ? { fail: 'EIO' } : undefined;
      const result = await run(write, disk, fail);
      expectTruth(disk, result, bytes, `from operation ${index}: ${failing}`);
    }
  });

  it('writing with short writes makes the same file', async () => {
    const { bytes } = await cleanRun(write);
    const disk = memoryDisk();
    const shorten = ({ kind, index }: FileSystemOperation): FaultAction | undefined =>
      kind === 'write' ? { limit: 1 + (index % 700) } : undefined;
    const result = await run(write, disk, shorten);
    expectTruth(disk, result, bytes, 'short writes');
    expect(isStorageError(result)).toBe(false);
  });

  it('writing to a disk that takes no bytes, but gives no error, is an error', async () => {
    const { bytes } = await cleanRun(write);
    const disk = memoryDisk();
    const result = await run(write, disk, ({ kind }) =>
      kind === 'write' ? { limit: 0 } : undefined,
    );
    expectTruth(disk, result, bytes, 'no progress');
    expect(result).toMatchObject({ code: 'io' });
  });
});

describe('reading from a failing disk', () => {
  it('reading from a failing disk gives a typed error at each operation, and no file is left open', async () => {
    for (const [, write] of WRITES) {
      const { bytes, path } = await cleanRun(write);
      const disk = memoryDisk();
      disk.fileSystem.createFile(path, bytes);
      const first = disk.fileSystem.operationCount;
      await readAll(disk, path);
      const count = disk.fileSystem.operationCount - first;
      for (let index = 0; index < count; index += 1) {
        const start = disk.fileSystem.operationCount;
        let kind = '';
        disk.fileSystem.intercept = (operation) => {
          if (operation.index !== start + index) return undefined;
          kind = operation.kind;
          return { fail: 'EIO' };
        };
        const result = await readAll(disk, path).catch((error: unknown) => error);
        expect(result, `${index}: ${kind}`).toMatchObject({ code: 'io', errno: 'EIO', path });
        expect(disk.fileSystem.openCount).toBe(0);
      }
    }
  });

  it('reading from a failing disk with short reads gives the same', async () => {
    for (const [, write] of WRITES) {
      const { bytes, path } = await cleanRun(write);
      const disk = memoryDisk();
      disk.fileSystem.createFile(path, bytes);
      const expected = await readAll(disk, path);
      disk.fileSystem.intercept = ({ kind, index }) =>
        kind === 'read' ? { limit: 1 + (index % 3000) } : undefined;
      deepStrictEqual(await readAll(disk, path), expected);
    }
  });

  it('a failing disk is not damage: salvaging and verifying reject', async () => {
    const [, write] = WRITES[0] ?? ['', () => Promise.reject(new Error('no writes'))];
    const { bytes, path } = await cleanRun(write);
    for (const offset of [8192, bytes.length - 8192]) {
      const disk = memoryDisk();
      disk.fileSystem.createFile(path, bytes);
      disk.fileSystem.intercept = (operation) =>
        operation.kind === 'read' && operation.offset === offset ? { fail: 'EIO' } : undefined;
      const { openFiles } = disk;
      await expect(verifyLayer(path, { openFiles })).rejects.toMatchObject({ code: 'io' });
      const reader = await openLayer(path, { openFiles });
      await expect(drain<unknown>(reader.salvage())).rejects.toMatchObject({ code: 'io' });
      await reader.close();
      expect(disk.fileSystem.openCount).toBe(0);
    }
  });
});

/** Values of 700 bytes for the blocks from `first` to `end`. */
function batchOf(first: number, end: number): ValueBatch {
  const count = end - first;
  const lengths = new Uint32Array(count).fill(700);
  return {
    count,
    keys: Buffer.concat(Array.from({ length: count }, (_, row) => blockKey(first + row))),
    lsns: new BigUint64Array(count).fill(IMAGE_LSN),
    willInit: new Uint8Array(count).fill(1),
    values: noise(700 * count, 1),
    starts: lengths.map((length, row) => length * row),
    lengths,
  };
}

/** What a run without faults writes, and the operations that it takes. */
async function cleanRun(write: Write) {
  const disk = memoryDisk();
  const operations: string[] = [];
  disk.fileSystem.intercept = ({ kind }) => {
    operations.push(kind);
    return undefined;
  };
  const { path } = await write(disk);
  return { bytes: disk.fileSystem.contentOf(path), path, operations };
}

async function run(
  write: Write,
  disk: MemoryDisk,
  intercept: (operation: FileSystemOperation) => FaultAction | undefined,
): Promise<FinishedLayer | StorageError> {
  disk.fileSystem.intercept = intercept;
  try {
    return await write(disk);
  } catch (error) {
    if (isStorageError(error)) return error;
    throw error;
  }
}

/** What the result says is what is on the disk; a layer is whole or not there. */
function expectTruth(
  disk: MemoryDisk,
  result: FinishedLayer | StorageError,
  bytes: Uint8Array,
  where: string,
): void {
  const layers = disk.fileSystem.paths().filter((path) => !path.endsWith('.___temp'));
  for (const path of layers) {
    expect(Buffer.compare(disk.fileSystem.contentOf(path), bytes), where).toBe(0);
  }
  expect(disk.fileSystem.openCount, where).toBe(0);
  if (!isStorageError(result)) {
    expect(layers, where).toEqual([result.path]);
    return;
  }
  expect(['io', 'sync-failed'], where).toContain(result.code);
  if (result.outcome === 'durable') expect(layers.length, where).toBe(1);
  else if (result.outcome !== 'in-doubt') expect(layers, where).toEqual([]);
}

async function readAll({ openFiles }: MemoryDisk, path: string): Promise<unknown[]> {
  const reader = await openLayer(path, { openFiles, blockCache: null });
  try {
    expect(reader instanceof DeltaLayerReader || reader instanceof ImageLayerReader).toBe(true);
    const one = await reader.get(blockKey(7));
    const forward = await drain(reader.entries());
    const reverse = await drain(reader.entries({ reverse: true }));
    return [one, forward, reverse, await reader.statistics()];
  } finally {
    await reader.close();
  }
}

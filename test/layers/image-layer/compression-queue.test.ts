/** Image layers whose pages are compressed by threads. */
import { describe, expect, test } from 'vitest';
import { encodePlainBlobHeader } from '../../../src/blob-writer/blob-format.ts';
import { CompressionPool } from '../../../src/blob-writer/compression-pool.ts';
import {
  ImageLayerWriter,
  type ImageWriteOptions,
} from '../../../src/layers/image-layer/writer.ts';
import { bytesOf } from '../../support/blobs.ts';
import { compressionThreads, sharedCompressionThreads } from '../../support/compression-threads.ts';
import { blockKey, imageOptions, memoryDisk, namesOn, noise } from '../../support/layers.ts';
import { storageErrorOf, storageErrorThrownBy } from '../../support/storage-errors.ts';

const pool = sharedCompressionThreads();
const newPool = compressionThreads();

const HERE = new CompressionPool({ threadCount: 0 });
const ZSTD = { kind: 'zstd', level: 1 } as const;
const PAGES = 600;

type Put = (writer: ImageLayerWriter, block: number) => void | Promise<void>;

/** Pages, tombstones, what does not compress, what is larger than a batch, what is encoded already. */
function putAny(writer: ImageLayerWriter, block: number): void | Promise<void> {
  const key = blockKey(block);
  if (block % 97 === 3) return writer.put(key, bytesOf(400_000, block));
  if (block % 7 === 2) return writer.put(key, new Uint8Array(block % 130));
  if (block % 5 === 1) return writer.put(key, noise(8192, block));
  if (block % 11 === 0) return writer.putBlob(key, encodedBlob(500, block));
  return writer.put(key, bytesOf(8192, block));
}

describe('a layer that threads compress', () => {
  test('a layer that threads compress is the same as one that this thread does, byte for byte', async () => {
    const here = await write({ compressionPool: HERE });
    const there = await write({ compressionPool: pool() });
    expect(Buffer.compare(there, here)).toBe(0);
  });

  test('a layer that threads compress is the same, when the threads become ready while it is written', async () => {
    const here = await write({ compressionPool: HERE });
    const there = await write({ compressionPool: newPool() });
    expect(Buffer.compare(there, here)).toBe(0);
  });

  test('a layer that threads compress is the same, when puts are not awaited, and their bytes change right after', async () => {
    const put: Put = (writer, block) => {
      const page = bytesOf(8192, block);
      void writer.put(blockKey(block), page);
      page.fill(0xff);
    };
    const awaited: Put = (writer, block) => writer.put(blockKey(block), bytesOf(8192, block));
    const here = await write({ compressionPool: HERE }, awaited);
    const there = await write({ compressionPool: pool() }, put);
    expect(Buffer.compare(there, here)).toBe(0);
  });

  test('a layer that threads compress is the same when several are written concurrently', async () => {
    const here = await write({ compressionPool: HERE });
    const all = await Promise.all([1, 2, 3].map(() => write({ compressionPool: pool() })));
    expect(all.map((there) => Buffer.compare(there, here))).toEqual([0, 0, 0]);
  });

  test('a layer that threads compress and is abandoned half-way leaves nothing, and the threads to others', async () => {
    const disk = memoryDisk();
    const options = imageOptions(disk, { compression: ZSTD, compressionPool: pool() });
    const writer = await ImageLayerWriter.create(options);
    for (let block = 0; block < PAGES; block += 1) void putAny(writer, block);
    await writer.abandon();
    expect(namesOn(disk)).toEqual([]);
    expect(disk.fileSystem.openCount).toBe(0);
    const there = await write({ compressionPool: pool() });
    expect(Buffer.compare(there, await write({ compressionPool: HERE }))).toBe(0);
  });

  test('a layer that threads compress and is aborted half-way rejects, and leaves nothing', async () => {
    const disk = memoryDisk();
    const controller = new AbortController();
    const { signal } = controller;
    const options = imageOptions(disk, { compression: ZSTD, compressionPool: pool(), signal });
    const writer = await ImageLayerWriter.create(options);
    for (let block = 0; block < PAGES; block += 1) void putAny(writer, block);
    controller.abort();
    expect(storageErrorThrownBy(() => putAny(writer, PAGES)).code).toBe('aborted');
    expect((await storageErrorOf(writer.finish())).code).toBe('aborted');
    expect(namesOn(disk)).toEqual([]);
    expect(disk.fileSystem.openCount).toBe(0);
  });

  test('a layer that threads compress rejects when the pool is closed under it, and leaves nothing', async () => {
    const disk = memoryDisk();
    const closing = newPool();
    const options = imageOptions(disk, { compression: ZSTD, compressionPool: closing });
    const writer = await ImageLayerWriter.create(options);
    for (let block = 0; block < PAGES; block += 1) void writer.put(blockKey(block), noise(8192, 1));
    await closing.close();
    const error = await storageErrorOf(writer.finish());
    expect(error).toMatchObject({ code: 'closed', outcome: 'not-applied' });
    expect(namesOn(disk)).toEqual([]);
    expect(disk.fileSystem.openCount).toBe(0);
  });

  test('a layer that threads compress makes awaited puts wait instead of collecting all images', async () => {
    const disk = memoryDisk();
    const options = imageOptions(disk, { compression: ZSTD, compressionPool: pool() });
    await using writer = await ImageLayerWriter.create(options);
    let waits = 0;
    for (let block = 0; block < 2000; block += 1) {
      const room = writer.put(blockKey(block), bytesOf(8192, 3));
      if (room !== undefined) waits += 1;
      await room;
    }
    expect(waits).toBeGreaterThan(0);
    await writer.finish();
  });
});

test('unawaited puts are refused once 64 MiB of them wait, and change nothing', async () => {
  const disk = memoryDisk();
  const options = imageOptions(disk, { compression: ZSTD, compressionPool: pool() });
  await using writer = await ImageLayerWriter.create(options);
  const page = new Uint8Array(1024 * 1024);
  let count = 0;
  const error = storageErrorThrownBy(() => {
    for (; count < 100; count += 1) void writer.put(blockKey(count), page);
  });
  expect(error).toMatchObject({ code: 'too-large' });
  expect(count).toBeGreaterThan(60);
  expect(writer.entryCount).toBe(count);
  expect((await writer.finish()).entryCount).toBe(count);
});

test('tombstones and encoded blobs alone go around the pool', async () => {
  const disk = memoryDisk();
  const closed = new CompressionPool({ threadCount: 0 });
  await closed.close();
  const options = imageOptions(disk, { compression: ZSTD, compressionPool: closed });
  await using writer = await ImageLayerWriter.create(options);
  await writer.put(blockKey(1), new Uint8Array(0));
  await writer.putBlob(blockKey(2), encodedBlob(8192, 2));
  expect((await writer.finish()).entryCount).toBe(2);
});

async function write(options: Partial<ImageWriteOptions>, put: Put = putAny): Promise<Uint8Array> {
  const disk = memoryDisk();
  await using writer = await ImageLayerWriter.create(
    imageOptions(disk, { compression: ZSTD, ...options }),
  );
  for (let block = 0; block < PAGES; block += 1) await put(writer, block);
  const { path } = await writer.finish();
  return disk.fileSystem.contentOf(path);
}

function encodedBlob(length: number, seed: number): Uint8Array {
  const blob = new Uint8Array(4 + length);
  encodePlainBlobHeader(blob, 0, length);
  blob.set(noise(length, seed), 4);
  return blob;
}

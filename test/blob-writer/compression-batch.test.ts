import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { encodePlainBlobHeader } from '../../src/blob-writer/blob-format.ts';
import {
  batchRoomFor,
  CompressionBatch,
  MAXIMUM_BATCH_COUNT,
} from '../../src/blob-writer/compression-batch.ts';
import { loadCompressor } from '../../src/zstd/compression.ts';
import { bytesOf, writeBlobs } from '../support/blobs.ts';

const NOISE = Buffer.concat(
  Array.from({ length: 400 }, (_, n) => createHash('sha256').update(`${n}`).digest()),
);

/** By name: lengths around the short limit, and contents that do and do not become smaller. */
const CONTENTS: Record<string, Uint8Array> = {
  nothing: new Uint8Array(0),
  'one byte': Uint8Array.of(7),
  'the longest short one': new Uint8Array(127).fill(1),
  'the shortest long one': new Uint8Array(128).fill(1),
  'noise of 128 bytes': NOISE.subarray(0, 128),
  'noise of 8 KiB': NOISE.subarray(0, 8192),
  'zeros of 8 KiB': new Uint8Array(8192),
  'a page': bytesOf(8192, 5),
  'a content of two blocks': bytesOf(200_000, 5),
};

describe('a batch', () => {
  test('a batch becomes the blobs that the writer makes of its contents, in their order', async () => {
    const contents = Object.values(CONTENTS);
    for (const order of [contents, contents.toReversed()]) {
      const batch = batchOf(order);
      await compress(batch);
      const { file, end } = await writeBlobs(
        order.map((content) => ({ content, compressed: true })),
      );
      expect(Buffer.compare(batch.encoded, file.subarray(0, end))).toBe(0);
    }
  });

  test('a batch has the size of each blob', async () => {
    const batch = batchOf(Object.values(CONTENTS));
    await compress(batch);
    const { offsets, end } = await writeBlobs(
      Object.values(CONTENTS).map((content) => ({ content, compressed: true })),
    );
    const sizes = [...offsets.slice(1), end].map((next, at) => next - (offsets[at] as number));
    const told = sizes.map((_, index) => batch.encodedSize(index));
    expect(told).toEqual(sizes);
  });

  test('a batch keeps blobs that are encoded already, between contents', async () => {
    const blob = new Uint8Array(300);
    encodePlainBlobHeader(blob, 0, 296);
    const batch = CompressionBatch.create(20_000);
    batch.add(new Uint8Array(8192));
    batch.addEncoded(blob);
    batch.add(NOISE.subarray(0, 1000));
    await compress(batch);
    const start = batch.encodedSize(0);
    expect(batch.encodedSize(1)).toBe(300);
    expect(batch.encoded.subarray(start, start + 300)).toEqual(blob);
    expect(batch.encoded.length).toBe(start + 300 + 1004);
  });

  test('a batch is empty, and stays so', async () => {
    const batch = CompressionBatch.create(100);
    await compress(batch);
    expect(batch.encoded.length).toBe(0);
  });

  test('a batch has room for what its capacity says, to the byte', () => {
    const batch = CompressionBatch.create(2 * batchRoomFor(500));
    batch.add(new Uint8Array(500));
    expect(batch.hasRoomFor(500)).toBe(true);
    expect(batch.hasRoomFor(501)).toBe(false);
    batch.add(new Uint8Array(500));
    expect(batch.hasRoomFor(0)).toBe(false);
  });

  test('a batch has room for N blobs, however short they are', () => {
    const batch = CompressionBatch.create(1_000_000);
    for (let count = 0; count < MAXIMUM_BATCH_COUNT; count += 1) {
      expect(batch.hasRoomFor(1)).toBe(true);
      batch.add(Uint8Array.of(1));
    }
    expect(batch.hasRoomFor(1)).toBe(false);
    batch.clear();
    expect(batch.hasRoomFor(1)).toBe(true);
    expect(batch.count).toBe(0);
  });

  test('a batch is used again after it was compressed', async () => {
    const batch = batchOf([NOISE.subarray(0, 8192), new Uint8Array(8192)]);
    await compress(batch);
    const first = Buffer.from(batch.encoded);
    batch.clear();
    batch.add(NOISE.subarray(0, 8192));
    batch.add(new Uint8Array(8192));
    await compress(batch);
    expect(Buffer.compare(batch.encoded, first)).toBe(0);
  });
});

function batchOf(contents: readonly Uint8Array[]): CompressionBatch {
  const capacity = contents.reduce((sum, { length }) => sum + batchRoomFor(length), 0);
  const batch = CompressionBatch.create(capacity);
  for (const content of contents) batch.add(content);
  return batch;
}

async function compress(batch: CompressionBatch): Promise<void> {
  const compressor = await loadCompressor(1);
  const compression = batch.compression();
  for (let content = compression.next(); content !== undefined; content = compression.next()) {
    compression.store(compressor.compressSync(content));
  }
}

import { describe, expect, test } from 'vitest';
import { blobsFrom } from '../../src/blob-writer/blob-entries.ts';
import { BlobReader } from '../../src/blob-writer/blob-reader.ts';
import { bytesSource } from '../../src/blob-writer/byte-source.ts';

/** Blobs of 1, 0 and 200 bytes, at 0, 2 and 3. */
const LONG = new Uint8Array(200).fill(9);
const BLOBS = Uint8Array.of(1, 5, 0, 0x80, 0, 0, 200, ...LONG);

function blobsOf(bytes: Uint8Array, offset = 0) {
  return blobsFrom(new BlobReader(bytesSource(bytes, 'log')), offset);
}

async function placesOf(entries: ReturnType<typeof blobsFrom>): Promise<number[][]> {
  const places: number[][] = [];
  for await (const { offset, end, bytes } of entries) places.push([offset, end, bytes.length]);
  return places;
}

describe('blobs from an offset on', () => {
  test('blobs from an offset on are given with their offsets and ends, up to the end of the source', async () => {
    const entries = blobsOf(BLOBS);
    expect(await placesOf(entries)).toEqual([
      [0, 2, 1],
      [2, 3, 0],
      [3, 207, 200],
    ]);
    expect([entries.end, entries.damage]).toEqual([207, undefined]);
  });

  test('blobs from an offset on begin at the offset', async () => {
    expect(await placesOf(blobsOf(BLOBS, 2))).toEqual([
      [2, 3, 0],
      [3, 207, 200],
    ]);
  });

  test('blobs from an offset on end without a blob at the end of the source and in an empty source', async () => {
    for (const entries of [blobsOf(BLOBS, 207), blobsOf(new Uint8Array(0))]) {
      expect(await placesOf(entries)).toEqual([]);
      expect(entries.damage).toBeUndefined();
    }
  });

  test.each(Array.from({ length: 203 }, (_, index) => 4 + index))(
    'blobs from an offset on end in front of a blob that is cut at %d, which is truncated',
    async (length) => {
      const entries = blobsOf(BLOBS.subarray(0, length));
      expect(await placesOf(entries)).toHaveLength(2);
      expect(entries.end).toBe(3);
      expect(entries.damage).toMatchObject({ code: 'truncated', path: 'log', offset: 3 });
    },
  );

  test('blobs from an offset on end in front of bytes that are not a header, which are corrupt', async () => {
    const entries = blobsOf(Uint8Array.of(1, 5, 0xf0, 0, 0, 1, 7));
    expect(await placesOf(entries)).toEqual([[0, 2, 1]]);
    expect(entries.end).toBe(2);
    expect(entries.damage).toMatchObject({ code: 'corrupt', offset: 2 });
  });

  test('blobs from an offset on are copies, which stay when the walk has gone on', async () => {
    const bytes = Uint8Array.from(BLOBS);
    let first: Uint8Array | undefined;
    for await (const entry of blobsOf(bytes)) first ??= entry.bytes;
    bytes.fill(0);
    expect([...(first ?? [])]).toEqual([5]);
  });

  test('blobs from an offset on throw too-large, and are not at their end, for a blob above the limit', async () => {
    const limits = { maximumLength: 199, maximumWindowSize: 1 };
    const reader = new BlobReader(bytesSource(BLOBS), { start: 0, end: 207 }, limits);
    const entries = blobsFrom(reader, 0);
    await expect(placesOf(entries)).rejects.toMatchObject({ code: 'too-large', offset: 3 });
    expect(entries.damage).toBeUndefined();
  });

  test('blobs from an offset on end with aborted once the signal has fired', async () => {
    const signal = AbortSignal.abort();
    const entries = blobsFrom(new BlobReader(bytesSource(BLOBS)), 0, { signal });
    await expect(placesOf(entries)).rejects.toMatchObject({ code: 'aborted' });
  });

  test.each([-1, 208, 1.5, Number.NaN])('blobs from an offset on are refused from %d', (offset) => {
    expect(() => blobsOf(BLOBS, offset)).toThrow(/offset of the first blob/);
  });
});

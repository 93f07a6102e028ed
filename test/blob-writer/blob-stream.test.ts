import { describe, expect, test } from 'vitest';
import { decodeBlobHeader } from '../../src/blob-writer/blob-format.ts';
import { BlobReader } from '../../src/blob-writer/blob-reader.ts';
import { type ByteSource, bytesSource } from '../../src/blob-writer/byte-source.ts';
import { StorageError } from '../../src/errors.ts';
import {
  DEFAULT_DECOMPRESSION_LIMITS,
  MAXIMUM_PIECE_LENGTH,
} from '../../src/zstd/decompression.ts';
import { zstdBlocks } from '../../src/zstd/frame.ts';
import { bytesOf, countingSource, writeBlobs } from '../support/blobs.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const LIMITS = DEFAULT_DECOMPRESSION_LIMITS;
const MIB = 1024 * 1024;

/** Streams the blob at the offset; what was passed on, copied. */
async function stream(source: ByteSource, file: Uint8Array, offset: number, limits = LIMITS) {
  const reader = new BlobReader(source, { start: 0, end: source.size }, limits);
  const header = decodeBlobHeader(file, offset, offset);
  const pieces: Buffer[] = [];
  const length = await reader.stream(offset, header, (piece) => {
    expect(piece.length).toBeLessThanOrEqual(MAXIMUM_PIECE_LENGTH);
    pieces.push(Buffer.from(piece));
  });
  const content = Buffer.concat(pieces);
  expect(content).toHaveLength(length);
  return content;
}

describe('a blob in pieces', () => {
  test.each([0, 1, 127, 128, 8192, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, MIB, 2 * MIB + 7])(
    'a blob in pieces of %i bytes is the same as whole, plain and compressed',
    async (length) => {
      const content = bytesOf(length, 3);
      const { file, offsets } = await writeBlobs(
        [
          { content, compressed: false },
          { content, compressed: true },
        ],
        { startOffset: 5, bufferSize: 65_536 },
      );
      for (const offset of offsets) {
        for (const limit of [Number.POSITIVE_INFINITY, 100_001]) {
          const source = countingSource(file, { limit });
          expect((await stream(source, file, offset)).equals(content)).toBe(true);
        }
      }
    },
  );

  test('a blob in pieces takes reads of at most 256 KiB, however long it is', async () => {
    const content = bytesOf(5 * MIB, 3);
    const { file, offsets } = await writeBlobs(
      [
        { content, compressed: false },
        { content, compressed: true },
      ],
      { bufferSize: MIB },
    );
    for (const offset of offsets) {
      const source = countingSource(file);
      await stream(source, file, offset);
      expect(Math.max(...source.reads.map(({ length }) => length))).toBe(256 * 1024);
    }
  });

  test('a blob that is streamed between other reads is unchanged', async () => {
    const contents = [1, 2, 3, 4].map((seed) => bytesOf(MIB + seed * 50_000, seed));
    const { file, offsets } = await writeBlobs(
      contents.map((content) => ({ content, compressed: true })),
      { bufferSize: MIB },
    );
    const source: ByteSource = {
      ...bytesSource(file),
      read: async (target, offset) => {
        await new Promise(setImmediate);
        return bytesSource(file).read(target, offset);
      },
    };
    const streamed = await Promise.all(offsets.map((offset) => stream(source, file, offset)));
    for (const [n, content] of contents.entries()) {
      expect(streamed[n]?.equals(content)).toBe(true);
    }
  });
});

describe('an error in the middle', () => {
  const place = 1000;

  async function blob(compressed: boolean) {
    const content = bytesOf(2 * MIB, 3);
    const { file } = await writeBlobs([{ content, compressed }], {
      startOffset: place,
      bufferSize: MIB,
    });
    return file;
  }

  test.each([true, false])(
    'a source that ends early is truncated at its own end (compressed: %s)',
    async (is) => {
      const file = await blob(is);
      for (const cut of [place + 2, place + 10, place + 5000, file.length - 1]) {
        const inner = bytesSource(file.subarray(0, cut), 'name');
        const source: ByteSource = { ...inner, size: file.length };
        expect(await storageErrorOf(stream(source, file, place))).toMatchObject({
          code: 'truncated',
          path: 'name',
          offset: Math.max(cut, place + 4),
        });
      }
    },
  );

  test.each([true, false])(
    'the error of a source that fails is passed on (compressed: %s)',
    async (is) => {
      const file = await blob(is);
      const failure = new StorageError('io', { what: 'broken', path: 'name', errno: 'EIO' });
      const inner = bytesSource(file, 'name');
      for (const failing of [0, 1, 2]) {
        let reads = 0;
        const source: ByteSource = {
          ...inner,
          read: (target, offset) => {
            if (reads === failing) return Promise.reject(failure);
            reads += 1;
            return inner.read(target, offset);
          },
        };
        expect(await storageErrorOf(stream(source, file, place))).toBe(failure);
      }
    },
  );

  test.each([true, false])(
    'the error of a receiver that throws is passed on (compressed: %s)',
    async (is) => {
      const file = await blob(is);
      const reader = new BlobReader(bytesSource(file), { start: 0, end: file.length }, LIMITS);
      const failure = new StorageError('io', { what: 'disk full', path: 'elsewhere', offset: 7 });
      const streaming = reader.stream(place, decodeBlobHeader(file, place, place), () => {
        throw failure;
      });
      expect(await storageErrorOf(streaming)).toBe(failure);
    },
  );

  test('damage: the place in the file', async () => {
    const file = await blob(true);
    const frame = Buffer.from(file.subarray(place + 4));
    const block = [...zstdBlocks(frame, 6)][10];
    if (block === undefined) throw new Error('the frame has fewer blocks');
    frame.fill(0xff, block.start + 3, block.end);
    const damaged = Buffer.concat([file.subarray(0, place + 4), frame]);
    const error = await storageErrorOf(stream(bytesSource(damaged, 'name'), damaged, place));
    expect(error).toMatchObject({ code: 'corrupt', path: 'name' });
    // Of the part that was decoded in one call.
    expect(error.offset).toBeGreaterThan(place + 4);
    expect(error.offset).toBeLessThanOrEqual(place + 4 + block.start);
  });

  test('a content above the limit: the place of the frame', async () => {
    const file = await blob(true);
    const limits = { ...LIMITS, maximumLength: MIB };
    const error = await storageErrorOf(stream(bytesSource(file, 'name'), file, place, limits));
    expect(error).toMatchObject({ code: 'too-large', path: 'name', offset: place + 4 });
  });
});

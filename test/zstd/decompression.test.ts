import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { StorageError } from '../../src/errors.ts';
import { type CompressorName, loadCompressor } from '../../src/zstd/compression.ts';
import {
  DEFAULT_DECOMPRESSION_LIMITS,
  type DecompressionLimits,
  Decompressor,
  MAXIMUM_PIECE_LENGTH,
} from '../../src/zstd/decompression.ts';
import { scanZstdFrame } from '../../src/zstd/frame.ts';
import { bytesOf } from '../support/blobs.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';
import {
  contentOf,
  encodeFrame,
  type TestBlock,
  type TestFrame,
  xxh64,
} from '../support/zstd-frames.ts';

const LIMITS = DEFAULT_DECOMPRESSION_LIMITS;
const KIB = 1024;
const MIB = 1024 * 1024;

let decompressor: Decompressor;
beforeAll(async () => {
  decompressor = await Decompressor.load();
});

async function compress(content: Uint8Array, name: CompressorName = 'wasm'): Promise<Uint8Array> {
  return (await loadCompressor(1, name)).compress(content);
}

/** The three ways to the content, which must agree; the error, where there is one. */
async function everyWay(
  frame: Uint8Array,
  limits: DecompressionLimits = LIMITS,
): Promise<(Buffer | StorageError)[]> {
  const pieces: Buffer[] = [];
  const onPiece = (piece: Uint8Array): void => {
    expect(piece.length).toBeGreaterThan(0);
    expect(piece.length).toBeLessThanOrEqual(MAXIMUM_PIECE_LENGTH);
    pieces.push(Buffer.from(piece));
  };
  const source = {
    length: frame.length,
    bytes: (offset: number, length: number): Uint8Array | Promise<Uint8Array> => {
      if (offset + length > frame.length) throw new Error('asked for bytes behind the frame');
      const bytes = frame.subarray(offset, offset + length);
      return offset % 3 === 0 && length > 3 ? Promise.resolve(bytes) : bytes;
    },
  };
  const whole = orError(() => Buffer.from(decompressor.decompress(frame, limits)));
  const inPieces = orError(() => {
    const length = decompressor.decompressPieces(frame, limits, onPiece);
    expect(length).toBe(pieces.reduce((sum, piece) => sum + piece.length, 0));
    return Buffer.concat(pieces);
  });
  pieces.length = 0;
  const fromSource = await decompressor.decompressFrom(source, limits, onPiece).then(
    () => Buffer.concat(pieces),
    (error: unknown) => {
      if (error instanceof StorageError) return error;
      throw error;
    },
  );
  return [whole, inPieces, fromSource];
}

function orError<T>(action: () => T): T | StorageError {
  try {
    return action();
  } catch (error) {
    if (error instanceof StorageError) return error;
    throw error;
  }
}

async function expectContent(frame: Uint8Array, content: Uint8Array): Promise<void> {
  for (const result of await everyWay(frame)) {
    if (result instanceof StorageError) throw result;
    expect(result.length).toBe(content.length);
    expect(result.equals(content)).toBe(true);
  }
}

async function expectError(
  frame: Uint8Array,
  expected: Record<string, unknown>,
  limits = LIMITS,
): Promise<void> {
  for (const result of await everyWay(frame, limits)) expect(result).toMatchObject(expected);
}

/** Blocks of several kinds, about `length` bytes of content. */
function blocksOf(length: number): TestBlock[] {
  const blocks: TestBlock[] = [];
  for (let done = 0; done < length; ) {
    const size = Math.min(length - done, 1 + ((done * 7 + 3) % (128 * KIB)));
    if (blocks.length % 2 === 0) blocks.push({ kind: 'raw', bytes: bytesOf(size, blocks.length) });
    else blocks.push({ kind: 'repeated', byte: blocks.length, length: size });
    if (blocks.length % 5 === 0) blocks.push({ kind: 'raw', bytes: new Uint8Array(0) });
    done += size;
  }
  return blocks.length > 0 ? blocks : [{ kind: 'raw', bytes: new Uint8Array(0) }];
}

describe('good frames', () => {
  test.each([
    0,
    1,
    127,
    128,
    8192,
    128 * KIB - 1,
    128 * KIB,
    128 * KIB + 1,
    256 * KIB,
    MIB - 1,
    MIB,
    MIB + 1,
    MIB + 128 * KIB,
    2 * MIB + 5,
  ])('good frames of %i bytes come back, whole and in pieces', async (length) => {
    const content = bytesOf(length, 9);
    await expectContent(await compress(content), content);
  });

  test.each([0, 1, 5000, MIB - 1, MIB, MIB + 1, 3 * MIB])(
    'good frames of %i bytes in blocks of every kind come back, with and without size and checksum',
    async (length) => {
      const blocks = blocksOf(length);
      const content = contentOf(blocks);
      const variants: Partial<TestFrame>[] = [
        {},
        { checksum: 'right' },
        { contentSize: { size: 8, value: BigInt(length) } },
        { contentSize: { size: 4, value: BigInt(length) }, window: 0x68, checksum: 'right' },
        { dictionary: new Uint8Array(4) },
      ];
      for (const variant of variants)
        await expectContent(encodeFrame({ blocks, ...variant }), content);
    },
  );

  test('good frames that end in empty blocks, or have them anywhere, come back', async () => {
    const empty: TestBlock = { kind: 'raw', bytes: new Uint8Array(0) };
    const nothing: TestBlock = { kind: 'repeated', byte: 1, length: 0 };
    for (const length of [10, MIB + 10]) {
      const blocks = [empty, nothing, ...blocksOf(length), empty, nothing, empty];
      for (const checksum of [undefined, 'right'] as const) {
        await expectContent(encodeFrame({ blocks, checksum }), contentOf(blocks));
      }
    }
  });

  test('good frames of nothing but empty blocks, more than fit into one call, are empty', async () => {
    const empty = encodeFrame({ blocks: [{ kind: 'raw', bytes: new Uint8Array(0) }] });
    const many = Buffer.alloc(3 * 700_001);
    const frame = Buffer.concat([empty.subarray(0, 6), many, empty.subarray(6)]);
    expect(frame.length).toBeGreaterThan(2 * MIB);
    await expectContent(frame, new Uint8Array(0));
  });

  test('good frames whose matches reach back over all pieces come back', async () => {
    const period = bytesOf(300_000, 4);
    const content = Buffer.concat(new Array(12).fill(period));
    await expectContent(await compress(content), content);
  });

  test('the content is a fresh array, whatever is decompressed later', async () => {
    for (const length of [1000, 2 * MIB]) {
      const frame = await compress(bytesOf(length, 1));
      const content = decompressor.decompress(frame, LIMITS);
      const copy = Buffer.from(content);
      decompressor.decompress(await compress(bytesOf(length, 2)), LIMITS);
      expect(copy.equals(content)).toBe(true);
      expect(content.buffer.byteLength).toBeLessThan(4 * MIB);
    }
  });

  test('valid frames can be decompressed while the pieces of another are passed on', async () => {
    const outer = bytesOf(2 * MIB, 1);
    const inner = bytesOf(MIB + 300_000, 2);
    const [outerFrame, innerFrame] = [await compress(outer), await compress(inner)];
    const pieces: Buffer[] = [];
    decompressor.decompressPieces(outerFrame, LIMITS, (piece) => {
      pieces.push(Buffer.from(piece));
      expect(Buffer.from(decompressor.decompress(innerFrame, LIMITS)).equals(inner)).toBe(true);
    });
    expect(Buffer.concat(pieces).equals(outer)).toBe(true);
  });

  test('valid frames can be decompressed from many sources concurrently', async () => {
    await Promise.all(
      [0, 1, 2, 3, 4].map(async (seed) => {
        const content = bytesOf(MIB + 100_000 * seed, seed);
        await expectContent(await compress(content), content);
      }),
    );
  });

  test('good frames come back after a receiver threw in the middle', async () => {
    const content = bytesOf(2 * MIB, 1);
    const frame = await compress(content);
    const failure = new Error('enough');
    expect(() =>
      decompressor.decompressPieces(frame, LIMITS, () => {
        throw failure;
      }),
    ).toThrow(failure);
    await expectContent(frame, content);
  });

  test('the checksum of the tests is XXH64', () => {
    expect(xxh64(Buffer.from('')).toString(16)).toBe('ef46db3751d8e999');
    expect(xxh64(Buffer.from('abc')).toString(16)).toBe('44bc2cf5ad770999');
    expect(xxh64(Buffer.alloc(100, 'x'))).not.toBe(xxh64(Buffer.alloc(101, 'x')));
  });
});

describe('bad frames', () => {
  test.each([10, MIB + 10, 2 * MIB])(
    'bad frames of %i bytes with a wrong checksum are corrupt',
    async (length) => {
      const blocks = blocksOf(length);
      await expectError(encodeFrame({ blocks, checksum: 'wrong' }), { code: 'corrupt' });
      blocks.push({ kind: 'raw', bytes: new Uint8Array(0) });
      await expectError(encodeFrame({ blocks, checksum: 'wrong' }), { code: 'corrupt' });
    },
  );

  test.each([1n, -1n])('bad frames whose content size is off by %i are corrupt', async (by) => {
    for (const length of [1000, MIB + 10]) {
      // Compressed, so that the scan cannot know the length.
      const streamed = await compress(new Uint8Array(length));
      const bytes = Buffer.from(streamed.subarray(6));
      const size = Buffer.alloc(8);
      size.writeBigUInt64LE(BigInt(length) + by);
      const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xc0, streamed[5] ?? 0]);
      await expectError(Buffer.concat([header, size, bytes]), { code: 'corrupt' });
      size.writeBigUInt64LE(BigInt(length));
      await expectContent(Buffer.concat([header, size, bytes]), new Uint8Array(length));
    }
  });

  test('bad frames that are cut at any byte are truncated', async () => {
    const frame = encodeFrame({ blocks: blocksOf(3000), checksum: 'right' });
    for (let length = 0; length < frame.length; length += 1) {
      const error = storageErrorThrownBy(() =>
        decompressor.decompress(frame.subarray(0, length), LIMITS),
      );
      expect(error.code).toBe('truncated');
    }
    for (const length of [0, 1, 4, 5, 6, 8, 9, 100, frame.length - 5, frame.length - 1]) {
      await expectError(frame.subarray(0, length), { code: 'truncated' });
    }
  });

  test('frames followed by bytes are corrupt', async () => {
    const frame = encodeFrame({ blocks: blocksOf(3000) });
    for (const tail of [Buffer.of(0), frame]) {
      await expectError(Buffer.concat([frame, tail]), { code: 'corrupt', offset: frame.length });
    }
  });

  test('bad frames with a block that does not decode are corrupt', async () => {
    const bad: TestBlock = { kind: 'compressed', bytes: new Uint8Array(20).fill(0xff) };
    for (const length of [100, MIB + 10]) {
      for (const blocks of [
        [bad, ...blocksOf(length)],
        [...blocksOf(length), bad],
        [...blocksOf(length), bad, ...blocksOf(10)],
        [...blocksOf(length), bad, ...blocksOf(length)],
      ]) {
        await expectError(encodeFrame({ blocks }), { code: 'corrupt' });
      }
    }
  });

  test('bad frames with a reserved block, a dictionary or a reserved bit are corrupt', async () => {
    const blocks = blocksOf(100);
    await expectError(
      encodeFrame({ blocks: [...blocks, { kind: 'reserved', bytes: Buffer.of(1) }] }),
      {
        code: 'corrupt',
      },
    );
    await expectError(encodeFrame({ blocks, dictionary: Uint8Array.of(7) }), { code: 'corrupt' });
    await expectError(encodeFrame({ blocks, reservedBit: true }), { code: 'corrupt' });
  });

  test('random damage anywhere is a StorageError, or gives the same content every way', async () => {
    const samples = [
      Buffer.from(await compress(bytesOf(3000, 1))),
      Buffer.from(await compress(bytesOf(200_000, 2))),
      encodeFrame({ blocks: blocksOf(5000), checksum: 'right' }),
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.nat(samples.length - 1),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.boolean(),
        async (index, flips, inTheHeader) => {
          const frame = Buffer.from(samples[index] ?? []);
          for (const [place, bits] of flips) {
            const at = place % (inTheHeader ? 16 : frame.length);
            frame[at] = (frame[at] ?? 0) ^ bits;
          }
          const limits = { maximumLength: 8 * MIB, maximumWindowSize: 8 * MIB };
          const results = await everyWay(frame, limits);
          const contents = results.flatMap((result) =>
            result instanceof StorageError ? [] : [result],
          );
          for (const result of results) {
            if (!(result instanceof StorageError)) continue;
            expect(['corrupt', 'truncated', 'too-large']).toContain(result.code);
          }
          // Of blocks that expand beyond 128 KiB, only the streaming decoder notices.
          for (const content of contents) {
            expect(content.equals(contents[0] ?? Buffer.of())).toBe(true);
            expect(content.length).toBeLessThanOrEqual(limits.maximumLength);
          }
        },
      ),
      { numRuns: rounds(300) },
    );
  });

  test('random damage of a large frame is an error, or gives a content within the limit', async () => {
    const content = bytesOf(MIB + 200_000, 3);
    const frame = Buffer.from(await compress(content));
    await fc.assert(
      fc.property(fc.nat(frame.length - 1), fc.integer({ min: 1, max: 255 }), (at, bits) => {
        const damaged = Buffer.from(frame);
        damaged[at] = (damaged[at] ?? 0) ^ bits;
        const result = orError(() => decompressor.decompress(damaged, LIMITS));
        if (result instanceof StorageError) {
          expect(['corrupt', 'truncated', 'too-large']).toContain(result.code);
        }
      }),
      { numRuns: rounds(100) },
    );
    // And the decoder is as good as before.
    expect(Buffer.from(decompressor.decompress(frame, LIMITS)).equals(content)).toBe(true);
  });
});

describe('limits', () => {
  test('the length is allowed, one byte less is too-large', async () => {
    for (const length of [1, 1000, MIB, MIB + 1, 2 * MIB]) {
      const content = new Uint8Array(length).fill(3);
      for (const frame of [await compress(content), encodeFrame({ blocks: blocksOf(length) })]) {
        const exact = { ...LIMITS, maximumLength: length };
        expect(decompressor.decompress(frame, exact)).toHaveLength(length);
        await expectError(frame, { code: 'too-large' }, { ...LIMITS, maximumLength: length - 1 });
      }
    }
  });

  test('the window is allowed, one byte less is too-large', async () => {
    for (const window of [0x00, 0x68, 0x69]) {
      const frame = encodeFrame({ blocks: blocksOf(100), window });
      const windowSize = window === 0 ? KIB : window === 0x68 ? 8 * MIB : 9 * MIB;
      const exact = { ...LIMITS, maximumWindowSize: windowSize };
      expect(decompressor.decompress(frame, exact)).toHaveLength(100);
      const less = { ...LIMITS, maximumWindowSize: windowSize - 1 };
      await expectError(frame, { code: 'too-large', actual: `${windowSize}` }, less);
    }
  });

  test('decompression bombs are refused before any output', async () => {
    // 12 KiB that stand for 384 MiB.
    const repeated: TestBlock = { kind: 'repeated', byte: 0, length: 128 * KIB };
    const bomb = encodeFrame({ blocks: new Array(3072).fill(repeated) });
    expect(bomb.length).toBeLessThan(13 * KIB);
    const start = process.cpuUsage();
    let pieces = 0;
    for (let turn = 0; turn < 20; turn += 1) {
      const act = (): number =>
        decompressor.decompressPieces(bomb, LIMITS, () => {
          pieces += 1;
        });
      expect(storageErrorThrownBy(act)).toMatchObject({ code: 'too-large' });
    }
    expect(pieces).toBe(0);
    expect(process.cpuUsage(start).user).toBeLessThan(2_000_000);
  });

  test('a false content size in a few bytes is refused without allocating', async () => {
    const blocks: TestBlock[] = [{ kind: 'raw', bytes: Buffer.from('x') }];
    for (const value of [2n ** 31n, 2n ** 40n, 2n ** 52n, 2n ** 63n, 2n ** 64n - 1n]) {
      for (const window of [undefined, 0x68]) {
        const frame = encodeFrame({ blocks, window, contentSize: { size: 8, value } });
        for (const result of await everyWay(frame)) {
          if (!(result instanceof StorageError)) throw new Error('not refused');
          expect(['corrupt', 'too-large']).toContain(result.code);
        }
      }
    }
  });

  test('what compressed blocks expand to stops at the limit', async () => {
    // Of one byte alone, blocks would not be compressed but repeat it, and tell their length.
    const frame = await compress(Buffer.alloc(40 * MIB, 'all work and no play '));
    expect(frame.length).toBeLessThan(20 * KIB);
    expect(scanZstdFrame(frame).minimumLength).toBeLessThan(MIB);
    let received = 0;
    const limits = { ...LIMITS, maximumLength: 10 * MIB };
    const act = (): number =>
      decompressor.decompressPieces(frame, limits, (piece) => {
        received += piece.length;
      });
    expect(storageErrorThrownBy(act)).toMatchObject({ code: 'too-large' });
    expect(received).toBeLessThanOrEqual(limits.maximumLength);
  });
});

test('a source that fails, or a receiver that throws, ends it with that error', async () => {
  const frame = await compress(bytesOf(MIB + 5, 1));
  const failure = new StorageError('io', { what: 'broken', errno: 'EIO' });
  for (const failingCall of [0, 1, 5, 12, 20]) {
    let calls = 0;
    const source = {
      length: frame.length,
      bytes: (offset: number, length: number): Uint8Array => {
        if (calls === failingCall) throw failure;
        calls += 1;
        return frame.subarray(offset, offset + length);
      },
    };
    expect(await storageErrorOf(decompressor.decompressFrom(source, LIMITS, () => {}))).toBe(
      failure,
    );
  }
  const source = {
    length: frame.length,
    bytes: (offset: number, length: number) => frame.subarray(offset, offset + length),
  };
  const throwing = decompressor.decompressFrom(source, LIMITS, () => {
    throw failure;
  });
  expect(await storageErrorOf(throwing)).toBe(failure);
});

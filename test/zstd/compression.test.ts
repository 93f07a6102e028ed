import { createHash } from 'node:crypto';
import * as zlib from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { isStorageError } from '../../src/errors.ts';
import {
  type Compressor,
  checkCompression,
  DEFAULT_COMPRESSION,
  loadCompressor,
} from '../../src/zstd/compression.ts';
import { DEFAULT_DECOMPRESSION_LIMITS, Decompressor } from '../../src/zstd/decompression.ts';
import { scanZstdFrame } from '../../src/zstd/frame.ts';
import { MAXIMUM_ZSTD_LEVEL, MINIMUM_ZSTD_LEVEL } from '../../src/zstd/level.ts';
import { bytesOf } from '../support/blobs.ts';
import { HAS_ALL_ROUNDS } from '../support/rounds.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const LIMITS = DEFAULT_DECOMPRESSION_LIMITS;
const MIB = 1024 * 1024;

const LEVELS = Array.from(
  { length: MAXIMUM_ZSTD_LEVEL - MINIMUM_ZSTD_LEVEL + 1 },
  (_, index) => MINIMUM_ZSTD_LEVEL + index,
);

/** All that this process has, each once: above level 19 there is only the WebAssembly one, which is always there. */
async function compressors(level: number): Promise<Compressor[]> {
  const found: Compressor[] = [];
  for (const name of ['native', 'node', 'wasm'] as const) {
    try {
      const compressor = await loadCompressor(level, name);
      if (found.every((other) => other.name !== compressor.name)) found.push(compressor);
    } catch (error) {
      if (!isStorageError(error, 'not-found')) throw error;
    }
  }
  return found;
}

/** What cannot be compressed: a chain of hashes. */
const NOISE = Buffer.concat(
  Array.from({ length: 1_500_000 / 32 }, (_, n) => createHash('sha256').update(`${n}`).digest()),
);

const CONTENTS: Record<string, (length: number) => Uint8Array> = {
  zeros: (length) => new Uint8Array(length),
  text: (length) => Buffer.alloc(length, 'the quick brown fox jumps over the lazy dog. '),
  mixed: (length) => bytesOf(length, 5),
  noise: (length) => NOISE.subarray(0, length),
};

describe('which compressors there are', () => {
  test('the WebAssembly one is always there, node has one as of 22.15', async () => {
    const names = (await compressors(1)).map(({ name }) => name);
    expect(names).toContain('wasm');
    expect(names.includes('node')).toBe('zstdCompress' in zlib);
  });

  test('one that is missing is not-found', async () => {
    if ('zstdCompress' in zlib) {
      expect((await loadCompressor(1, 'node')).name).toBe('node');
    } else {
      expect((await storageErrorOf(loadCompressor(1, 'node'))).code).toBe('not-found');
    }
  });

  test('the fastest is the first of those there are', async () => {
    const [fastest] = await compressors(1);
    expect((await loadCompressor(1)).name).toBe(fastest?.name);
  });
});

describe('which compressor is chosen', () => {
  test.each([10, 12, 19, 20, 22])(
    'the compressor that is chosen above level 9 is the one that keeps its tables: %i',
    async (level) => {
      expect((await loadCompressor(level)).name).toBe('wasm');
    },
  );

  test.each(LEVELS)('a compressor has the requested level: %i', async (level) => {
    for (const compressor of await compressors(level)) expect(compressor.level).toBe(level);
  });
});

describe('level 1, as Neon uses it', () => {
  // Nothing at all is the one content of which node:zlib makes another frame, as long as the others;
  // no layer compresses it, nor anything below 128 bytes.
  const lengths = [
    1, 2, 127, 128, 129, 1000, 8191, 8192, 8193, 65_536, 131_071, 131_072, 131_073, 262_143,
    262_144, 262_145, 500_000, 1_048_576, 1_048_577, 1_500_000,
  ];
  test.each(Object.entries(CONTENTS))(
    'compressing at level 1 gives the same frames everywhere, of %s',
    async (_, make) => {
      const all = await compressors(1);
      for (const length of lengths) {
        const content = make(length);
        const frames = await Promise.all(all.map(async (one) => hash(await one.compress(content))));
        for (const one of all) frames.push(hash(one.compressSync(content)));
        expect(new Set(frames).size, `${length} bytes`).toBe(1);
      }
    },
  );

  test('compressing at level 1 gives the same frame of a part of a larger array', async () => {
    const whole = bytesOf(20_000, 5);
    const part = whole.subarray(1234, 9999);
    for (const compressor of await compressors(1)) {
      const before = hash(whole);
      const frame = await compressor.compress(part);
      expect(hash(frame)).toBe(hash(await compressor.compress(Uint8Array.from(part))));
      expect(hash(whole)).toBe(before);
    }
  });

  test('compressing at level 1 says neither the content size nor a checksum', async () => {
    for (const compressor of await compressors(1)) {
      for (const frame of [
        await compressor.compress(bytesOf(100_000, 5)),
        compressor.compressSync(bytesOf(100_000, 5)),
      ]) {
        expect(scanZstdFrame(frame)).toMatchObject({
          contentSize: undefined,
          hasChecksum: false,
          headerSize: 6,
        });
      }
    }
  });

  test('compressing at level 1 gives concurrent callers the right frames, each in its own array', async () => {
    for (const compressor of await compressors(1)) {
      const contents = Array.from({ length: 24 }, (_, n) => bytesOf(8192 + n, n));
      const alone: string[] = [];
      for (const content of contents) alone.push(hash(await compressor.compress(content)));
      const frames = await Promise.all(contents.map((content) => compressor.compress(content)));
      expect(frames.map(hash)).toEqual(alone);
      frames[0]?.fill(0);
      expect(frames.slice(1).map(hash)).toEqual(alone.slice(1));
    }
  });
});

/** The ends, and one of each strategy that costs little, unless all are wanted. */
const SAMPLE = HAS_ALL_ROUNDS ? LEVELS : [MINIMUM_ZSTD_LEVEL, 1, 3, 5, 12, 13, MAXIMUM_ZSTD_LEVEL];

describe('every level', () => {
  test.each(SAMPLE)('every frame of level %i is read within the default limits', async (level) => {
    const decompressor = await Decompressor.load();
    // Each frame of a high level costs its tables.
    const lengths =
      level > 12
        ? [level % 3 === 0 ? 128 : 140_000]
        : [0, 1, 128, 8192, level > 4 ? 140_000 : 600_000];
    for (const compressor of await compressors(level)) {
      for (const length of lengths) {
        const content = bytesOf(length, 5);
        const frame = await compressor.compress(content);
        const atOnce = compressor.compressSync(content).slice();
        if (length > 0) expect(hash(atOnce)).toBe(hash(frame));
        expect(Buffer.from(decompressor.decompress(atOnce, LIMITS)).equals(content)).toBe(true);
        expect(scanZstdFrame(frame).windowSize).toBeLessThanOrEqual(LIMITS.maximumWindowSize);
        expect(Buffer.from(decompressor.decompress(frame, LIMITS)).equals(content)).toBe(true);
      }
    }
  });

  test('0 is the default of libzstd, 3', async () => {
    const content = bytesOf(300_000, 5);
    for (const { name } of await compressors(0)) {
      const frame = await (await loadCompressor(0, name)).compress(content);
      const expected = await (await loadCompressor(3, name)).compress(content);
      expect(hash(frame)).toBe(hash(expected));
    }
  });

  test.each([20, 22])(
    'level %i stays within a window of 8 MiB for a content above it',
    async (level) => {
      const decompressor = await Decompressor.load();
      const compressor = await loadCompressor(level);
      for (const length of [8 * MIB, 8 * MIB + 1]) {
        const content = new Uint8Array(length);
        const frame = await compressor.compress(content);
        const { windowSize, contentSize } = scanZstdFrame(frame);
        expect(windowSize).toBe(8 * MIB);
        expect(contentSize).toBe(length === 8 * MIB ? length : undefined);
        let received = 0;
        decompressor.decompressPieces(frame, LIMITS, (piece) => {
          received += piece.length;
        });
        expect(received).toBe(length);
      }
    },
  );

  test.each([-8, 23, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    'a level of %d is invalid-input',
    async (level) => {
      const error = storageErrorThrownBy(() => checkCompression({ kind: 'zstd', level }));
      expect(error).toMatchObject({ code: 'invalid-input', actual: String(level) });
      expect((await storageErrorOf(loadCompressor(level))).code).toBe('invalid-input');
    },
  );

  test('no compression and the default level are accepted', () => {
    checkCompression({ kind: 'none' });
    checkCompression(DEFAULT_COMPRESSION);
    for (const level of LEVELS) checkCompression({ kind: 'zstd', level });
    expect(DEFAULT_COMPRESSION).toEqual({ kind: 'zstd', level: 1 });
  });
});

test('compressing between the pieces of a decompression disturbs neither', async () => {
  const decompressor = await Decompressor.load();
  const compressor = await loadCompressor(1, 'wasm');
  const content = bytesOf(2 * MIB, 5);
  const frame = await compressor.compress(content);
  const expected = hash(frame);
  const pieces: Buffer[] = [];
  decompressor.decompressPieces(frame, LIMITS, (piece) => {
    pieces.push(Buffer.from(piece));
    expect(hash(compressor.compress(content) as Uint8Array)).toBe(expected);
  });
  expect(Buffer.concat(pieces).equals(content)).toBe(true);
});

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isStorageError } from '../../src/errors.ts';
import { restoreBlockImage } from '../../src/wal/block-image.ts';
import { decompressLz4 } from '../../src/wal/lz4.ts';
import { decompressPglz } from '../../src/wal/pglz.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorOf, storageErrorThrownBy } from '../support/storage-errors.ts';

const text = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const ascii = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

describe('pglz', () => {
  test('literals and an overlapping copy', () => {
    // Control 0000_0100: two literals, then 4 bytes from 2 back.
    expect(ascii(decompressPglz(text('04 61 62 01 02'), 6))).toBe('ababab');
  });

  test('a copy of 18 bytes has its length continued', () => {
    expect(ascii(decompressPglz(text('02 78 0F 01 05'), 24))).toBe('x'.repeat(24));
  });

  test('a distance of 257 has its high bits in the first byte', () => {
    const literals = Array.from({ length: 257 }, (_, index) => index % 256);
    const stream: number[] = [];
    for (let index = 0; index < 256; index += 8)
      stream.push(0, ...literals.slice(index, index + 8));
    stream.push(0x02, literals[256] as number, 0x10, 0x01);
    expect([...decompressPglz(Uint8Array.from(stream), 260)]).toEqual([...literals, 0, 1, 2]);
  });

  test.each([
    ['of distance 0', '02 61 01 00', 5, 'corrupt'],
    ['from before the start', '02 61 01 02', 5, 'corrupt'],
    ['beyond the length', '02 61 0F 01 FF', 5, 'corrupt'],
    ['that ends early', '02 61 01', 5, 'truncated'],
  ])('a copy %s is refused', (_, stream, length, code) => {
    expect(storageErrorThrownBy(() => decompressPglz(text(stream), length)).code).toBe(code);
  });

  test('bytes after the stream are refused', () => {
    expect(storageErrorThrownBy(() => decompressPglz(text('00 61 62'), 1)).code).toBe('corrupt');
  });
});

describe('LZ4', () => {
  test('literals, an overlapping copy, and last literals', () => {
    // 1 literal, a copy of 4 + 1 from 1 back, then 2 literals.
    expect(ascii(decompressLz4(text('11 61 01 00 20 62 63'), 8))).toBe('aaaaaabc');
  });

  test('lengths of 15 and more are continued', () => {
    const literals = '62'.repeat(15 + 255 + 3);
    expect(decompressLz4(text(`F0 FF 03 ${literals}`), 273)).toHaveLength(273);
    expect(ascii(decompressLz4(text('1F 61 01 00 02 00'), 22))).toBe('a'.repeat(22));
  });

  test.each([
    ['a distance of 0', '11 61 00 00 00', 6, 'corrupt'],
    ['a distance to before the start', '11 61 02 00 00', 6, 'corrupt'],
    ['a copy beyond the length', '1F 61 01 00 FF 00', 6, 'corrupt'],
    ['literals beyond the length', 'F0 FF FF FF 00', 6, 'corrupt'],
    ['a short content', '20 61 62', 6, 'corrupt'],
    ['missing literals', '30 61 62', 6, 'truncated'],
    ['a missing distance', '11 61 01', 6, 'truncated'],
    ['no token', '', 6, 'truncated'],
  ])('an LZ4 stream with %s is refused', (_, stream, length, code) => {
    expect(storageErrorThrownBy(() => decompressLz4(text(stream), length)).code).toBe(code);
  });
});

test.each([
  ['pglz', decompressPglz],
  ['LZ4', decompressLz4],
])('any bytes as %s give the length that was asked for, or a typed error', (_, decompress) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat({ max: 8192 }), (bytes, length) => {
      try {
        expect(decompress(bytes, length)).toHaveLength(length);
      } catch (error) {
        if (!isStorageError(error, 'corrupt', 'truncated')) throw error;
      }
    }),
    { numRuns: rounds(3000) },
  );
});

test('a zstd frame of another length than the page without its hole is corrupt', async () => {
  // A frame with one raw block of 5 bytes.
  const bytes = text('28B52FFD 00 58 290000 68656C6C6F');
  const image = {
    bytes,
    holeOffset: 10,
    holeLength: 100,
    compression: 'zstd',
    apply: true,
  } as const;
  const error = await storageErrorOf(restoreBlockImage(image));
  expect(error.code).toBe('corrupt');
  expect(error.message).toContain('zstd page image: length: expected');
});

test.each([
  ['pglz', [0x01, 0x00, 0x00], 'distance of a copy at offset 1'],
  ['lz4', [0x1f], 'LZ4 block is truncated in its literals at offset 1'],
  ['zstd', [1, 2, 3, 4], 'zstd frame header is incomplete at offset 0'],
] as const)(
  'the error of an image by %s that cannot be decompressed says that it is one',
  async (compression, bytes, what) => {
    const image = {
      compression,
      bytes: Uint8Array.from(bytes),
      apply: true,
      holeOffset: 0,
      holeLength: 0,
    };
    const { message } = await storageErrorOf(restoreBlockImage(image));
    expect(message).toContain(`${compression} page image: ${what}`);
  },
);

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  blobHeaderSize,
  blobHeaderSizeOfFirstByte,
  checkBlobLength,
  decodeBlobHeader,
  encodePlainBlobHeader,
  encodeZstdBlobHeader,
  MAXIMUM_BLOB_LENGTH,
} from '../../src/blob-writer/blob-format.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function plain(length: number): string {
  const target = new Uint8Array(4);
  return hex(target.subarray(0, encodePlainBlobHeader(target, 0, length)));
}

function zstd(storedLength: number): string {
  const target = new Uint8Array(4);
  return hex(target.subarray(0, encodeZstdBlobHeader(target, 0, storedLength)));
}

/** 1 flag bit, 3 bits of compression, 28 bits of length, big-endian. */
const PLAIN: [number, string][] = [
  [0, '00'],
  [1, '01'],
  [0x41, '41'],
  [126, '7e'],
  [127, '7f'],
  [128, '80000080'], // The first length with a header of 4 bytes.
  [129, '80000081'],
  [255, '800000ff'],
  [256, '80000100'],
  [8191, '80001fff'],
  [8192, '80002000'],
  [8193, '80002001'],
  [65535, '8000ffff'],
  [65536, '80010000'],
  [0x123456, '80123456'],
  [0xffffff, '80ffffff'],
  [0x1000000, '81000000'], // The first length that needs the low bits of the first byte.
  [0x0abcdef0, '8abcdef0'],
  [0x0ffffffe, '8ffffffe'],
  [0x0fffffff, '8fffffff'],
];

describe('the header of a plain blob', () => {
  test.each(PLAIN)('the header of a plain blob of %i bytes is %s', (length, expected) => {
    expect(plain(length)).toBe(expected);
    expect(blobHeaderSize(length)).toBe(expected.length / 2);
    const decoded = decodeBlobHeader(Buffer.from(expected, 'hex'), 0, 0);
    expect(decoded).toEqual({
      headerSize: expected.length / 2,
      storedLength: length,
      compressed: false,
    });
  });
});

describe('the header of a zstd blob', () => {
  test.each([
    [0, '90000000'],
    [1, '90000001'],
    [127, '9000007f'], // Four bytes even below 128: short blobs are never compressed.
    [128, '90000080'],
    [8192, '90002000'],
    [0x0fffffff, '9fffffff'],
  ])('the header of a zstd blob of %i stored bytes is %s', (storedLength, expected) => {
    expect(zstd(storedLength)).toBe(expected);
    const decoded = decodeBlobHeader(Buffer.from(expected, 'hex'), 0, 0);
    expect(decoded).toEqual({ headerSize: 4, storedLength, compressed: true });
  });
});

describe('what is refused', () => {
  test.each([MAXIMUM_BLOB_LENGTH + 1, 0x7fffffff, 0x80000000, 0xffffffff, 2 ** 40])(
    'a blob of %i bytes is too-large for every header',
    (length) => {
      const target = new Uint8Array(4);
      for (const act of [
        () => checkBlobLength(length),
        () => encodePlainBlobHeader(target, 0, length),
        () => encodeZstdBlobHeader(target, 0, length),
      ]) {
        expect(storageErrorThrownBy(act)).toMatchObject({
          code: 'too-large',
          actual: String(length),
        });
      }
      expect(hex(target)).toBe('00000000');
    },
  );

  test('each first byte with an unknown compression is corrupt, with its place', () => {
    for (let first = 0; first < 256; first += 1) {
      const bytes = Uint8Array.of(9, first, 0x12, 0x34, 0x56);
      if (first < 0xa0) {
        const { headerSize } = decodeBlobHeader(bytes, 1, 0);
        expect(headerSize).toBe(blobHeaderSizeOfFirstByte(first));
        continue;
      }
      const error = storageErrorThrownBy(() => decodeBlobHeader(bytes, 1, 4711));
      expect(error).toMatchObject({
        code: 'corrupt',
        offset: 4711,
        expected: 'compression 000 or 001',
        actual: ((first >> 4) & 7).toString(2).padStart(3, '0'),
      });
    }
  });

  test('a header that is cut is truncated, with its place', () => {
    const whole = Uint8Array.of(0x90, 0, 0, 1);
    for (let length = 0; length < 4; length += 1) {
      const error = storageErrorThrownBy(() => decodeBlobHeader(whole.subarray(0, length), 0, 77));
      expect(error).toMatchObject({ code: 'truncated', offset: 77 });
    }
    expect(storageErrorThrownBy(() => decodeBlobHeader(whole, 4, 78)).code).toBe('truncated');
  });
});

test('what is encoded anywhere is decoded the same', () => {
  fc.assert(
    fc.property(
      fc.nat(MAXIMUM_BLOB_LENGTH),
      fc.nat(20),
      fc.boolean(),
      fc.uint8Array({ minLength: 24, maxLength: 24 }),
      (length, at, compressed, noise) => {
        const target = Uint8Array.from(noise);
        const size = compressed
          ? encodeZstdBlobHeader(target, at, length)
          : encodePlainBlobHeader(target, at, length);
        expect(decodeBlobHeader(target, at, 0)).toEqual({
          headerSize: size,
          storedLength: length,
          compressed,
        });
        target.set(noise.subarray(at, at + size), at);
        expect(target).toEqual(noise);
      },
    ),
  );
});

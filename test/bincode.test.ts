import { describe, expect, test } from 'vitest';
import { BincodeDecoder, BincodeEncoder } from '../src/bincode.ts';
import { storageErrorThrownBy } from './support/storage-errors.ts';

/** Each field of the vectors: u32, u64, i64, an option of each kind, a counted string, an array. */
function encode(byteOrder?: 'big-endian' | 'little-endian'): Uint8Array {
  const encoder = new BincodeEncoder(100, byteOrder);
  return encoder
    .u32(0x0102_0304)
    .u64(5n)
    .i64(-2n)
    .optional(7, (number) => encoder.u8(number))
    .optional<number>(null, (number) => encoder.u8(number))
    .bytes(Uint8Array.of(0xaa))
    .array(Uint8Array.of(0xbb, 0xcc))
    .u32List([1])
    .finish();
}

const VECTORS = {
  'big-endian':
    '01020304 0000000000000005 fffffffffffffffe 0107 00 0000000000000001aa bbcc 000000000000000100000001',
  'little-endian':
    '04030201 0500000000000000 feffffffffffffff 0107 00 0100000000000000aa bbcc 010000000000000001000000',
} as const;

describe.each(['big-endian', 'little-endian'] as const)('%s', (byteOrder) => {
  const vector = Buffer.from(VECTORS[byteOrder].replaceAll(' ', ''), 'hex');

  test('fields are encoded as the literal bytes', () => {
    expect(Buffer.from(encode(byteOrder)).toString('hex')).toBe(vector.toString('hex'));
  });

  test('the literal bytes are decoded as the fields', () => {
    const decoder = new BincodeDecoder(vector, { byteOrder });
    expect(decoder.u32('a')).toBe(0x0102_0304);
    expect(decoder.u64('b')).toBe(5n);
    expect(decoder.i64('c')).toBe(-2n);
    expect(decoder.optional('d', (what) => decoder.u8(what))).toBe(7);
    expect(decoder.optional('e', (what) => decoder.u8(what))).toBeNull();
    expect([...decoder.bytes('f')]).toEqual([0xaa]);
    expect([...decoder.array('g', 2)]).toEqual([0xbb, 0xcc]);
    expect(decoder.u32List('h').slice(0, 1)).toEqual([1]);
    decoder.expectEnd();
  });

  test('a count beyond the end is refused before anything is allocated', () => {
    const bytes = new BincodeEncoder(8, byteOrder).u64(2n ** 63n).finish();
    const error = storageErrorThrownBy(() => new BincodeDecoder(bytes, { byteOrder }).bytes('x'));
    expect(error).toMatchObject({ code: 'corrupt', offset: 0 });
  });
});

test('a byte order that is left out is big-endian', () => {
  expect(encode()).toEqual(encode('big-endian'));
  expect(new BincodeDecoder(Uint8Array.of(0, 0, 0, 9)).u32('x')).toBe(9);
});

test.each(['truncated', 'corrupt'] as const)(
  'a field of a part that goes beyond the value is %s, with its offset in the value',
  (ifShort) => {
    const decoder = new BincodeDecoder(new Uint8Array(6), { start: 10, length: 16, ifShort });
    decoder.u32('first');
    const error = storageErrorThrownBy(() => decoder.u32('second'));
    expect(error).toMatchObject({ code: ifShort, offset: 14 });
  },
);

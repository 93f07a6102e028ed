import { expect, test } from 'vitest';
import { crc32cOf } from '../src/checksum.ts';

/** RFC 3720, B.4, and the check value of the catalogues. */
test.each([
  ['nothing', Buffer.alloc(0), 0],
  ['123456789', Buffer.from('123456789'), 0xe3069283],
  ['32 bytes of zeros', Buffer.alloc(32), 0x8a9136aa],
  ['32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['32 bytes that ascend', Buffer.from(Array.from({ length: 32 }, (_, n) => n)), 0x46dd794e],
  ['32 bytes that descend', Buffer.from(Array.from({ length: 32 }, (_, n) => 31 - n)), 0x113fdb5c],
])('CRC-32C of %s is unsigned and right', (_, bytes, expected) => {
  expect(crc32cOf(bytes)).toBe(expected);
});

test('of a part of a larger array it is that of the part', () => {
  expect(crc32cOf(Buffer.from('x123456789y').subarray(1, 10))).toBe(0xe3069283);
});

test('of any length is that of its bytes one at a time', () => {
  const bytes = Uint8Array.from({ length: 70 }, (_, index) => index * 37);
  let crc = 0;
  for (let length = 1; length <= bytes.length; length += 1) {
    crc = crc32cOf(bytes.subarray(length - 1, length), crc);
    expect(crc32cOf(bytes.subarray(0, length))).toBe(crc);
  }
});

import { describe, expect, test } from 'vitest';
import { crc32cOf } from '../../src/checksum.ts';
import { locateFlippedBit } from '../../src/manifest/flipped-bit.ts';
import { noise } from '../support/layers.ts';

/** The bits of a block that are not found where they were flipped. */
function misplaced(block: Uint8Array): string[] {
  const wrong: string[] = [];
  const before = crc32cOf(block);
  for (let offset = 0; offset < block.length; offset += 1) {
    const byte = block[offset] ?? 0;
    for (let bit = 0; bit < 8; bit += 1) {
      block[offset] = byte ^ (1 << bit);
      const found = locateFlippedBit(before ^ crc32cOf(block), block.length);
      if (found?.offset !== offset || found.bit !== bit) wrong.push(`${offset} ${bit}`);
    }
    block[offset] = byte;
  }
  return wrong;
}

describe('a flipped bit', () => {
  test('a flipped bit is located, each of the 65,536 of a block', () => {
    expect(misplaced(noise(8192, 1))).toEqual([]);
  });

  test.each([1, 2, 13, 512])('a flipped bit is located in a last block of %d bytes', (length) => {
    expect(misplaced(noise(length, length))).toEqual([]);
  });

  test('a flipped bit is not named where two bits were flipped', () => {
    const block = noise(8192, 2);
    const before = crc32cOf(block);
    for (let offset = 0; offset < 8000; offset += 97) {
      const changed = block.with(offset, (block[offset] ?? 0) ^ 3);
      expect(locateFlippedBit(before ^ crc32cOf(changed), 8192)).toBeUndefined();
      const apart = changed.with(offset + 64, (block[offset + 64] ?? 0) ^ 128);
      expect(locateFlippedBit(before ^ crc32cOf(apart), 8192)).toBeUndefined();
    }
  });

  test('a flipped bit that a longer block would have is not found in a shorter one', () => {
    const block = noise(8192, 3);
    const changed = block.with(100, (block[100] ?? 0) ^ 16);
    const difference = crc32cOf(block) ^ crc32cOf(changed);
    expect(locateFlippedBit(difference, 8192)).toEqual({ offset: 100, bit: 4 });
    expect(locateFlippedBit(difference, 8192 - 101)).toBeUndefined();
  });
});

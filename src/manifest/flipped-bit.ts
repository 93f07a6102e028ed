/**
 * Finds the one bit that was flipped in a block, from its checksum before and after.
 *
 * A CRC is linear: the difference of two checksums depends only on which bits differ. That of one bit, N bits before
 * the end, is the same for every block, and no two bits of a block have the same one. The difference for a bit of the
 * last byte is an entry of the usual table; each following byte advances it by one step.
 */

import { assert } from '../assert.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';

/** A bit of a file or a block. */
export interface FlippedBit {
  /** Offset of the byte. */
  readonly offset: number;
  /** 0 is the least significant bit of the byte, 7 the most significant one. */
  readonly bit: number;
}

/** The effect of a byte on the checksum, for the polynomial 0x82f63b78. */
const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : 0x82f63b78);
  return crc;
});

/**
 * For the difference of each single bit: 8 times the number of bytes after its byte, plus the bit. Created on first
 * use.
 */
let places: ReadonlyMap<number, number> | undefined;

function placesOfBits(): Map<number, number> {
  const found = new Map<number, number>();
  for (let bit = 0; bit < 8; bit += 1) {
    let difference = TABLE[1 << bit] as number;
    for (let after = 0; after < BLOCK_SIZE; after += 1) {
      found.set(difference, 8 * after + bit);
      difference = (difference >>> 8) ^ (TABLE[difference & 0xff] as number);
    }
  }
  assert(found.size === 8 * BLOCK_SIZE, 'no two bits make the same difference');
  return found;
}

/**
 * The bit whose flip causes this difference of checksums.
 *
 * @param difference Exclusive or of the CRC-32C of the block before and after; not 0.
 * @param length Bytes of the block, at most 8 KiB.
 * @returns Its position in the block; undefined if a single bit cannot cause the difference.
 */
export function locateFlippedBit(difference: number, length: number): FlippedBit | undefined {
  places ??= placesOfBits();
  const place = places.get(difference | 0);
  if (place === undefined || place >= 8 * length) return undefined;
  return { offset: length - 1 - Math.floor(place / 8), bit: place % 8 };
}

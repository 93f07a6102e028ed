/** Block arithmetic: a block is an 8,192-byte aligned unit of a file and of a B-tree node. */
import { assert } from '../assert.ts';

/** Bytes of a block, the unit of a layer file. */
export const BLOCK_SIZE = 8192;

/** The unit in which a device may tear a write. */
export const SECTOR_SIZE = 512;

assert(BLOCK_SIZE % SECTOR_SIZE === 0, 'a block is a multiple of a sector');

/** Number of blocks that hold `length` bytes. */
export function blocksFor(length: number): number {
  return Math.ceil(length / BLOCK_SIZE);
}

/** Rounds `offset` up to a block boundary. */
export function alignToBlock(offset: number): number {
  return blocksFor(offset) * BLOCK_SIZE;
}

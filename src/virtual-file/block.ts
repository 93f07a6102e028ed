/** Block arithmetic: a block is an 8,192-byte aligned unit of a file and of a B-tree node. */
import { assert } from '../assert.ts';

export const BLOCK_SIZE = 8192;

/** The unit in which a device may tear a write. */
export const SECTOR_SIZE = 512;

assert(BLOCK_SIZE % SECTOR_SIZE === 0, 'a block holds whole sectors');

/** Number of blocks that hold `length` bytes. */
export function blocksFor(length: number): number {
  return Math.ceil(length / BLOCK_SIZE);
}

/** First offset at or above `offset` on a block border. */
export function alignToBlock(offset: number): number {
  return blocksFor(offset) * BLOCK_SIZE;
}

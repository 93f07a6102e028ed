/** Block arithmetic: a block is an 8,192-byte aligned unit of a file and of a B-tree node. */

/** Bytes of a block, the unit of a layer file. */
export const BLOCK_SIZE = 8192;

/** Number of blocks that hold `length` bytes. */
export function blocksFor(length: number): number {
  return Math.ceil(length / BLOCK_SIZE);
}

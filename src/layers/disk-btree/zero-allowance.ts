/**
 * Limits how many blocks of zeros are read from a file.
 *
 * A sparse file may claim terabytes and store nothing. Its holes cannot be distinguished from stored zeros, but stored
 * zeros take up space. The limit is therefore the number of bytes that the file stores, plus a constant: a file without
 * holes is always read to its end.
 */
import { BLOCK_SIZE } from '../../virtual-file/block.ts';

/** Bytes of holes that are read, which takes less than a second. */
const HOLES_READ = 64 * 1024 * 1024;

const ZEROS = new Uint8Array(BLOCK_SIZE);

export class ZeroAllowance {
  #blocksLeft: number;

  /** Without an allocated size there is no limit. */
  constructor(allocatedSize: number | undefined) {
    const bytes = (allocatedSize ?? Number.POSITIVE_INFINITY) + HOLES_READ;
    this.#blocksLeft = Math.ceil(bytes / BLOCK_SIZE);
  }

  /**
   * Counts the block if it is all zeros. Returns: whether it is within the limit.
   * Requires: a complete block.
   */
  admits(block: Uint8Array): boolean {
    if (!isZero(block)) return true;
    this.#blocksLeft -= 1;
    return this.#blocksLeft >= 0;
  }
}

export function isZero(block: Uint8Array): boolean {
  return Buffer.compare(block, ZEROS) === 0;
}

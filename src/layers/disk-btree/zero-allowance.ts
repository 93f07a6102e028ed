/**
 * How many blocks of zeros a walk over a file reads.
 *
 * A sparse file may claim terabytes and store nothing. Nobody says where its holes are, but all zeros
 * that are stored take up space. So a walk reads as many zeros as the file stores bytes, and some
 * more: a file without holes is read to its end, whatever is in it.
 */
import { BLOCK_SIZE } from '../../virtual-file/block.ts';

/** Bytes of holes that are read: less than a second's worth. */
const HOLES_READ = 64 * 1024 * 1024;

const ZEROS = new Uint8Array(BLOCK_SIZE);

export class ZeroAllowance {
  #blocksLeft: number;

  /** Where nobody knows how much is stored, everything is. */
  constructor(allocatedSize: number | undefined) {
    const bytes = (allocatedSize ?? Number.POSITIVE_INFINITY) + HOLES_READ;
    this.#blocksLeft = Math.ceil(bytes / BLOCK_SIZE);
  }

  /** Counts a block of zeros. Returns: false for one too many. Requires: a whole block. */
  admits(block: Uint8Array): boolean {
    if (!isZero(block)) return true;
    this.#blocksLeft -= 1;
    return this.#blocksLeft >= 0;
  }
}

export function isZero(block: Uint8Array): boolean {
  return Buffer.compare(block, ZEROS) === 0;
}

/** The checksums of the blocks of a file, from bytes that arrive in order. */
import { assert } from '../assert.ts';
import { type ChecksummedBytes, crc32cOf } from '../checksum.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';

export class BlockSums {
  #checksums: Uint32Array = new Uint32Array(1024);
  /** Number of complete blocks. */
  #count: number;
  /** Checksum and length of the incomplete block. */
  #partial = 0;
  #partialLength = 0;

  /** `firstBlock`: the bytes before it arrive last, with `setHead`. */
  constructor(firstBlock = 0) {
    this.#count = firstBlock;
  }

  /** Bytes up to which the file has arrived. */
  get offset(): number {
    return this.#count * BLOCK_SIZE + this.#partialLength;
  }

  add(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const length = Math.min(BLOCK_SIZE - this.#partialLength, bytes.length - done);
      this.#partial = crc32cOf(bytes.subarray(done, done + length), this.#partial);
      this.#partialLength += length;
      done += length;
      if (this.#partialLength === BLOCK_SIZE) this.#endBlock();
    }
  }

  /** Adds the first `length` bytes of memory, which begin a block. */
  addInPlace(memory: ChecksummedBytes, length: number): void {
    assert(this.#partialLength === 0, 'the bytes begin a block');
    for (let from = 0; from < length; from += BLOCK_SIZE) {
      const to = Math.min(from + BLOCK_SIZE, length);
      this.#partial = memory.crc32c(from, to);
      this.#partialLength = to - from;
      if (this.#partialLength === BLOCK_SIZE) this.#endBlock();
    }
  }

  /** Sets block 0, which was left out; zeros follow the bytes. */
  setHead(head: Uint8Array): void {
    assert(head.length <= BLOCK_SIZE, 'the head is in block 0');
    const block = new Uint8Array(BLOCK_SIZE);
    block.set(head);
    this.#checksums[0] = crc32cOf(block);
  }

  /** The checksums of all blocks; a copy. */
  finish(): Uint32Array {
    if (this.#partialLength > 0) this.#endBlock();
    return this.#checksums.slice(0, this.#count);
  }

  #endBlock(): void {
    if (this.#count >= this.#checksums.length) {
      const larger = new Uint32Array(2 * this.#checksums.length);
      larger.set(this.#checksums);
      this.#checksums = larger;
    }
    this.#checksums[this.#count] = this.#partial;
    this.#count += 1;
    this.#partial = 0;
    this.#partialLength = 0;
  }
}

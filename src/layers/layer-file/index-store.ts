/** Finished index blocks, kept until the values end and the index can follow them. */
import { BLOCK_SIZE } from '../../virtual-file/block.ts';

/** Blocks are kept in arrays of this many bytes, so that growing copies nothing. */
const CHUNK_SIZE = 64 * BLOCK_SIZE;

export class IndexStore {
  readonly #chunks: Uint8Array[] = [];
  #blockCount = 0;

  get blockCount(): number {
    return this.#blockCount;
  }

  /** Copies a block; returns its number. */
  add(block: Uint8Array): number {
    const offset = (this.#blockCount * BLOCK_SIZE) % CHUNK_SIZE;
    if (offset === 0) this.#chunks.push(new Uint8Array(CHUNK_SIZE));
    this.#chunks.at(-1)?.set(block, offset);
    this.#blockCount += 1;
    return this.#blockCount - 1;
  }

  /** The blocks in order, many at a time; views. */
  *chunks(): Generator<Uint8Array> {
    let left = this.#blockCount * BLOCK_SIZE;
    for (const chunk of this.#chunks) {
      yield chunk.subarray(0, Math.min(left, CHUNK_SIZE));
      left -= CHUNK_SIZE;
    }
  }
}

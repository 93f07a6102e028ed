/** A set of block numbers, one bit each: an index may have millions of blocks. */
const BITS_PER_CHUNK = 64 * 1024 * 8;

export class BlockSet {
  /** Bits in chunks, which are allocated as needed. */
  readonly #chunks = new Map<number, Uint8Array>();

  add(block: number): void {
    const number = Math.floor(block / BITS_PER_CHUNK);
    const chunk = this.#chunks.get(number) ?? new Uint8Array(BITS_PER_CHUNK / 8);
    this.#chunks.set(number, chunk);
    const bit = block % BITS_PER_CHUNK;
    chunk[bit >>> 3] = (chunk[bit >>> 3] as number) | (1 << (bit & 7));
  }

  delete(block: number): void {
    const chunk = this.#chunks.get(Math.floor(block / BITS_PER_CHUNK));
    if (chunk === undefined) return;
    const bit = block % BITS_PER_CHUNK;
    chunk[bit >>> 3] = (chunk[bit >>> 3] as number) & ~(1 << (bit & 7));
  }

  has(block: number): boolean {
    const chunk = this.#chunks.get(Math.floor(block / BITS_PER_CHUNK));
    if (chunk === undefined) return false;
    const bit = block % BITS_PER_CHUNK;
    return ((chunk[bit >>> 3] as number) & (1 << (bit & 7))) !== 0;
  }

  /** Whether a block is in both. */
  meets(other: BlockSet): boolean {
    for (const [number, chunk] of this.#chunks) {
      const others = other.#chunks.get(number);
      if (others === undefined) continue;
      for (let at = 0; at < chunk.length; at += 1) {
        if (((chunk[at] as number) & (others[at] as number)) !== 0) return true;
      }
    }
    return false;
  }
}

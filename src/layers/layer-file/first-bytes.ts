/** Collects the first bytes of what passes by in pieces. */
export class FirstBytes {
  readonly #target: Uint8Array;
  #length = 0;

  constructor(maximumLength: number) {
    this.#target = new Uint8Array(maximumLength);
  }

  /** Fewer than the maximum only if fewer passed by. */
  get bytes(): Uint8Array {
    return this.#target.subarray(0, this.#length);
  }

  add(piece: Uint8Array): void {
    const missing = this.#target.length - this.#length;
    if (missing === 0) return;
    const taken = piece.subarray(0, missing);
    this.#target.set(taken, this.#length);
    this.#length += taken.length;
  }
}

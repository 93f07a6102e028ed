/** Leaves of a scan, in order, with a look-ahead of one. */
import type { SalvagedSlice } from '../disk-btree/salvaged-leaves.ts';
import type { LeafSlice } from '../disk-btree/walk.ts';

/** Entries of a leaf, or damage between them. */
export type ScannedSlice = SalvagedSlice | LeafSlice;

export class SliceAhead implements AsyncIterableIterator<ScannedSlice> {
  readonly #slices: AsyncIterator<ScannedSlice>;
  #next: Promise<IteratorResult<ScannedSlice>> | undefined;

  constructor(slices: AsyncIterable<ScannedSlice>) {
    this.#slices = slices[Symbol.asyncIterator]();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<ScannedSlice>> {
    const next = this.#next ?? this.#slices.next();
    this.#next = undefined;
    return next;
  }

  async return(): Promise<IteratorResult<ScannedSlice>> {
    await this.#slices.return?.();
    return { done: true, value: undefined };
  }

  /** Undefined at the end, and if an error comes next. The slice before it is no longer valid. */
  async look(): Promise<ScannedSlice | undefined> {
    this.#next ??= this.#slices.next();
    try {
      const { done, value } = await this.#next;
      return done === true ? undefined : value;
    } catch {
      // Thrown when its turn comes.
      return undefined;
    }
  }
}

/**
 * A set of the integers from 0 to size - 1, which finds the next and the previous member quickly.
 *
 * Each level has a bit for each word of the level below it that is not zero; the lowest level has a
 * bit for each integer.
 */
export class NumberSet {
  readonly #levels: Int32Array[] = [];
  readonly #size: number;

  /** An empty set. */
  constructor(size: number) {
    this.#size = size;
    let words = size;
    do {
      words = Math.max(1, Math.ceil(words / 32));
      this.#levels.push(new Int32Array(words));
    } while (words > 1);
  }

  has(value: number): boolean {
    return (((this.#levels[0]?.[value >>> 5] ?? 0) >>> (value & 31)) & 1) === 1;
  }

  add(value: number): void {
    let at = value;
    for (const level of this.#levels) {
      const word = level[at >>> 5] ?? 0;
      level[at >>> 5] = word | (1 << (at & 31));
      if (word !== 0) return;
      at >>>= 5;
    }
  }

  delete(value: number): void {
    let at = value;
    for (const level of this.#levels) {
      const word = (level[at >>> 5] ?? 0) & ~(1 << (at & 31));
      level[at >>> 5] = word;
      if (word !== 0) return;
      at >>>= 5;
    }
  }

  /** Makes every integer a member. */
  fill(): void {
    let count = this.#size;
    for (const level of this.#levels) {
      level.fill(-1);
      if ((count & 31) !== 0) level[count >>> 5] = (1 << (count & 31)) - 1;
      if (count === 0) level[0] = 0;
      count = Math.ceil(count / 32);
    }
  }

  /** The lowest member at or above `value`; -1 if there is none. */
  nextFrom(value: number): number {
    if (value >= this.#size) return -1;
    let at = Math.max(0, value);
    for (let depth = 0; depth < this.#levels.length; depth += 1) {
      const word = (this.#levels[depth]?.[at >>> 5] ?? 0) & (-1 << (at & 31));
      if (word !== 0) return this.#descend(depth, (at & ~31) + lowestBit(word), 'lowest');
      at = (at >>> 5) + 1;
      if (at >>> 5 >= (this.#levels[depth + 1]?.length ?? 0)) return -1;
    }
    return -1;
  }

  /** The highest member at or below `value`; -1 if there is none. */
  previousFrom(value: number): number {
    let at = Math.min(value, this.#size - 1);
    for (let depth = 0; depth < this.#levels.length && at >= 0; depth += 1) {
      const word = (this.#levels[depth]?.[at >>> 5] ?? 0) & (-1 >>> (31 - (at & 31)));
      if (word !== 0) return this.#descend(depth, (at & ~31) + highestBit(word), 'highest');
      at = (at >>> 5) - 1;
    }
    return -1;
  }

  /** From a bit of a level to the lowest or highest member below it. */
  #descend(depth: number, from: number, which: 'lowest' | 'highest'): number {
    let at = from;
    for (let level = depth - 1; level >= 0; level -= 1) {
      const word = this.#levels[level]?.[at] ?? 0;
      at = 32 * at + (which === 'lowest' ? lowestBit(word) : highestBit(word));
    }
    return at;
  }
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word);
}

function highestBit(word: number): number {
  return 31 - Math.clz32(word);
}

/**
 * Radix sort of rows of 32-bit words, one byte at a time, starting with the least significant. Bytes that are equal in
 * all rows are skipped: few of the 16 bytes of a key differ within a timeline.
 */

const BYTE = 0xff;

/**
 * The numbers of the rows in ascending order; equal rows stay in their order.
 *
 * @param width Words of a row, the most significant first.
 */
export function sortRows(words: Uint32Array, width: number): Int32Array {
  const count = words.length / width;
  let sorted = new Int32Array(count);
  for (let row = 0; row < count; row += 1) sorted[row] = row;
  let target = new Int32Array(count);
  for (let word = width - 1; word >= 0; word -= 1) {
    const varying = varyingBits(words, word, width);
    for (let shift = 0; shift < 32; shift += 8) {
      if (((varying >>> shift) & BYTE) === 0) continue;
      distribute({ words, word, width, shift }, sorted, target);
      [sorted, target] = [target, sorted];
    }
  }
  return sorted;
}

interface RowByte {
  readonly words: Uint32Array;
  readonly word: number;
  readonly width: number;
  /** Bits to the right of the byte. */
  readonly shift: number;
}

/** Copies the rows into the target, ascending by one byte. */
function distribute(
  { words, word, width, shift }: RowByte,
  rows: Int32Array,
  target: Int32Array,
): void {
  const next = new Int32Array(BYTE + 2);
  for (let at = word; at < words.length; at += width) {
    const value = ((words[at] ?? 0) >>> shift) & BYTE;
    next[value + 1] = (next[value + 1] ?? 0) + 1;
  }
  for (let value = 1; value <= BYTE; value += 1) {
    next[value] = (next[value] ?? 0) + (next[value - 1] ?? 0);
  }
  for (let at = 0; at < rows.length; at += 1) {
    const row = rows[at] ?? 0;
    const value = ((words[row * width + word] ?? 0) >>> shift) & BYTE;
    const to = next[value] ?? 0;
    target[to] = row;
    next[value] = to + 1;
  }
}

/** The bits of a word that differ between rows. */
function varyingBits(words: Uint32Array, word: number, width: number): number {
  const first = words[word] ?? 0;
  let varying = 0;
  for (let at = word; at < words.length; at += width) varying |= (words[at] ?? 0) ^ first;
  return varying;
}

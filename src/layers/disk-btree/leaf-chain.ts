/**
 * Selects leaves that are consistent with each other. Blobs lie in key order, so in the order of their blobs
 * the keys of leaves must ascend; the smallest number of leaves is left out.
 */

export interface KeySpan {
  readonly first: Uint8Array;
  /** At or above `first`. */
  readonly last: Uint8Array;
}

/** Returns: the indexes of a longest chain of spans, each above the one before. */
export function longestChain(spans: readonly KeySpan[]): number[] {
  /** By length of a chain, minus one: the last span of the chain that ends lowest. */
  const ends: number[] = [];
  const before = new Int32Array(spans.length).fill(-1);
  for (const [index, span] of spans.entries()) {
    const length = chainsBelow(ends, spans, span.first);
    before[index] = ends[length - 1] ?? -1;
    const end = spans[ends[length] ?? -1];
    if (end === undefined || Buffer.compare(span.last, end.last) < 0) ends[length] = index;
  }
  const chain: number[] = [];
  for (let index = ends.at(-1) ?? -1; index >= 0; index = before[index] as number) {
    chain.push(index);
  }
  return chain.reverse();
}

/** Number of chains that end below the key; longer chains end higher. */
function chainsBelow(ends: readonly number[], spans: readonly KeySpan[], key: Uint8Array): number {
  let low = 0;
  let high = ends.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const end = spans[ends[middle] as number] as KeySpan;
    if (Buffer.compare(end.last, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

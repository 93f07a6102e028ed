/**
 * Divides keys into ranges that are merged one by one, each entirely in memory. The borders are samples: the first keys
 * of some of the leaves that a walk over the indices passes.
 */
import { compareKeys, type Key } from '../layers/key.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';

/** Keys from `start` to `end`, exclusive; undefined means the first key, or the end of all keys. */
export interface MergeRange {
  readonly start: Key | undefined;
  readonly end: Key | undefined;
}

/** Memory of a range that is merged: its values and its index entries. */
export const RANGE_SIZE = 16 * 1024 * 1024;
/** Memory between two samples of one layer, unless there are many layers. */
const SAMPLE_SIZE = 1024 * 1024;
const MAXIMUM_SAMPLES = 1 << 17;

/** Approximate size of the arrays made from a leaf. */
const LEAF_MEMORY = 2 * BLOCK_SIZE;

interface Sample {
  readonly key: Key;
  /** Memory of the entries between the previous sample and this one, in the same layer. */
  readonly size: number;
}

/** The leaves of one layer that were passed. */
interface PassedLeaves {
  /** Approximate memory of a leaf and its values. */
  readonly averageSize: number;
  /** Number of leaves since the last sample. */
  count: number;
  /** Offset of the first value at the last sample. */
  lastOffset: number;
}

export class MergeRanges {
  readonly #sampleSize: number;
  readonly #rangeSize: number;
  readonly #layers: PassedLeaves[];
  readonly #samples: Sample[] = [];

  constructor(readers: readonly LayerReader[], rangeSize: number) {
    const total = readers.reduce((bytes, { size }) => bytes + size, 0);
    this.#rangeSize = rangeSize;
    this.#sampleSize = Math.max(Math.min(SAMPLE_SIZE, rangeSize / 8), total / MAXIMUM_SAMPLES);
    this.#layers = readers.map(({ summary: { indexStartBlock, indexRootBlock } }) => {
      const valuesSize = (indexStartBlock - 1) * BLOCK_SIZE;
      // All blocks before the root, nearly all of which are leaves.
      const averageSize = valuesSize / Math.max(indexRootBlock, 1) + LEAF_MEMORY;
      return { averageSize, count: 0, lastOffset: BLOCK_SIZE };
    });
  }

  /** Passes the next leaf of a layer. Returns: `sampled` if `addSample` is to be called for it. */
  passLeaf(layer: number): 'sampled' | 'passed' {
    const leaves = this.#layers[layer] as PassedLeaves;
    leaves.count += 1;
    return leaves.count * leaves.averageSize < this.#sampleSize ? 'passed' : 'sampled';
  }

  /** Adds the first key of the leaf that was passed, and the offset of its first value. */
  addSample(layer: number, key: Key, offset: number): void {
    const leaves = this.#layers[layer] as PassedLeaves;
    const size = offset - leaves.lastOffset + leaves.count * LEAF_MEMORY;
    this.#samples.push({ key, size });
    leaves.lastOffset = offset;
    leaves.count = 0;
  }

  /** All keys, in ranges of about the wanted size; a key that has more than that gets its own range. */
  all(): MergeRange[] {
    const ranges: MergeRange[] = [];
    let start: Key | undefined;
    let size = 0;
    for (const { key, size: more } of this.#samples.sort((a, b) => compareKeys(a.key, b.key))) {
      size += more;
      if (size < this.#rangeSize || (start !== undefined && compareKeys(key, start) === 0))
        continue;
      ranges.push({ start, end: key });
      start = key;
      size = 0;
    }
    ranges.push({ start, end: undefined });
    return ranges;
  }
}

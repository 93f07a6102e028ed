/**
 * Ranges of keys that are merged one by one, each in memory as a whole. They are made of the first keys of
 * leaves, as a walk over the indices meets them.
 */
import type { IndexNode } from '../layers/disk-btree/index-node.ts';
import { compareKeys, KEY_SIZE, type Key } from '../layers/key.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';

/** Keys from `start` to `end`, exclusive; without one of them, from the first key, or to the last. */
export interface MergeRange {
  readonly start: Key | undefined;
  readonly end: Key | undefined;
}

/** Memory of a range that is merged: its values, and its index entries. */
export const RANGE_SIZE = 16 * 1024 * 1024;
/** Memory between two samples of one layer, unless there are many layers. */
const SAMPLE_SIZE = 256 * 1024;
const MAXIMUM_SAMPLES = 1 << 17;

/** Arrays that are made of a leaf take about this much. */
const LEAF_MEMORY = 2 * BLOCK_SIZE;

interface Sample {
  readonly key: Key;
  /** Memory of the entries between the sample before and this one, in the same layer. */
  readonly size: number;
}

/** Samples of one layer. */
interface LayerSamples {
  lastOffset: number;
  size: number;
}

export class MergeRanges {
  readonly #sampleSize: number;
  readonly #rangeSize: number;
  readonly #layers: LayerSamples[];
  readonly #samples: Sample[] = [];

  constructor(readers: readonly LayerReader[], rangeSize: number) {
    const total = readers.reduce((bytes, { size }) => bytes + size, 0);
    this.#rangeSize = rangeSize;
    this.#sampleSize = Math.max(Math.min(SAMPLE_SIZE, rangeSize / 8), total / MAXIMUM_SAMPLES);
    this.#layers = readers.map(() => ({ lastOffset: BLOCK_SIZE, size: 0 }));
  }

  /** Requires: the leaves of a layer come in order. */
  noteLeaf(layer: number, node: IndexNode, offset: number): void {
    const samples = this.#layers[layer] as LayerSamples;
    samples.size += offset - samples.lastOffset + LEAF_MEMORY;
    samples.lastOffset = offset;
    if (samples.size < this.#sampleSize) return;
    this.#samples.push({ key: node.keyBegin(0, KEY_SIZE), size: samples.size });
    samples.size = 0;
  }

  /** All keys, in ranges of about the wanted size; a key that has more than that is in one of its own. */
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

/**
 * Merges the entries of a range of keys in memory: the index entries and the values of each layer are read
 * together, and the blobs are copied unchanged, with their headers.
 *
 *   code    six bytes of a key as a number, from where the keys of the range begin to differ; at most the
 *           last six. Keys with one code are compared byte by byte
 *   order   a loser tree over the codes decides which layer has the next entry; then all are copied
 *
 * Only for valid layers of plain blobs, as nearly all are. Anything else is left to `LayerMerge`, which accepts every
 * layer and reports damage.
 */
import {
  blobHeaderSize,
  headerSizeOf,
  isCompressed,
  packedHeader,
  storedLengthOf,
} from '../blob-writer/blob-format.ts';
import { BlobWindow, blobSize, locateBlob } from '../blob-writer/blob-location.ts';
import { readExactly } from '../blob-writer/byte-source.ts';
import { copyBytes, copyWords, sharedBytes, ViewedBytes } from '../byte-words.ts';
import type { IndexNode } from '../layers/disk-btree/index-node.ts';
import { KEY_SIZE } from '../layers/key.ts';
import { BATCH_CAPACITY } from '../layers/layer-file/entry-batch.ts';
import { DELTA_KEY_SIZE } from '../layers/layer-file/entry-layout.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';
import { ENDED, type MergeCodes, MergeOrder } from './merge-order.ts';
import type { MergeRange } from './merge-ranges.ts';
import { MergedRows } from './merged-rows.ts';

/** A range with more than this has a key with a great many versions, or damage. */
const MAXIMUM_SIZE = 64 * 1024 * 1024;

/** Gaps between blobs; our writer and Neon's leave them only at the end of the values. */
const MAXIMUM_GAPS = 1024;

const CODE_BYTES = 6;

export class RangeMerger {
  readonly #inputs: readonly RangeInput[];
  /** For all inputs: copying from one array is much faster than alternating between many. */
  readonly #entries = new EntryArrays();
  #values = new ViewedBytes(new Uint8Array(0));
  #order = new Uint16Array(0);

  /** Requires: delta layers, at most 65,536. They stay the caller's. */
  constructor(readers: readonly LayerReader[]) {
    this.#inputs = readers.map((reader) => new RangeInput(reader));
  }

  /**
   * Merges a range, into memory that is reused if it is large enough.
   *
   * Returns: undefined for a range that is too large, has a blob that is not plain, or is damaged.
   * Throws: as a scan of the index, and reads.
   */
  async merge(range: MergeRange, memory?: ArrayBuffer): Promise<MergedRows | undefined> {
    const inputs = this.#inputs;
    const loaded = await Promise.all(inputs.map((input) => input.loadIndex(range)));
    // Of a damaged layer it may be negative.
    const size = inputs.reduce((bytes, input) => bytes + Math.abs(input.size), 0);
    if (loaded.includes(false) || size > MAXIMUM_SIZE) return undefined;
    this.#makeRoom(size);
    let valuesAt = 0;
    const loading: Promise<void>[] = [];
    for (const input of inputs) {
      loading.push(input.loadValues(this.#values.bytes, valuesAt));
      valuesAt += Math.abs(input.size);
    }
    await Promise.all(loading);
    for (const input of inputs) if (!input.checkBlobs(this.#values.bytes)) return undefined;
    const count = inputs.reduce((rows, input) => rows + input.count, 0);
    const blobsSize = inputs.reduce((bytes, input) => bytes + input.blobsSize, 0);
    this.#setOrder(count);
    const rows = new MergedRows({ count, blobsSize, memory });
    copyInOrder(this.#entries, this.#values, this.#order, rows);
    return rows.gaps.length > MAXIMUM_GAPS ? undefined : rows;
  }

  /** Bytes of the layers before the end of the range that was merged last. */
  get position(): number {
    return this.#inputs.reduce((bytes, { position }) => bytes + position, 0);
  }

  #setOrder(count: number): void {
    if (this.#order.length < count) this.#order = new Uint16Array(count + (count >> 3));
    const codeStart = codeStartOf(this.#inputs);
    this.#entries.set(this.#inputs, codeStart);
    new MergeOrder(this.#entries, codeStart + CODE_BYTES).write(this.#order, count);
  }

  #makeRoom(size: number): void {
    if (this.#values.bytes.length >= size) return;
    this.#values = new ViewedBytes(new Uint8Array(size + (size >> 3)));
  }
}

/** Where the keys of all inputs begin to differ, at most so far that a code still fits. */
function codeStartOf(inputs: readonly RangeInput[]): number {
  let first: ViewedBytes | undefined;
  let shared = KEY_SIZE - CODE_BYTES;
  for (const { keys, count } of inputs) {
    if (count === 0) continue;
    first ??= keys;
    for (const row of [0, count - 1]) {
      shared = sharedBytes(first.view, 0, keys.view, row * DELTA_KEY_SIZE, shared);
    }
  }
  return shared;
}

function copyInOrder(
  { starts: firstEntries, keys: sourceKeys, leafValues, valueShifts }: EntryArrays,
  values: ViewedBytes,
  order: Uint16Array,
  { count, keys, blobs, starts, lengths, willInit, gaps }: MergedRows,
): void {
  const next = firstEntries.slice();
  const { bytes } = values;
  const { view } = sourceKeys;
  let to = 0;
  for (let at = 0; at < count; at += 1) {
    const input = order[at] as number;
    const entry = next[input] as number;
    next[input] = entry + 1;
    const value = leafValues[entry] as number;
    const offset = Math.floor(value / 2);
    const from = offset + (valueShifts[input] as number);
    const header = packedHeader(bytes, from, bytes.length);
    const size = blobSize(header);
    copyWords(view, entry * DELTA_KEY_SIZE, keys, at * DELTA_KEY_SIZE, DELTA_KEY_SIZE);
    copyBytes(values, from, blobs, to, size);
    starts[at] = to + headerSizeOf(header);
    lengths[at] = storedLengthOf(header);
    willInit[at] = value - 2 * offset;
    const gap = Math.floor((leafValues[entry + 1] as number) / 2) - offset - size;
    if (gap > 0) gaps.push({ row: at, size: gap });
    to += size;
  }
}

/** The entries of all inputs, one input after the other; after each, one that has only a place. */
class EntryArrays implements MergeCodes {
  /** Index of the first entry of each input. */
  starts = new Uint32Array(0);
  keys = new ViewedBytes(new Uint8Array(0));
  leafValues = new Float64Array(0);
  codes = new Float64Array(0);
  /** From the offset of a value in the file of an input to its index in memory. */
  valueShifts = new Float64Array(0);

  set(inputs: readonly RangeInput[], codeStart: number): void {
    const count = inputs.reduce((entries, input) => entries + input.count + 1, 0);
    this.starts = new Uint32Array(inputs.length);
    this.valueShifts = Float64Array.from(inputs, ({ valuesAt, firstOffset }) => {
      return valuesAt - firstOffset;
    });
    if (this.codes.length < count) {
      const room = count + (count >> 3);
      this.keys = new ViewedBytes(new Uint8Array(room * DELTA_KEY_SIZE));
      this.leafValues = new Float64Array(room);
      this.codes = new Float64Array(room);
    }
    let at = 0;
    for (const [index, { count: own, keys, leafValues }] of inputs.entries()) {
      this.starts[index] = at;
      this.keys.bytes.set(keys.bytes.subarray(0, own * DELTA_KEY_SIZE), at * DELTA_KEY_SIZE);
      this.leafValues.set(leafValues.subarray(0, own + 1), at);
      this.#setCodes(at, at + own, codeStart);
      at += own + 1;
    }
  }

  #setCodes(from: number, to: number, codeStart: number): void {
    const { codes } = this;
    const { view } = this.keys;
    for (let entry = from; entry < to; entry += 1) {
      const at = entry * DELTA_KEY_SIZE + codeStart;
      codes[entry] = view.getUint16(at) * 0x1_0000_0000 + view.getUint32(at + 2);
    }
    codes[to] = ENDED;
  }
}

/** The entries of one layer. */
class RangeInput {
  readonly reader: LayerReader;
  count = 0;
  keys = new ViewedBytes(new Uint8Array(0));
  /** As in the index: the offset * 2, and 1 if the value needs no older one. The last is of the blob after these. */
  leafValues = new Float64Array(1);
  /** Where its blobs begin in the memory of all values. */
  valuesAt = 0;
  /** Bytes of the blobs, without what lies between them. */
  blobsSize = 0;
  readonly #window = new BlobWindow();
  /** Of a leaf. */
  readonly #leaf = new Float64Array(BATCH_CAPACITY);

  constructor(reader: LayerReader) {
    this.reader = reader;
  }

  /** Offset in the file of the first entry's blob. */
  get firstOffset(): number {
    return Math.floor((this.leafValues[0] as number) / 2);
  }

  /** Offset of the blob after the last entry's; at the last entry of the layer, of the index. */
  get endOffset(): number {
    return Math.floor((this.leafValues[this.count] as number) / 2);
  }

  /** Bytes from the first blob to the one after the last. */
  get size(): number {
    return this.endOffset - this.firstOffset;
  }

  /** Bytes of the file before the end of the range; all of them at its last entry. */
  get position(): number {
    return this.endOffset === this.#indexStart ? this.reader.size : this.endOffset;
  }

  /** False if there is too much. */
  async loadIndex({ start, end }: MergeRange): Promise<boolean> {
    const { index, layout } = this.reader;
    const endKey = end && layout.entryKey(end, 0n);
    this.count = 0;
    this.leafValues[0] = 2 * this.#indexStart;
    const range = { start: start && layout.entryKey(start, 0n) };
    for await (const { node, from } of index.ascend(range)) {
      const to = endKey === undefined ? node.entryCount : node.ceiling(endKey);
      if (to > from) this.#addEntries(node, from, to);
      // What follows is outside the range.
      const isEnd = to < node.entryCount;
      this.leafValues[this.count] = isEnd ? node.leafValue(to) : 2 * this.#indexStart;
      if (isEnd) return true;
      if (this.count * DELTA_KEY_SIZE > MAXIMUM_SIZE) return false;
    }
    return true;
  }

  /**
   * Reads the blobs with their headers to `at`, unless their offsets are impossible. Requires: the index was loaded.
   */
  async loadValues(target: Uint8Array, at: number): Promise<void> {
    const { size, firstOffset } = this;
    this.valuesAt = at;
    if (this.count === 0 || !this.#areBlobsInside) return;
    await readExactly(this.reader.blobs.source, target.subarray(at, at + size), firstOffset);
  }

  /** False if a blob is not in the right place, or not in the form that a delta writer produces. */
  checkBlobs(values: Uint8Array): boolean {
    const { count, leafValues, size, firstOffset } = this;
    const { bounds } = this.reader.blobs;
    const window = this.#window;
    this.blobsSize = 0;
    // They were not read.
    if (count > 0 && !this.#areBlobsInside) return false;
    window.set(values, this.valuesAt, firstOffset, size);
    let offset = firstOffset;
    for (let row = 0; row < count; row += 1) {
      const next = Math.floor((leafValues[row + 1] as number) / 2);
      const header = locateBlob(window, offset, next, bounds);
      if (header < 0 || isCompressed(header)) return false;
      const length = storedLengthOf(header);
      const headerSize = headerSizeOf(header);
      if (headerSize !== blobHeaderSize(length)) return false;
      this.blobsSize += headerSize + length;
      offset = next;
    }
    return true;
  }

  get #areBlobsInside(): boolean {
    const { size, firstOffset, endOffset } = this;
    const { start, end } = this.reader.blobs.bounds;
    return size > 0 && firstOffset >= start && endOffset <= end;
  }

  get #indexStart(): number {
    return this.reader.summary.indexStartBlock * BLOCK_SIZE;
  }

  #addEntries(node: IndexNode, from: number, to: number): void {
    const count = to - from;
    this.#makeRoom(this.count + count);
    const part = { from, count, length: DELTA_KEY_SIZE };
    node.copyKeyBegins(part, this.keys.bytes, this.count * DELTA_KEY_SIZE);
    node.copyLeafValues({ from, to, shift: 0 }, this.#leaf);
    this.leafValues.set(this.#leaf.subarray(from, to), this.count);
    this.count += count;
  }

  #makeRoom(count: number): void {
    if (count < this.leafValues.length) return;
    const room = count + Math.max(1024, count >> 1);
    const keys = new Uint8Array(room * DELTA_KEY_SIZE);
    keys.set(this.keys.bytes);
    this.keys = new ViewedBytes(keys);
    const { leafValues } = this;
    this.leafValues = new Float64Array(room + 1);
    this.leafValues.set(leafValues);
  }
}

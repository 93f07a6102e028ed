/**
 * Merges the entries of a range of keys in memory: the index entries and the values of each layer are read
 * together, and the blobs are copied unchanged, with their headers.
 *
 *   code    six bytes of a key as a number, from where the keys of the range begin to differ; at most the
 *           last six. Keys with one code are compared byte by byte
 *   order   a loser tree over the codes decides which layer has the next entry; then all are copied (`copy-kernel.ts`)
 *
 * Only for valid layers of plain blobs, as nearly all are, and where there is WebAssembly. Anything else is left to
 * `LayerMerge`, which accepts every layer and reports damage.
 */
import { readExactly } from '../blob-writer/byte-source.ts';
import { sharedBytes, ViewedBytes } from '../byte-words.ts';
import { ChecksummedBytes } from '../checksum.ts';
import { CRC32C_DATA_OFFSET } from '../crc32c-module.ts';
import type { IndexNode } from '../layers/disk-btree/index-node.ts';
import { KEY_SIZE } from '../layers/key.ts';
import { BATCH_CAPACITY } from '../layers/layer-file/entry-batch.ts';
import { DELTA_KEY_SIZE } from '../layers/layer-file/entry-layout.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';
import {
  COPY_KERNEL,
  COPY_OVERRUN,
  GAP_SIZE,
  MAXIMUM_GAPS,
  SOURCE,
  SOURCE_SIZE,
} from './copy-kernel.ts';
import { ENDED, type MergeCodes, MergeOrder } from './merge-order.ts';
import type { MergeRange } from './merge-ranges.ts';
import { MergedRows, type RowGap } from './merged-rows.ts';

/** A range with more than this has a key with a great many versions, or damage. */
const MAXIMUM_SIZE = 64 * 1024 * 1024;

const CODE_BYTES = 6;

export class RangeMerger {
  readonly #inputs: readonly RangeInput[];
  readonly #entries = new EntryArrays();
  /** No blob of a layer is longer than its reader allows. */
  readonly #maximumLength: number;

  /** Requires: delta layers, at most 65,536. They stay the caller's. */
  constructor(readers: readonly LayerReader[]) {
    this.#inputs = readers.map((reader) => new RangeInput(reader));
    this.#maximumLength = Math.min(...readers.map(({ blobs }) => blobs.bounds.maximumLength));
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
    if (inputs.some((input) => !input.areBlobsInside)) return undefined;
    const entries = this.#entries;
    const codeStart = codeStartOf(inputs);
    if (!entries.set(inputs, size, codeStart)) return undefined;
    const { count, values } = entries;
    let valuesAt = 0;
    const loading: Promise<void>[] = [];
    for (const input of inputs) {
      loading.push(input.loadValues(values.subarray(valuesAt, valuesAt + input.size)));
      valuesAt += input.size;
    }
    await Promise.all(loading);
    new MergeOrder(entries, codeStart + CODE_BYTES).write(entries.order, count);
    const blobsSize = entries.copy(this.#maximumLength);
    return blobsSize < 0 ? undefined : entries.rows(blobsSize, memory);
  }

  /** Bytes of the layers before the end of the range that was merged last. */
  get position(): number {
    return this.#inputs.reduce((bytes, { position }) => bytes + position, 0);
  }
}

/** Where the keys of all inputs begin to differ, but early enough in the key for a full code. */
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

/**
 * The entries of all inputs, one input after the other, and what becomes of them: arrays in the memory of the module
 * that copies them. Copying from one array is much faster than alternating between many.
 */
class EntryArrays implements MergeCodes {
  count = 0;
  /** Index of the first entry of each input. */
  starts = new Uint32Array(0);
  keys = new ViewedBytes(new Uint8Array(0));
  codes = new Float64Array(0);
  /** Values of all inputs, one input after the other. */
  values: Uint8Array = new Uint8Array(0);
  /** Which input has which entry. */
  order: Uint16Array = new Uint16Array(0);
  #memory = ChecksummedBytes.of(new Uint8Array(0));
  #places = placesOf({ inputs: 0, count: 0, size: 0 });

  /** Takes the entries, and makes room for `size` bytes of values. False if there can be no module. */
  set(inputs: readonly RangeInput[], size: number, codeStart: number): boolean {
    const count = inputs.reduce((entries, input) => entries + input.count, 0);
    const places = placesOf({ inputs: inputs.length, count, size });
    if (this.#memory.bytes.length < places.end) {
      const room = places.end + (places.end >> 3);
      this.#memory = ChecksummedBytes.allocate(room, COPY_KERNEL);
    }
    if (this.#memory.exports['copyEntries'] === undefined) return false;
    this.count = count;
    this.#places = places;
    this.values = this.#bytes(places.values, size);
    this.order = new Uint16Array(this.#memory.bytes.buffer, this.#at(places.order), count);
    this.keys = new ViewedBytes(this.#bytes(places.keys, (count + inputs.length) * DELTA_KEY_SIZE));
    this.#setSources(inputs);
    this.#setEntries(inputs, codeStart);
    return true;
  }

  /** Copies the entries in their order. Returns: the size of all blobs; -1 if one is not plain or not complete. */
  copy(maximumLength: number): number {
    const { order, sources, keys, leafValues, starts, lengths, marks, keysOut, blobs, gaps } =
      this.#places;
    const places = [order, sources, keys, leafValues, starts, lengths, marks, keysOut, blobs, gaps];
    const addresses = places.map((place) => CRC32C_DATA_OFFSET + place);
    return this.#memory.exports['copyEntries']?.(...addresses, this.count, maximumLength) ?? -1;
  }

  /** The copied entries, in the given memory if it is large enough. */
  rows(blobsSize: number, memory: ArrayBuffer | undefined): MergedRows {
    const { count } = this;
    const { starts, lengths, marks, keysOut, blobs } = this.#places;
    const rows = new MergedRows({ count, blobsSize, memory, gaps: this.#gaps() });
    const { buffer } = this.#memory.bytes;
    rows.starts.set(new Uint32Array(buffer, this.#at(starts), count));
    rows.lengths.set(new Uint32Array(buffer, this.#at(lengths), count));
    rows.willInit.set(this.#bytes(marks, count));
    rows.entryKeys.set(this.#bytes(keysOut, count * DELTA_KEY_SIZE));
    rows.values.set(this.#bytes(blobs, blobsSize));
    return rows;
  }

  #gaps(): RowGap[] {
    const { view } = this.#memory;
    const { gaps } = this.#places;
    return Array.from({ length: view.getUint32(gaps, true) }, (_, index) => {
      const at = gaps + (index + 1) * GAP_SIZE;
      return { row: view.getUint32(at, true), size: view.getUint32(at + 4, true) };
    });
  }

  #setSources(inputs: readonly RangeInput[]): void {
    const { view } = this.#memory;
    const { sources, values } = this.#places;
    this.starts = new Uint32Array(inputs.length);
    let entry = 0;
    let valuesAt = CRC32C_DATA_OFFSET + values;
    for (const [index, { count, size, firstOffset, endOffset }] of inputs.entries()) {
      const at = sources + index * SOURCE_SIZE;
      view.setUint32(at + SOURCE.next, entry, true);
      // Of the difference, the 32 bits of an address count.
      view.setUint32(at + SOURCE.shift, valuesAt - firstOffset, true);
      view.setBigUint64(at + SOURCE.begin, BigInt(firstOffset), true);
      view.setBigUint64(at + SOURCE.end, BigInt(endOffset), true);
      this.starts[index] = entry;
      entry += count + 1;
      valuesAt += size;
    }
  }

  #setEntries(inputs: readonly RangeInput[], codeStart: number): void {
    const entryCount = this.count + inputs.length;
    const { buffer } = this.#memory.bytes;
    const target = new Float64Array(buffer, this.#at(this.#places.leafValues), entryCount);
    if (this.codes.length < entryCount) {
      this.codes = new Float64Array(entryCount + (entryCount >> 3));
    }
    for (const [index, { count, keys, leafValues }] of inputs.entries()) {
      const at = this.starts[index] as number;
      this.keys.bytes.set(keys.bytes.subarray(0, count * DELTA_KEY_SIZE), at * DELTA_KEY_SIZE);
      target.set(leafValues.subarray(0, count + 1), at);
      this.#setCodes(at, at + count, codeStart);
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

  /** From a place in the memory to one in its buffer. */
  #at(place: number): number {
    return this.#memory.bytes.byteOffset + place;
  }

  #bytes(place: number, length: number): Uint8Array {
    return this.#memory.bytes.subarray(place, place + length);
  }
}

interface Room {
  readonly inputs: number;
  readonly count: number;
  /** Of the values. */
  readonly size: number;
}

/** Where the arrays lie: numbers first, since they must be aligned. */
function placesOf({ inputs, count, size }: Room) {
  const entries = count + inputs;
  let end = 0;
  const place = (length: number): number => {
    const at = end;
    end = 8 * Math.ceil((at + length) / 8);
    return at;
  };
  return {
    sources: place(inputs * SOURCE_SIZE),
    leafValues: place(entries * Float64Array.BYTES_PER_ELEMENT),
    gaps: place((MAXIMUM_GAPS + 1) * GAP_SIZE),
    starts: place(count * Uint32Array.BYTES_PER_ELEMENT),
    lengths: place(count * Uint32Array.BYTES_PER_ELEMENT),
    order: place(count * Uint16Array.BYTES_PER_ELEMENT),
    marks: place(count),
    keys: place(entries * DELTA_KEY_SIZE + COPY_OVERRUN),
    keysOut: place(count * DELTA_KEY_SIZE + COPY_OVERRUN),
    values: place(size + COPY_OVERRUN),
    blobs: place(size + COPY_OVERRUN),
    end,
  };
}

/** The entries of one layer. */
class RangeInput {
  readonly reader: LayerReader;
  count = 0;
  keys = new ViewedBytes(new Uint8Array(0));
  /** As in the index: the offset * 2, and 1 if the value needs no older one. The last is of the blob after these. */
  leafValues = new Float64Array(1);
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

  /** Whether the blobs lie where blobs can. Requires: the index was loaded. */
  get areBlobsInside(): boolean {
    if (this.count === 0) return true;
    const { start, end } = this.reader.blobs.bounds;
    return this.size > 0 && this.firstOffset >= start && this.endOffset <= end;
  }

  /** Reads the blobs with their headers. Requires: they are inside; the target has their size. */
  async loadValues(target: Uint8Array): Promise<void> {
    if (this.count > 0) await readExactly(this.reader.blobs.source, target, this.firstOffset);
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

/**
 * Orders rows of which many have the same key, such as the records of a page: the rows of a key are a run, and only the
 * distinct keys are sorted. Two sequential passes over the rows compute the place of each one.
 *
 * There are runs only if the rows are in the order of their LSNs, so that those of a key need not be sorted, and of
 * their values; if there are few keys, so that their records stay in the caches; and with WebAssembly and less than 4
 * GiB of blobs.
 */
import { blobHeaderSize } from '../../blob-writer/blob-format.ts';
import { sharedBytes } from '../../byte-words.ts';
import { ChecksummedBytes, type WasmCall } from '../../checksum.ts';
import { CRC32C_DATA_OFFSET } from '../../crc32c-module.ts';
import type { EntryKeyBatch } from '../delta-layer/value-batch.ts';
import { KEY_SIZE } from '../key.ts';
import { DELTA_KEY_SIZE } from '../layer-file/entry-layout.ts';
import {
  COUNTS,
  ENTRY,
  KEY_RECORD,
  KEY_RUN_FUNCTIONS,
  MAXIMUM_REPLACED,
  NOT_WRITTEN,
  ORDER,
  REPLACED_AT,
  SEGMENT_AT,
  TABLE_AT,
  TAKEN,
  TAKEN_ENTRIES,
} from './key-runs-code.ts';
import { LENGTH_MASK, ROW_SIZE, type Rows, SEGMENT_ROWS } from './rows.ts';

/** Number of keys that are always allowed, and rows required for each further one. */
const FREE_KEYS = 1024;
const ROWS_PER_KEY = 8;
/** With more, the memory would exceed what a module can have. */
const MAXIMUM_ROWS = 2 ** 26;
const MAXIMUM_SIZE = 0xffff_fffe;

/** A part of the blobs of a layer, as offsets after the first one. */
export interface BlobRange {
  readonly from: number;
  readonly end: number;
}

/** Entries in the order of the layer, one after the other. */
export class KeyRuns {
  /** Number of entries. */
  readonly count: number;
  readonly #passes: RowPasses;
  /** First entry of the next range, and the offset of its blob. */
  #next = 0;
  #offset = 0;

  /** Returns: undefined if the rows do not meet the conditions. */
  static of(rows: Rows): KeyRuns | undefined {
    if (!rows.areLsnsInOrder || !rows.isInFileOrder || rows.count > MAXIMUM_ROWS) return undefined;
    const passes = RowPasses.create(rows);
    return passes?.addKeys() ? new KeyRuns(passes) : undefined;
  }

  private constructor(passes: RowPasses) {
    this.count = passes.orderKeys();
    passes.placeRows();
    this.#passes = passes;
  }

  /**
   * For each row the offset of its blob after the first one of the layer; more than any offset for one that is
   * replaced.
   */
  get targets(): Uint32Array {
    return this.#passes.targets;
  }

  /** The blobs after the last range, up to `size` bytes, but at least one blob; undefined at the end. */
  nextRange(size: number): BlobRange | undefined {
    if (this.#next === this.count) return undefined;
    const from = this.#offset;
    let end = from;
    let at = this.#next;
    for (; at < this.count; at += 1) {
      const length = this.#passes.lengthOf(at);
      const next = end + blobHeaderSize(length) + length;
      if (next - from > size && end > from) break;
      end = next;
    }
    this.#next = at;
    this.#offset = end;
    return { from, end };
  }

  /** The entries of a range in batches, whose arrays are reused. Requires: the entries of earlier ranges were taken. */
  *batches(range: BlobRange, values: Uint8Array): Generator<EntryKeyBatch> {
    const arrays = this.#passes.taken;
    for (;;) {
      const count = this.#passes.take(range);
      if (count === 0) return;
      yield { ...arrays, count, values };
    }
  }
}

interface Loops {
  readonly addKeys: WasmCall;
  readonly placeRows: WasmCall;
  readonly takeEntries: WasmCall;
}

/** The memory of `key-runs-code.ts` for some rows, and its loops. */
class RowPasses {
  readonly targets: Uint32Array;
  /** Where `take` writes. */
  readonly taken: Omit<EntryKeyBatch, 'count' | 'values'>;
  readonly #rows: Rows;
  readonly #memory: ChecksummedBytes;
  readonly #loops: Loops;
  readonly #places: Places;

  /** Returns: undefined without WebAssembly. */
  static create(rows: Rows): RowPasses | undefined {
    const places = placesFor(rows.count);
    const memory = ChecksummedBytes.allocate(places.end, KEY_RUN_FUNCTIONS);
    const { addKeys, placeRows, takeEntries } = memory.exports;
    if (addKeys === undefined || placeRows === undefined || takeEntries === undefined) return;
    return new RowPasses(rows, memory, { addKeys, placeRows, takeEntries }, places);
  }

  private constructor(rows: Rows, memory: ChecksummedBytes, loops: Loops, places: Places) {
    this.#rows = rows;
    this.#memory = memory;
    this.#loops = loops;
    this.#places = places;
    const bytes = (at: number, size: number): Uint8Array => memory.bytes.subarray(at, at + size);
    this.targets = this.#words(places.targets, rows.count);
    this.taken = {
      entryKeys: bytes(TAKEN.entryKeys, TAKEN_ENTRIES * DELTA_KEY_SIZE),
      willInit: bytes(TAKEN.willInit, TAKEN_ENTRIES),
      starts: this.#words(TAKEN.starts, TAKEN_ENTRIES),
      lengths: this.#words(TAKEN.lengths, TAKEN_ENTRIES),
    };
  }

  /** The first pass. Returns: false if there are too many keys, replaced rows, or bytes. */
  addKeys(): boolean {
    const { view } = this.#memory;
    const { table, slots, keys, targets } = this.#places;
    for (let row = 0; row < this.#rows.count; ) {
      const [from, end] = this.#loadSegment(row);
      const ofRow = address(targets + 4 * row);
      this.#loops.addKeys(from, end, row, ofRow, address(table), slots - 1, address(keys));
      row += (end - from) / ROW_SIZE;
      if (this.#keyCount > maximumKeys(row)) return false;
      if (view.getUint32(COUNTS.replaced, true) > MAXIMUM_REPLACED) return false;
      if (view.getBigUint64(COUNTS.size, true) > MAXIMUM_SIZE) return false;
    }
    return true;
  }

  /**
   * Sorts the keys, and counts the rows and bytes before each one. Returns: the number of rows that are not replaced.
   */
  orderKeys(): number {
    const { view } = this.#memory;
    const compare = (left: number, right: number): number => {
      const shared = sharedBytes(view, left, view, right, KEY_SIZE);
      return view.getUint8(left + shared) - view.getUint8(right + shared);
    };
    const { keys, order } = this.#places;
    const records = Uint32Array.from(
      { length: this.#keyCount },
      (_, key) => keys + KEY_RECORD.size * key,
    ).sort(compare);
    let count = 0;
    let size = 0;
    for (const [rank, record] of records.entries()) {
      const rows = view.getUint32(record + KEY_RECORD.rows, true);
      const bytes = view.getUint32(record + KEY_RECORD.bytes, true);
      view.setUint32(record + KEY_RECORD.rows, count, true);
      view.setUint32(record + KEY_RECORD.bytes, size, true);
      count += rows;
      size += bytes;
      const place = order + ORDER.size * rank;
      view.setUint32(place + ORDER.key, address(record), true);
      view.setUint32(place + ORDER.end, count, true);
    }
    return count;
  }

  /** The second pass. Requires: the keys are in order. */
  placeRows(): void {
    this.#sortReplaced();
    const { keys, targets, entries } = this.#places;
    let replaced = address(REPLACED_AT);
    for (let row = 0; row < this.#rows.count; ) {
      const [from, end] = this.#loadSegment(row);
      const ofRow = address(targets + 4 * row);
      const others = [address(keys), address(entries), replaced];
      replaced = this.#loops.placeRows(from, end, row, ofRow, ...others);
      row += (end - from) / ROW_SIZE;
    }
  }

  /** Length of an entry's value. Requires: the rows were placed. */
  lengthOf(entry: number): number {
    const at = this.#places.entries + ENTRY.size * entry + ENTRY.details;
    return this.#memory.view.getUint32(at, true) & LENGTH_MASK;
  }

  /** Writes the next entries of a range to `taken`. Returns: how many. */
  take({ from, end }: BlobRange): number {
    const { order, entries } = this.#places;
    return this.#loops.takeEntries(address(order), address(entries), from, end);
  }

  get #keyCount(): number {
    return this.#memory.view.getUint32(COUNTS.keys, true);
  }

  #words(offset: number, length: number): Uint32Array {
    const { buffer, byteOffset } = this.#memory.bytes;
    return new Uint32Array(buffer, byteOffset + offset, length);
  }

  /** Returns: the addresses of the first row and after the last one. */
  #loadSegment(row: number): readonly [from: number, end: number] {
    const { buffer } = this.#rows.view(row);
    const size = ROW_SIZE * Math.min(SEGMENT_ROWS, this.#rows.count - row);
    this.#memory.bytes.set(new Uint8Array(buffer, 0, size), SEGMENT_AT);
    return [address(SEGMENT_AT), address(SEGMENT_AT) + size];
  }

  #sortReplaced(): void {
    const count = this.#memory.view.getUint32(COUNTS.replaced, true);
    const list = this.#words(REPLACED_AT, count + 1);
    list.subarray(0, count).sort();
    list[count] = NOT_WRITTEN;
  }
}

/** Offsets of the parts whose sizes depend on the number of rows. */
interface Places {
  readonly table: number;
  /** Number of slots of the table. */
  readonly slots: number;
  readonly keys: number;
  readonly order: number;
  readonly targets: number;
  readonly entries: number;
  readonly end: number;
}

function placesFor(rowCount: number): Places {
  // The keys of a segment are added before they are counted.
  const keyCount = maximumKeys(rowCount) + SEGMENT_ROWS;
  const slots = 2 ** Math.ceil(Math.log2(2 * keyCount));
  const keys = TABLE_AT + 4 * slots;
  const order = keys + KEY_RECORD.size * keyCount;
  const targets = order + ORDER.size * keyCount;
  const entries = targets + 4 * rowCount;
  return {
    ...{ table: TABLE_AT, slots, keys, order, targets, entries },
    end: entries + ENTRY.size * rowCount,
  };
}

/** Maximum number of keys for this number of rows. */
function maximumKeys(rowCount: number): number {
  return FREE_KEYS + Math.floor(rowCount / ROWS_PER_KEY);
}

function address(offset: number): number {
  return CRC32C_DATA_OFFSET + offset;
}

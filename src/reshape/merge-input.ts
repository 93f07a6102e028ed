/**
 * One layer of a merge: a scan of its entries, and its current entry.
 *
 * A layer that the merge has not reached is positioned at the first key of its range and LSN 0, and has no buffer yet.
 * So layers with disjoint keys are never in memory together, and once the merge is at a key, every layer that may have
 * it has been reached.
 */
import { assert } from '../assert.ts';
import { ViewedBytes } from '../byte-words.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { compareKeys, formatKey, KEY_SIZE } from '../layers/key.ts';
import type { EntryBatch } from '../layers/layer-file/entry-batch.ts';
import { justAbove } from '../layers/layer-file/entry-layout.ts';
import type { EntryOptions } from '../layers/layer-file/entry-options.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import { formatLsn, MAXIMUM_LSN } from '../layers/lsn.ts';
import { halvesOf, highHalf, lowHalf } from '../layers/lsn-halves.ts';
import { BLOCK_SIZE } from '../virtual-file/block.ts';

/**
 * Words of a head: three of the key, with six bytes each, two of the LSN, and the state. As numbers they
 * are in the order of the merge.
 */
export const HEAD_WORDS = 6;
/** Words of a head that hold the key. */
export const KEY_WORDS = 3;
const LSN_WORD = KEY_WORDS;
const STATE_WORD = 5;
/** Bytes of a key that a word holds. */
const WORD_BYTES = 6;

/** A layer that has not been reached comes before all entries at its position. */
const UNREACHED = 0;
const REACHED = 1;
const ENDED = Number.POSITIVE_INFINITY;

/** How a layer of a merge is read. */
export interface InputOptions extends Pick<EntryOptions, 'keyRange' | 'lsnRange' | 'signal'> {
  /** Bytes of one read. */
  readonly pieceSize: number;
}

export class MergeInput {
  readonly reader: LayerReader;
  /** Its position among the inputs. */
  readonly index: number;
  readonly isImage: boolean;
  /** Of all inputs; this one's begin at `index * HEAD_WORDS`. */
  readonly #heads: Float64Array;
  readonly #options: InputOptions;
  #batches: AsyncGenerator<EntryBatch> | undefined;
  #batch: EntryBatch | undefined;
  #keys: ViewedBytes = new ViewedBytes(new Uint8Array(0));
  #lsns: Uint32Array = new Uint32Array(0);
  #buffer = this.#keys;
  #count = 0;
  /** Of the batch: its last key as words, and the bytes from its first blob to its last one. */
  readonly #lastKey = new Float64Array(KEY_WORDS);
  #size = 0;
  /** The current row of the batch. */
  row = 0;

  constructor(reader: LayerReader, index: number, heads: Float64Array, options: InputOptions) {
    const { summary } = reader;
    this.reader = reader;
    this.index = index;
    this.isImage = summary.kind === 'image';
    this.#heads = heads;
    this.#options = options;
    const start = options.keyRange?.start;
    const isInside = start !== undefined && compareKeys(start, summary.keyRange.start) > 0;
    const first = isInside ? start : summary.keyRange.start;
    this.#setHead(new ViewedBytes(first).view, 0, 0, 0, UNREACHED);
  }

  /** Whether the current entry must be loaded first. */
  get isUnreached(): boolean {
    return this.#heads[this.index * HEAD_WORDS + STATE_WORD] === UNREACHED;
  }

  get isEnded(): boolean {
    return this.#heads[this.index * HEAD_WORDS + STATE_WORD] === ENDED;
  }

  /** The batch of the entry. Requires: the merge is at this input. */
  get batch(): EntryBatch {
    assert(this.#batch !== undefined, 'the input was reached, and has not ended');
    return this.#batch;
  }

  /** Offset of the entry's value in the file; 0 if none was reached, the size of the file at the end. */
  get position(): number {
    if (this.isEnded) return this.reader.size;
    return this.#batch?.offsets[this.row] ?? 0;
  }

  /** The keys of the batch; the entry's starts at `row * KEY_SIZE`. */
  get keys(): ViewedBytes {
    return this.#keys;
  }

  /** The memory of plain contents of the batch. */
  get buffer(): ViewedBytes {
    return this.#buffer;
  }

  get lsnHigh(): number {
    return highHalf(this.#lsns, this.row);
  }

  get lsnLow(): number {
    return lowHalf(this.#lsns, this.row);
  }

  /** The last key of the batch, as words. */
  get lastKey(): Float64Array {
    return this.#lastKey;
  }

  /** At least the bytes that a key takes of which the batch has all versions, and a later key. */
  get sizeBound(): number {
    return this.#size;
  }

  /** Advances within the batch. False if the next entry must be loaded. */
  next(): boolean {
    const row = this.row + 1;
    if (row >= this.#count) return false;
    this.row = row;
    this.#setHeadOfRow();
    return true;
  }

  /** Advances to the first entry of the next batch, or to the end. */
  async load(): Promise<void> {
    this.#batches ??= this.reader.batches(this.#options);
    const { value, done } = await this.#batches.next();
    if (done) {
      this.#batch = undefined;
      this.#count = 0;
      this.#heads.fill(ENDED, this.index * HEAD_WORDS, (this.index + 1) * HEAD_WORDS);
      return;
    }
    this.#batch = value;
    const { keys, lsns } = value;
    if (keys !== this.#keys.bytes) {
      this.#keys = new ViewedBytes(keys);
      this.#lsns = halvesOf(lsns);
    }
    this.#buffer = new ViewedBytes(value.buffer);
    this.row = 0;
    this.#setHeadOfRow();
    const last = value.count - 1;
    setKeyWords(this.#lastKey, 0, this.#keys.view, last * KEY_SIZE);
    this.#count = value.count;
    this.#size = (value.offsets[last] as number) - (value.offsets[0] as number);
  }

  async close(): Promise<void> {
    await this.#batches?.return(undefined);
  }

  /**
   * Bytes from the entry's blob to that of the next entry; with `key`, to that of the next key. Those of
   * the last entry end where the index begins.
   */
  extent(until: 'entry' | 'key'): number | Promise<number> {
    const { offsets, count } = this.batch;
    const { view } = this.#keys;
    const from = offsets[this.row] as number;
    let row = this.row + 1;
    if (until === 'key') while (row < count && isSameKey(view, row)) row += 1;
    return row < count ? (offsets[row] as number) - from : this.#extentBeyondBatch(from, until);
  }

  async #extentBeyondBatch(from: number, until: 'entry' | 'key'): Promise<number> {
    const { layout, index, summary } = this.reader;
    const key = this.batch.key(this.row);
    const lsn = until === 'key' ? MAXIMUM_LSN : this.batch.lsn(this.batch.count - 1);
    for await (const slice of index.ascend({ start: justAbove(layout.entryKey(key, lsn)) })) {
      return layout.offset(slice.node, slice.from) - from;
    }
    return summary.indexStartBlock * BLOCK_SIZE - from;
  }

  #setHeadOfRow(): void {
    this.#setHead(this.#keys.view, this.row * KEY_SIZE, this.lsnHigh, this.lsnLow, REACHED);
  }

  #setHead(keys: DataView, at: number, high: number, low: number, state: number): void {
    const heads = this.#heads;
    const to = this.index * HEAD_WORDS;
    setKeyWords(heads, to, keys, at);
    heads[to + LSN_WORD] = high;
    heads[to + LSN_WORD + 1] = low;
    heads[to + STATE_WORD] = state;
  }

  /** An error about the current entry. */
  located(error: unknown): unknown {
    if (!isStorageError(error)) return error;
    const { batch, row, reader } = this;
    const key = formatKey(batch.key(row));
    return error.with({ path: reader.path, key, lsn: formatLsn(batch.lsn(row)) });
  }

  /** The error for an entry that the caller cannot handle. */
  refused(what: string, expected: string): unknown {
    const offset = this.batch.offsets[this.row];
    return this.located(new StorageError('invalid-input', { what, expected, offset }));
  }
}

/** Sets the words of the key at `at`; the first is at `to`. */
export function setKeyWords(words: Float64Array, to: number, keys: DataView, at: number): void {
  words[to] = keys.getUint16(at) * 0x1_0000_0000 + keys.getUint32(at + 2);
  words[to + 1] = keys.getUint16(at + WORD_BYTES) * 0x1_0000_0000 + keys.getUint32(at + 8);
  words[to + 2] = keys.getUint16(at + 2 * WORD_BYTES) * 0x1_0000_0000 + keys.getUint32(at + 14);
}

/** Whether the key of a row equals that of the row before. Most differ in their last bytes. */
function isSameKey(keys: DataView, row: number): boolean {
  const at = row * KEY_SIZE;
  const before = at - KEY_SIZE;
  return (
    keys.getInt32(at + 14) === keys.getInt32(before + 14) &&
    keys.getInt32(at + 10) === keys.getInt32(before + 10) &&
    keys.getInt32(at + 6) === keys.getInt32(before + 6) &&
    keys.getInt32(at + 2) === keys.getInt32(before + 2) &&
    keys.getInt16(at) === keys.getInt16(before)
  );
}

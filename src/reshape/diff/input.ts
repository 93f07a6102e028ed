/**
 * One layer of a comparison: its readable entries, in index order, and where entries may be missing.
 *
 * The entries of a batch are adjacent in their leaf. Between two items of the scan there may be a gap: around a damaged
 * entry, whose key may be wrong; and, once a block of the index is damaged, between any two items, because a lost leaf
 * is not reported in its place. A layer that has not been reached is positioned at the first key of its range and LSN
 * 0, and has no buffer.
 */

import { assert } from '../../assert.ts';
import { ViewedBytes } from '../../byte-words.ts';
import { checkObject } from '../../check-options.ts';
import { isStorageError, type StorageError } from '../../errors.ts';
import { compareKeys, KEY_SIZE, type Key, minimumKey } from '../../layers/key.ts';
import type { EntryBatch } from '../../layers/layer-file/entry-batch.ts';
import type { EntryOptions } from '../../layers/layer-file/entry-options.ts';
import type { LargeEntry } from '../../layers/layer-file/entry-scan.ts';
import type { LayerReader } from '../../layers/layer-file/layer-reader.ts';
import type { SalvageReader } from '../../layers/layer-file/salvage-reader.ts';
import type { LayerName } from '../../layers/layer-name.ts';
import { isInLsnRange, type Lsn } from '../../layers/lsn.ts';
import { halvesOf, highHalf, joinHalves, lowHalf } from '../../layers/lsn-halves.ts';

/** A layer that is compared; one that may be damaged is opened with `SalvageReader`. */
export type ComparedLayer = LayerReader | SalvageReader;

/** How the layers of a comparison are read. */
export interface DiffReading extends Pick<EntryOptions, 'keyRange' | 'lsnRange' | 'signal'> {
  /** Bytes of one read. */
  readonly pieceSize: number;
  readonly onDamage: (error: StorageError) => void;
}

type Item = ReturnType<SalvageReader['salvageStreamed']>;

/** Arrays of a batch as bytes, for comparing many entries with one call. Reused from batch to batch. */
export interface BatchBytes {
  readonly keys: Buffer;
  readonly lsns: Buffer;
  readonly willInit: Buffer;
  readonly compressed: Buffer;
  readonly storedLengths: Buffer;
  readonly lengths: Buffer;
}

export class DiffInput {
  readonly reader: ComparedLayer;
  /** Its position among the inputs of its side. */
  readonly index: number;
  readonly isImage: boolean;
  readonly #reading: DiffReading;
  #items: Item | undefined;
  #state: 'unreached' | 'reached' | 'ended' = 'unreached';
  /** The batch of the current entry; undefined at a large entry. */
  batch: EntryBatch | undefined;
  /** The current entry, if it is not in a batch. */
  large: LargeEntry | undefined;
  #row = 0;
  #count = 0;
  #keys: DataView;
  #lsns: Uint32Array;
  #bytes: BatchBytes | undefined;
  #buffer: Buffer = Buffer.alloc(0);
  /** Whether something may be missing between the previous item and this one, or after the last one. */
  #isGapBefore = false;
  /** Whether leaves may be missing between any two items. */
  #hasLostLeaves = false;
  /** Whether the ranges of the layer are known. */
  readonly #isSummarySure: boolean;

  constructor(reader: ComparedLayer, index: number, reading: DiffReading) {
    checkObject('layer to compare', reader);
    const { summary } = reader;
    checkObject('summary of a layer to compare', summary);
    this.reader = reader;
    this.index = index;
    this.isImage = summary.kind === 'image';
    this.#reading = reading;
    this.#isSummarySure = !('summaryError' in reader) || reader.summaryError === undefined;
    const first = this.#isSummarySure ? summary.keyRange.start : minimumKey();
    this.#keys = new ViewedBytes(first).view;
    this.#lsns = halvesOf(new BigUint64Array(1));
  }

  get isUnreached(): boolean {
    return this.#state === 'unreached';
  }

  get isEnded(): boolean {
    return this.#state === 'ended';
  }

  /** The current row of the batch; 0 for a large entry. */
  get row(): number {
    return this.#row;
  }

  /** Number of entries in memory, starting with the current one. */
  get remaining(): number {
    return this.#count - this.#row;
  }

  /** The key of the entry; a copy. */
  get key(): Key {
    const { buffer, byteOffset } = this.#keys;
    return new Uint8Array(buffer, byteOffset + this.#row * KEY_SIZE, KEY_SIZE).slice();
  }

  get lsn(): Lsn {
    return joinHalves(highHalf(this.#lsns, this.#row), lowHalf(this.#lsns, this.#row));
  }

  get willInit(): boolean {
    if (this.large !== undefined) return this.large.willInit;
    return this.batch?.willInit[this.#row] === 1;
  }

  get compressed(): boolean {
    if (this.large !== undefined) return this.large.compressed;
    return this.batch?.compressed[this.#row] === 1;
  }

  get storedLength(): number {
    if (this.large !== undefined) return this.large.storedLength;
    return this.batch?.storedLengths[this.#row] ?? 0;
  }

  get offset(): number {
    if (this.large !== undefined) return this.large.offset;
    return this.batch?.offsets[this.#row] ?? 0;
  }

  /** Requires: the current entry is in a batch. */
  get bytes(): BatchBytes {
    assert(this.#bytes !== undefined, 'the entry is in a batch');
    return this.#bytes;
  }

  /** Stored contents of the batch; entry i starts at `starts[i]`. */
  get buffer(): Buffer {
    return this.#buffer;
  }

  /** Advances by N entries. False if the next one must be loaded. */
  skip(rows: number): boolean {
    this.#row += rows;
    return this.#row < this.#count;
  }

  /** Negative, zero or positive: by key and LSN. An input that has not been reached comes first. */
  compare(other: DiffInput): number {
    return this.compareRow(this.#row, other);
  }

  /** As `compare`, for a row of the batch. */
  compareRow(row: number, other: DiffInput): number {
    const [keys, otherKeys] = [this.#keys, other.#keys];
    const at = row * KEY_SIZE;
    const otherAt = other.#row * KEY_SIZE;
    for (let byte = 0; byte < KEY_SIZE - 2; byte += 4) {
      const difference = keys.getUint32(at + byte) - otherKeys.getUint32(otherAt + byte);
      if (difference !== 0) return difference;
    }
    const last = keys.getUint16(at + KEY_SIZE - 2) - otherKeys.getUint16(otherAt + KEY_SIZE - 2);
    if (last !== 0) return last;
    const high = highHalf(this.#lsns, row) - highHalf(other.#lsns, other.#row);
    if (high !== 0) return high;
    const low = lowHalf(this.#lsns, row) - lowHalf(other.#lsns, other.#row);
    if (low !== 0) return low;
    return Number(other.isUnreached) - Number(this.isUnreached);
  }

  /** Advances to the first entry of the next item, or to the end. Throws `aborted`, `closed`. */
  async load(): Promise<void> {
    const items = this.#begin();
    let isGap = this.#hasLostLeaves;
    for (;;) {
      let next: Awaited<ReturnType<Item['next']>>;
      try {
        if (items === undefined) return this.#end(false);
        next = await items.next();
      } catch (error) {
        if (!isStorageError(error) || isStorageError(error, 'aborted', 'closed')) throw error;
        this.#reading.onDamage(error);
        return this.#end(true);
      }
      if (next.done) return this.#end(isGap);
      const item = next.value;
      this.#isGapBefore = isGap;
      if (item.kind === 'batch') return this.#moveToBatch(item.batch);
      if (item.kind === 'large-entry') return this.#moveToLarge(item);
      isGap = true;
      if (item.kind === 'damaged-block' || item.kind === 'damaged-summary') {
        this.#hasLostLeaves = true;
      }
      // Blobs without keys follow the damage of the root.
      if (item.kind !== 'loose-blob') this.#reading.onDamage(item.error);
    }
  }

  /**
   * Whether the current entry of another input may have been in this one, but unreadable. Requires: this one is
   * positioned after it, or has ended.
   */
  mayHaveLost(other: DiffInput): boolean {
    if (!this.#isGapBefore || (this.#row > 0 && !this.isEnded)) return false;
    return !this.#isSummarySure || isInLayer(this.reader.summary, other);
  }

  async close(): Promise<void> {
    await this.#items?.return(undefined);
  }

  /** Undefined if no entry of the layer is wanted. */
  #begin(): Item | undefined {
    if (this.#items !== undefined) return this.#items;
    const { summary } = this.reader;
    const { lsnRange, onDamage, ...options } = this.#reading;
    const isImage = summary.kind === 'image';
    if (isImage && lsnRange !== undefined && !isInLsnRange(summary.lsn, lsnRange)) return undefined;
    this.#items = this.reader.salvageStreamed({
      ...options,
      lsnRange: isImage ? undefined : lsnRange,
    });
    return this.#items;
  }

  #end(isGap: boolean): void {
    this.#state = 'ended';
    this.#isGapBefore = isGap;
    this.batch = undefined;
    this.large = undefined;
  }

  #moveToBatch(batch: EntryBatch): void {
    if (this.#bytes?.keys.buffer !== batch.keys.buffer) {
      this.#bytes = {
        keys: bufferOf(batch.keys),
        lsns: bufferOf(batch.lsns),
        willInit: bufferOf(batch.willInit),
        compressed: bufferOf(batch.compressed),
        storedLengths: bufferOf(batch.storedLengths),
        lengths: bufferOf(batch.lengths),
      };
    }
    if (this.batch !== batch) {
      this.#keys = new ViewedBytes(batch.keys).view;
      this.#lsns = halvesOf(batch.lsns);
    }
    if (this.#buffer.buffer !== batch.buffer.buffer || this.#buffer.length !== batch.buffer.length)
      this.#buffer = bufferOf(batch.buffer);
    this.batch = batch;
    this.large = undefined;
    this.#stand(batch.count);
  }

  #moveToLarge(entry: LargeEntry): void {
    this.#keys = new ViewedBytes(entry.key).view;
    this.#lsns = halvesOf(BigUint64Array.of(entry.lsn));
    this.batch = undefined;
    this.large = entry;
    this.#stand(1);
  }

  #stand(count: number): void {
    this.#state = 'reached';
    this.#row = 0;
    this.#count = count;
  }
}

/** Whether an entry lies in the ranges of a layer. */
export function isInLayer(
  layer: Pick<LayerName, 'keyRange'> &
    (
      | { readonly kind: 'delta'; readonly lsnRange: { readonly start: Lsn; readonly end: Lsn } }
      | { readonly kind: 'image'; readonly lsn: Lsn }
    ),
  { key, lsn }: Pick<DiffInput, 'key' | 'lsn'>,
): boolean {
  const { start, end } = layer.keyRange;
  if (compareKeys(key, start) < 0 || compareKeys(key, end) >= 0) return false;
  return layer.kind === 'delta' ? isInLsnRange(lsn, layer.lsnRange) : lsn === layer.lsn;
}

function bufferOf(array: ArrayBufferView): Buffer {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}

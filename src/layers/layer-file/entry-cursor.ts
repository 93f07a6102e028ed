/** One entry at a time of a batch: looks up only the requested parts, and creates no object for it. */
import { KEY_SIZE, type Key } from '../key.ts';
import type { Lsn } from '../lsn.ts';
import { halvesOf, highHalf, lowHalf, splitLsn } from '../lsn-halves.ts';
import { outlineOfValue, outlineOfValueAt, type ValueOutline } from '../value-outline.ts';
import type { EntryBatch, LayerEntry } from './entry-batch.ts';

/** An entry without its content, with key and LSN in a form that is printed and compared fast. */
export interface EntryRow extends Omit<LayerEntry, 'bytes'> {
  /** The 18 bytes of the key start at `keyStart`. */
  readonly keys: Uint8Array;
  readonly keyStart: number;
  readonly lsnHigh: number;
  readonly lsnLow: number;
}

/** The row of an entry that is in no batch. */
export function rowOf(entry: Omit<LayerEntry, 'bytes'>): EntryRow {
  const { high, low } = splitLsn(entry.lsn);
  return { ...entry, keys: entry.key, keyStart: 0, lsnHigh: high, lsnLow: low };
}

/**
 * A row of a batch, at `index`. All that it returns is valid as long as the batch, and until `index`
 * changes. Cursors of several scans are independent of each other.
 */
export class EntryCursor implements EntryRow {
  readonly batch: EntryBatch;
  readonly #lsnHalves: Uint32Array;
  index = 0;

  constructor(batch: EntryBatch) {
    this.batch = batch;
    this.#lsnHalves = halvesOf(batch.lsns);
  }

  get isDone(): boolean {
    return this.index >= this.batch.count;
  }

  get keys(): Uint8Array {
    return this.batch.keys;
  }

  get keyStart(): number {
    return this.index * KEY_SIZE;
  }

  get key(): Key {
    return this.batch.key(this.index);
  }

  get lsn(): Lsn {
    return this.batch.lsn(this.index);
  }

  get lsnHigh(): number {
    return highHalf(this.#lsnHalves, this.index);
  }

  get lsnLow(): number {
    return lowHalf(this.#lsnHalves, this.index);
  }

  get willInit(): boolean {
    return this.batch.willInit[this.index] === 1;
  }

  get offset(): number {
    return this.batch.offsets[this.index] as number;
  }

  get storedLength(): number {
    return this.batch.storedLengths[this.index] as number;
  }

  get headerSize(): number {
    return this.storedLength - (this.batch.lengths[this.index] as number);
  }

  get compressed(): boolean {
    return this.batch.compressed[this.index] === 1;
  }

  /** The content after decompression; a view. */
  get bytes(): Uint8Array {
    return this.batch.bytes(this.index);
  }

  /** Length of the content after decompression. */
  get contentLength(): number {
    return this.compressed ? this.bytes.length : (this.batch.lengths[this.index] as number);
  }

  /** What the value of a delta layer is; throws as `outlineOfValue`, with an offset in the value. */
  outline(): ValueOutline {
    const { batch, index } = this;
    if (this.compressed) return outlineOfValue(this.bytes);
    return outlineOfValueAt(batch.buffer, batch.starts[index] as number, this.contentLength);
  }
}

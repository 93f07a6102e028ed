/**
 * Collects the values that records put, one record after the other, and puts them into the layers of a line. Batches
 * are used in turn, so that one fills while the previous ones are put into the layer.
 *
 * A record is all or nothing. Usually its values stay in the batch until it is complete, and can be removed again. A
 * record with more values than that, such as the copy of a database, gets a separate layer: the open layer ends before
 * the record, whose values go to the next layer and, if that is full, to more layers of the same LSNs. None of them is
 * passed on before the border after the record, so if the record fails, they are dropped.
 */
import { assert } from '../../assert.ts';
import { compareBytes, ViewedBytes } from '../../byte-words.ts';
import { StorageError } from '../../errors.ts';
import type { EphemeralEntry } from '../../layers/ephemeral-layer/ephemeral-layer.ts';
import { compareKeys, formatKey, KEY_SIZE, type Key } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { splitLsn } from '../../layers/lsn-halves.ts';
import { type KernelBatch, PlainKernel } from '../wal/plain-kernel.ts';
import type { RowSink } from '../wal/row-sink.ts';
import { KeyFilter } from './key-filter.ts';
import type { Border, LayerLine } from './layer-line.ts';
import { PutBatch } from './put-batch.ts';

interface Slot {
  readonly batch: PutBatch;
  /** Settles when the batch may be used again. */
  put: void | Promise<void>;
}

/** Bytes of values. */
export interface RecordPutSizes {
  /** Of a record, above which it gets a separate layer. */
  readonly record: number;
  /** Of a layer that has only a part of a record. */
  readonly layer: number;
}

/** Ends a layer before the current record. Returns: the border there; undefined if the open layer starts there. */
export type EndBefore = () => Border | undefined;

export class RecordPuts implements RowSink {
  /** See `RowSink`. */
  readonly kernel: PlainKernel | undefined;
  readonly #line: LayerLine;
  readonly #sizes: RecordPutSizes;
  readonly #slots: readonly Slot[];
  #slot = 0;
  #batch: PutBatch;
  readonly #putKeys = new KeyFilter();
  /** The key of a value that is not a row; it is copied. */
  readonly #key = new ViewedBytes(new Uint8Array(KEY_SIZE));
  /** Where the batch was before the record. */
  #countBefore = 0;
  #sizeBefore = 0;
  #endBefore: EndBefore = () => undefined;
  /** Whether batch and open layer have only values of the current record. */
  #isAlone = false;

  /** `batchCount`: how many batches may be in use; at least 2. */
  constructor(line: LayerLine, batchCount: number, sizes: RecordPutSizes) {
    assert(batchCount >= 2, 'one batch fills while another one is put');
    this.#line = line;
    this.#sizes = sizes;
    this.kernel = PlainKernel.create(batchCount);
    this.#slots = Array.from({ length: batchCount }, (_, index) => ({
      batch: new PutBatch(this.kernel?.areas[index]),
      put: undefined,
    }));
    this.#batch = this.#slots[0]?.batch as PutBatch;
  }

  /** Bytes of values that are not in a frozen layer. */
  get size(): number {
    return this.#line.size + this.#batch.size;
  }

  /** Whether the batch should be put into the layer before the next record. */
  get isFull(): boolean {
    return this.#batch.isFull;
  }

  /** Whether the last record went to several layers, so that the open one must end after it. */
  get isSplit(): boolean {
    return this.#line.startKey !== undefined;
  }

  /** Begins a record. */
  begin(endBefore: EndBefore): void {
    this.#countBefore = this.#batch.count;
    this.#sizeBefore = this.#batch.size;
    this.#endBefore = endBefore;
    this.#isAlone = false;
  }

  /**
   * Removes the values that were put since `begin`. If some have left the batch, the open layer has no others, and must
   * not be frozen any more.
   */
  rollBack(): void {
    this.#batch.cut(this.#countBefore, this.#sizeBefore);
  }

  /** See `RowSink`. */
  get isCrowded(): boolean {
    if (this.#isAlone && this.#batch.isFull) return true;
    return this.#batch.size - this.#sizeBefore >= this.#sizes.record;
  }

  /** See `RowSink`. */
  async makeRoom(lsn: Lsn, next: Key | undefined): Promise<void> {
    if (!this.#isAlone) await this.#isolate();
    await this.flush();
    if (next === undefined || this.#line.size < this.#sizes.layer) return;
    await this.#allPut();
    await this.#line.split(next, lsn);
  }

  /** Adds a serialized value, which is copied. Throws: `too-large`. */
  put(key: Key, lsn: Lsn, willInit: boolean, value: Uint8Array): void {
    this.#checkOrder(key);
    const { high, low } = splitLsn(lsn);
    this.beginRows(high, low);
    this.#key.bytes.set(key);
    this.#putKeys.add(this.#key.view);
    this.#batch.putBytes(this.#key, willInit, value);
  }

  /** Adds a raw WAL record as the value that holds it; it is copied. Throws: `too-large`. */
  putRecord(key: Key, lsn: Lsn, willInit: boolean, record: Uint8Array): void {
    this.#checkOrder(key);
    const { high, low } = splitLsn(lsn);
    this.beginRows(high, low);
    this.#key.bytes.set(key);
    this.putRecordRow(this.#key, willInit, new ViewedBytes(record), 0, record.length);
  }

  /** See `RowSink`. */
  get kernelBatch(): KernelBatch | undefined {
    return this.#batch.ofKernel;
  }

  /** Bytes of values in the open layer, without those of the batch. */
  get flushedSize(): number {
    return this.#line.size;
  }

  /** See `RowSink`. */
  beginRows(high: number, low: number): void {
    this.#batch.setLsn(high, low);
  }

  /** As `put`, at the LSN given to `beginRows`. */
  putRow(key: ViewedBytes, willInit: boolean, value: ViewedBytes): void {
    this.#putKeys.add(key.view);
    this.#batch.put(key, willInit, value);
  }

  /** As `putRecord`, at the LSN given to `beginRows`. */
  putRecordRow(
    key: ViewedBytes,
    willInit: boolean,
    memory: ViewedBytes,
    offset: number,
    size: number,
  ): void {
    this.#putKeys.add(key.view);
    this.#batch.putRecord(key, willInit, memory, offset, size);
  }

  /**
   * Puts the batch into the layer. Requires: all values of the last record have been put, or it has the layer for
   * itself. Throws errors of the layer.
   */
  async flush(): Promise<void> {
    const slot = this.#slots[this.#slot] as Slot;
    const { batch } = slot;
    if (batch.count === 0) return;
    slot.put = this.#line.put(batch);
    // It is thrown when the batch is used again, or at the next border.
    slot.put?.catch(() => {});
    this.#slot = (this.#slot + 1) % this.#slots.length;
    const next = this.#slots[this.#slot] as Slot;
    await next.put;
    next.put = undefined;
    next.batch.clear();
    this.#batch = next.batch;
    this.#countBefore = 0;
    this.#sizeBefore = 0;
  }

  /** Puts the remaining values into the open layer, and ends it. */
  async freeze(border: Border): Promise<void> {
    await this.flush();
    await this.#allPut();
    await this.#line.freeze(border);
  }

  /**
   * The values of a key that were put and have not been passed on, newest first, down to one that needs no older one.
   * Those of the current record may be missing, so that a record that reads as much as it puts need not search them.
   */
  async versions(key: Key, lsn: Lsn): Promise<EphemeralEntry[]> {
    if (!this.#putKeys.mayHave(new ViewedBytes(key).view)) return [];
    const found = this.#versionsInBatch(key, lsn);
    if (found.at(-1)?.willInit) return found;
    await this.#allPut();
    return [...found, ...(await this.#line.versions(key, lsn))];
  }

  /** Ends the open layer before the current record, whose values so far move to an empty batch. */
  async #isolate(): Promise<void> {
    const border = this.#endBefore();
    this.#isAlone = true;
    if (border === undefined) return;
    const batch = this.#batch;
    const first = this.#countBefore;
    const end = batch.count;
    if (first > 0) {
      batch.cut(first, this.#sizeBefore);
      await this.flush();
      this.#batch.putRows(batch, first, end);
    }
    await this.#allPut();
    await this.#line.freeze(border);
  }

  async #allPut(): Promise<void> {
    for (const { put } of this.#slots) await put;
  }

  /** Throws `too-large` for a key that belongs to a layer that has been split off. */
  #checkOrder(key: Key): void {
    const { startKey } = this.#line;
    if (startKey === undefined || compareKeys(key, startKey) >= 0) return;
    throw new StorageError('too-large', {
      what: 'values of one record that are not in the order of their keys',
      key: formatKey(key),
      expected: `at most ${this.#sizes.layer} bytes`,
    });
  }

  /** Later rows replace earlier ones of the same LSN. */
  #versionsInBatch(key: Key, lsn: Lsn): EphemeralEntry[] {
    const found: EphemeralEntry[] = [];
    const batch = this.#batch;
    const keys = new ViewedBytes(batch.keys).view;
    const wanted = new ViewedBytes(key).view;
    let above: Lsn | undefined;
    for (let row = this.#countBefore - 1; row >= 0; row -= 1) {
      const rowLsn = batch.lsns[row] as Lsn;
      if (rowLsn > lsn || rowLsn === above) continue;
      if (!hasKey(keys, row, wanted)) continue;
      above = rowLsn;
      const start = batch.starts[row] as number;
      const bytes = batch.values.slice(start, start + (batch.lengths[row] as number));
      const willInit = batch.willInit[row] === 1;
      found.push({ key: Uint8Array.from(key), lsn: rowLsn, willInit, bytes });
      if (willInit) break;
    }
    return found;
  }
}

function hasKey(keys: DataView, row: number, wanted: DataView): boolean {
  return compareBytes(keys, row * KEY_SIZE, wanted) === 0;
}

/**
 * Where the values of plain records go. Unlike a `PutSink`, it gets the LSN once per record, in halves, and reads bytes
 * in place, so that a value costs no object.
 */
import type { ViewedBytes } from '../../byte-words.ts';
import type { Key } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { joinHalves } from '../../layers/lsn-halves.ts';
import type { KernelBatch, PlainKernel } from './plain-kernel.ts';
import type { PutSink } from './put-sink.ts';

/** All bytes are copied before a call returns. */
export interface RowSink extends PutSink {
  /** What puts rows directly into the memory of batches; undefined if there is none. */
  readonly kernel: PlainKernel | undefined;
  /** The batch that fills now, while it lies in the memory of the kernel. */
  readonly kernelBatch: KernelBatch | undefined;
  /** Begins the rows of a record, which ends at the LSN of these halves. */
  beginRows(high: number, low: number): void;
  /** Adds a serialized value. */
  putRow(key: ViewedBytes, willInit: boolean, value: ViewedBytes): void;
  /** Adds the raw WAL record of `size` bytes at `offset`, as `putRecord` does. */
  putRecordRow(
    key: ViewedBytes,
    willInit: boolean,
    memory: ViewedBytes,
    offset: number,
    size: number,
  ): void;
  /** Whether the current record has put enough values that `makeRoom` should be called before the next one. */
  readonly isCrowded: boolean;
  /**
   * Passes values of the current record on, which ends at `lsn`, so that it may put any number of them in bounded
   * memory. With `next`, they may go to several layers.
   *
   * Requires: with `next`, all values of the record so far have lower keys. Then a later one with a lower key may be
   * refused, as `too-large`.
   * Throws: errors of a layer; the record cannot be continued.
   */
  makeRoom(lsn: Lsn, next: Key | undefined): Promise<void>;
}

/** The sink itself if it accepts rows; otherwise an adapter that passes rows on one by one. */
export function rowsOf(sink: PutSink): RowSink {
  return isRowSink(sink) ? sink : new PassedRows(sink);
}

function isRowSink(sink: PutSink): sink is RowSink {
  return 'putRecordRow' in sink;
}

class PassedRows implements RowSink {
  readonly kernel = undefined;
  readonly kernelBatch = undefined;
  readonly isCrowded = false;
  readonly #sink: PutSink;
  #lsn: Lsn = 0n;

  constructor(sink: PutSink) {
    this.#sink = sink;
  }

  beginRows(high: number, low: number): void {
    this.#lsn = joinHalves(high, low);
  }

  put(...value: Parameters<PutSink['put']>): void {
    this.#sink.put(...value);
  }

  putRecord(...record: Parameters<PutSink['putRecord']>): void {
    this.#sink.putRecord(...record);
  }

  putRow(key: ViewedBytes, willInit: boolean, value: ViewedBytes): void {
    this.#sink.put(key.bytes, this.#lsn, willInit, value.bytes);
  }

  putRecordRow(
    key: ViewedBytes,
    willInit: boolean,
    { bytes }: ViewedBytes,
    offset: number,
    size: number,
  ): void {
    this.#sink.putRecord(key.bytes, this.#lsn, willInit, bytes.subarray(offset, offset + size));
  }

  async makeRoom(): Promise<void> {}
}

/**
 * Puts batches into a delta layer: the keys of a buffer's worth of rows by one run, then their blobs.
 *
 * Where no buffer is free, the rest of a batch waits. It is checked before the call returns, so that
 * a refusal is always thrown, and only the disk can fail what waits. A put that comes meanwhile does
 * not overtake it: the rest is copied to where appends wait, and the put goes after it.
 */
import { assert } from '../../assert.ts';
import {
  blobHeaderSize,
  checkBlobLength,
  MAXIMUM_BLOB_LENGTH,
} from '../../blob-writer/blob-format.ts';
import type { BlobParts } from '../../blob-writer/blob-writer.ts';
import { copyWords, sharedBytes, ViewedBytes } from '../../byte-words.ts';
import { StorageError } from '../../errors.ts';
import type { EntryRun } from '../disk-btree/builder.ts';
import { KEY_SIZE } from '../key.ts';
import {
  DELTA_KEY_SIZE,
  halvesOf,
  LOW_HALF,
  MAXIMUM_DELTA_OFFSET,
} from '../layer-file/entry-layout.ts';
import type { LayerFileWriter } from '../layer-file/layer-writer.ts';
import type { NextEntry } from './next-entry.ts';
import {
  checkEntryKeyBatch,
  checkValueBatch,
  type EntryKeyBatch,
  type ValueBatch,
  valueBeyondBatch,
} from './value-batch.ts';

/** A batch with views of its bytes; the keys are entry keys unless there are LSNs beside them. */
interface Rows {
  readonly batch: Omit<ValueBatch, 'keys' | 'lsns'>;
  readonly values: ViewedBytes;
  readonly keys: DataView;
  readonly lsnHalves: Uint32Array | undefined;
}

/** Rows of a batch that are put: those before `next` are in the layer. */
interface PutRows {
  readonly rows: Rows;
  next: number;
  readonly end: number;
}

/** Rows that wait for the disk, none of which would be refused. */
interface WaitingRows extends PutRows {
  /** Once other puts went after them: resolves when they are buffered. */
  buffered: void | Promise<void>;
  /** Why they will never be in the layer. */
  failure: { readonly error: unknown } | undefined;
  /** Settles when they are in the layer, or will never be. */
  done: Promise<void> | undefined;
}

/** Keys that go into the index at once, at most. */
const RUN_ROWS = 512;

/** Bytes of a batch that are copied when other puts come after it: half of what may wait in all. */
const MAXIMUM_WAITING_BYTES = 32 * 1024 * 1024;

export class BatchWriter {
  readonly #file: LayerFileWriter;
  readonly #entry: NextEntry;
  /** Keys and LSNs of a batch, put together; used for one run after the other. */
  readonly #entryKeys = new DataView(new ArrayBuffer(RUN_ROWS * DELTA_KEY_SIZE));
  /** Of a run; behind the last one what the next entry would have. */
  readonly #leafValues = new Float64Array(RUN_ROWS + 1);
  /** Of the last batch, while its promise is pending; for good, where it has failed. */
  #waiting: WaitingRows | undefined;

  constructor(file: LayerFileWriter, entry: NextEntry) {
    this.#file = file;
    this.#entry = entry;
  }

  /** Rows that wait. */
  get waitingCount(): number {
    return this.#waiting === undefined ? 0 : this.#waiting.end - this.#waiting.next;
  }

  /** See `DeltaLayerWriter.putBatch`. */
  put(batch: ValueBatch): void | Promise<void> {
    checkValueBatch(batch);
    const keys = new ViewedBytes(batch.keys).view;
    const values = new ViewedBytes(batch.values);
    return this.#putRows({ batch, values, keys, lsnHalves: halvesOf(batch.lsns) });
  }

  /** As `put`, for entry keys. */
  putEntries(batch: EntryKeyBatch): void | Promise<void> {
    checkEntryKeyBatch(batch);
    const keys = new ViewedBytes(batch.entryKeys).view;
    const values = new ViewedBytes(batch.values);
    return this.#putRows({ batch, values, keys, lsnHalves: undefined });
  }

  /**
   * Called before each put, so that it goes after the rows that wait.
   * Throws: why they failed; `too-large` where they are too many to copy, and nothing was changed.
   */
  beforePut(): void {
    if (this.#waiting !== undefined) this.#putAfterWaiting(this.#waiting);
  }

  /** Resolves when no rows wait. Throws why they failed. */
  async drained(): Promise<void> {
    await this.#waiting?.done;
  }

  #putRows(rows: Rows): void | Promise<void> {
    this.beforePut();
    this.#file.throwUnlessOpen();
    const put: PutRows = { rows, next: 0, end: rows.batch.count };
    const room = this.#putWhileRoom(put);
    if (room === undefined || put.next === put.end) return room;
    return this.#putWhenRoom(put, room);
  }

  /** Returns: nothing when all rows are put; else a promise for room, if `next` is before the end. */
  #putWhileRoom(put: PutRows): void | Promise<void> {
    const { rows, end } = put;
    const { blobs } = this.#file;
    while (put.next < end) {
      const { offset } = blobs;
      const first = put.next;
      const { next, endOffset } = this.#putKeys(put, offset, offset + blobs.room);
      if (next > first) blobs.appendParts(partsOf(rows), first, next, endOffset - offset);
      put.next = next;
      // What does not fit into the buffer, is refused, or is the end.
      const room = next < end ? this.#putRow(rows, next) : this.#file.indexRoom;
      if (next < end) put.next = next + 1;
      if (room !== undefined) return room;
    }
  }

  /** The rest is checked now, so that whoever does not wait hears of a refusal, too. */
  #putWhenRoom({ rows, next, end }: PutRows, room: Promise<void>): Promise<void> {
    const acceptedEnd = this.#findRefused(rows, next, end);
    const waiting: WaitingRows = {
      rows,
      next,
      end: acceptedEnd,
      buffered: undefined,
      failure: undefined,
      done: undefined,
    };
    this.#waiting = waiting;
    const done = this.#putWaiting(waiting, room);
    waiting.done = done;
    // A failure is kept: the next call and `finish` report it to whoever does not wait.
    done.catch(() => {});
    if (acceptedEnd === end) return done;
    this.#copyWaiting(waiting);
    this.#putRow(rows, acceptedEnd);
    assert(false, 'what was refused is refused again');
  }

  async #putWaiting(waiting: WaitingRows, firstRoom: Promise<void>): Promise<void> {
    try {
      for (let room: void | Promise<void> = firstRoom; room !== undefined; ) {
        await room;
        if (waiting.failure !== undefined) throw waiting.failure.error;
        room = this.#putWhileRoom(waiting);
      }
      await waiting.buffered;
      if (this.#waiting === waiting) this.#waiting = undefined;
    } catch (error) {
      waiting.failure = { error };
      throw error;
    }
  }

  /** For a put that comes while rows wait: they go first, as copies. */
  #putAfterWaiting(waiting: WaitingRows): void {
    this.#file.throwUnlessOpen();
    if (waiting.failure !== undefined) throw waiting.failure.error;
    const size = this.#sizeOf(waiting);
    if (size > MAXIMUM_WAITING_BYTES) {
      throw new StorageError('too-large', {
        what: 'values that wait; await what putBatch returns',
        path: this.#file.path,
        expected: `at most ${MAXIMUM_WAITING_BYTES} bytes`,
        actual: `${size}`,
      });
    }
    this.#copyWaiting(waiting);
  }

  /** Hands all that waits to the buffers' own queue; the caller's arrays are free then. */
  #copyWaiting(waiting: WaitingRows): void {
    const { rows, next, end } = waiting;
    if (this.#findRefused(rows, next, end) < end) {
      const what = 'batch of values whose promise was pending';
      const error = new StorageError('invalid-input', { what, expected: 'unchanged arrays' });
      waiting.failure = { error };
      throw error;
    }
    const { blobs } = this.#file;
    let { offset } = blobs;
    // First what can fail: a value without a key is no harm, a key without its value would be.
    waiting.buffered = blobs.appendCopies(partsOf(rows), next, end, this.#sizeOf(waiting));
    while (waiting.next < end) {
      const taken = this.#putKeys(waiting, offset, Number.POSITIVE_INFINITY);
      assert(taken.next > waiting.next, 'rows that were checked are put');
      offset = taken.endOffset;
      waiting.next = taken.next;
    }
    this.#waiting = undefined;
  }

  /** Bytes that the rows will have in the file. */
  #sizeOf({ rows, next, end }: PutRows): number {
    const { lengths } = rows.batch;
    let size = 0;
    for (let row = next; row < end; row += 1) {
      const length = lengths[row] as number;
      size += blobHeaderSize(length) + length;
    }
    return size;
  }

  /** The first row from `from` to `end` that `#putRow` would refuse, after those before it; else `end`. */
  #findRefused(rows: Rows, from: number, end: number): number {
    const { index, blobs } = this.#file;
    const { starts, lengths } = rows.batch;
    const size = rows.values.bytes.length;
    const keys = this.#entryKeys;
    let { offset } = blobs;
    for (let row = from; row < end; row += 1) {
      const at = (row % 2) * DELTA_KEY_SIZE;
      copyEntryKey(rows, row, keys, at);
      if (row === from) copyWords(keys, at, index.nextKey.view, 0, DELTA_KEY_SIZE);
      const isAbove =
        row === from ? index.acceptsNext() : isEntryKeyAbove(keys, at, DELTA_KEY_SIZE - at);
      const length = lengths[row] as number;
      const isInside = (starts[row] as number) + length <= size && length <= MAXIMUM_BLOB_LENGTH;
      if (!isAbove || !isInside || !this.#entry.accepts(keys, at)) return row;
      if (offset > MAXIMUM_DELTA_OFFSET) return row;
      offset += blobHeaderSize(length) + length;
    }
    return end;
  }

  /**
   * Puts the keys of as many rows as have room up to `roomEnd`, up to one that is to be refused; their
   * values must follow at once, at `offset`, or be there. Nothing is called that could fail.
   */
  #putKeys(
    { rows, next, end }: PutRows,
    offset: number,
    roomEnd: number,
  ): { readonly next: number; readonly endOffset: number } {
    const areEntryKeys = rows.lsnHalves === undefined;
    const run = {
      keys: areEntryKeys ? rows.keys : this.#entryKeys,
      keysAt: areEntryKeys ? next * DELTA_KEY_SIZE : 0,
      values: this.#leafValues,
    };
    const count = this.#fillRun(run, { rows, next, end }, offset, roomEnd);
    const taken = this.#file.index.putRun(run, count);
    // The offset of the row behind those that were taken.
    return { next: next + taken, endOffset: Math.floor((run.values[taken] as number) / 2) };
  }

  /** Sets keys and values of the rows that have room and are inside the layer; returns how many. */
  #fillRun(
    { keys, keysAt, values }: EntryRun,
    { rows, next, end }: PutRows,
    firstOffset: number,
    roomEnd: number,
  ): number {
    const { starts, lengths, willInit } = rows.batch;
    const size = rows.values.bytes.length;
    const count = Math.min(end - next, RUN_ROWS);
    let offset = firstOffset;
    let at = 0;
    for (; at < count; at += 1) {
      const row = next + at;
      const keyAt = keysAt + at * DELTA_KEY_SIZE;
      const length = lengths[row] as number;
      const blobEnd = offset + blobHeaderSize(length) + length;
      if (blobEnd > roomEnd || offset > MAXIMUM_DELTA_OFFSET) break;
      if ((starts[row] as number) + length > size) break;
      if (rows.lsnHalves !== undefined) copyEntryKey(rows, row, keys, keyAt);
      if (!this.#entry.accepts(keys, keyAt)) break;
      values[at] = offset * 2 + (willInit[row] === 0 ? 0 : 1);
      offset = blobEnd;
    }
    values[at] = offset * 2;
    return at;
  }

  #putRow(rows: Rows, row: number): void | Promise<void> {
    const { starts, lengths, willInit } = rows.batch;
    const { bytes } = rows.values;
    const { blobs } = this.#file;
    const { offset } = blobs;
    const start = starts[row] as number;
    const end = start + (lengths[row] as number);
    if (end > bytes.length) throw valueBeyondBatch(row, end, bytes.length);
    checkBlobLength(end - start);
    copyEntryKey(rows, row, this.#file.index.nextKey.view, 0);
    this.#entry.check(offset);
    const buffered = blobs.append(bytes.subarray(start, end));
    return this.#entry.put(buffered, offset, willInit[row] !== 0);
  }
}

/** Copies the entry key of a row to `at`. */
function copyEntryKey({ keys, lsnHalves }: Rows, row: number, target: DataView, at: number): void {
  if (lsnHalves === undefined) {
    copyWords(keys, row * DELTA_KEY_SIZE, target, at, DELTA_KEY_SIZE);
    return;
  }
  copyWords(keys, row * KEY_SIZE, target, at, KEY_SIZE);
  target.setUint32(at + KEY_SIZE, lsnHalves[2 * row + 1 - LOW_HALF] as number);
  target.setUint32(at + KEY_SIZE + 4, lsnHalves[2 * row + LOW_HALF] as number);
}

/** Compares two entry keys of the same array. */
function isEntryKeyAbove(keys: DataView, at: number, lowerAt: number): boolean {
  const shared = sharedBytes(keys, lowerAt, keys, at, DELTA_KEY_SIZE);
  if (shared === DELTA_KEY_SIZE) return false;
  return keys.getUint8(at + shared) > keys.getUint8(lowerAt + shared);
}

function partsOf({ batch, values }: Rows): BlobParts {
  return { values, starts: batch.starts, lengths: batch.lengths };
}

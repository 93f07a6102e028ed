/**
 * Puts batches into a delta layer: the keys of as many rows as fit into a buffer, then their blobs.
 *
 * If no buffer is free, the rest of a batch waits. It is checked before the call returns, so that a
 * refusal is always thrown synchronously, and only the disk can fail waiting rows. A later put does not
 * overtake them: they are copied to the queue of appends, and the put goes after them.
 */
import { assert } from '../../assert.ts';
import {
  blobHeaderSize,
  checkBlobLength,
  MAXIMUM_BLOB_LENGTH,
} from '../../blob-writer/blob-format.ts';
import type { BlobParts } from '../../blob-writer/blob-writer.ts';
import { MAXIMUM_WAITING_BYTES } from '../../blob-writer/buffered-writer-options.ts';
import { copyWords, sharedBytes, ViewedBytes } from '../../byte-words.ts';
import { StorageError, tooLarge } from '../../errors.ts';
import type { EntryRun } from '../disk-btree/builder.ts';
import { KEY_SIZE } from '../key.ts';
import { DELTA_KEY_SIZE, MAXIMUM_DELTA_OFFSET } from '../layer-file/entry-layout.ts';
import type { LayerFileWriter } from '../layer-file/layer-writer.ts';
import { halvesOf, highHalf, lowHalf } from '../lsn-halves.ts';
import type { NextEntry } from './next-entry.ts';
import {
  checkEntryKeyBatch,
  checkValueBatch,
  type EntryKeyBatch,
  type ValueBatch,
  valueBeyondBatch,
} from './value-batch.ts';

/** A batch with views of its bytes; the keys are entry keys if there are no separate LSNs. */
interface Rows {
  readonly batch: Omit<ValueBatch, 'keys' | 'lsns'>;
  readonly values: ViewedBytes;
  readonly keys: DataView;
  readonly lsnHalves: Uint32Array | undefined;
  readonly form: BlobParts['form'];
}

/** Rows of a batch that is being put: those before `next` are in the layer. */
interface PutRows {
  readonly rows: Rows;
  next: number;
  readonly end: number;
}

/** Rows that wait for the disk; all have been checked. */
interface WaitingRows extends PutRows {
  /** Set once they were copied for a later put: resolves when they are buffered. */
  buffered: void | Promise<void>;
  /** Why they will not get into the layer. */
  failure: { readonly error: unknown } | undefined;
  /** Settles when they are in the layer, or have failed. */
  done: Promise<void> | undefined;
}

/** Maximum number of keys that go into the index in one call. */
const RUN_ROWS = 512;

/** Maximum bytes of waiting rows that are copied: the other half may be encoded meanwhile. */
const MAXIMUM_COPIED_BYTES = MAXIMUM_WAITING_BYTES / 2;

export class BatchWriter {
  readonly #file: LayerFileWriter;
  readonly #entry: NextEntry;
  /** Entry keys of a run, composed of keys and LSNs; reused. */
  readonly #entryKeys = new DataView(new ArrayBuffer(RUN_ROWS * DELTA_KEY_SIZE));
  /** Values of a run, and the value that the entry after it would have; reused. */
  readonly #leafValues = new Float64Array(RUN_ROWS + 1);
  /** Of the last batch, while its promise is pending; for good if it has failed. */
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
    return this.#putRows({
      batch,
      values,
      keys,
      lsnHalves: halvesOf(batch.lsns),
      form: 'contents',
    });
  }

  /** Like `put`, for entry keys; and with `blobs`, for values after their headers, without gaps. */
  putEntries(batch: EntryKeyBatch, form: BlobParts['form']): void | Promise<void> {
    checkEntryKeyBatch(batch);
    const keys = new ViewedBytes(batch.entryKeys).view;
    const values = new ViewedBytes(batch.values);
    return this.#putRows({ batch, values, keys, lsnHalves: undefined, form });
  }

  /**
   * Must be called before each put, which then goes after waiting rows.
   * Throws: why they failed; `too-large` if they are too large to copy, and nothing was changed.
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

  /** Checks the rest now, so that a refusal is thrown even if the promise is not awaited. */
  #putWhenRoom(put: PutRows, room: Promise<void>): Promise<void> {
    const { rows, next, end } = put;
    const acceptedEnd = this.#findRefused(put);
    if (acceptedEnd < end) this.#putAndRefuse({ rows, next, end: acceptedEnd });
    const waiting: WaitingRows = {
      rows,
      next,
      end,
      buffered: undefined,
      failure: undefined,
      done: undefined,
    };
    this.#waiting = waiting;
    const done = this.#putWaiting(waiting, room);
    waiting.done = done;
    // A failure is kept: if not awaited, it surfaces on the next call and in `finish`.
    done.catch(() => {});
    return done;
  }

  /**
   * Throws the refusal of the row at `end`, with the rows before it in the layer. They are copied,
   * because the caller has no promise to wait for. If they cannot be copied, throws `too-large`, and
   * the rows before `next` are in.
   */
  #putAndRefuse(put: PutRows): never {
    this.#checkCopiedSize(put);
    this.#putCopies(put);
    this.#putRow(put.rows, put.end);
    assert(false, 'a row that was refused is refused again');
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

  /** For a put while rows wait: they go first, as copies. */
  #putAfterWaiting(waiting: WaitingRows): void {
    this.#file.throwUnlessOpen();
    if (waiting.failure !== undefined) throw waiting.failure.error;
    this.#checkCopiedSize(waiting);
    if (this.#findRefused(waiting) < waiting.end) {
      const what = 'batch of values whose promise was pending';
      const error = new StorageError('invalid-input', { what, expected: 'unchanged arrays' });
      waiting.failure = { error };
      throw error;
    }
    waiting.buffered = this.#putCopies(waiting);
    this.#waiting = undefined;
  }

  #checkCopiedSize(put: PutRows): void {
    const size = this.#sizeOf(put);
    if (size <= MAXIMUM_COPIED_BYTES) return;
    throw tooLarge('unawaited values: await what putBatch returns', {
      maximum: MAXIMUM_COPIED_BYTES,
      actual: size,
      path: this.#file.path,
    });
  }

  /**
   * Puts copies of rows into the queue of appends, which leaves the caller's arrays free. Requires:
   * the rows have been checked. Throws `too-large` if too many bytes wait, and nothing was changed.
   */
  #putCopies(put: PutRows): void | Promise<void> {
    const { rows, next, end } = put;
    const { blobs } = this.#file;
    let { offset } = blobs;
    // The step that can fail comes first: a value without its key does no harm, a key without its
    // value would.
    const buffered = blobs.appendCopies(partsOf(rows), next, end, this.#sizeOf(put));
    while (put.next < end) {
      const taken = this.#putKeys(put, offset, Number.POSITIVE_INFINITY);
      assert(taken.next > put.next, 'rows that were checked are put');
      offset = taken.endOffset;
      put.next = taken.next;
    }
    return buffered;
  }

  /** Bytes of the rows in the file. */
  #sizeOf({ rows, next, end }: PutRows): number {
    const { lengths } = rows.batch;
    let size = 0;
    for (let row = next; row < end; row += 1) {
      const length = lengths[row] as number;
      size += blobHeaderSize(length) + length;
    }
    return size;
  }

  /**
   * The first row that `#putRow` would refuse, after those before it; else `end`. By runs, as keys are
   * put, whose code has been compiled by then.
   */
  #findRefused({ rows, next, end }: PutRows): number {
    const { index, blobs } = this.#file;
    if (next === end) return end;
    copyEntryKey(rows, next, index.nextKey.view, 0);
    if (!index.acceptsNext()) return next;
    let { offset } = blobs;
    for (let first = next; ; ) {
      const run = this.#runFrom(rows, first);
      const filled = this.#fillRun(
        run,
        { rows, next: first, end },
        offset,
        Number.POSITIVE_INFINITY,
      );
      const accepted = countAscending(run, filled);
      const runEnd = Math.min(first + RUN_ROWS, end);
      if (first + accepted < runEnd || runEnd === end) return first + accepted;
      // The next run begins with the last row of this one, so that each is compared with the one before.
      first = runEnd - 1;
      offset = Math.floor((run.values[accepted - 1] as number) / 2);
    }
  }

  /**
   * Puts the keys of rows that fit before `roomEnd`, up to one that must be refused. Requires: their
   * values are at `offset`, or are appended there before anything else. Calls nothing that can fail.
   */
  #putKeys(
    { rows, next, end }: PutRows,
    offset: number,
    roomEnd: number,
  ): { readonly next: number; readonly endOffset: number } {
    const run = this.#runFrom(rows, next);
    const count = this.#fillRun(run, { rows, next, end }, offset, roomEnd);
    const taken = this.#file.index.putRun(run, count);
    // The offset of the row after those that were taken.
    return { next: next + taken, endOffset: Math.floor((run.values[taken] as number) / 2) };
  }

  #runFrom(rows: Rows, row: number): EntryRun {
    const areEntryKeys = rows.lsnHalves === undefined;
    return {
      keys: areEntryKeys ? rows.keys : this.#entryKeys,
      keysAt: areEntryKeys ? row * DELTA_KEY_SIZE : 0,
      values: this.#leafValues,
    };
  }

  /** Sets keys and values of rows that have room and are inside the layer; returns how many. */
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
      if ((starts[row] as number) + length > size || length > MAXIMUM_BLOB_LENGTH) break;
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
  target.setUint32(at + KEY_SIZE, highHalf(lsnHalves, row));
  target.setUint32(at + KEY_SIZE + 4, lowHalf(lsnHalves, row));
}

/** The number of entries, out of the first `count`, up to one whose key is not above the one before. */
function countAscending({ keys, keysAt }: EntryRun, count: number): number {
  for (let entry = 1; entry < count; entry += 1) {
    const at = keysAt + entry * DELTA_KEY_SIZE;
    const lowerAt = at - DELTA_KEY_SIZE;
    const shared = sharedBytes(keys, lowerAt, keys, at, DELTA_KEY_SIZE);
    if (shared === DELTA_KEY_SIZE) return entry;
    if (keys.getUint8(at + shared) < keys.getUint8(lowerAt + shared)) return entry;
  }
  return count;
}

function partsOf({ batch, values, form }: Rows): BlobParts {
  return { values, starts: batch.starts, lengths: batch.lengths, form };
}

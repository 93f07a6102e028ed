/** Puts plain records in runs, in WebAssembly: owns the memory of `plain-kernel-code.ts` and fills its tables. */
import { ChecksummedBytes, type WasmCall } from '../../checksum.ts';
import { CRC32C_DATA_OFFSET } from '../../crc32c-module.ts';
import { KEY_SIZE } from '../../layers/key.ts';
import { encodeValue, WAL_HEADER_SIZE } from '../../layers/value-format.ts';
import type { WalRecordBatch } from '../../wal/record-batch.ts';
import { ROW_SIZE } from '../../wal/record-rows.ts';
import { imageFlagsOf } from '../../wal/record-scanner.ts';
import {
  AREA,
  AREA_BYTES,
  AREA_ROWS,
  AREAS_AT,
  END_SIZE,
  ENDS,
  FORK,
  FORK_COUNT,
  FORK_SIZE,
  FULL_BYTES,
  FULL_ROWS,
  HASH,
  HASH_SHIFT,
  KIND,
  PAGES_AT,
  PIECE,
  PLACE,
  PLAIN_FUNCTIONS,
  ROOM_AT,
  ROWS_AT,
  RUN_BYTES,
  RUN_ROWS,
} from './plain-kernel-code.ts';

/** What the kernel knows about a kind. */
export type KernelKind =
  | { readonly kind: 'plain' | 'committed' | 'aborted' }
  | {
      readonly kind: 'flagged';
      /** Where the flags are in the main data, and which of them require more work. */
      readonly at: number;
      readonly mask: number;
      readonly minimumLength: number;
      readonly maximumLength: number;
    };

/** The arrays of a batch in the memory of a kernel. */
export interface BatchArea {
  /** Offset in the memory. */
  readonly offset: number;
  readonly keys: Uint8Array;
  readonly lsns: BigUint64Array;
  readonly starts: Uint32Array;
  readonly lengths: Uint32Array;
  readonly willInit: Uint8Array;
  readonly values: Uint8Array;
}

/** A batch in the memory of a kernel. */
export interface KernelBatch {
  /** Where it is; undefined if it is not in the memory of the kernel. */
  readonly area: BatchArea | undefined;
  count: number;
  /** Bytes of values. */
  size: number;
}

/** What ends a run. */
export interface RunLimits {
  /** Number of the record before which it ends. */
  readonly to: number;
  /** Bytes of values in the batch. */
  readonly size: number;
  /** Transactions below it do not move the checkpoint. */
  readonly xid: number;
}

export class PlainKernel {
  /** One for each batch. */
  readonly areas: readonly BatchArea[];
  readonly #put: WasmCall;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #forks: Uint32Array;
  readonly #rows: Uint8Array;
  /** The range of records that are in the memory. */
  #loadedFrom = 0;
  #loadedTo = 0;
  /** From the offsets of these records to their addresses: of those within pages, and of assembled ones. */
  #pagesShift = 0;
  #roomShift = 0;

  /** Returns: undefined without WebAssembly. */
  static create(areaCount: number): PlainKernel | undefined {
    const memory = ChecksummedBytes.allocate(AREAS_AT + areaCount * AREA.size, PLAIN_FUNCTIONS);
    const { putPlain: put } = memory.exports;
    return put === undefined ? undefined : new PlainKernel(memory, put, areaCount);
  }

  private constructor({ bytes, view }: ChecksummedBytes, put: WasmCall, areaCount: number) {
    this.#put = put;
    this.#bytes = bytes;
    this.#view = view;
    this.#forks = this.#words(PLACE.forks, (FORK_COUNT * FORK_SIZE) / 4);
    this.#rows = bytes.subarray(ROWS_AT, ROWS_AT + RUN_ROWS * ROW_SIZE);
    this.areas = Array.from({ length: areaCount }, (_, index) => this.#areaAt(index));
    for (const willInit of [false, true]) {
      const header = encodeValue({ type: 'wal', willInit, bytes: new Uint8Array(0) });
      bytes.set(header.subarray(0, WAL_HEADER_SIZE - 4), PLACE.headers + (willInit ? PIECE : 0));
    }
    bytes.set(ENDS.committed, PLACE.ends);
    bytes.set(ENDS.aborted, PLACE.ends + END_SIZE);
    this.setLogPage(-1, new Uint8Array(KEY_SIZE));
  }

  /** Sets how to put records of a kind. Records of kinds that are not set are left. */
  setKind(index: number, rule: KernelKind): void {
    const at = PLACE.kinds + 8 * index;
    this.#bytes[at] = KIND[rule.kind];
    if (rule.kind !== 'flagged') return;
    const { at: flagsAt, mask, minimumLength, maximumLength } = rule;
    this.#bytes.set([flagsAt, mask, minimumLength, Math.min(0xff, maximumLength)], at + 1);
  }

  /** Sets the page of the commit log on which ends of transactions are put; those on other pages are left. */
  setLogPage(page: number, key: Uint8Array): void {
    this.#view.setInt32(PLACE.page, page, true);
    this.#bytes.set(key, PLACE.pageKey);
  }

  /** Sets the number of blocks of a fork; 0 if it is unknown. */
  setFork(spcnode: number, dbnode: number, relnode: number, fork: number, blocks: number): void {
    const hash =
      Math.imul(dbnode, HASH.database) +
      Math.imul(relnode, HASH.relation) +
      Math.imul(fork, HASH.fork);
    const place = hash >>> HASH_SHIFT;
    const at = (FORK_SIZE / 4) * place;
    this.#forks[at] = spcnode;
    this.#forks[at + 1] = dbnode;
    this.#forks[at + 2] = relnode;
    this.#forks[at + 3] = fork;
    this.#forks[at + 4] = blocks;
    const keyAt = PLACE.forks + FORK_SIZE * place + FORK.key;
    this.#view.setUint32(keyAt + 1, spcnode);
    this.#view.setUint32(keyAt + 5, dbnode);
    this.#view.setUint32(keyAt + 9, relnode);
    this.#view.setUint8(keyAt + 13, fork);
  }

  /** Forgets all forks. */
  forgetForks(): void {
    this.#forks.fill(0);
  }

  /** Called before the records of another batch. */
  beginBatch(): void {
    this.#loadedFrom = 0;
    this.#loadedTo = 0;
  }

  /**
   * Puts the records from one on, as long as they are plain and no limit is reached. Requires: `beginBatch` was called
   * for the batch. Returns: number of the first record that was left.
   */
  put(batch: WalRecordBatch, from: number, target: KernelBatch, limits: RunLimits): number {
    if (target.area === undefined) return from;
    const base = CRC32C_DATA_OFFSET + target.area.offset;
    const rows = CRC32C_DATA_OFFSET + ROWS_AT;
    const { apply: applyFlag } = imageFlagsOf(batch.majorVersion);
    let at = from;
    for (;;) {
      if (at < this.#loadedFrom || at >= this.#loadedTo) this.#load(batch, at);
      const end = Math.min(this.#loadedTo, limits.to);
      const row = this.#put(
        rows + ROW_SIZE * (at - this.#loadedFrom),
        rows + ROW_SIZE * (end - this.#loadedFrom),
        base,
        target.count,
        base + AREA.values + target.size,
        FULL_ROWS,
        base + AREA.values + Math.min(FULL_BYTES, limits.size),
        limits.xid,
        applyFlag,
        batch.roomOffset,
        this.#pagesShift,
        this.#roomShift,
      );
      const next = this.#loadedFrom + (row - rows) / ROW_SIZE;
      if (next === at) return at;
      target.count = this.#view.getUint32(PLACE.counts, true);
      target.size = this.#view.getUint32(PLACE.counts + 4, true) - base - AREA.values;
      at = next;
      if (at < this.#loadedTo || at >= limits.to) return at;
    }
  }

  /** Copies records from one on, as many as are valid and fit. */
  #load(batch: WalRecordBatch, from: number): void {
    const { kernel, rows, memory, majorVersion } = batch;
    this.#loadedFrom = from;
    this.#loadedTo = from;
    if (kernel === undefined) return;
    const last = Math.min(batch.length, from + RUN_ROWS);
    let to = kernel.countRows(from, last, majorVersion);
    let spans = spansOf(batch, from, to);
    while (to > from && !doFit(spans)) {
      to = from + Math.floor((to - from) / 2);
      spans = spansOf(batch, from, to);
    }
    if (to === from) return;
    const { pages, room } = spans;
    this.#loadedTo = to;
    this.#rows.set(rows.bytes(from, to));
    this.#bytes.set(memory.bytes.subarray(pages.from, pages.to), PAGES_AT);
    this.#bytes.set(memory.bytes.subarray(room.from, room.to), ROOM_AT);
    this.#pagesShift = CRC32C_DATA_OFFSET + PAGES_AT - pages.from;
    this.#roomShift = CRC32C_DATA_OFFSET + ROOM_AT - room.from;
  }

  #words(offset: number, length: number): Uint32Array {
    return new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset + offset, length);
  }

  #areaAt(index: number): BatchArea {
    const offset = AREAS_AT + index * AREA.size;
    const bytes = (from: number, length: number): Uint8Array =>
      this.#bytes.subarray(offset + from, offset + from + length);
    const { buffer, byteOffset } = this.#bytes;
    return {
      offset,
      keys: bytes(AREA.keys, KEY_SIZE * AREA_ROWS),
      lsns: new BigUint64Array(buffer, byteOffset + offset + AREA.lsns, AREA_ROWS),
      starts: this.#words(offset + AREA.starts, AREA_ROWS),
      lengths: this.#words(offset + AREA.lengths, AREA_ROWS),
      willInit: bytes(AREA.willInit, AREA_ROWS),
      values: bytes(AREA.values, AREA_BYTES),
    };
  }
}

interface Span {
  readonly from: number;
  readonly to: number;
}

const NOTHING: Span = { from: 0, to: 0 };

/** Where records lie: those within pages, and those that crossed a page border and were assembled. */
interface Spans {
  readonly pages: Span;
  readonly room: Span;
}

function spansOf(batch: WalRecordBatch, from: number, to: number): Spans {
  const isInRoom = (index: number): boolean => batch.rows.offset(index) >= batch.roomOffset;
  const isInPages = (index: number): boolean => !isInRoom(index);
  return { pages: spanOf(batch, from, to, isInPages), room: spanOf(batch, from, to, isInRoom) };
}

/** The span of the records of one kind, whose offsets ascend. */
function spanOf(
  { rows }: WalRecordBatch,
  from: number,
  to: number,
  isOfKind: (index: number) => boolean,
): Span {
  let first = from;
  while (first < to && !isOfKind(first)) first += 1;
  if (first === to) return NOTHING;
  let last = to - 1;
  while (!isOfKind(last)) last -= 1;
  return { from: rows.offset(first), to: rows.offset(last) + rows.size(last) };
}

function doFit({ pages, room }: Spans): boolean {
  return pages.to - pages.from <= RUN_BYTES && room.to - room.from <= RUN_BYTES;
}

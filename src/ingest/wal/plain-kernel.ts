/** Puts plain records in runs, in WebAssembly: owns the memory of `plain-kernel-code.ts` and fills its tables. */
import { ChecksummedBytes, type WasmCall } from '../../checksum.ts';
import { CRC32C_DATA_OFFSET } from '../../crc32c-module.ts';
import { KEY_SIZE } from '../../layers/key.ts';
import { encodeValue, WAL_HEADER_SIZE } from '../../layers/value-format.ts';
import type { WalRecordBatch } from '../../wal/record-batch.ts';
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
  RUN_ROW_SIZE,
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
  readonly #rows: Uint32Array;
  /** The range of records that are in the memory. */
  #loadedFrom = 0;
  #loadedTo = 0;

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
    this.#rows = this.#words(ROWS_AT, (RUN_ROWS * RUN_ROW_SIZE) / 4);
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
  setKind(index: number, told: KernelKind): void {
    const at = PLACE.kinds + 8 * index;
    this.#bytes[at] = KIND[told.kind];
    if (told.kind !== 'flagged') return;
    const { at: flagsAt, mask, minimumLength, maximumLength } = told;
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
   * Puts the records from one on, as long as they are plain and no limit is reached. Requires: `beginBatch` was called for
   * the batch. Returns: number of the first record that was left.
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
        rows + RUN_ROW_SIZE * (at - this.#loadedFrom),
        rows + RUN_ROW_SIZE * (end - this.#loadedFrom),
        base,
        target.count,
        base + AREA.values + target.size,
        FULL_ROWS,
        base + AREA.values + Math.min(FULL_BYTES, limits.size),
        limits.xid,
        applyFlag,
      );
      const next = this.#loadedFrom + (row - rows) / RUN_ROW_SIZE;
      if (next === at) return at;
      target.count = this.#view.getUint32(PLACE.counts, true);
      target.size = this.#view.getUint32(PLACE.counts + 4, true) - base - AREA.values;
      at = next;
      if (at < this.#loadedTo || at >= limits.to) return at;
    }
  }

  /** Copies records from one on, as many as are valid and fit. */
  #load(batch: WalRecordBatch, from: number): void {
    const { kernel, rows, memory, roomOffset } = batch;
    this.#loadedFrom = from;
    this.#loadedTo = from;
    if (kernel === undefined) return;
    const last = kernel.countRows(
      from,
      Math.min(batch.length, from + RUN_ROWS),
      batch.majorVersion,
    );
    // Records within pages, and assembled records that crossed a page border: the offsets of each group ascend.
    let [pagesFrom, pagesTo, roomFrom, roomTo] = [-1, 0, -1, 0];
    let index = from;
    for (; index < last; index += 1) {
      const offset = rows.offset(index);
      const size = rows.size(index);
      let address = CRC32C_DATA_OFFSET + offset;
      if (offset < roomOffset) {
        if (pagesFrom < 0) pagesFrom = offset;
        if (offset + size - pagesFrom > RUN_BYTES) break;
        pagesTo = offset + size;
        address += PAGES_AT - pagesFrom;
      } else {
        if (roomFrom < 0) roomFrom = offset;
        if (offset + size - roomFrom > RUN_BYTES) break;
        roomTo = offset + size;
        address += ROOM_AT - roomFrom;
      }
      const at = (RUN_ROW_SIZE / 4) * (index - from);
      this.#rows[at] = address;
      this.#rows[at + 1] = size;
      this.#rows[at + 2] = rows.endLow(index);
      this.#rows[at + 3] = rows.endHigh(index);
    }
    this.#loadedTo = index;
    if (pagesTo > 0) this.#bytes.set(memory.bytes.subarray(pagesFrom, pagesTo), PAGES_AT);
    if (roomTo > 0) this.#bytes.set(memory.bytes.subarray(roomFrom, roomTo), ROOM_AT);
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

/** Assembles the bytes of a record that crosses page borders. */
import { ChecksummedBytes } from '../checksum.ts';
import type { Lsn } from '../layers/lsn.ts';
import type { WalChunk } from './record-batch.ts';

/**
 * Collects one record at a time in the room of the chunk. A record longer than a chunk gets its own memory, which grows
 * with the bytes that are available, not with the length that the record claims.
 */
export class RecordGathering {
  /** Where the record is. */
  memory = ChecksummedBytes.of(new Uint8Array(0));
  offset = 0;
  /** Bytes so far. */
  length = 0;
  /** Bytes of the whole record. */
  size = 0;
  startLsn: Lsn = 0n;
  readonly #capacity: number;
  /** Between two chunks. */
  readonly #carried: Uint8Array;
  #chunk: WalChunk | undefined;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#carried = new Uint8Array(capacity);
  }

  get missing(): number {
    return this.size - this.length;
  }

  /** Makes the room of another chunk available, while no record is gathered. */
  useRoomOf(chunk: WalChunk): void {
    this.#chunk = chunk;
  }

  /** As `useRoomOf`, and moves the bytes so far there. Requires: the previous chunk is still intact. */
  moveTo(chunk: WalChunk): void {
    const isInChunk = this.memory === this.#chunk?.memory;
    if (isInChunk)
      this.#carried.set(this.memory.bytes.subarray(this.offset, this.offset + this.length));
    this.useRoomOf(chunk);
    if (!isInChunk) return;
    this.memory = chunk.memory;
    this.offset = chunk.carried;
    this.memory.bytes.set(this.#carried.subarray(0, this.length), this.offset);
  }

  /** @param start.at Where in the chunk the record begins. */
  begin(start: { readonly lsn: Lsn; readonly at: number; readonly size: number }): void {
    const { lsn, at, size } = start;
    this.startLsn = lsn;
    this.size = size;
    this.length = 0;
    const chunk = this.#chunk;
    if (chunk !== undefined && size <= this.#capacity) {
      this.memory = chunk.memory;
      this.offset = at + chunk.crossing;
    } else {
      this.memory = ChecksummedBytes.of(new Uint8Array(2 * this.#capacity));
      this.offset = 0;
    }
  }

  /** Appends bytes. Requires: at most as many as are missing. */
  add(source: ChecksummedBytes, from: number, length: number): void {
    const end = this.offset + this.length + length;
    if (end > this.memory.bytes.length) this.#grow(end);
    const { bytes } = this.memory;
    const at = this.offset + this.length;
    // Within a chunk no view is needed.
    if (source === this.memory) bytes.copyWithin(at, from, from + length);
    else bytes.set(source.bytes.subarray(from, from + length), at);
    this.length += length;
  }

  /** The record is complete, or given up. A complete record stays where it is. */
  end(): void {
    this.length = 0;
    this.size = 0;
  }

  #grow(end: number): void {
    const larger = new Uint8Array(Math.min(this.size, 2 * end));
    larger.set(this.memory.bytes.subarray(0, this.length));
    this.memory = ChecksummedBytes.of(larger);
  }
}

/** WAL pages and segments made by hand. */

import { recordChecksum } from '../../src/wal/record-format.ts';
import { formatWalSegmentName } from '../../src/wal/segment-name.ts';
import type { WalBytes } from '../../src/wal/wal-source.ts';

export const SEGMENT_SIZE = 1024 * 1024;

export const MAGICS: Readonly<Record<number, number>> = {
  14: 0xd10d,
  15: 0xd110,
  16: 0xd113,
  17: 0xd116,
};

export interface BuiltRecord {
  readonly startLsn: bigint;
  readonly endLsn: bigint;
  readonly bytes: Uint8Array;
}

const PAGE = 8192;

/** Writes records as a server does. The LSN of the first byte is the start of a segment. */
export class WalBuilder {
  readonly records: BuiltRecord[] = [];
  timelineId = 1;
  systemIdentifier = 0x1122_3344_5566_7788n;
  readonly #start: bigint;
  readonly #majorVersion: number;
  #bytes = new Uint8Array(SEGMENT_SIZE);
  #length = 0;
  #previous: bigint;
  /** Bytes of the record that are still to come, for the header of a page. */
  #rest = 0;
  #overwrites = false;

  constructor({ start = BigInt(SEGMENT_SIZE), majorVersion = 17 } = {}) {
    this.#start = start;
    this.#majorVersion = majorVersion;
    this.#previous = start - 64n;
  }

  get lsn(): bigint {
    return this.#start + BigInt(this.#length);
  }

  /** The link of the next record. */
  set previous(lsn: bigint) {
    this.#previous = lsn;
  }

  /** Appends a record, with its link and its checksum. */
  append(record: Uint8Array): BuiltRecord {
    this.#header();
    const startLsn = this.lsn;
    const bytes = this.#linked(record);
    this.write(bytes);
    this.align();
    const built = { startLsn, endLsn: this.lsn, bytes };
    this.#previous = startLsn;
    this.records.push(built);
    return built;
  }

  /**
   * The first bytes of a record, and then a page that says that the rest will not come.
   *
   * Returns: where the record starts.
   */
  appendOverwritten(record: Uint8Array, length: number): bigint {
    this.#header();
    const startLsn = this.lsn;
    this.write(this.#linked(record).subarray(0, length), record.length - length);
    this.#rest = 0;
    this.#put(new Uint8Array((PAGE - (this.#length % PAGE)) % PAGE));
    this.#overwrites = true;
    this.#header();
    this.#overwrites = false;
    return startLsn;
  }

  /** The rest of the segment is zeros, as after a switch. */
  fillSegment(): void {
    this.#length = Math.ceil(this.#length / SEGMENT_SIZE) * SEGMENT_SIZE;
    this.#grow(this.#length);
  }

  /** Bytes of a record, over page borders. */
  write(bytes: Uint8Array, missing = 0): void {
    this.#rest = bytes.length + missing;
    for (let at = 0; at < bytes.length; ) {
      this.#header();
      const part = bytes.subarray(at, at + PAGE - (this.#length % PAGE));
      this.#put(part);
      this.#rest -= part.length;
      at += part.length;
    }
    this.#rest = 0;
  }

  align(): void {
    this.#put(new Uint8Array((8 - (this.#length % 8)) % 8));
  }

  /** What was written, without the zeros that follow; a copy. */
  get bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** All segments, the last one filled up with zeros. */
  get files(): WalBytes[] {
    const count = Math.ceil(this.#length / SEGMENT_SIZE);
    this.#grow(count * SEGMENT_SIZE);
    return Array.from({ length: count }, (_, index) => {
      const offset = index * SEGMENT_SIZE;
      const lsn = this.#start + BigInt(offset);
      return {
        name: formatWalSegmentName(this.timelineId, lsn, SEGMENT_SIZE),
        bytes: this.#bytes.slice(offset, offset + SEGMENT_SIZE),
      };
    });
  }

  #linked(record: Uint8Array): Uint8Array {
    const bytes = record.slice();
    const view = new DataView(bytes.buffer);
    view.setBigUint64(8, this.#previous, true);
    view.setUint32(20, recordChecksum(bytes), true);
    return bytes;
  }

  #header(): void {
    if (this.#length % PAGE !== 0) return;
    const isFirst = this.#length % SEGMENT_SIZE === 0;
    const header = new Uint8Array(isFirst ? 40 : 24);
    const view = new DataView(header.buffer);
    const flags = (this.#rest > 0 ? 1 : 0) | (isFirst ? 2 : 0) | (this.#overwrites ? 8 : 0);
    view.setUint16(0, MAGICS[this.#majorVersion] ?? 0, true);
    view.setUint16(2, flags, true);
    view.setUint32(4, this.timelineId, true);
    view.setBigUint64(8, this.lsn, true);
    view.setUint32(16, this.#rest, true);
    if (isFirst) {
      view.setBigUint64(24, this.systemIdentifier, true);
      view.setUint32(32, SEGMENT_SIZE, true);
      view.setUint32(36, PAGE, true);
    }
    this.#put(header);
  }

  #put(bytes: Uint8Array): void {
    this.#grow(this.#length + bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #grow(length: number): void {
    if (length <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

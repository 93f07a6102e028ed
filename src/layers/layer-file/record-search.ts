/**
 * Finds the next WAL record among bytes of which nothing tells where a blob starts. Of all that a layer holds, only
 * a record proves itself: its length stands in the header of its blob, in its value and in the record, and the
 * record has a checksum.
 *
 *   1 byte, or 4   header of a plain blob         21  u32 little-endian  length of the record again
 *   0  u32         1: a record                    37  u32 little-endian  CRC-32C of the record's bytes 24..,
 *   4  u32         0: of Postgres                                        then 0..20
 *   8  u8          willInit, 0 or 1
 *   9  u64         length of the record
 */
import { encodePlainBlobHeader, MAXIMUM_BLOB_HEADER_SIZE } from '../../blob-writer/blob-format.ts';
import { type ByteSource, readExactly } from '../../blob-writer/byte-source.ts';
import { crc32cOf } from '../../checksum.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import { isDamage } from '../damage.ts';
import { SWEPT_SIZE, sweepBlocks } from '../disk-btree/block-sweep.ts';
import { WAL_HEADER_SIZE } from '../value-format.ts';
import type { EntryScan } from './entry-scan.ts';

/** The tags of a value that is a WAL record. */
const TAGS = Buffer.of(0, 0, 0, 1, 0, 0, 0, 0);

const LENGTH_OFFSET = 13;
const RECORD_HEADER_SIZE = 24;
const CRC_OFFSET = 20;

/** Longer records are found only by what lies before them. */
const MAXIMUM_RECORD = 1024 * 1024;

/** Bytes from the tags on that tell whether to read the record: as far as its own length. */
const SEEN_SIZE = WAL_HEADER_SIZE + 4;

/** What is kept of a block, so that a header and what follows it may lie on both sides of its end. */
const CARRIED_SIZE = MAXIMUM_BLOB_HEADER_SIZE + SEEN_SIZE - 1;

/** Bytes that all searches of a file may read again: of each byte of it four times, and this. */
const MINIMUM_ALLOWANCE = 64 * 1024 * 1024;

/** Searches one file. A hostile one may be full of what looks like a record: all searches together have a limit. */
export class RecordSearch {
  readonly #source: ByteSource;
  readonly #end: number;
  readonly #signal: AbortSignal | undefined;
  #allowance: number;

  constructor({ blobs: { source, region }, signal }: EntryScan) {
    this.#source = source;
    this.#end = region.end;
    this.#signal = signal;
    this.#allowance = 4 * source.size + MINIMUM_ALLOWANCE;
  }

  /**
   * Where the next blob with a record starts, at or after `from`; undefined if none is found, or the limit is reached.
   *
   * @param reached how far the file was read
   * @throws `io`, `aborted`
   */
  async next(from: number, reached: number): Promise<number | undefined> {
    this.#allowance -= reached - from + Math.min(SWEPT_SIZE, this.#end - from);
    try {
      return await this.#find(from);
    } catch (error) {
      // More zeros than are read.
      if (isDamage(error)) return undefined;
      throw error;
    }
  }

  async #find(from: number): Promise<number | undefined> {
    const to = Math.ceil(this.#end / BLOCK_SIZE);
    const window = Buffer.alloc(CARRIED_SIZE + BLOCK_SIZE);
    const sweep = { from: Math.floor(from / BLOCK_SIZE), to, signal: this.#signal } as const;
    for await (const { block, bytes } of sweepBlocks(this.#source, { ...sweep, zeros: 'given' })) {
      window.copyWithin(0, BLOCK_SIZE);
      window.set(bytes, CARRIED_SIZE);
      const start = block * BLOCK_SIZE - CARRIED_SIZE;
      for (const tags of placesOf(window)) {
        if (this.#allowance <= 0) return undefined;
        const offset = await this.#blobAt(window, tags, start);
        if (offset !== undefined && offset >= from) return offset;
      }
    }
    return undefined;
  }

  /** Offset in the file of the blob whose value starts in the window at `tags`; undefined if there is none. */
  async #blobAt(window: Buffer, tags: number, start: number): Promise<number | undefined> {
    const length = window.readUInt32BE(tags + LENGTH_OFFSET);
    const isLength =
      window.readUInt32BE(tags + LENGTH_OFFSET - 4) === 0 &&
      window.readUInt32LE(tags + WAL_HEADER_SIZE) === length;
    const isFlag = (window[tags + 8] ?? 2) <= 1;
    if (!isFlag || !isLength || length < RECORD_HEADER_SIZE || length > MAXIMUM_RECORD) return;
    const expected = Buffer.alloc(MAXIMUM_BLOB_HEADER_SIZE);
    const headerSize = encodePlainBlobHeader(expected, 0, WAL_HEADER_SIZE + length);
    if (window.compare(expected, 0, headerSize, tags - headerSize, tags) !== 0) return;
    const value = start + tags;
    if (value + WAL_HEADER_SIZE + length > this.#end) return;
    const record = new Uint8Array(length);
    this.#allowance -= length;
    await readExactly(this.#source, record, value + WAL_HEADER_SIZE);
    return isRecord(record) ? value - headerSize : undefined;
  }
}

/** Where the tags stand, as far as all that `SEEN_SIZE` counts is in the window. */
function* placesOf(window: Buffer): Generator<number> {
  let at = MAXIMUM_BLOB_HEADER_SIZE;
  for (;;) {
    at = window.indexOf(TAGS, at);
    if (at < 0 || at + SEEN_SIZE > window.length) return;
    yield at;
    at += 1;
  }
}

function isRecord(record: Uint8Array): boolean {
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  const body = crc32cOf(record.subarray(RECORD_HEADER_SIZE));
  return view.getUint32(CRC_OFFSET, true) === crc32cOf(record.subarray(0, CRC_OFFSET), body);
}

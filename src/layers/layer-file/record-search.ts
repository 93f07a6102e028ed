/**
 * Finds the next WAL record among bytes in which the start of a blob is unknown. Of the contents of a layer, only
 * a record can be recognized by itself: its length is in the header of its blob, in its value and in the record, and
 * the record has a checksum.
 *
 *   1 or 4 bytes   header of a plain blob         21  u32 little-endian  length of the record again
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

/** Longer records are only found through the blob before them. */
const MAXIMUM_RECORD = 1024 * 1024;

/** Bytes, from the tags to the length within the record, that decide whether to read the record. */
const SEEN_SIZE = WAL_HEADER_SIZE + 4;

/** Bytes kept from the end of a block, for a blob whose first bytes straddle the boundary. */
const CARRIED_SIZE = MAXIMUM_BLOB_HEADER_SIZE + SEEN_SIZE - 1;

/** All searches of a file together may reread four times its size, plus this many bytes. */
const MINIMUM_ALLOWANCE = 64 * 1024 * 1024;

/** Searches one file. A hostile one may be full of apparent records, so all searches together have a limit. */
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
   * Offset of the next blob with a record, at or after `from`; undefined if none is found, or the limit is reached.
   *
   * @param reached the offset up to which the file has been read
   * @throws `io`, `aborted`
   */
  async next(from: number, reached: number): Promise<number | undefined> {
    this.#allowance -= reached - from + Math.min(SWEPT_SIZE, this.#end - from);
    try {
      return await this.#find(from);
    } catch (error) {
      // There are more zeros than the limit of a sweep.
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

/** Positions of the tags, if the window has all `SEEN_SIZE` bytes from there on. */
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

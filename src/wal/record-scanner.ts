/**
 * WAL record: what changed, in blocks and in general, little-endian and unpadded after the header.
 *
 *   0   u32  length of the record, header included      16  u8   info: operation in the high 4 bits
 *   4   u32  transaction, or 0                          17  u8   resource manager
 *   8   u64  start of the record before                 20  u32  CRC-32C of bytes 24.., then 0..20
 *
 * Headers follow, then the data in the same order. An id begins a header:
 *
 *   0..32  block reference: u8 fork and flags, u16 data length
 *          with an image: u16 length, u16 hole offset, u8 flags, and u16 hole length if compressed
 *          and with a hole; unless the relation is that of the reference before: u32 tablespace,
 *          u32 database, u32 relation; u32 block number
 *   252    u32 top-level transaction        253  u16 replication origin
 *   254    u32 length of the main data      255  u8 length of the main data; one of them comes last
 *
 * The image flags differ between versions: 14 has 1 hole, 2 compressed (pglz), 4 apply; 15 to 17 have
 * 1 hole, 2 apply, 4 pglz, 8 lz4, 16 zstd. An image without "apply" is for consistency checks only.
 * Source: Postgres src/include/access/xlogrecord.h, src/backend/access/transam/xlogreader.c.
 */
import { StorageError } from '../errors.ts';

/** Bytes of the header of a record. */
export const WAL_RECORD_HEADER_SIZE = 24;

const PAGE_SIZE = 8192;
const MAXIMUM_BLOCK_ID = 32;
const MAXIMUM_BLOCKS = MAXIMUM_BLOCK_ID + 1;
const TOP_LEVEL_XID = 252;
const ORIGIN = 253;
const LONG_MAIN_DATA = 254;
const SHORT_MAIN_DATA = 255;

const FORK_MASK = 0x0f;
const HAS_IMAGE = 0x10;
const HAS_DATA = 0x20;
const WILL_INIT = 0x40;
const SAME_RELATION = 0x80;

const HAS_HOLE = 0x01;

/** Image flags by version. */
const FLAGS_OF_14 = { apply: 0x04, pglz: 0x02, lz4: 0, zstd: 0 };
const FLAGS_FROM_15 = { apply: 0x02, pglz: 0x04, lz4: 0x08, zstd: 0x10 };

/** How an image is compressed. */
export type BlockImageCompression = 'none' | 'pglz' | 'lz4' | 'zstd';

/** By the numbers in `RecordScanner.imageCompressions`. */
export const IMAGE_COMPRESSIONS: readonly BlockImageCompression[] = ['none', 'pglz', 'lz4', 'zstd'];

/**
 * Reads the headers of one record after another into the same arrays, without an object for any of them.
 * Offsets are those of the view that was scanned. Everything is valid until the next scan.
 *
 * @example
 * const scanner = new RecordScanner(batch.majorVersion);
 * const { view } = batch.memory;
 * for (let index = 0; index < batch.length; index += 1) {
 *   scanner.scan(view, batch.offset(index), batch.size(index));
 *   for (let block = 0; block < scanner.blockCount; block += 1) count(scanner.relnodes[block]);
 * }
 */
export class RecordScanner {
  /** Transaction, or 0. */
  xid = 0;
  /** Start of the record before, in halves. */
  prevHigh = 0;
  /** The low half. */
  prevLow = 0;
  /** The info byte; the high 4 bits belong to the resource manager. */
  info = 0;
  /** Number of the resource manager. */
  resourceManager = 0;
  /** Top-level transaction of a subtransaction's first record. */
  topLevelXid: number | undefined;
  /** Replication origin. */
  origin: number | undefined;
  /** Where the main data begins. */
  mainDataOffset = 0;
  /** Bytes of main data. */
  mainDataLength = 0;
  /** Number of blocks; of the arrays below, as many elements count. */
  blockCount = 0;
  /** Numbers of the blocks in the record, 0 to 32, ascending. */
  readonly ids = new Uint8Array(MAXIMUM_BLOCKS);
  /** OIDs of the tablespaces. */
  readonly spcnodes = new Uint32Array(MAXIMUM_BLOCKS);
  /** OIDs of the databases. */
  readonly dbnodes = new Uint32Array(MAXIMUM_BLOCKS);
  /** File numbers of the relations. */
  readonly relnodes = new Uint32Array(MAXIMUM_BLOCKS);
  /** Numbers of the forks, 0 to 15. */
  readonly forkNumbers = new Uint8Array(MAXIMUM_BLOCKS);
  /** Numbers of the blocks in their forks. */
  readonly blknos = new Uint32Array(MAXIMUM_BLOCKS);
  /** 1 if redo makes the page anew, whatever it held. */
  readonly willInits = new Uint8Array(MAXIMUM_BLOCKS);
  /** Where the data of each block begins. */
  readonly dataOffsets = new Uint32Array(MAXIMUM_BLOCKS);
  /** Bytes of block data. */
  readonly dataLengths = new Uint16Array(MAXIMUM_BLOCKS);
  /** 1 if the block has an image; only then the other image fields count, except the length, which is 0. */
  readonly hasImages = new Uint8Array(MAXIMUM_BLOCKS);
  /** Where the stored bytes of each image begin. */
  readonly imageOffsets = new Uint32Array(MAXIMUM_BLOCKS);
  /** Bytes of the image as stored. */
  readonly imageLengths = new Uint16Array(MAXIMUM_BLOCKS);
  /** 0 for an image that is for consistency checks only. */
  readonly imageApplies = new Uint8Array(MAXIMUM_BLOCKS);
  /** Numbers of `IMAGE_COMPRESSIONS`. */
  readonly imageCompressions = new Uint8Array(MAXIMUM_BLOCKS);
  /** Where the hole begins in the page; 0 without one. */
  readonly holeOffsets = new Uint16Array(MAXIMUM_BLOCKS);
  /** Bytes of the hole; 0 without one. */
  readonly holeLengths = new Uint16Array(MAXIMUM_BLOCKS);
  readonly #flags: typeof FLAGS_FROM_15;
  /** The record, and its place in the view. */
  #view: DataView = new DataView(new ArrayBuffer(0));
  #start = 0;
  #end = 0;
  /** Offset of the next header. */
  #at = 0;
  /** Bytes of data that the headers so far have announced. */
  #announced = 0;

  /** Requires: a version from 14 to 17. */
  constructor(majorVersion: number) {
    this.#flags = majorVersion === 14 ? FLAGS_OF_14 : FLAGS_FROM_15;
  }

  /**
   * Scans the record at `offset`, whose length and checksum are known to be right.
   *
   * Throws: `truncated`, `corrupt`. Their offsets count from the start of the record.
   */
  scan(view: DataView, offset: number, size: number): void {
    this.#view = view;
    this.#start = offset;
    this.#end = offset + size;
    this.xid = view.getUint32(offset + 4, true);
    this.prevLow = view.getUint32(offset + 8, true);
    this.prevHigh = view.getUint32(offset + 12, true);
    this.info = view.getUint8(offset + 16);
    this.resourceManager = view.getUint8(offset + 17);
    this.topLevelXid = undefined;
    this.origin = undefined;
    this.mainDataLength = 0;
    this.blockCount = 0;
    this.#at = offset + WAL_RECORD_HEADER_SIZE;
    this.#announced = 0;
    this.#readHeaders();
    this.#placeData();
  }

  #readHeaders(): void {
    while (this.#end - this.#at > this.#announced) {
      const id = this.#u8('id of a header');
      if (id <= MAXIMUM_BLOCK_ID) this.#readBlock(id);
      else if (id === TOP_LEVEL_XID) this.topLevelXid = this.#u32('top-level transaction');
      else if (id === ORIGIN) this.origin = this.#u16('replication origin');
      else if (id === LONG_MAIN_DATA || id === SHORT_MAIN_DATA) {
        const what = 'length of the main data';
        this.mainDataLength = id === LONG_MAIN_DATA ? this.#u32(what) : this.#u8(what);
        this.#announced += this.mainDataLength;
        break;
      } else throw this.#corrupt('id of a header', this.#at - 1, '0 to 32, or 252 to 255', `${id}`);
    }
    const left = this.#end - this.#at;
    if (left === this.#announced) return;
    throw this.#corrupt('data of the WAL record', this.#at, `${this.#announced} bytes`, `${left}`);
  }

  #readBlock(id: number): void {
    const start = this.#at - 1;
    const block = this.blockCount;
    const last = block === 0 ? -1 : (this.ids[block - 1] as number);
    if (id <= last) {
      throw this.#corrupt('id of a block reference', start, `above ${last}`, `${id}`);
    }
    const flags = this.#u8('flags of a block reference');
    const dataLength = this.#u16('length of block data');
    if ((flags & HAS_DATA) === 0 ? dataLength !== 0 : dataLength === 0) {
      const rule = (flags & HAS_DATA) === 0 ? '0 without data' : 'above 0 with data';
      throw this.#corrupt('length of block data', start + 2, rule, `${dataLength}`);
    }
    this.#announced += dataLength;
    this.ids[block] = id;
    this.dataLengths[block] = dataLength;
    this.forkNumbers[block] = flags & FORK_MASK;
    this.willInits[block] = (flags & WILL_INIT) === 0 ? 0 : 1;
    this.imageLengths[block] = 0;
    this.hasImages[block] = (flags & HAS_IMAGE) === 0 ? 0 : 1;
    if ((flags & HAS_IMAGE) !== 0) this.#readImage(block);
    if ((flags & SAME_RELATION) === 0) this.#readRelation(block);
    else this.#repeatRelation(block, start);
    this.blknos[block] = this.#u32('block number');
    this.blockCount = block + 1;
  }

  #readRelation(block: number): void {
    this.spcnodes[block] = this.#u32('tablespace');
    this.dbnodes[block] = this.#u32('database');
    this.relnodes[block] = this.#u32('relation');
  }

  #repeatRelation(block: number, start: number): void {
    if (block === 0) {
      throw this.#corrupt('relation of the first block reference', start, 'a relation', 'none');
    }
    this.spcnodes[block] = this.spcnodes[block - 1] as number;
    this.dbnodes[block] = this.dbnodes[block - 1] as number;
    this.relnodes[block] = this.relnodes[block - 1] as number;
  }

  #readImage(block: number): void {
    const start = this.#at;
    const length = this.#u16('length of an image');
    const holeOffset = this.#u16('hole of an image');
    const flags = this.#u8('flags of an image');
    const compression = this.#compression(flags);
    const hasHole = (flags & HAS_HOLE) !== 0;
    const rest = Math.max(0, PAGE_SIZE - length);
    const holeLength = !hasHole ? 0 : compression === 0 ? rest : this.#u16('length of a hole');
    this.#announced += length;
    this.imageLengths[block] = length;
    this.imageApplies[block] = (flags & this.#flags.apply) === 0 ? 0 : 1;
    this.imageCompressions[block] = compression;
    this.holeOffsets[block] = holeOffset;
    this.holeLengths[block] = holeLength;
    this.#checkImage(block, start, hasHole);
  }

  #checkImage(block: number, start: number, hasHole: boolean): void {
    const length = this.imageLengths[block] as number;
    const isWholePage = !hasHole && this.imageCompressions[block] === 0;
    if (isWholePage ? length !== PAGE_SIZE : length >= PAGE_SIZE) {
      const expected = isWholePage ? `${PAGE_SIZE}` : `below ${PAGE_SIZE}`;
      throw this.#corrupt('length of an image', start, expected, `${length}`);
    }
    const holeOffset = this.holeOffsets[block] as number;
    const holeLength = this.holeLengths[block] as number;
    const isHoleValid = hasHole
      ? holeOffset > 0 && holeLength > 0 && holeOffset + holeLength <= PAGE_SIZE
      : holeOffset === 0;
    if (isHoleValid) return;
    const expected = hasHole ? 'a hole within the page' : 'no hole';
    const actual = `${holeOffset} + ${holeLength}`;
    throw this.#corrupt('hole of an image', start + 2, expected, actual);
  }

  /** The number of the method; at most one may be set. */
  #compression(flags: number): number {
    const { pglz, lz4, zstd } = this.#flags;
    const methods = flags & (pglz | lz4 | zstd);
    if (methods === 0) return 0;
    if (methods === pglz) return 1;
    if (methods === lz4) return 2;
    if (methods === zstd) return 3;
    const names = IMAGE_COMPRESSIONS.filter(
      (name) => name !== 'none' && (flags & this.#flags[name]) !== 0,
    );
    const actual = names.join(', ');
    throw this.#corrupt('compression of an image', this.#at - 1, 'one method', actual);
  }

  /** The data follows the headers in their order; its length was compared with the announced one. */
  #placeData(): void {
    let at = this.#at;
    for (let block = 0; block < this.blockCount; block += 1) {
      this.imageOffsets[block] = at;
      at += this.imageLengths[block] as number;
      this.dataOffsets[block] = at;
      at += this.dataLengths[block] as number;
    }
    this.mainDataOffset = at;
  }

  #u8(what: string): number {
    return this.#view.getUint8(this.#take(1, what));
  }

  #u16(what: string): number {
    return this.#view.getUint16(this.#take(2, what), true);
  }

  #u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true);
  }

  #take(size: number, what: string): number {
    const start = this.#at;
    if (start + size > this.#end) throw this.#truncated(what, start + size - this.#end);
    this.#at = start + size;
    return start;
  }

  #truncated(what: string, missing: number): StorageError {
    return new StorageError('truncated', {
      what: `WAL record is truncated in its ${what}`,
      offset: this.#at - this.#start,
      expected: `${missing} more bytes`,
      actual: '0',
    });
  }

  #corrupt(what: string, at: number, expected: string, actual: string): StorageError {
    return new StorageError('corrupt', { what, offset: at - this.#start, expected, actual });
  }
}

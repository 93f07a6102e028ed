/**
 * WAL record: block references with their data, and main data. Little-endian, unpadded after the header.
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
import { checkCount, checkDataView } from '../check-options.ts';
import { corrupt, type StorageError, truncated } from '../errors.ts';

/** Bytes of the header of a record. */
export const WAL_RECORD_HEADER_SIZE = 24;

const PAGE_SIZE = 8192;
export const MAXIMUM_BLOCK_ID = 32;
const MAXIMUM_BLOCKS = MAXIMUM_BLOCK_ID + 1;
const TOP_LEVEL_XID = 252;
const ORIGIN = 253;
const LONG_MAIN_DATA = 254;
export const SHORT_MAIN_DATA = 255;

export const FORK_MASK = 0x0f;
export const HAS_IMAGE = 0x10;
const HAS_DATA = 0x20;
const WILL_INIT = 0x40;
export const SAME_RELATION = 0x80;

export const HAS_HOLE = 0x01;

/** Image flags by version. */
const FLAGS_OF_14 = { apply: 0x04, pglz: 0x02, lz4: 0, zstd: 0 };
const FLAGS_FROM_15 = { apply: 0x02, pglz: 0x04, lz4: 0x08, zstd: 0x10 };

/** Image flags of a major version; 0 for what it does not have. */
export function imageFlagsOf(majorVersion: number): typeof FLAGS_FROM_15 {
  return majorVersion === 14 ? FLAGS_OF_14 : FLAGS_FROM_15;
}

/** Fields that follow each other: their names and sizes, and that of all. */
interface Fields {
  readonly names: readonly (readonly [string, number])[];
  readonly size: number;
}

function fieldsOf(...names: readonly (readonly [string, number])[]): Fields {
  return { names, size: names.reduce((sum, [, size]) => sum + size, 0) };
}

const REFERENCE = fieldsOf(['flags of a block reference', 1], ['length of block data', 2]);
const IMAGE = fieldsOf(
  ['length of an image', 2],
  ['hole of an image', 2],
  ['flags of an image', 1],
);
const HOLE_LENGTH = fieldsOf(['length of a hole', 2]);
const BLOCK_NUMBER = fieldsOf(['block number', 4]);
const RELATION_AND_BLOCK = fieldsOf(
  ['tablespace', 4],
  ['database', 4],
  ['relation', 4],
  ['block number', 4],
);
const TOP_LEVEL_TRANSACTION = fieldsOf(['top-level transaction', 4]);
const REPLICATION_ORIGIN = fieldsOf(['replication origin', 2]);
const SHORT_LENGTH = fieldsOf(['length of the main data', 1]);
const LONG_LENGTH = fieldsOf(['length of the main data', 4]);

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
  /** Number of blocks, and of valid elements in the arrays below. */
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
  /** 1 if redo initializes the page, regardless of its content. */
  readonly willInits = new Uint8Array(MAXIMUM_BLOCKS);
  /** Where the data of each block begins. */
  readonly dataOffsets = new Uint32Array(MAXIMUM_BLOCKS);
  /** Bytes of block data. */
  readonly dataLengths = new Uint16Array(MAXIMUM_BLOCKS);
  /**
   * 1 if the block has an image; otherwise its other image fields have no meaning, except the length, which is 0.
   */
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
  /** Where the record begins and ends in the view. */
  #start = 0;
  #end = 0;
  /** Bytes of data announced by the headers so far. */
  #announced = 0;

  /** Requires: a version from 14 to 17. */
  constructor(majorVersion: number) {
    this.#flags = imageFlagsOf(majorVersion);
  }

  /**
   * Scans the record at `offset`, whose length and checksum are known to be right.
   *
   * @throws `truncated`, `corrupt`, whose offsets count from the start of the record; `invalid-input`, also if the
   *   record is shorter than its header, or longer than the view.
   */
  scan(view: DataView, offset: number, size: number): void {
    checkDataView('view', view);
    checkCount('offset of the record', offset);
    const room = view.byteLength - offset;
    checkCount('size of the record', size, { from: WAL_RECORD_HEADER_SIZE, to: room });
    this.scanWithin(view, offset, size);
  }

  /**
   * As `scan`, for each record of a batch. Requires: a record within the view, with its whole header.
   * @internal
   */
  scanWithin(view: DataView, offset: number, size: number): void {
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
    this.#announced = 0;
    this.#placeData(this.#readHeaders(view, offset + WAL_RECORD_HEADER_SIZE));
  }

  /** Returns: where the data begins. */
  #readHeaders(view: DataView, from: number): number {
    const end = this.#end;
    let at = from;
    while (end - at > this.#announced) {
      const id = view.getUint8(at);
      at += 1;
      if (id <= MAXIMUM_BLOCK_ID) at = this.#readBlock(view, id, at);
      else if (id === SHORT_MAIN_DATA || id === LONG_MAIN_DATA) {
        const isShort = id === SHORT_MAIN_DATA;
        this.#require(at, isShort ? SHORT_LENGTH : LONG_LENGTH);
        this.mainDataLength = isShort ? view.getUint8(at) : view.getUint32(at, true);
        this.#announced += this.mainDataLength;
        at += isShort ? 1 : 4;
        break;
      } else if (id === ORIGIN) {
        this.#require(at, REPLICATION_ORIGIN);
        this.origin = view.getUint16(at, true);
        at += 2;
      } else if (id === TOP_LEVEL_XID) {
        this.#require(at, TOP_LEVEL_TRANSACTION);
        this.topLevelXid = view.getUint32(at, true);
        at += 4;
      } else throw this.#corrupt('id of a header', at - 1, '0 to 32, or 252 to 255', `${id}`);
    }
    const left = end - at;
    if (left === this.#announced) return at;
    throw this.#corrupt('data of the WAL record', at, `${this.#announced} bytes`, `${left}`);
  }

  /** Reads what follows the id of a block reference. Returns: where the next header begins. */
  #readBlock(view: DataView, id: number, from: number): number {
    const start = from - 1;
    const block = this.blockCount;
    if (block > 0 && id <= (this.ids[block - 1] as number)) {
      throw this.#corrupt(
        'id of a block reference',
        start,
        `above ${this.ids[block - 1]}`,
        `${id}`,
      );
    }
    this.#require(from, REFERENCE);
    const flags = view.getUint8(from);
    const dataLength = view.getUint16(from + 1, true);
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
    let at = from + 3;
    if ((flags & HAS_IMAGE) !== 0) at = this.#readImage(view, block, at);
    if ((flags & SAME_RELATION) === 0) {
      this.#require(at, RELATION_AND_BLOCK);
      this.spcnodes[block] = view.getUint32(at, true);
      this.dbnodes[block] = view.getUint32(at + 4, true);
      this.relnodes[block] = view.getUint32(at + 8, true);
      at += 12;
    } else {
      this.#repeatRelation(block, start);
      this.#require(at, BLOCK_NUMBER);
    }
    this.blknos[block] = view.getUint32(at, true);
    this.blockCount = block + 1;
    return at + 4;
  }

  #repeatRelation(block: number, start: number): void {
    if (block === 0) {
      throw this.#corrupt('relation of the first block reference', start, 'a relation', 'none');
    }
    this.spcnodes[block] = this.spcnodes[block - 1] as number;
    this.dbnodes[block] = this.dbnodes[block - 1] as number;
    this.relnodes[block] = this.relnodes[block - 1] as number;
  }

  /** Returns: where the header of the image ends. */
  #readImage(view: DataView, block: number, start: number): number {
    this.#require(start, IMAGE);
    const length = view.getUint16(start, true);
    const flags = view.getUint8(start + 4);
    const compression = this.#compression(flags, start + 4);
    const hasHole = (flags & HAS_HOLE) !== 0;
    let end = start + 5;
    let holeLength = hasHole ? Math.max(0, PAGE_SIZE - length) : 0;
    if (hasHole && compression !== 0) {
      this.#require(end, HOLE_LENGTH);
      holeLength = view.getUint16(end, true);
      end += 2;
    }
    this.#announced += length;
    this.imageLengths[block] = length;
    this.imageApplies[block] = (flags & this.#flags.apply) === 0 ? 0 : 1;
    this.imageCompressions[block] = compression;
    this.holeOffsets[block] = view.getUint16(start + 2, true);
    this.holeLengths[block] = holeLength;
    this.#checkImage(block, start, hasHole);
    return end;
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
  #compression(flags: number, offset: number): number {
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
    throw this.#corrupt('compression of an image', offset, 'one method', actual);
  }

  /** The data follows the headers in their order; its length was compared with the announced one. */
  #placeData(from: number): void {
    let at = from;
    for (let block = 0; block < this.blockCount; block += 1) {
      this.imageOffsets[block] = at;
      at += this.imageLengths[block] as number;
      this.dataOffsets[block] = at;
      at += this.dataLengths[block] as number;
    }
    this.mainDataOffset = at;
  }

  /** Throws `truncated` if the record ends before these fields do: each is named, with its size. */
  #require(at: number, fields: Fields): void {
    if (at + fields.size > this.#end) throw this.#truncated(at, fields);
  }

  #truncated(from: number, { names }: Fields): StorageError {
    let at = from;
    let missing = 0;
    let name = '';
    for (const [what, size] of names) {
      name = what;
      missing = at + size - this.#end;
      if (missing > 0) break;
      at += size;
    }
    return truncated(`WAL record is truncated in its ${name}`, at - this.#start, missing);
  }

  #corrupt(what: string, at: number, expected: string, actual: string): StorageError {
    return corrupt(what, at - this.#start, expected, actual);
  }
}

/** Whether the record initializes a block, or has an image of it, so that no older version of the page is needed. */
export function isInitialized(scanner: RecordScanner, block: number): boolean {
  return (
    scanner.willInits[block] === 1 ||
    (scanner.hasImages[block] === 1 && scanner.imageApplies[block] === 1)
  );
}

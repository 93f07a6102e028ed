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
import { checkBytes, checkCount } from '../check-options.ts';
import { crc32cOfRange } from '../checksum.ts';
import { StorageError } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';

/** How an image is compressed. */
export type BlockImageCompression = 'none' | 'pglz' | 'lz4' | 'zstd';

/** The image of a page in a WAL record, without the unused hole in the middle. */
export interface BlockImage {
  /** As stored; a view of the record. */
  readonly bytes: Uint8Array;
  /** Offset of the hole in the page; 0 without one. */
  readonly holeOffset: number;
  /** Bytes of the hole; 0 without one. */
  readonly holeLength: number;
  /** How the bytes are compressed. */
  readonly compression: BlockImageCompression;
  /** False for an image that is for consistency checks only and must never be restored. */
  readonly apply: boolean;
}

/** A block that a WAL record changes. */
export interface BlockReference {
  /** 0 to 32; ascending within a record, with gaps. */
  readonly id: number;
  /** OID of the tablespace. */
  readonly spcnode: number;
  /** OID of the database. */
  readonly dbnode: number;
  /** File number of the relation. */
  readonly relnode: number;
  /** Number of the fork, 0 to 15. */
  readonly forkNumber: number;
  /** Number of the block in the fork. */
  readonly blkno: number;
  /** True if redo makes the page anew, whatever it held. */
  readonly willInit: boolean;
  /** Image of the page, if the record has one. */
  readonly image: BlockImage | undefined;
  /** Data that belongs to the block; a view of the record. */
  readonly data: Uint8Array;
}

/** A decoded WAL record. */
export interface WalRecord {
  /** Transaction, or 0. */
  readonly xid: number;
  /** Start LSN of the record before. */
  readonly prevLsn: Lsn;
  /** The info byte; the high 4 bits belong to the resource manager. */
  readonly info: number;
  /** Number of the resource manager. */
  readonly resourceManager: number;
  /** Blocks in the order of the record. */
  readonly blocks: readonly BlockReference[];
  /** Top-level transaction of a subtransaction's first record. */
  readonly topLevelXid: number | undefined;
  /** Replication origin. */
  readonly origin: number | undefined;
  /** Main data; a view of the record. */
  readonly mainData: Uint8Array;
}

/** Bytes of the header of a record. */
export const WAL_RECORD_HEADER_SIZE = 24;

const CRC_OFFSET = 20;
const PAGE_SIZE = 8192;
const MAXIMUM_BLOCK_ID = 32;
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

/**
 * Decodes one complete WAL record.
 *
 * @param bytes Exactly one record, without padding.
 * @param majorVersion Version of Postgres, 14 to 17.
 * @returns The record; its byte strings are views of `bytes`.
 * @throws `truncated`, `corrupt` (checksum included), `invalid-input`. Offsets count from its start.
 */
export function decodeWalRecord(bytes: Uint8Array, majorVersion: number): WalRecord {
  checkBytes(bytes, 'WAL record');
  checkCount('major version of Postgres', majorVersion, { from: 14, to: 17 });
  checkHeader(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const headers = new HeaderReader(view, majorVersion);
  headers.readAll();
  return {
    xid: view.getUint32(4, true),
    prevLsn: view.getBigUint64(8, true),
    info: view.getUint8(16),
    resourceManager: view.getUint8(17),
    topLevelXid: headers.topLevelXid,
    origin: headers.origin,
    ...dataOf(bytes, headers),
  };
}

function checkHeader(bytes: Uint8Array): void {
  if (bytes.length < WAL_RECORD_HEADER_SIZE) {
    throw truncated('header of the WAL record', 0, WAL_RECORD_HEADER_SIZE - bytes.length);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = view.getUint32(0, true);
  if (length !== bytes.length) {
    throw corrupt('length of the WAL record', 0, `${bytes.length}`, `${length}`);
  }
  const stored = view.getUint32(CRC_OFFSET, true);
  const computed = recordChecksum(bytes);
  if (stored !== computed) {
    throw corrupt('checksum of the WAL record', CRC_OFFSET, hex(computed), hex(stored));
  }
}

/**
 * The checksum of a record: CRC-32C of the bytes after the header, then of the first 20.
 *
 * @throws `invalid-input`, `truncated`.
 */
export function recordChecksum(bytes: Uint8Array): number {
  checkBytes(bytes, 'WAL record');
  if (bytes.length < WAL_RECORD_HEADER_SIZE) {
    throw truncated('header of the WAL record', 0, WAL_RECORD_HEADER_SIZE - bytes.length);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return recordChecksumAt(view, 0, bytes.length);
}

/** As `recordChecksum`, of the record at `offset`. Requires: it lies within the view. */
export function recordChecksumAt(view: DataView, offset: number, length: number): number {
  const body = crc32cOfRange(view, offset + WAL_RECORD_HEADER_SIZE, offset + length);
  return crc32cOfRange(view, offset, offset + CRC_OFFSET, body);
}

/** A block reference before its image and its data are known. */
interface BlockHeader extends Omit<BlockReference, 'image' | 'data'> {
  readonly dataLength: number;
  readonly image: (Omit<BlockImage, 'bytes'> & { readonly length: number }) | undefined;
}

/** Reads the headers. The lengths that they announce never exceed what is left of the record. */
class HeaderReader {
  readonly blocks: BlockHeader[] = [];
  topLevelXid: number | undefined;
  origin: number | undefined;
  mainDataLength = 0;
  /** Offset of the next header; in the end, of the data. */
  at = WAL_RECORD_HEADER_SIZE;
  readonly #view: DataView;
  readonly #flags: typeof FLAGS_FROM_15;
  #announced = 0;

  constructor(view: DataView, majorVersion: number) {
    this.#view = view;
    this.#flags = majorVersion === 14 ? FLAGS_OF_14 : FLAGS_FROM_15;
  }

  readAll(): void {
    while (this.#view.byteLength - this.at > this.#announced) {
      const id = this.#u8('id of a header');
      if (id <= MAXIMUM_BLOCK_ID) this.#readBlock(id);
      else if (id === TOP_LEVEL_XID) this.topLevelXid = this.#u32('top-level transaction');
      else if (id === ORIGIN) this.origin = this.#u16('replication origin');
      else if (id === LONG_MAIN_DATA || id === SHORT_MAIN_DATA) {
        const what = 'length of the main data';
        this.mainDataLength = id === LONG_MAIN_DATA ? this.#u32(what) : this.#u8(what);
        this.#announced += this.mainDataLength;
        break;
      } else throw corrupt('id of a header', this.at - 1, '0 to 32, or 252 to 255', `${id}`);
    }
    const left = this.#view.byteLength - this.at;
    if (left === this.#announced) return;
    throw corrupt('data of the WAL record', this.at, `${this.#announced} bytes`, `${left}`);
  }

  #readBlock(id: number): void {
    const start = this.at - 1;
    const last = this.blocks.at(-1);
    if (last !== undefined && id <= last.id) {
      throw corrupt('id of a block reference', start, `above ${last.id}`, `${id}`);
    }
    const flags = this.#u8('flags of a block reference');
    const dataLength = this.#u16('length of block data');
    if ((flags & HAS_DATA) === 0 ? dataLength !== 0 : dataLength === 0) {
      throw corrupt('length of block data', start + 2, dataFlagRule(flags), `${dataLength}`);
    }
    this.#announced += dataLength;
    const image = (flags & HAS_IMAGE) === 0 ? undefined : this.#imageHeader();
    const isSame = (flags & SAME_RELATION) !== 0;
    if (isSame && last === undefined) {
      throw corrupt('relation of the first block reference', start, 'a relation', 'none');
    }
    const relation = isSame && last !== undefined ? last : this.#relation();
    this.blocks.push({
      id,
      spcnode: relation.spcnode,
      dbnode: relation.dbnode,
      relnode: relation.relnode,
      forkNumber: flags & FORK_MASK,
      blkno: this.#u32('block number'),
      willInit: (flags & WILL_INIT) !== 0,
      image,
      dataLength,
    });
  }

  #relation(): Pick<BlockReference, 'spcnode' | 'dbnode' | 'relnode'> {
    return {
      spcnode: this.#u32('tablespace'),
      dbnode: this.#u32('database'),
      relnode: this.#u32('relation'),
    };
  }

  #imageHeader(): BlockHeader['image'] {
    const start = this.at;
    const length = this.#u16('length of an image');
    const holeOffset = this.#u16('hole of an image');
    const flags = this.#u8('flags of an image');
    const compression = this.#compression(flags);
    const hasHole = (flags & HAS_HOLE) !== 0;
    const rest = Math.max(0, PAGE_SIZE - length);
    const holeLength = !hasHole ? 0 : compression === 'none' ? rest : this.#u16('length of a hole');
    this.#announced += length;
    checkImage({ start, length, holeOffset, holeLength, compression, hasHole });
    return { length, holeOffset, holeLength, compression, apply: this.#has(flags, 'apply') };
  }

  #compression(flags: number): BlockImageCompression {
    const named = (['pglz', 'lz4', 'zstd'] as const).filter((name) => this.#has(flags, name));
    if (named.length <= 1) return named[0] ?? 'none';
    throw corrupt('compression of an image', this.at - 1, 'one method', named.join(', '));
  }

  #has(flags: number, name: keyof typeof FLAGS_FROM_15): boolean {
    return (flags & this.#flags[name]) !== 0;
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
    const start = this.at;
    const missing = start + size - this.#view.byteLength;
    if (missing > 0) throw truncated(what, start, missing);
    this.at = start + size;
    return start;
  }
}

function checkImage(image: {
  start: number;
  length: number;
  holeOffset: number;
  holeLength: number;
  compression: BlockImageCompression;
  hasHole: boolean;
}): void {
  const { start, length, holeOffset, holeLength, compression, hasHole } = image;
  const isLengthValid =
    compression === 'none' && !hasHole ? length === PAGE_SIZE : length < PAGE_SIZE;
  if (!isLengthValid) {
    const expected = compression === 'none' && !hasHole ? `${PAGE_SIZE}` : `below ${PAGE_SIZE}`;
    throw corrupt('length of an image', start, expected, `${length}`);
  }
  const isHoleValid = hasHole
    ? holeOffset > 0 && holeLength > 0 && holeOffset + holeLength <= PAGE_SIZE
    : holeOffset === 0;
  if (isHoleValid) return;
  const expected = hasHole ? 'a hole within the page' : 'no hole';
  throw corrupt('hole of an image', start + 2, expected, `${holeOffset} + ${holeLength}`);
}

/** Cuts the data area; its length was compared with the announced lengths. */
function dataOf(bytes: Uint8Array, headers: HeaderReader): Pick<WalRecord, 'blocks' | 'mainData'> {
  let at = headers.at;
  const take = (length: number): Uint8Array => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  const blocks = headers.blocks.map(({ image, dataLength, ...block }) => ({
    ...block,
    image: image === undefined ? undefined : imageOf(image, take(image.length)),
    data: take(dataLength),
  }));
  return { blocks, mainData: take(headers.mainDataLength) };
}

function imageOf(
  { holeOffset, holeLength, compression, apply }: Omit<BlockImage, 'bytes'>,
  bytes: Uint8Array,
): BlockImage {
  return { bytes, holeOffset, holeLength, compression, apply };
}

function dataFlagRule(flags: number): string {
  return (flags & HAS_DATA) === 0 ? '0 without data' : 'above 0 with data';
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}

function truncated(what: string, offset: number, missing: number): StorageError {
  return new StorageError('truncated', {
    what: `WAL record is truncated in its ${what}`,
    offset,
    expected: `${missing} more bytes`,
    actual: '0',
  });
}

function corrupt(what: string, offset: number, expected: string, actual: string): StorageError {
  return new StorageError('corrupt', { what, offset, expected, actual });
}

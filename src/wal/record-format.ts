/** A WAL record as an object, and its checksum. The format is in `record-scanner.ts`. */
import { checkArray, checkBytes, checkCount, checkMethod } from '../check-options.ts';
import { corrupt, truncated } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';
import { joinHalves } from '../layers/lsn-halves.ts';
import { checkMajorVersion } from './main-data/main-data.ts';
import { CRC_OFFSET, checksumText, recordChecksumOf } from './record-checksum.ts';
import {
  type BlockImageCompression,
  IMAGE_COMPRESSIONS,
  RecordScanner,
  WAL_RECORD_HEADER_SIZE,
} from './record-scanner.ts';

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
  /** True if redo initializes the page, regardless of its content. */
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
  checkMajorVersion(majorVersion);
  checkRecord(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const scanner = scannerOf(majorVersion);
  scanner.scanWithin(view, 0, bytes.length);
  return scannedRecord(bytes, scanner);
}

/**
 * The record that was scanned last, as an object.
 *
 * @param bytes What was scanned.
 * @returns The record, whose byte strings are views.
 */
export function scannedRecord(bytes: Uint8Array, scanner: RecordScanner): WalRecord {
  return recordWith(bytes, scanner, blockOf);
}

/** As `scannedRecord`, with blocks as `toBlock` makes them. @internal */
export function recordWith(
  bytes: Uint8Array,
  scanner: RecordScanner,
  toBlock: (bytes: Uint8Array, scanner: RecordScanner, block: number) => BlockReference,
): WalRecord {
  const { mainDataOffset, mainDataLength } = scanner;
  const blocks: BlockReference[] = [];
  for (let block = 0; block < scanner.blockCount; block += 1) {
    blocks.push(toBlock(bytes, scanner, block));
  }
  return {
    xid: scanner.xid,
    prevLsn: joinHalves(scanner.prevHigh, scanner.prevLow),
    info: scanner.info,
    resourceManager: scanner.resourceManager,
    topLevelXid: scanner.topLevelXid,
    origin: scanner.origin,
    blocks,
    mainData: bytes.subarray(mainDataOffset, mainDataOffset + mainDataLength),
  };
}

/** One for each version, used within one call. */
const scanners = new Map<number, RecordScanner>();

function scannerOf(majorVersion: number): RecordScanner {
  const known = scanners.get(majorVersion);
  if (known !== undefined) return known;
  const scanner = new RecordScanner(majorVersion);
  scanners.set(majorVersion, scanner);
  return scanner;
}

function blockOf(bytes: Uint8Array, scanner: RecordScanner, block: number): BlockReference {
  const dataOffset = scanner.dataOffsets[block] as number;
  return {
    id: scanner.ids[block] as number,
    spcnode: scanner.spcnodes[block] as number,
    dbnode: scanner.dbnodes[block] as number,
    relnode: scanner.relnodes[block] as number,
    forkNumber: scanner.forkNumbers[block] as number,
    blkno: scanner.blknos[block] as number,
    willInit: scanner.willInits[block] === 1,
    image: scanner.hasImages[block] === 1 ? scannedImage(bytes, scanner, block) : undefined,
    data: bytes.subarray(dataOffset, dataOffset + (scanner.dataLengths[block] as number)),
  };
}

/** Throws `invalid-input` unless the value is a scanner, of any copy of the library. */
function checkScanner(scanner: RecordScanner): void {
  checkMethod('scanner', scanner, 'scan');
  const { imageOffsets, imageLengths, holeOffsets, holeLengths } = scanner;
  const { imageCompressions, imageApplies } = scanner;
  const places = [imageOffsets, imageLengths, holeOffsets, holeLengths];
  for (const column of [...places, imageCompressions, imageApplies]) {
    checkArray('column of the scanner', column);
  }
}

/**
 * The image of a block that was scanned last, as an object.
 *
 * @param bytes What was scanned.
 * @returns The image, whose bytes are a view.
 */
export function scannedImage(bytes: Uint8Array, scanner: RecordScanner, block: number): BlockImage {
  checkBytes(bytes, 'WAL record');
  checkScanner(scanner);
  checkCount('block', block, { to: scanner.blockCount - 1 });
  const offset = scanner.imageOffsets[block] as number;
  return {
    bytes: bytes.subarray(offset, offset + (scanner.imageLengths[block] as number)),
    holeOffset: scanner.holeOffsets[block] as number,
    holeLength: scanner.holeLengths[block] as number,
    compression: IMAGE_COMPRESSIONS[scanner.imageCompressions[block] as number] ?? 'none',
    apply: scanner.imageApplies[block] === 1,
  };
}

/** Checks the length and the checksum of one complete record. Throws `truncated`, `corrupt`. */
export function checkRecord(bytes: Uint8Array): void {
  if (bytes.length < WAL_RECORD_HEADER_SIZE) {
    throw truncated(
      'WAL record is truncated in its header',
      0,
      WAL_RECORD_HEADER_SIZE - bytes.length,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = view.getUint32(0, true);
  if (length !== bytes.length) {
    throw corrupt('length of the WAL record', 0, `${bytes.length}`, `${length}`);
  }
  const stored = view.getUint32(CRC_OFFSET, true);
  const computed = recordChecksum(bytes);
  if (stored !== computed) {
    throw corrupt(
      'checksum of the WAL record',
      CRC_OFFSET,
      checksumText(computed),
      checksumText(stored),
    );
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
    throw truncated(
      'WAL record is truncated in its header',
      0,
      WAL_RECORD_HEADER_SIZE - bytes.length,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return recordChecksumOf(view);
}

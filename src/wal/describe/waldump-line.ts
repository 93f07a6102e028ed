/**
 * The line of pg_waldump for a record:
 *
 *   rmgr: Heap        len (rec/tot):     54/    54, tx:        733, lsn: 0/01708A28, prev 0/017089F0,
 *   desc: INSERT off 5 flags 0x00, blkref #0: rel 1663/5/16384 blk 0 FPW
 *
 * `rec` is the length without images. A fork is named unless it is the main one; `FPW for WAL verification` marks an
 * image that is only used for checks. Source: Postgres src/bin/pg_waldump/pg_waldump.c, XLogRecGetBlockRefInfo.
 */
import {
  asciiBytes,
  asciiText,
  writeAscii,
  writeHexWord,
  writeInteger,
  writePaddedInteger,
  writePrintableText,
  writeText,
} from '../../ascii.ts';
import {
  checkBigint,
  checkBoolean,
  checkBytes,
  checkCount,
  checkObject,
} from '../../check-options.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { splitLsn } from '../../layers/lsn-halves.ts';
import { FORK_NAMES } from '../../postgres/fork.ts';
import type { BlockReference, WalRecord } from '../record-format.ts';
import { FORK_MASK, MAXIMUM_BLOCK_ID } from '../record-scanner.ts';
import { recordTypeOf, resourceManagerName } from '../resource-managers.ts';
import {
  checkDescribeOptions,
  checkRecord,
  type DescribeOptions,
  descriptionOf,
} from './describe.ts';

/** The position of a record, which the record itself does not contain. */
export interface RecordPlace {
  /** LSN of its first byte. */
  readonly startLsn: Lsn;
  /** Its whole length in bytes, without padding. */
  readonly length: number;
}

/**
 * Formats a record as pg_waldump prints it, in one line without its end.
 *
 * @param options Times have the form of pg_waldump unless they say otherwise.
 * @throws As `describeWalRecord`.
 */
export function formatWaldumpLine(
  record: WalRecord,
  place: RecordPlace,
  options: DescribeOptions,
): string {
  checkRecord(record);
  for (const block of record.blocks) checkBlock(block);
  checkObject('place of the record', place);
  checkBigint('startLsn', place.startLsn);
  checkCount('length of the record', place.length);
  checkDescribeOptions(options);
  const description = descriptionOf(record, { times: 'waldump', ...options });
  return waldumpLine(record, place, { majorVersion: options.majorVersion, description });
}

/** Only the parts that the line has. */
function checkBlock({
  id,
  spcnode,
  dbnode,
  relnode,
  forkNumber,
  blkno,
  image,
}: BlockReference): void {
  checkCount('id of a block reference', id, { to: MAXIMUM_BLOCK_ID });
  for (const [name, value] of Object.entries({ spcnode, dbnode, relnode, blkno })) {
    checkCount(`${name} of a block reference`, value, { to: 0xffff_ffff });
  }
  checkCount('forkNumber of a block reference', forkNumber, { to: FORK_MASK });
  if (image === undefined) return;
  checkObject('image of a block reference', image);
  checkBytes(image.bytes, 'bytes of an image');
  checkBoolean('apply of an image', image.apply);
}

/** The parts of a line that are not in the record. */
export interface LineOptions {
  readonly majorVersion: number;
  readonly description: string;
}

/** As `formatWaldumpLine`, with a description of any characters. */
export function waldumpLine(
  record: WalRecord,
  place: RecordPlace,
  { majorVersion, description }: LineOptions,
): string {
  const bytes = new Uint8Array(maximumLineLength(record, ''));
  const startEnd = writeStart(bytes, 0, record, place, majorVersion);
  const end = writeBlockReferences(bytes, startEnd, record.blocks);
  const start = asciiText(bytes.subarray(0, startEnd));
  return `${start}${description}${asciiText(bytes.subarray(startEnd, end))}`;
}

/**
 * Writes the line at `at`, for many records: without a string for each of its pieces.
 *
 * Requires: room for `maximumLineLength`. Returns: the end; -1 if the description has a character that is not ASCII, or a
 * control character.
 */
export function writeWaldumpLine(
  target: Uint8Array,
  at: number,
  record: WalRecord,
  place: RecordPlace,
  { majorVersion, description }: LineOptions,
): number {
  const start = writeStart(target, at, record, place, majorVersion);
  const end = writePrintableText(target, start, description);
  return end < 0 ? end : writeBlockReferences(target, end, record.blocks);
}

/** Maximum length of the line in bytes. */
export function maximumLineLength({ blocks }: WalRecord, description: string): number {
  return MAXIMUM_START_LENGTH + description.length + MAXIMUM_REFERENCE_LENGTH * blocks.length;
}

/** The names of a manager and a kind, which have no fixed maximum, take fewer than 64 bytes together. */
const MAXIMUM_START_LENGTH = 256;
/** Five numbers of ten digits, and 71 other bytes, the longest name of a fork included. */
const MAXIMUM_REFERENCE_LENGTH = 121;

/** Everything before the description. */
function writeStart(
  target: Uint8Array,
  at: number,
  record: WalRecord,
  { startLsn, length }: RecordPlace,
  majorVersion: number,
): number {
  const { manager, type } = namesOf(record, majorVersion);
  let end = writeAscii(target, at, manager);
  end = writePaddedInteger(target, end, length - imagesLength(record.blocks), 6);
  end = writeAscii(target, end, SLASH);
  end = writePaddedInteger(target, end, length, 6);
  end = writeAscii(target, end, TRANSACTION);
  end = writePaddedInteger(target, end, record.xid, 10);
  end = writeAscii(target, end, LSN);
  end = writeLsn(target, end, startLsn);
  end = writeAscii(target, end, PREVIOUS);
  end = writeLsn(target, end, record.prevLsn);
  return writeAscii(target, end, type);
}

const SLASH = asciiBytes('/');
const TRANSACTION = asciiBytes(', tx: ');
const LSN = asciiBytes(', lsn: ');
const PREVIOUS = asciiBytes(', prev ');

/** The beginning of a line, and the text before the description. */
interface KindNames {
  readonly manager: Uint8Array;
  readonly type: Uint8Array;
}

/** By version, then by the number of the manager and the info byte. */
const knownNames = new Map<number, (KindNames | undefined)[]>();

function namesOf(record: WalRecord, majorVersion: number): KindNames {
  let ofVersion = knownNames.get(majorVersion);
  if (ofVersion === undefined) {
    ofVersion = new Array<KindNames | undefined>(256 * 256).fill(undefined);
    knownNames.set(majorVersion, ofVersion);
  }
  const index = 256 * record.resourceManager + record.info;
  const known = ofVersion[index];
  if (known !== undefined) return known;
  const manager = resourceManagerName(record.resourceManager, majorVersion);
  const names = {
    manager: asciiBytes(`rmgr: ${manager.padEnd(11)} len (rec/tot): `),
    type: asciiBytes(`, desc: ${recordTypeOf(record, majorVersion)} `),
  };
  ofVersion[index] = names;
  return names;
}

function imagesLength(blocks: readonly BlockReference[]): number {
  let length = 0;
  for (const { image } of blocks) if (image !== undefined) length += image.bytes.length;
  return length;
}

function writeBlockReferences(
  target: Uint8Array,
  at: number,
  blocks: readonly BlockReference[],
): number {
  let end = at;
  for (const { id, spcnode, dbnode, relnode, forkNumber, blkno, image } of blocks) {
    end = writeInteger(target, writeAscii(target, end, REFERENCE), id);
    end = writeInteger(target, writeAscii(target, end, RELATION), spcnode);
    end = writeInteger(target, writeAscii(target, end, SLASH), dbnode);
    end = writeInteger(target, writeAscii(target, end, SLASH), relnode);
    if (forkNumber !== 0) {
      end = writeText(target, end, ` fork ${FORK_NAMES[forkNumber] ?? forkNumber}`);
    }
    end = writeInteger(target, writeAscii(target, end, BLOCK), blkno);
    if (image !== undefined) end = writeAscii(target, end, image.apply ? IMAGE : CHECKED_IMAGE);
  }
  return end;
}

const REFERENCE = asciiBytes(', blkref #');
const RELATION = asciiBytes(': rel ');
const BLOCK = asciiBytes(' blk ');
const IMAGE = asciiBytes(' FPW');
const CHECKED_IMAGE = asciiBytes(' FPW for WAL verification');

/** `%X/%08X`. */
function writeLsn(target: Uint8Array, at: number, lsn: Lsn): number {
  const { high, low } = splitLsn(lsn);
  const end = high === 0 ? writeInteger(target, at, 0) : writeText(target, at, hexOf(high));
  return writeHexWord(target, writeAscii(target, end, SLASH), low);
}

function hexOf(word: number): string {
  return word.toString(16).toUpperCase();
}

/**
 * Heap records of Postgres 14 and 15 come in two dialects under one page magic: those of Postgres, and those of
 * Neon's own build, which have an additional command id. The main data of three kinds differ:
 *
 *            vanilla                               neon
 *   DELETE   8: u32 xmax, u16 offset,              14: u32 xmax, u16 offset, _2, u32 command,
 *               u8 infobits, u8 flags                  u8 infobits, u8 flags
 *   UPDATE   14: u32 xmax, u16 offset,             18: u32 xmax, u16 offset, u8 infobits, u8 flags,
 *                u8 infobits, u8 flags, u32            u32 command, u32 new xmax, u16 new offset
 *                new xmax, u16 new offset
 *   LOCK     8, as DELETE                          14, as DELETE
 *
 * If the flags say so, DELETE and UPDATE are followed by the old tuple: u16 infomask2, u16 infomask, u32 command (only
 * Neon), u8 hoff, and the tuple from its byte 23 on. `hoff` follows from the rest: it is 23 bytes, plus one bit for
 * each attribute if there are nulls, rounded up to a multiple of 8. So usually a record can be read in only one way; if
 * both are possible, the record alone is ambiguous.
 *
 * 16 and 17 have one dialect: Neon writes the records of Postgres there, or those of its own resource manager.
 * Source: Postgres src/include/access/heapam_xlog.h; the same file in Neon's postgres, branches REL_14 and REL_15.
 */
import { checkBytes, checkObject, checkOneOf } from '../check-options.ts';
import { corrupt, StorageError } from '../errors.ts';
import { checkMajorVersion } from './main-data/main-data.ts';
import { HEAP, type RecordKind } from './resource-managers.ts';

/** The dialect of heap records: that of Postgres, or that of Neon's build of it. */
export type HeapDialect = 'vanilla' | 'neon';

/** All dialects. */
export const HEAP_DIALECTS: readonly HeapDialect[] = ['vanilla', 'neon'];

/**
 * What the length of a record shows. `same`: it reads the same in both dialects. `undecided`: it can be read in both,
 * with different results.
 */
export type DetectedDialect = HeapDialect | 'same' | 'undecided';

/** The parts of a record that determine its dialect. */
export interface HeapRecord extends RecordKind {
  /** Main data. */
  readonly mainData: Uint8Array;
}

/**
 * Determines the dialect of one record from its length.
 *
 * @param majorVersion 14 to 17.
 * @throws `corrupt` if the record fits neither dialect; `invalid-input`.
 */
export function heapDialectOf(record: HeapRecord, majorVersion: number): DetectedDialect {
  checkMajorVersion(majorVersion);
  checkObject('WAL record', record);
  checkBytes(record.mainData, 'mainData');
  const kind = kindOf(record, majorVersion);
  if (kind === undefined) return 'same';
  const { mainData } = record;
  const isVanilla = fits(mainData, kind.vanilla, kind.oldTuple);
  const isNeon = fits(mainData, kind.neon, kind.oldTuple);
  if (isVanilla && isNeon) return decidedByTuple(mainData, kind);
  if (isVanilla) return 'vanilla';
  if (isNeon) return 'neon';
  throw unreadable(kind, mainData);
}

/**
 * The dialect in which to read a record. If both read the same, it is `vanilla`.
 *
 * @param given The dialect, if known from elsewhere; a record that contradicts it is damage.
 * @throws `corrupt` if the record cannot be of the dialect; `invalid-input` if the record alone is ambiguous and the
 *   dialect is not given.
 */
export function chosenHeapDialect(
  record: HeapRecord,
  majorVersion: number,
  given?: HeapDialect,
): HeapDialect {
  if (given !== undefined) checkOneOf('dialect of the heap records', given, HEAP_DIALECTS);
  const found = heapDialectOf(record, majorVersion);
  if (found === 'same') return 'vanilla';
  if (found !== 'undecided') {
    if (given === undefined || given === found) return found;
    throw corrupt('dialect of a heap record', undefined, given, found);
  }
  if (given !== undefined) return given;
  throw new StorageError('invalid-input', {
    what: 'heap record that can be read in two dialects',
    expected: `an explicit dialect: ${HEAP_DIALECTS.join(' or ')}`,
  });
}

/** Where the flags of a kind are in each dialect, and which of them announce an old tuple. */
interface Kind {
  readonly name: string;
  readonly vanilla: Layout;
  readonly neon: Layout;
  readonly oldTuple: number;
}

interface Layout {
  readonly size: number;
  readonly flagsAt: number;
  /** Bytes of the command id in the header of a tuple. */
  readonly commandSize: number;
}

const DELETE_OR_LOCK = {
  vanilla: { size: 8, flagsAt: 7, commandSize: 0 },
  neon: { size: 14, flagsAt: 13, commandSize: 4 },
};
const UPDATE: Kind = {
  name: 'UPDATE',
  vanilla: { size: 14, flagsAt: 7, commandSize: 0 },
  neon: { size: 18, flagsAt: 7, commandSize: 4 },
  oldTuple: 0x0c,
};

/** By the operation, `info & 0x70`. */
const KINDS: ReadonlyMap<number, Kind> = new Map([
  [0x10, { name: 'DELETE', ...DELETE_OR_LOCK, oldTuple: 0x06 }],
  [0x20, UPDATE],
  [0x40, UPDATE],
  [0x60, { name: 'LOCK', ...DELETE_OR_LOCK, oldTuple: 0 }],
]);

const OPERATION_BITS = 0x70;
const LAST_WITH_DIALECTS = 15;

function kindOf({ resourceManager, info }: RecordKind, majorVersion: number): Kind | undefined {
  if (resourceManager !== HEAP || majorVersion > LAST_WITH_DIALECTS) return undefined;
  return KINDS.get(info & OPERATION_BITS);
}

const TUPLE_HEADER_SIZE = 5;

/** Whether the length is that of the layout, with an old tuple exactly if the flags announce one. */
function fits(mainData: Uint8Array, layout: Layout, oldTuple: number): boolean {
  if (mainData.length < layout.size) return false;
  const hasTuple = ((mainData[layout.flagsAt] as number) & oldTuple) !== 0;
  if (!hasTuple) return mainData.length === layout.size;
  return mainData.length >= layout.size + TUPLE_HEADER_SIZE + layout.commandSize;
}

function decidedByTuple(mainData: Uint8Array, { vanilla, neon }: Kind): DetectedDialect {
  const isVanilla = hasValidTuple(mainData, vanilla);
  const isNeon = hasValidTuple(mainData, neon);
  if (isVanilla === isNeon) return 'undecided';
  return isVanilla ? 'vanilla' : 'neon';
}

const HAS_NULLS = 0x0001;
const ATTRIBUTE_COUNT = 0x07ff;
/** Of the tuple, the bytes before this one are not stored. */
const FIRST_STORED_BYTE = 23;

/** Whether the header length of the old tuple agrees with its other fields. */
function hasValidTuple(mainData: Uint8Array, { size, commandSize }: Layout): boolean {
  if (mainData.length === size) return true;
  const view = new DataView(mainData.buffer, mainData.byteOffset, mainData.length);
  const attributeCount = view.getUint16(size, true) & ATTRIBUTE_COUNT;
  const hasNulls = (view.getUint16(size + 2, true) & HAS_NULLS) !== 0;
  const headerLength = view.getUint8(size + 4 + commandSize);
  const bitmapLength = hasNulls ? Math.ceil(attributeCount / 8) : 0;
  const stored = mainData.length - size - commandSize - TUPLE_HEADER_SIZE;
  return (
    headerLength === Math.ceil((FIRST_STORED_BYTE + bitmapLength) / 8) * 8 &&
    stored >= headerLength - FIRST_STORED_BYTE
  );
}

function unreadable({ name, vanilla, neon }: Kind, mainData: Uint8Array): StorageError {
  const expected = `${vanilla.size} or ${neon.size} bytes, and the old tuple that the flags announce`;
  return corrupt(`main data of Heap/${name}`, 0, expected, `${mainData.length} bytes`);
}

/**
 * Heap records that clear bits of the visibility map. Where their flags byte is:
 *
 *   INSERT        2 of 3             new block 0, if flag 1
 *   MULTI_INSERT  0                  new block 0, if flag 1; 4 bytes (of Neon's manager 8), then 2 a tuple,
 *                                    unless the page is initialized
 *   DELETE        7; Neon's 14, 15: 13    new block 0, if flag 1
 *   UPDATE, HOT_UPDATE  7            old block if flag 1, new block 0 if flag 2
 *   LOCK          7; Neon's 14, 15: 13; Neon's manager: 11    old block 0, the all-frozen bit only, if flag 1
 *   LOCK_UPDATED  7                  as LOCK
 *
 * The old block of an update is that of the last reference: with one reference it is the same as the new one.
 * Source: Neon libs/wal_decoder/src/decoder.rs.
 */
import { corrupt } from '../../errors.ts';
import { chosenHeapDialect } from '../../wal/heap-dialect.ts';
import type { BlockReference, WalRecord } from '../../wal/record-format.ts';
import type { IngestState } from './ingest-state.ts';
import type { Asking } from './metadata.ts';
import { ALL_BITS, ALL_FROZEN, type ClearedBits, clearVisibility } from './visibility-map.ts';

const CLEARED = 0x01;
const NEW_PAGE_CLEARED = 0x02;
const MAKES_PAGE = 0x80;

/** INSERT of any resource manager. */
export function insertHeap(state: IngestState, record: WalRecord): Asking<void> {
  checkLength(record.mainData, 3);
  return clearOfOne(state, record, { flagsAt: 2, half: 'new' });
}

/** MULTI_INSERT of Postgres. */
export function multiInsertHeap(state: IngestState, record: WalRecord): Asking<void> {
  return multiInsert(state, record, 4);
}

/** MULTI_INSERT of Neon's resource manager. */
export function multiInsertNeon(state: IngestState, record: WalRecord): Asking<void> {
  return multiInsert(state, record, 8);
}

/** DELETE of Postgres, in either dialect. */
export function deleteHeap(state: IngestState, record: WalRecord): Asking<void> {
  return clearOfOne(state, record, { flagsAt: flagsOfDialect(state, record), half: 'new' });
}

/** DELETE of Neon's resource manager. */
export function deleteNeon(state: IngestState, record: WalRecord): Asking<void> {
  return clearOfOne(state, record, { flagsAt: 7, half: 'new' });
}

/** LOCK of Postgres, in either dialect. */
export function lockHeap(state: IngestState, record: WalRecord): Asking<void> {
  return clearOfOne(state, record, { flagsAt: flagsOfDialect(state, record), half: 'frozen' });
}

export function lockUpdatedHeap(state: IngestState, record: WalRecord): Asking<void> {
  return clearOfOne(state, record, { flagsAt: 7, half: 'frozen' });
}

/** LOCK of Neon's resource manager. */
export function lockNeon(state: IngestState, record: WalRecord): Asking<void> {
  return clearOfOne(state, record, { flagsAt: 11, half: 'frozen' });
}

/** UPDATE and HOT_UPDATE of any resource manager and dialect. */
export function* updateHeap(state: IngestState, record: WalRecord): Asking<void> {
  if (state.majorVersion < 16) chosenHeapDialect(record, state.majorVersion, state.dialect);
  const flags = flagsAt(record.mainData, 7);
  const newBlock = (flags & NEW_PAGE_CLEARED) === 0 ? null : blockOf(record, 0).blkno;
  const oldBlock = (flags & CLEARED) === 0 ? null : blockOf(record, -1).blkno;
  if (newBlock === null && oldBlock === null) return;
  const bits = { newHeapBlock: newBlock, oldHeapBlock: oldBlock, flags: ALL_BITS };
  yield* clearVisibility(state, blockOf(record, 0), bits);
}

function multiInsert(state: IngestState, record: WalRecord, headerSize: number): Asking<void> {
  const { mainData, info } = record;
  checkLength(mainData, headerSize, 'at least');
  const tupleCount = (mainData[2] as number) + 256 * (mainData[3] as number);
  const offsetsSize = (info & MAKES_PAGE) === 0 ? 2 * tupleCount : 0;
  checkLength(mainData, headerSize + offsetsSize);
  return clearOfOne(state, record, { flagsAt: 0, half: 'new' });
}

function* clearOfOne(
  state: IngestState,
  record: WalRecord,
  { flagsAt: at, half }: { readonly flagsAt: number; readonly half: 'new' | 'frozen' },
): Asking<void> {
  if ((flagsAt(record.mainData, at) & CLEARED) === 0) return;
  const block = blockOf(record, 0);
  const bits: ClearedBits =
    half === 'new'
      ? { newHeapBlock: block.blkno, oldHeapBlock: null, flags: ALL_BITS }
      : { newHeapBlock: null, oldHeapBlock: block.blkno, flags: ALL_FROZEN };
  yield* clearVisibility(state, block, bits);
}

const VANILLA_FLAGS_AT = 7;
const NEON_FLAGS_AT = 13;

function flagsOfDialect({ majorVersion, dialect }: IngestState, record: WalRecord): number {
  if (majorVersion > 15) return VANILLA_FLAGS_AT;
  const chosen = chosenHeapDialect(record, majorVersion, dialect);
  return chosen === 'neon' ? NEON_FLAGS_AT : VANILLA_FLAGS_AT;
}

function flagsAt(mainData: Uint8Array, at: number): number {
  checkLength(mainData, at + 1, 'at least');
  return mainData[at] as number;
}

/** `index` of -1: the last one. */
function blockOf({ blocks }: WalRecord, index: 0 | -1): BlockReference {
  const block = blocks.at(index);
  if (block === undefined) throw corrupt('blocks of the record', undefined, 'one or more', 'none');
  return block;
}

function checkLength(mainData: Uint8Array, size: number, than?: 'at least'): void {
  if (than === undefined ? mainData.length === size : mainData.length >= size) return;
  const expected = than === undefined ? `${size} bytes` : `${than} ${size} bytes`;
  throw corrupt('main data', 0, expected, `${mainData.length}`);
}

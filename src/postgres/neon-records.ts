/**
 * Applies Neon's own records to a page, to the byte, as a pageserver does between runs of Postgres's redo.
 *
 *   clear_vm                  map[byte of heap block] &= ~(flags << shift), for new, then for old; sets the LSN
 *   truncate_vm               map[truncByte] &= (1 << truncOffset) - 1; zeros after it
 *   clog_set_committed        2 bits a transaction = 1; then 8 bytes of timestamp after the page, big-endian
 *   clog_set_aborted          2 bits a transaction = 2
 *   multixact_offset_create   u32 at 4 * (multixact mod 2048) = offset
 *   multixact_members_create  groups of 4 flag bytes and 4 u32 transactions, 409 a page
 *   aux_file                  nothing
 *
 * `map` begins after the page header. SLRU pages have no header, so their records set no LSN. A record that
 * does not belong to the page is damage.
 * Source: Neon pageserver/src/walredo/apply_neon.rs.
 */
import { checkBytes, checkObject } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { checkKey, formatKey, type Key } from '../layers/key.ts';
import { checkLsn, formatLsn, type Lsn } from '../layers/lsn.ts';
import type { MultixactMember, Value } from '../layers/value-format.ts';
import { encodeValue } from '../layers/value-format.ts';
import { describeKey, SLRU_SEGMENT_PAGES, type SlruName } from './key-mapping.ts';
import { PAGE_HEADER_SIZE, PAGE_SIZE, setPageLsn } from './page.ts';

/** Neon's own records: every value that is neither an image nor a record of Postgres. */
export type NeonRecord = Exclude<Value, { readonly type: 'image' | 'wal' }>;

/** A record of Neon's own, with its place. */
export interface PlacedNeonRecord {
  /** Key of the page. */
  readonly key: Key;
  /** LSN of the entry. */
  readonly lsn: Lsn;
  /** The record. */
  readonly record: NeonRecord;
}

/** Whether a value is one of Neon's own records. */
export function isNeonRecord(value: Value): value is NeonRecord {
  checkObject('value', value);
  return value.type !== 'image' && value.type !== 'wal';
}

/** Additional bytes of a page of the transaction status after a commit: its time. */
export const CLOG_TIMESTAMP_SIZE = 8;

/**
 * Applies one of Neon's own records.
 *
 * @param page The page; not changed.
 * @returns The page after it, a new array; 8,200 bytes for a page of the transaction status with a commit.
 * @throws `corrupt` if the record does not belong to the key, or the page has a wrong size.
 */
export function applyNeonRecord(page: Uint8Array, placed: PlacedNeonRecord): Uint8Array {
  checkBytes(page, 'page');
  checkObject('record and its place', placed);
  checkKey(placed.key);
  checkLsn(placed.lsn);
  // Checks the fields of the record.
  encodeValue(placed.record);
  return changeByNeonRecord(page.slice(), placed);
}

/** @internal As `applyNeonRecord`, but changes the page. Returns: the page, or a longer array in its place. */
export function changeByNeonRecord(target: Uint8Array, placed: PlacedNeonRecord): Uint8Array {
  const { record } = placed;
  if (record.type === 'aux_file') return target;
  if (target.length < PAGE_SIZE) {
    throw misplaced(placed, `a page of ${PAGE_SIZE} bytes`, `${target.length}`);
  }
  switch (record.type) {
    case 'clear_vm':
      clearVisibility(target, placed, record);
      return target;
    case 'truncate_vm':
      truncateVisibility(target, placed, record);
      return target;
    case 'clog_set_committed':
      setStatus(target, placed, { xids: record.xids, status: 1 });
      return withTimestamp(target, record.timestamp);
    case 'clog_set_aborted':
      setStatus(target, placed, { xids: record.xids, status: 2 });
      return target;
    case 'multixact_offset_create':
      setOffset(target, placed, record);
      return target;
    case 'multixact_members_create':
      setMembers(target, placed, record);
      return target;
  }
}

const MAP_SIZE = PAGE_SIZE - PAGE_HEADER_SIZE;
const HEAP_BLOCKS_PER_BYTE = 4;
/** Heap blocks whose bits a page of a visibility map has. */
export const HEAP_BLOCKS_PER_MAP_PAGE = MAP_SIZE * HEAP_BLOCKS_PER_BYTE;
const BITS_PER_HEAP_BLOCK = 2;

/** Where a visibility map has the bits of a heap block. `byte` counts from the end of the page header. */
export function mapPlaceOf(heapBlock: number) {
  return {
    mapBlock: Math.floor(heapBlock / HEAP_BLOCKS_PER_MAP_PAGE),
    byte: Math.floor((heapBlock % HEAP_BLOCKS_PER_MAP_PAGE) / HEAP_BLOCKS_PER_BYTE),
    bit: (heapBlock % HEAP_BLOCKS_PER_BYTE) * BITS_PER_HEAP_BLOCK,
  };
}

function clearVisibility(
  page: Uint8Array,
  placed: PlacedNeonRecord,
  { newHeapBlock, oldHeapBlock, flags }: NeonRecord & { type: 'clear_vm' },
): void {
  const blkno = visibilityMapBlock(placed);
  for (const heapBlock of [newHeapBlock, oldHeapBlock]) {
    if (heapBlock === null) continue;
    const { mapBlock, byte, bit } = mapPlaceOf(heapBlock);
    if (mapBlock !== blkno) throw misplaced(placed, `block ${mapBlock} of the map`, `${blkno}`);
    clearBits(page, PAGE_HEADER_SIZE + byte, flags << bit);
  }
  setPageLsn(page, placed.lsn);
}

function truncateVisibility(
  page: Uint8Array,
  placed: PlacedNeonRecord,
  { truncByte, truncOffset }: NeonRecord & { type: 'truncate_vm' },
): void {
  visibilityMapBlock(placed);
  if (truncByte >= BigInt(MAP_SIZE) || truncOffset >= 8n) {
    const expected = `a byte below ${MAP_SIZE} and a bit below 8`;
    throw misplaced(placed, expected, `${truncByte} and ${truncOffset}`);
  }
  const at = PAGE_HEADER_SIZE + Number(truncByte);
  clearBits(page, at, 0xff << Number(truncOffset));
  page.fill(0, at + 1, PAGE_SIZE);
}

function clearBits(page: Uint8Array, at: number, bits: number): void {
  page[at] = (page[at] as number) & ~bits;
}

function visibilityMapBlock(placed: PlacedNeonRecord): number {
  const meaning = describeKey(placed.key);
  if (meaning.kind === 'rel_block' && meaning.fork === 'vm') return meaning.blkno;
  throw misplaced(placed, 'a block of a visibility map', meaning.kind);
}

/** Transactions of a page of the transaction status. */
export const XIDS_PER_PAGE = PAGE_SIZE * 4;

function setStatus(
  page: Uint8Array,
  placed: PlacedNeonRecord,
  { xids, status }: { xids: readonly number[]; status: 1 | 2 },
): void {
  const number = slruPage(placed, 'clog');
  for (const xid of xids) {
    checkSlruPage(placed, Math.floor(xid / XIDS_PER_PAGE), number);
    const at = Math.floor((xid % XIDS_PER_PAGE) / 4);
    const bit = (xid % 4) * 2;
    page[at] = ((page[at] as number) & ~(3 << bit)) | (status << bit);
  }
}

/** A page of another length than 8,192 or 8,200 bytes does not get a timestamp, as in a pageserver. */
function withTimestamp(page: Uint8Array, timestamp: bigint): Uint8Array {
  const size = PAGE_SIZE + CLOG_TIMESTAMP_SIZE;
  if (page.length !== PAGE_SIZE && page.length !== size) return page;
  const stamped = page.length === size ? page : new Uint8Array(size);
  if (stamped !== page) stamped.set(page);
  viewOf(stamped).setBigInt64(PAGE_SIZE, timestamp);
  return stamped;
}

/** Multixacts of a page of offsets. */
export const OFFSETS_PER_PAGE = PAGE_SIZE / 4;

function setOffset(
  page: Uint8Array,
  placed: PlacedNeonRecord,
  { multixactId, multixactOffset }: NeonRecord & { type: 'multixact_offset_create' },
): void {
  const number = slruPage(placed, 'multixact_offsets');
  checkSlruPage(placed, Math.floor(multixactId / OFFSETS_PER_PAGE), number);
  viewOf(page).setUint32((multixactId % OFFSETS_PER_PAGE) * 4, multixactOffset, true);
}

const GROUP_SIZE = 4 + 4 * 4;
const GROUPS_PER_PAGE = Math.floor(PAGE_SIZE / GROUP_SIZE);
/** Members of a page of multixact members. */
export const MEMBERS_PER_PAGE = GROUPS_PER_PAGE * 4;

function setMembers(
  page: Uint8Array,
  placed: PlacedNeonRecord,
  { multixactOffset, members }: NeonRecord & { type: 'multixact_members_create' },
): void {
  const number = slruPage(placed, 'multixact_members');
  for (const [index, member] of members.entries()) {
    // Member offsets wrap at 2^32.
    const offset = (multixactOffset + index) % 2 ** 32;
    checkSlruPage(placed, Math.floor(offset / MEMBERS_PER_PAGE), number);
    setMember(viewOf(page), offset, member);
  }
}

function setMember(view: DataView, offset: number, { xid, status }: MultixactMember): void {
  const group = (Math.floor(offset / 4) % GROUPS_PER_PAGE) * GROUP_SIZE;
  const bit = (offset % 4) * 8;
  const flags = view.getUint32(group, true);
  view.setUint32(group, ((flags & ~(0xff << bit)) | (status << bit)) >>> 0, true);
  view.setUint32(group + 4 + (offset % 4) * 4, xid, true);
}

/** Number of the page in its SLRU. */
function slruPage(placed: PlacedNeonRecord, slru: SlruName): number {
  const meaning = describeKey(placed.key);
  if (meaning.kind === 'slru_block' && meaning.slru === slru) {
    return meaning.segno * SLRU_SEGMENT_PAGES + meaning.blkno;
  }
  throw misplaced(placed, `a page of ${slru}`, meaning.kind);
}

function checkSlruPage(placed: PlacedNeonRecord, expected: number, actual: number): void {
  if (expected !== actual) throw misplaced(placed, `page ${expected}`, `page ${actual}`);
}

function viewOf(page: Uint8Array): DataView {
  return new DataView(page.buffer, page.byteOffset, page.length);
}

function misplaced(placed: PlacedNeonRecord, expected: string, actual: string): StorageError {
  return new StorageError('corrupt', {
    what: `record ${placed.record.type} does not fit its page`,
    key: formatKey(placed.key),
    lsn: formatLsn(placed.lsn),
    expected,
    actual,
  });
}

/**
 * Heap page: rows of a table on a page, little-endian.
 *
 *   24          u32 each  item pointers, up to `lower`: offset (15 bits), state (2 bits, 1 is a row), length (15 bits)
 *   `upper` on            rows, each with a header of at least 23 bytes
 *
 *   0   u32  transaction that inserted the row
 *   4   u32  transaction that deleted or locked it, or a multixact
 *   18  u16  number of columns in the low 11 bits
 *   20  u16  flags, see below
 *   22  u8   where the columns begin
 *
 * Flags say how the transactions ended, once that has been looked up; otherwise only the transaction status (pg_xact)
 * has the answer. Source: Postgres src/include/access/htup_details.h, storage/itemid.h.
 */
import { corrupt } from '../errors.ts';
import { decodePageHeader, itemCount, PAGE_HEADER_SIZE, PAGE_SIZE } from './page.ts';

/** A row on a page, alive or not. */
export interface HeapTuple {
  readonly insertedBy: number;
  /** 0 if it was neither deleted nor locked. */
  readonly deletedBy: number;
  readonly flags: number;
  readonly columnCount: number;
  /** The columns; a view of the page. */
  readonly columns: Uint8Array;
}

/** How a transaction ended; undefined if it is unknown. */
export type TransactionEnd = 'committed' | 'not-committed' | undefined;

/** `undecided`: not enough is known about its transactions. */
export type RowState = 'alive' | 'dead' | 'undecided';

const ITEM_SIZE = 4;
const NORMAL_ITEM = 1;
const TUPLE_HEADER_SIZE = 23;
const COLUMN_COUNT_MASK = 0x07ff;

/** The rows of a page; none for a page that was never used. Throws `corrupt` with the offset in the page. */
export function* heapTuples(page: Uint8Array): Generator<HeapTuple> {
  const header = decodePageHeader(page);
  const { lower, upper, special } = header;
  if (upper === 0) return;
  if (lower < PAGE_HEADER_SIZE || lower > upper || upper > special || special > PAGE_SIZE) {
    const actual = `lower ${lower}, upper ${upper}, special ${special}`;
    throw corrupt('header of a heap page', 12, `${PAGE_HEADER_SIZE} to ${PAGE_SIZE}`, actual);
  }
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  for (let index = 0; index < itemCount(header); index += 1) {
    const at = PAGE_HEADER_SIZE + index * ITEM_SIZE;
    const item = view.getUint32(at, true);
    if (((item >>> 15) & 3) !== NORMAL_ITEM) continue;
    const start = item & 0x7fff;
    const end = start + (item >>> 17);
    if (start < upper || start + TUPLE_HEADER_SIZE > end || end > special) {
      throw corrupt(
        'item of a heap page',
        at,
        `a row in ${upper} to ${special}`,
        `${start} to ${end}`,
      );
    }
    yield tupleAt(page, view, { start, end });
  }
}

function tupleAt(
  page: Uint8Array,
  view: DataView,
  { start, end }: { readonly start: number; readonly end: number },
): HeapTuple {
  const columnsStart = view.getUint8(start + 22);
  if (columnsStart < TUPLE_HEADER_SIZE || start + columnsStart > end) {
    const expected = `${TUPLE_HEADER_SIZE} to ${end - start}`;
    throw corrupt('header length of a row', start + 22, expected, `${columnsStart}`);
  }
  return {
    insertedBy: view.getUint32(start, true),
    deletedBy: view.getUint32(start + 4, true),
    columnCount: view.getUint16(start + 18, true) & COLUMN_COUNT_MASK,
    flags: view.getUint16(start + 20, true),
    columns: page.subarray(start + columnsStart, end),
  };
}

const KEY_SHARE_LOCK = 0x0010;
const EXCLUSIVE_LOCK = 0x0040;
const LOCK_ONLY = 0x0080;
const INSERT_COMMITTED = 0x0100;
const INSERT_ABORTED = 0x0200;
const DELETE_COMMITTED = 0x0400;
const NOT_DELETED = 0x0800;
const IS_MULTIXACT = 0x1000;

/** Transactions whose outcome `rowState` needs because the flags do not give it. */
export function openTransactions(tuple: HeapTuple): number[] {
  const open: number[] = [];
  rowState(tuple, (transaction) => {
    open.push(transaction);
    return 'committed';
  });
  return open;
}

/** Whether the row is visible to a reader after all transactions that `endOf` knows. */
export function rowState(
  tuple: HeapTuple,
  endOf: (transaction: number) => TransactionEnd,
): RowState {
  const insert = insertEnd(tuple, endOf);
  if (insert === 'not-committed') return 'dead';
  const deletion = deletionEnd(tuple, endOf);
  if (deletion === 'committed') return 'dead';
  return insert === undefined || deletion === undefined ? 'undecided' : 'alive';
}

function insertEnd(
  { insertedBy, flags }: HeapTuple,
  endOf: (transaction: number) => TransactionEnd,
): TransactionEnd {
  // Both together: frozen.
  if (flags & INSERT_COMMITTED) return 'committed';
  return flags & INSERT_ABORTED ? 'not-committed' : endOfTransaction(insertedBy, endOf);
}

function deletionEnd(
  { deletedBy, flags }: HeapTuple,
  endOf: (transaction: number) => TransactionEnd,
): TransactionEnd {
  if (flags & NOT_DELETED || isOnlyLocked(flags)) return 'not-committed';
  // Its members, one of which may have deleted the row, are stored elsewhere.
  if (flags & IS_MULTIXACT) return undefined;
  return flags & DELETE_COMMITTED ? 'committed' : endOfTransaction(deletedBy, endOf);
}

function isOnlyLocked(flags: number): boolean {
  if (flags & LOCK_ONLY) return true;
  return (flags & (IS_MULTIXACT | EXCLUSIVE_LOCK | KEY_SHARE_LOCK)) === EXCLUSIVE_LOCK;
}

const FIRST_NORMAL_TRANSACTION = 3;

/** 0 means none; 1 and 2 created rows that have always existed. */
function endOfTransaction(
  transaction: number,
  endOf: (transaction: number) => TransactionEnd,
): TransactionEnd {
  if (transaction >= FIRST_NORMAL_TRANSACTION) return endOf(transaction);
  return transaction === 0 ? 'not-committed' : 'committed';
}

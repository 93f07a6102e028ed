/**
 * Transactions that end or are prepared, and other changes to the transaction log.
 *
 * The end of a transaction: its status and those of its subtransactions, in runs of the same page of the log; the
 * relations that it drops; how far its origin was replayed; its entry in the two-phase directory.
 *
 * A quirk kept from pageservers: for a prepared transaction with a name, the first 8 bytes of the name are treated as
 * the origin's LSN. Source: Neon pageserver/src/walingest.rs, libs/postgres_ffi/src/walrecord.rs.
 */
import { ViewedBytes } from '../../byte-words.ts';
import { corrupt, StorageError } from '../../errors.ts';
import { keyFromFields } from '../../layers/key.ts';
import type { Lsn } from '../../layers/lsn.ts';
import { CLOG_XIDS_OFFSET, encodeValue } from '../../layers/value-format.ts';
import {
  SLRU_SEGMENT_PAGES,
  twophaseDirectoryKey,
  twophaseKey,
} from '../../postgres/key-mapping.ts';
import { XIDS_PER_PAGE } from '../../postgres/neon-records.ts';
import { decodeClogTruncate } from '../../wal/main-data/clog.ts';
import { decodeZeroPage } from '../../wal/main-data/main-data.ts';
import { decodeOriginDrop, decodeOriginSet } from '../../wal/main-data/replication-origin.ts';
import { decodeTransactionEnd, type TransactionEnd } from '../../wal/main-data/transaction.ts';
import type { WalRecord } from '../../wal/record-format.ts';
import {
  findItem,
  itemAt,
  itemCount,
  twophaseDirectory,
  withItem,
  withoutItems,
} from './directory-items.ts';
import { type IngestState, lacking } from './ingest-state.ts';
import type { Asking } from './metadata.ts';
import { dropRelations } from './relations.ts';
import type { RowSink } from './row-sink.ts';
import {
  dropSlruSegments,
  putSlruRecord,
  putZeroSlruPage,
  slruPageKey,
  slruSegments,
} from './slrus.ts';

/** COMMIT and COMMIT_PREPARED. */
export function commitTransaction(state: IngestState, record: WalRecord): Asking<void> {
  return endTransaction(state, record, 'committed');
}

/** ABORT and ABORT_PREPARED. */
export function abortTransaction(state: IngestState, record: WalRecord): Asking<void> {
  return endTransaction(state, record, 'aborted');
}

/**
 * Puts the ends of transactions that have nothing but a time: no subtransactions, and nothing dropped. Every
 * transaction has an end, so the key of its page and the bytes of its value are reused: the sink copies both.
 */
export class PlainEnds {
  readonly #values = {
    committed: new ViewedBytes(
      encodeValue({ type: 'clog_set_committed', xids: [0], timestamp: 0n }),
    ),
    aborted: new ViewedBytes(encodeValue({ type: 'clog_set_aborted', xids: [0] })),
  };
  /** Page of the log of the last one, and its key. */
  page = 0;
  key = new ViewedBytes(slruPageKey('clog', 0));

  /** The 8 little-endian bytes of the time lie at `timeAt`. Requires: the shard has the log; the sink has the LSN. */
  put(
    sink: RowSink,
    xid: number,
    status: TransactionStatus,
    record: DataView,
    timeAt: number,
  ): void {
    const page = Math.floor(xid / XIDS_PER_PAGE);
    if (page !== this.page) {
      this.page = page;
      this.key = new ViewedBytes(slruPageKey('clog', page));
    }
    const value = this.#values[status];
    const { view } = value;
    view.setUint32(CLOG_XIDS_OFFSET, xid);
    if (status === 'committed') {
      view.setUint32(CLOG_XIDS_OFFSET + 4, record.getUint32(timeAt + 4, true));
      view.setUint32(CLOG_XIDS_OFFSET + 8, record.getUint32(timeAt, true));
    }
    sink.putRow(this.key, false, value);
  }
}

type TransactionStatus = 'committed' | 'aborted';

function* endTransaction(
  state: IngestState,
  record: WalRecord,
  status: TransactionStatus,
): Asking<void> {
  const { mainData, info } = record;
  const end = decodeTransactionEnd(mainData, info, state.majorVersion);
  const isPrepared = PREPARED_OPERATIONS.includes(info & OPERATION_MASK);
  if (isPrepared && end.preparedXid === undefined) {
    throw corrupt('prepared transaction', undefined, 'its number', 'none');
  }
  const xid = isPrepared ? (end.preparedXid as number) : record.xid;
  for (const xids of runsOf([xid, ...end.subxids])) {
    putStatus(state, xids, { status, time: end.time });
  }
  yield* dropRelations(state, end.droppedRelations);
  if (record.origin !== undefined && record.origin !== 0) {
    putOrigin(state, record.origin, originLsn(end, mainData));
  }
  if (isPrepared) yield* forgetPrepared(state, xid);
}

/** Requires: all on one page of the log. */
function putStatus(
  state: IngestState,
  xids: readonly number[],
  { status, time }: { readonly status: TransactionStatus; readonly time: bigint },
): void {
  const page = Math.floor((xids[0] as number) / XIDS_PER_PAGE);
  const value =
    status === 'committed'
      ? ({ type: 'clog_set_committed', xids, timestamp: time } as const)
      : ({ type: 'clog_set_aborted', xids } as const);
  putSlruRecord(state, 'clog', page, value);
}

const OPERATION_MASK = 0x70;
const PREPARED_OPERATIONS: readonly number[] = [0x30, 0x40];

/** Cuts a list where the page of the log changes. */
function runsOf(xids: readonly number[]): number[][] {
  const runs: number[][] = [];
  let page = -1;
  for (const xid of xids) {
    const own = Math.floor(xid / XIDS_PER_PAGE);
    if (own !== page) runs.push([]);
    page = own;
    runs.at(-1)?.push(xid);
  }
  return runs;
}

function originLsn(
  { origin, gid, offsetAfterPreparedXid }: TransactionEnd,
  mainData: Uint8Array,
): Lsn {
  if (origin === undefined) return 0n;
  if (gid === undefined) return origin.lsn;
  const view = new DataView(mainData.buffer, mainData.byteOffset, mainData.length);
  return view.getBigUint64(offsetAfterPreparedXid, true);
}

const ORIGIN_FIELD = 0x63;

function putOrigin(state: IngestState, origin: number, lsn: Lsn): void {
  const key = keyFromFields({
    ...{ field1: ORIGIN_FIELD, field2: 0, field3: 0, field4: 0, field5: 0 },
    field6: origin,
  });
  const value = new Uint8Array(8);
  new DataView(value.buffer).setBigUint64(0, lsn);
  state.metadata.put(key, value);
}

export function setOrigin(state: IngestState, { mainData }: WalRecord): void {
  const { origin, remoteLsn } = decodeOriginSet(mainData);
  putOrigin(state, origin, remoteLsn);
}

export function dropOrigin(state: IngestState, { mainData }: WalRecord): void {
  putOrigin(state, decodeOriginDrop(mainData), 0n);
}

/** PREPARE: the main data is what Postgres would keep in a file. */
export function* prepareTransaction(state: IngestState, record: WalRecord): Asking<void> {
  const { xid, mainData } = record;
  if (xid === 0) throw corrupt('prepared transaction', undefined, 'its number', 'none');
  const fullXid = storedXid(state, xid);
  const kind = twophaseDirectory(state.majorVersion);
  const directory = yield* preparedTransactions(state);
  const item = xidItem(state, fullXid);
  if (findItem(directory, kind, item) >= 0) {
    throw new StorageError('exists', { what: `prepared transaction ${fullXid}` });
  }
  state.metadata.put(twophaseDirectoryKey(), withItem(directory, kind, item));
  state.metadata.put(twophaseKey(fullXid), mainData.slice());
}

/** Its file stays, unreachable. */
function* forgetPrepared(state: IngestState, xid: number): Asking<void> {
  const kind = twophaseDirectory(state.majorVersion);
  const directory = yield* preparedTransactions(state);
  const index = findItem(directory, kind, xidItem(state, storedXid(state, xid)));
  const left = index < 0 ? directory : withoutItems(directory, kind, new Set([index]));
  state.metadata.put(twophaseDirectoryKey(), left);
}

/** The prepared transactions, as numbers of 32 bits up to version 16. */
export function* preparedXids(state: IngestState): Asking<bigint[]> {
  const kind = twophaseDirectory(state.majorVersion);
  const directory = yield* preparedTransactions(state);
  return Array.from({ length: itemCount(directory, kind) }, (_, index) => {
    const item = itemAt(directory, kind, index);
    const view = new DataView(item.buffer, item.byteOffset, item.length);
    return kind.itemSize === 8 ? view.getBigUint64(0) : BigInt(view.getUint32(0));
  });
}

function* preparedTransactions(state: IngestState): Asking<Uint8Array> {
  const { sorted } = twophaseDirectory(state.majorVersion);
  const directory = yield* state.metadata.read(twophaseDirectoryKey(), sorted);
  if (directory === undefined) throw lacking('two-phase directory', 'a directory');
  return directory;
}

/** From 17 on with its epoch. */
function storedXid({ majorVersion, checkpoint }: IngestState, xid: number): bigint {
  return majorVersion < 17 ? BigInt(xid) : checkpoint.fullXidOf(xid);
}

function xidItem({ majorVersion }: IngestState, xid: bigint): Uint8Array {
  const item = new Uint8Array(twophaseDirectory(majorVersion).itemSize);
  const view = new DataView(item.buffer);
  if (item.length === 8) view.setBigUint64(0, xid);
  else view.setUint32(0, Number(xid));
  return item;
}

export function* zeroClogPage(state: IngestState, { mainData }: WalRecord): Asking<void> {
  const page = decodeZeroPage(mainData, state.majorVersion);
  yield* putZeroSlruPage(state, 'clog', lowHalf(page));
}

/** Drops the segments all of whose pages are before the first page that stays. */
export function* truncateClog(state: IngestState, { mainData }: WalRecord): Asking<void> {
  const { checkpoint } = state;
  const { page, ...oldest } = decodeClogTruncate(mainData, state.majorVersion);
  checkpoint.set('oldestXid', oldest.oldestXid);
  checkpoint.set('oldestXidDatabase', oldest.oldestXidDatabase);
  if (!state.isFirstShard) return;
  const firstPage = lowHalf(page);
  const newestPage = Math.floor(checkpoint.nextXid / XIDS_PER_PAGE);
  if (precedes(newestPage, firstPage)) return;
  const segments = yield* slruSegments(state, 'clog');
  const dropped = segments.filter((segno) => {
    const first = segno * SLRU_SEGMENT_PAGES;
    return precedes(first, firstPage) && precedes(first + SLRU_SEGMENT_PAGES - 1, firstPage);
  });
  yield* dropSlruSegments(state, 'clog', dropped);
}

/** Whether a page of the log is before another, modulo 2^32 transactions. */
function precedes(left: number, right: number): boolean {
  const leftXid = Math.imul(left, XIDS_PER_PAGE) + 4;
  const rightXid = Math.imul(right, XIDS_PER_PAGE) + 4;
  return xidPrecedes(leftXid, rightXid) && xidPrecedes(leftXid, rightXid + XIDS_PER_PAGE - 1);
}

const LAST_SPECIAL_XID = 3;

function xidPrecedes(left: number, right: number): boolean {
  const leftXid = left >>> 0;
  const rightXid = right >>> 0;
  if (leftXid <= LAST_SPECIAL_XID || rightXid <= LAST_SPECIAL_XID) return leftXid < rightXid;
  return ((leftXid - rightXid) | 0) < 0;
}

/** Page numbers have 64 bits from 17 on, of which a pageserver takes 32. */
export function lowHalf(page: bigint): number {
  return Number(BigInt.asUintN(32, page));
}

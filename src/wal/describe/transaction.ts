/**
 * Descriptions of resource managers Transaction and Standby: ends of transactions, locks, and invalidations.
 *
 *   Standby LOCK           i32 n, n * (u32 transaction, u32 database, u32 relation)
 *   Standby INVALIDATIONS  u32 database, u32 tablespace, u8 cache file, _3, i32 n, n * 16
 *
 * Source: Postgres src/backend/access/rmgrdesc/xactdesc.c, standbydesc.c; src/include/storage/standbydefs.h.
 */
import { formatPgLsn } from '../../layers/lsn.ts';
import { type InvalidationMessage, invalidationMessages } from '../main-data/invalidation.ts';
import { u32In } from '../main-data/layout.ts';
import { decoderOf, flagOf } from '../main-data/main-data.ts';
import { decodeRunningTransactions, type RunningTransactions } from '../main-data/running-xacts.ts';
import {
  type DroppedStatistics,
  decodeAssignment,
  decodeInvalidations,
  decodePrepare,
  decodeTransactionEnd,
  type RelationFile,
  TRANSACTION_BITS,
  type TransactionOrigin,
} from '../main-data/transaction.ts';
import type { ManagerTexts, Subject } from './kind-text.ts';
import { ListReader } from './lists.ts';
import { cString, relationPath } from './names.ts';
import { formatPostgresTime } from './time.ts';

export const TRANSACTION_TEXTS: ManagerTexts = {
  COMMIT: { more: describeCommit },
  PREPARE: { more: describePrepare },
  ABORT: { more: describeAbort },
  COMMIT_PREPARED: { more: describeCommit },
  ABORT_PREPARED: { more: describeAbort },
  ASSIGNMENT: {
    more: ({ data }) => {
      const { topLevelXid, subxids } = decodeAssignment(data);
      return `xtop ${topLevelXid}: subxacts:${spaced(subxids)}`;
    },
  },
  INVALIDATION: { more: ({ data }) => invalidations(decodeInvalidations(data)) },
};

export const STANDBY_TEXTS: ManagerTexts = {
  LOCK: { more: describeLocks },
  RUNNING_XACTS: {
    more: { '14-15': describeRunning14, '16-17': describeRunning16 },
  },
  INVALIDATIONS: { more: describeInvalidations },
};

function describeCommit(subject: Subject): string {
  const { record, majorVersion } = subject;
  const end = decodeTransactionEnd(subject.data, record.info, majorVersion);
  const has = (bit: number) => (end.xinfo & bit) !== 0;
  const staleFile = has(TRANSACTION_BITS.relationCacheFile)
    ? { dbnode: end.dbnode ?? 0, spcnode: end.spcnode ?? 0 }
    : undefined;
  return (
    preparedXid(end.preparedXid) +
    formatPostgresTime(end.time, subject.style) +
    relations('rels', end.droppedRelations, majorVersion) +
    subtransactions(end.subxids) +
    statistics('', end.droppedStatistics) +
    invalidations(end.invalidations, staleFile) +
    (has(TRANSACTION_BITS.applyFeedback) ? '; apply_feedback' : '') +
    (has(TRANSACTION_BITS.sync) ? '; sync' : '') +
    (end.origin === undefined ? '' : originText(subject, end.origin))
  );
}

function describeAbort(subject: Subject): string {
  const { record, majorVersion } = subject;
  const end = decodeTransactionEnd(subject.data, record.info, majorVersion);
  return (
    preparedXid(end.preparedXid) +
    formatPostgresTime(end.time, subject.style) +
    relations('rels', end.droppedRelations, majorVersion) +
    subtransactions(end.subxids) +
    (end.origin === undefined ? '' : originText(subject, end.origin)) +
    statistics('', end.droppedStatistics)
  );
}

function describePrepare(subject: Subject): string {
  const { record, majorVersion } = subject;
  const prepared = decodePrepare(subject.data, majorVersion);
  // It states the database only.
  const staleFile = prepared.invalidatesCacheFile
    ? { dbnode: prepared.dbnode, spcnode: 0 }
    : undefined;
  return (
    `gid ${cString(prepared.gid)}: ${formatPostgresTime(prepared.preparedAt, subject.style)}` +
    relations('rels(commit)', prepared.commitRelations, majorVersion) +
    relations('rels(abort)', prepared.abortRelations, majorVersion) +
    statistics('commit ', prepared.commitStatistics) +
    statistics('abort ', prepared.abortStatistics) +
    subtransactions(prepared.subxids) +
    invalidations(prepared.invalidations, staleFile) +
    (record.origin === undefined ? '' : originText(subject, prepared.origin))
  );
}

function preparedXid(xid: number | undefined): string {
  return xid === undefined || xid === 0 ? '' : `${xid}: `;
}

function relations(title: string, files: readonly RelationFile[], majorVersion: number): string {
  if (files.length === 0) return '';
  return `; ${title}:${spaced(files.map((file) => relationPath(file, majorVersion)))}`;
}

function subtransactions(xids: readonly number[]): string {
  return xids.length === 0 ? '' : `; subxacts:${spaced(xids)}`;
}

function statistics(title: string, dropped: readonly DroppedStatistics[]): string {
  if (dropped.length === 0) return '';
  const items = dropped.map(({ kind, dbnode, objectId }) => `${kind | 0}/${dbnode}/${objectId}`);
  return `; ${title}dropped stats:${spaced(items)}`;
}

function originText({ record, style }: Subject, { lsn, time }: TransactionOrigin): string {
  const node = record.origin ?? 0;
  return `; origin: node ${node}, lsn ${formatPgLsn(lsn)}, at ${formatPostgresTime(time, style)}`;
}

/** Each item with a blank before it. */
function spaced(items: readonly (string | number)[]): string {
  return items.length === 0 ? '' : ` ${items.join(' ')}`;
}

/** A file of the relation cache that is stale. */
interface StaleFile {
  readonly dbnode: number;
  readonly spcnode: number;
}

function invalidations(messages: readonly InvalidationMessage[], staleFile?: StaleFile): string {
  if (messages.length === 0) return '';
  const file =
    staleFile === undefined
      ? ''
      : `; relcache init file inval dbid ${staleFile.dbnode} tsid ${staleFile.spcnode}`;
  return `${file}; inval msgs:${spaced(messages.map(messageText))}`;
}

function messageText({ id, first, second }: InvalidationMessage): string {
  if (id >= 0) return `catcache ${id}`;
  switch (id) {
    case -1:
      return `catalog ${second}`;
    case -2:
      return `relcache ${second}`;
    case -3:
      return 'smgr';
    case -4:
      return `relmap db ${first}`;
    case -5:
      return `snapshot ${second}`;
    default:
      return `unrecognized id ${id}`;
  }
}

function describeRunning14({ data }: Subject): string {
  const running = decodeRunningTransactions(data);
  return runningText(running) + (running.isOverflowed ? '; subxid ovf' : '');
}

function describeRunning16({ data }: Subject): string {
  const running = decodeRunningTransactions(data);
  const { subxids } = running;
  return (
    runningText(running) +
    (running.isOverflowed ? '; subxid overflowed' : '') +
    (subxids.length === 0 ? '' : `; ${subxids.length} subxacts:${spaced(subxids)}`)
  );
}

function runningText(running: RunningTransactions): string {
  const { xids, nextXid, latestCompletedXid, oldestRunningXid } = running;
  return (
    `nextXid ${nextXid} latestCompletedXid ${latestCompletedXid} oldestRunningXid ${oldestRunningXid}` +
    (xids.length === 0 ? '' : `; ${xids.length} xacts:${spaced(xids)}`)
  );
}

function describeLocks({ data }: Subject): string {
  const reader = new ListReader(data);
  const count = reader.u32('number of locks');
  return reader.joined(
    'locks',
    count,
    12,
    '',
    (bytes, at) =>
      `xid ${u32In(bytes, at)} db ${u32In(bytes, at + 4)} rel ${u32In(bytes, at + 8)} `,
  );
}

function describeInvalidations({ data }: Subject): string {
  const decoder = decoderOf(data);
  const dbnode = decoder.u32('database');
  const spcnode = decoder.u32('tablespace');
  const isFileStale = flagOf(decoder, 'flag of the relation cache');
  decoder.skip('padding', 3);
  const messages = invalidationMessages(decoder);
  return invalidations(messages, isFileStale ? { dbnode, spcnode } : undefined);
}

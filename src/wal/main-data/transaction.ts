/**
 * Main data of resource manager Transaction.
 *
 *   COMMIT, ABORT, and the same of prepared transactions: i64 time; then, only if the info byte has 0x80,
 *   u32 xinfo and these parts, each if its bit is set, in this order and unaligned:
 *
 *     0x001  u32 database, u32 tablespace
 *     0x002  i32 n, n * u32                  subtransactions
 *     0x004  i32 n, n * 3 u32                relations to drop: tablespace, database, relation
 *     0x100  i32 n, n * 3 u32                statistics to drop: kind, database, object; from 15 on
 *     0x008  i32 n, n * 16                   invalidation messages; commits only
 *     0x010  u32, and with 0x080 its name,   the prepared transaction
 *            which ends with a zero byte
 *     0x020  u64 LSN, i64 time               replication origin
 *
 *   The bits 29 to 31 and 0x040 have no data.
 *
 *   PREPARE: a header of 64 bytes, of 72 from 15 on, then the parts that it counts, each padded to 8
 *   bytes. ASSIGNMENT: u32 top-level transaction, i32 n, n * u32. INVALIDATION: i32 n, n * 16.
 *
 * Source: Postgres src/include/access/xact.h, src/backend/access/rmgrdesc/xactdesc.c.
 */
import type { BincodeDecoder } from '../../bincode.ts';
import { corrupt } from '../../errors.ts';
import type { Lsn } from '../../layers/lsn.ts';
import type { RelationForkId } from '../../postgres/key-mapping.ts';
import {
  INVALIDATION_MESSAGE_SIZE,
  type InvalidationMessage,
  invalidationMessageAt,
  invalidationMessages,
} from './invalidation.ts';
import {
  allOf,
  checkMajorVersion,
  countedList,
  decoderOf,
  flagOf,
  lsnOf,
  type PostgresTime,
  u32At,
} from './main-data.ts';

/** A relation by its file. */
export type RelationFile = Omit<RelationForkId, 'fork'>;

/** Statistics that are dropped with their object. */
export interface DroppedStatistics {
  /** What the object is. */
  readonly kind: number;
  /** OID of the database. */
  readonly dbnode: number;
  /** OID of the object. */
  readonly objectId: number;
}

/** Where a replicated transaction comes from. */
export interface TransactionOrigin {
  /** LSN of its commit there. */
  readonly lsn: Lsn;
  /** Time of its commit there. */
  readonly time: PostgresTime;
}

/** How a transaction ended: COMMIT, ABORT, COMMIT_PREPARED, ABORT_PREPARED. */
export interface TransactionEnd {
  /** When it ended. */
  readonly time: PostgresTime;
  /** Bits that say what follows; 0 without. */
  readonly xinfo: number;
  /** OID of the database; undefined if not stated. */
  readonly dbnode: number | undefined;
  /** OID of the default tablespace of the database; undefined if not stated. */
  readonly spcnode: number | undefined;
  /** Subtransactions, in the order of the record. */
  readonly subxids: readonly number[];
  /** Relations whose files are dropped. */
  readonly droppedRelations: readonly RelationFile[];
  /** Statistics that are dropped; 15 and later. */
  readonly droppedStatistics: readonly DroppedStatistics[];
  /** Stale cache entries. */
  readonly invalidations: readonly InvalidationMessage[];
  /** The transaction of a *_PREPARED record, whose header has none. */
  readonly preparedXid: number | undefined;
  /** Name of the prepared transaction, without its zero byte; a view. */
  readonly gid: Uint8Array | undefined;
  /** Undefined unless it was replicated. */
  readonly origin: TransactionOrigin | undefined;
  /** Offset in the main data after `preparedXid`, where a reader that knows no names expects the origin. */
  readonly offsetAfterPreparedXid: number;
}

/** Bits of xinfo. */
export const TRANSACTION_BITS = {
  database: 0x001,
  subtransactions: 0x002,
  relations: 0x004,
  invalidations: 0x008,
  prepared: 0x010,
  origin: 0x020,
  locks: 0x040,
  gid: 0x080,
  statistics: 0x100,
  applyFeedback: 2 ** 29,
  relationCacheFile: 2 ** 30,
  sync: 2 ** 31,
} as const;

/** The info bit that says that xinfo follows the time. */
const HAS_XINFO = 0x80;
const OPERATION_MASK = 0x70;
const ABORTS: readonly number[] = [0x20, 0x40];
const STATISTICS_FROM = 15;

/**
 * Decodes the main data of a transaction's end.
 *
 * @param info The info byte of the record.
 * @param majorVersion 14 to 17.
 * @throws `corrupt`, `invalid-input`.
 */
export function decodeTransactionEnd(
  mainData: Uint8Array,
  info: number,
  majorVersion: number,
): TransactionEnd {
  checkMajorVersion(majorVersion);
  const decoder = decoderOf(mainData);
  const time = decoder.i64('time');
  const xinfo = (info & HAS_XINFO) === 0 ? 0 : decoder.u32('xinfo');
  const has = (part: keyof typeof TRANSACTION_BITS): boolean =>
    (xinfo & TRANSACTION_BITS[part]) !== 0;
  const hasStatistics = has('statistics') && majorVersion >= STATISTICS_FROM;
  const hasInvalidations = has('invalidations') && !ABORTS.includes(info & OPERATION_MASK);
  const dbnode = has('database') ? decoder.u32('database') : undefined;
  const spcnode = has('database') ? decoder.u32('tablespace') : undefined;
  const subxids = has('subtransactions') ? countedList(decoder, 'subtransactions', 4, u32At) : [];
  const droppedRelations = has('relations')
    ? countedList(decoder, 'relations to drop', 12, relationAt)
    : [];
  const droppedStatistics = hasStatistics
    ? countedList(decoder, 'statistics to drop', 12, statisticsAt)
    : [];
  const invalidations = hasInvalidations ? invalidationMessages(decoder) : [];
  const preparedXid = has('prepared') ? decoder.u32('prepared transaction') : undefined;
  const offsetAfterPreparedXid = decoder.offset;
  const gid = has('prepared') && has('gid') ? nameOf(decoder, mainData) : undefined;
  const origin = has('origin') ? originOf(decoder) : undefined;
  decoder.expectEnd();
  return {
    time,
    xinfo,
    dbnode,
    spcnode,
    subxids,
    droppedRelations,
    droppedStatistics,
    invalidations,
    preparedXid,
    gid,
    origin,
    offsetAfterPreparedXid,
  };
}

function relationAt(view: DataView, at: number): RelationFile {
  return { spcnode: u32At(view, at), dbnode: u32At(view, at + 4), relnode: u32At(view, at + 8) };
}

function statisticsAt(view: DataView, at: number): DroppedStatistics {
  return { kind: u32At(view, at), dbnode: u32At(view, at + 4), objectId: u32At(view, at + 8) };
}

function nameOf(decoder: BincodeDecoder, mainData: Uint8Array): Uint8Array {
  const start = decoder.offset;
  const end = mainData.indexOf(0, start);
  if (end < 0) throw corrupt('name of a prepared transaction', start, 'a zero byte at its end', '');
  const name = decoder.array('name of a prepared transaction', end - start);
  decoder.skip('end of the name', 1);
  return name;
}

function originOf(decoder: BincodeDecoder): TransactionOrigin {
  return { lsn: lsnOf(decoder, 'LSN of the origin'), time: decoder.i64('time of the origin') };
}

/** A transaction that is prepared, as PREPARE has it and its file in pg_twophase. */
export interface PreparedTransaction {
  /** The transaction. */
  readonly xid: number;
  /** OID of the database. */
  readonly dbnode: number;
  /** When it was prepared. */
  readonly preparedAt: PostgresTime;
  /** OID of its user. */
  readonly owner: number;
  /** Name, without its zero byte; a view. */
  readonly gid: Uint8Array;
  /** Subtransactions. */
  readonly subxids: readonly number[];
  /** Relations that a commit drops. */
  readonly commitRelations: readonly RelationFile[];
  /** Relations that an abort drops. */
  readonly abortRelations: readonly RelationFile[];
  /** Statistics that a commit drops; 15 and later. */
  readonly commitStatistics: readonly DroppedStatistics[];
  /** Statistics that an abort drops; 15 and later. */
  readonly abortStatistics: readonly DroppedStatistics[];
  /** Cache entries that a commit makes stale. */
  readonly invalidations: readonly InvalidationMessage[];
  /** Whether a commit makes the relation cache's file stale. */
  readonly invalidatesCacheFile: boolean;
  /** Of a replicated transaction; LSN and time are 0 in others. */
  readonly origin: TransactionOrigin;
}

/**
 * Decodes the main data of PREPARE. What follows the invalidation messages (locks, and others) is not decoded.
 *
 * @param majorVersion 14 to 17.
 * @throws `corrupt`, `invalid-input`.
 */
export function decodePrepare(mainData: Uint8Array, majorVersion: number): PreparedTransaction {
  checkMajorVersion(majorVersion);
  const decoder = decoderOf(mainData);
  const hasStatistics = majorVersion >= STATISTICS_FROM;
  decoder.skip('magic number and length', 8);
  const xid = decoder.u32('transaction');
  const dbnode = decoder.u32('database');
  const preparedAt = decoder.i64('time');
  const owner = decoder.u32('owner');
  const counts = {
    subxids: decoder.u32('number of subtransactions'),
    commitRelations: decoder.u32('number of relations to drop'),
    abortRelations: decoder.u32('number of relations to drop'),
    commitStatistics: hasStatistics ? decoder.u32('number of statistics to drop') : 0,
    abortStatistics: hasStatistics ? decoder.u32('number of statistics to drop') : 0,
    invalidations: decoder.u32('number of invalidation messages'),
  };
  const invalidatesCacheFile = flagOf(decoder, 'flag of the relation cache');
  decoder.skip('padding', 1);
  const nameLength = decoder.u16('length of the name');
  const origin = originOf(decoder);
  const name = decoder.array('name', nameLength);
  alignParts(decoder);
  const part = <T>(what: string, count: number, size: number, itemAt: ItemAt<T>): T[] => {
    const items = allOf(decoder.items(what, count, size, itemAt));
    alignParts(decoder);
    return items;
  };
  return {
    xid,
    dbnode,
    preparedAt,
    owner,
    gid: name.subarray(0, Math.max(0, nameLength - 1)),
    subxids: part('subtransactions', counts.subxids, 4, u32At),
    commitRelations: part('relations to drop', counts.commitRelations, 12, relationAt),
    abortRelations: part('relations to drop', counts.abortRelations, 12, relationAt),
    commitStatistics: part('statistics to drop', counts.commitStatistics, 12, statisticsAt),
    abortStatistics: part('statistics to drop', counts.abortStatistics, 12, statisticsAt),
    invalidations: part(
      'invalidation messages',
      counts.invalidations,
      INVALIDATION_MESSAGE_SIZE,
      invalidationMessageAt,
    ),
    invalidatesCacheFile,
    origin,
  };
}

type ItemAt<T> = (view: DataView, at: number) => T;

function alignParts(decoder: BincodeDecoder): void {
  decoder.skip('padding', (8 - (decoder.offset % 8)) % 8);
}

/** ASSIGNMENT: subtransactions of a transaction, for logical decoding and standbys. */
export interface TransactionAssignment {
  /** The top-level transaction. */
  readonly topLevelXid: number;
  /** Its subtransactions. */
  readonly subxids: readonly number[];
}

/** Decodes the main data of ASSIGNMENT. @throws `corrupt`, `invalid-input`. */
export function decodeAssignment(mainData: Uint8Array): TransactionAssignment {
  const decoder = decoderOf(mainData);
  const topLevelXid = decoder.u32('top-level transaction');
  const subxids = countedList(decoder, 'subtransactions', 4, u32At);
  decoder.expectEnd();
  return { topLevelXid, subxids };
}

/** Decodes the main data of INVALIDATION. @throws `corrupt`, `invalid-input`. */
export function decodeInvalidations(mainData: Uint8Array): InvalidationMessage[] {
  const decoder = decoderOf(mainData);
  const messages = invalidationMessages(decoder);
  decoder.expectEnd();
  return messages;
}

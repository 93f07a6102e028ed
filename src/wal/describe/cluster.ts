/**
 * Descriptions of records about the whole cluster: XLOG, files and databases, SLRUs, relation maps, sequences,
 * messages.
 *
 *   NEXTOID             u32                        FPW_CHANGE            u8
 *   BACKUP_END          u64 start LSN              OVERWRITE_CONTRECORD  u64 LSN of the void record, i64 time
 *   RESTORE_POINT       i64 time, 64 bytes: name   CHECKPOINT_REDO (17)  i32 level of the WAL
 *   END_OF_RECOVERY     i64 time, u32 timeline, u32 timeline before; from 17 on i32 level of the WAL
 *   PARAMETER_CHANGE    i32 connections, workers, senders, prepared transactions, locks, level of the WAL;
 *                       u8 hints are logged, u8 commit times are kept
 *   Tablespace CREATE   u32 OID, path, which ends with a zero byte; DROP: u32 OID
 *   CommitTs ZEROPAGE   i32 page, i64 from 17 on; TRUNCATE: the same, u32 oldest transaction
 *   Sequence LOG        u32 tablespace, u32 database, u32 relation, then the row
 *
 * The other formats are in the files of `main-data`.
 * Source: Postgres src/backend/access/rmgrdesc; src/include/access/xlog_internal.h.
 */
import { formatPgLsn } from '../../layers/lsn.ts';
import { decodeCheckpoint } from '../main-data/checkpoint.ts';
import { decodeClogTruncate } from '../main-data/clog.ts';
import {
  decodeDatabaseCopy,
  decodeDatabaseCreateByLog,
  decodeDatabaseDrop,
} from '../main-data/database.ts';
import { decodeLogicalMessage } from '../main-data/logical-message.ts';
import { decodeZeroPage } from '../main-data/main-data.ts';
import { decodeMultixactCreate, decodeMultixactTruncate } from '../main-data/multixact.ts';
import { decodeRelationMapUpdate } from '../main-data/relation-map.ts';
import { decodeOriginDrop, decodeOriginSet } from '../main-data/replication-origin.ts';
import { decodeStorageCreate, decodeStorageTruncate } from '../main-data/storage.ts';
import { hexBytes } from './hex.ts';
import type { KindText, ManagerTexts, Subject } from './kind-text.ts';
import { checkListed } from './lists.ts';
import { cString, relationPath } from './names.ts';
import { walLevelName } from './template.ts';

const END_OF_RECOVERY_14 = 'i64 time, u32 timeline, u32 previous';

export const XLOG_TEXTS: ManagerTexts = {
  CHECKPOINT_SHUTDOWN: { more: (subject) => `${checkpointText(subject)}; shutdown` },
  CHECKPOINT_ONLINE: { more: (subject) => `${checkpointText(subject)}; online` },
  NOOP: {},
  NEXTOID: { layout: 'u32 oid', text: '{oid}' },
  SWITCH: {},
  BACKUP_END: { layout: 'u64 start', text: '{start:lsn}' },
  PARAMETER_CHANGE: {
    layout:
      'i32 connections, i32 workers, i32 senders, i32 prepared, i32 locks, i32 level, u8 hints, u8 times',
    text:
      'max_connections={connections} max_worker_processes={workers} max_wal_senders={senders} ' +
      'max_prepared_xacts={prepared} max_locks_per_xact={locks} wal_level={level:wal} ' +
      'wal_log_hints={hints:on} track_commit_timestamp={times:on}',
  },
  RESTORE_POINT: { layout: 'i64 time', more: ({ data }) => cString(data.subarray(8, 8 + 64)) },
  FPW_CHANGE: { layout: 'u8 on', text: '{on:bool}' },
  END_OF_RECOVERY: {
    layout: { '14-16': END_OF_RECOVERY_14, 17: `${END_OF_RECOVERY_14}, i32 level` },
    text: {
      '14-16': 'tli {timeline}; prev tli {previous}; time {time:time}',
      17: 'tli {timeline}; prev tli {previous}; time {time:time}; wal_level {level:wal}',
    },
  },
  FPI_FOR_HINT: {},
  FPI: {},
  OVERWRITE_CONTRECORD: { layout: 'u64 lsn, i64 time', text: 'lsn {lsn:lsn}; time {time:time}' },
  CHECKPOINT_REDO: { layout: 'i32 level', text: 'wal_level {level:wal}' },
};

function checkpointText({ data, majorVersion }: Subject): string {
  const checkpoint = decodeCheckpoint(data, majorVersion);
  const { nextXid, walLevel } = checkpoint;
  const level = walLevel === undefined ? '' : `wal_level ${walLevelName(walLevel)}; `;
  return (
    `redo ${formatPgLsn(checkpoint.redo)}; tli ${checkpoint.timelineId}; ` +
    `prev tli ${checkpoint.previousTimelineId}; fpw ${checkpoint.fullPageWrites}; ${level}` +
    `xid ${nextXid >> 32n}:${nextXid & 0xffff_ffffn}; oid ${checkpoint.nextOid}; ` +
    `multi ${checkpoint.nextMultixact}; offset ${checkpoint.nextMultixactOffset}; ` +
    `oldest xid ${checkpoint.oldestXid} in DB ${checkpoint.oldestXidDatabase}; ` +
    `oldest multi ${checkpoint.oldestMultixact} in DB ${checkpoint.oldestMultixactDatabase}; ` +
    'oldest/newest commit timestamp xid: ' +
    `${checkpoint.oldestCommitTimeXid}/${checkpoint.newestCommitTimeXid}; ` +
    `oldest running xid ${checkpoint.oldestActiveXid}`
  );
}

export const STORAGE_TEXTS: ManagerTexts = {
  CREATE: {
    more: ({ data, majorVersion }) => {
      const { forkNumber, ...relation } = decodeStorageCreate(data);
      return relationPath(relation, majorVersion, forkNumber);
    },
  },
  TRUNCATE: {
    more: ({ data, majorVersion }) => {
      const { blockCount, flags, ...relation } = decodeStorageTruncate(data);
      return `${relationPath(relation, majorVersion)} to ${blockCount} blocks flags ${flags | 0}`;
    },
  },
};

export const CLOG_TEXTS: ManagerTexts = {
  ZEROPAGE: {
    more: ({ data, majorVersion }) => `page ${decodeZeroPage(data, majorVersion)}`,
  },
  TRUNCATE: {
    more: ({ data, majorVersion }) => {
      const { page, oldestXid } = decodeClogTruncate(data, majorVersion);
      return `page ${page}; oldestXact ${oldestXid}`;
    },
  },
};

const COPY: KindText = {
  more: ({ data }) => {
    const { source, target } = decodeDatabaseCopy(data);
    const from = `${source.spcnode}/${source.dbnode}`;
    return `copy dir ${from} to ${target.spcnode}/${target.dbnode}`;
  },
};

export const DATABASE_TEXTS: ManagerTexts = {
  CREATE: COPY,
  CREATE_FILE_COPY: COPY,
  CREATE_WAL_LOG: {
    more: ({ data }) => {
      const { spcnode, dbnode } = decodeDatabaseCreateByLog(data);
      return `create dir ${spcnode}/${dbnode}`;
    },
  },
  DROP: {
    more: ({ data }) => {
      const { dbnode, spcnodes } = decodeDatabaseDrop(data);
      return `dir${spcnodes.map((spcnode) => ` ${spcnode}/${dbnode}`).join('')}`;
    },
  },
};

export const TABLESPACE_TEXTS: ManagerTexts = {
  CREATE: {
    layout: 'u32 oid',
    text: '{oid}',
    more: ({ data }) => ` "${cString(data.subarray(4))}"`,
  },
  DROP: { layout: 'u32 oid', text: '{oid}' },
};

const ZERO_PAGE: KindText = {
  more: ({ data, majorVersion }) => `${decodeZeroPage(data, majorVersion)}`,
};
const MEMBER_STATUSES = ['keysh', 'sh', 'fornokeyupd', 'forupd', 'nokeyupd', 'upd'];

export const MULTIXACT_TEXTS: ManagerTexts = {
  ZERO_OFF_PAGE: ZERO_PAGE,
  ZERO_MEM_PAGE: ZERO_PAGE,
  CREATE_ID: {
    more: ({ data }) => {
      const { multixactId, offset, members } = decodeMultixactCreate(data);
      const texts = members.map(
        ({ xid, status }) => `${xid} (${MEMBER_STATUSES[status] ?? 'unk'}) `,
      );
      return `${multixactId} offset ${offset} nmembers ${members.length}: ${texts.join('')}`;
    },
  },
  TRUNCATE_ID: {
    more: ({ data }) => {
      const { startId, endId, startMember, endMember } = decodeMultixactTruncate(data);
      return `offsets [${startId}, ${endId}), members [${startMember}, ${endMember})`;
    },
  },
};

export const RELATION_MAP_TEXTS: ManagerTexts = {
  UPDATE: {
    more: ({ data, majorVersion }) => {
      const { dbnode, spcnode, map } = decodeRelationMapUpdate(data, majorVersion);
      return `database ${dbnode} tablespace ${spcnode} size ${map.length}`;
    },
  },
};

export const COMMIT_TIME_TEXTS: ManagerTexts = {
  ZEROPAGE: { layout: { '14-16': 'i32 page', 17: 'i64 page' }, text: '{page}' },
  TRUNCATE: {
    layout: { '14-16': 'i32 page, u32 oldest', 17: 'i64 page, u32 oldest' },
    text: 'pageno {page}, oldestXid {oldest}',
  },
};

export const ORIGIN_TEXTS: ManagerTexts = {
  SET: {
    more: ({ data }) => {
      const { origin, remoteLsn, force } = decodeOriginSet(data);
      return `set ${origin}; lsn ${formatPgLsn(remoteLsn)}; force: ${force ? 1 : 0}`;
    },
  },
  DROP: { more: ({ data }) => `drop ${decodeOriginDrop(data)}` },
};

export const GENERIC_TEXTS: ManagerTexts = { Generic: {} };

export const MESSAGE_TEXTS: ManagerTexts = {
  MESSAGE: {
    more: ({ data }) => {
      const { isTransactional, prefix, message } = decodeLogicalMessage(data);
      const kind = isTransactional ? 'transactional' : 'non-transactional';
      checkListed('bytes of a logical message', message.length);
      const payload = `payload (${message.length} bytes): ${hexBytes(message)}`;
      return `${kind}, prefix "${cString(prefix)}"; ${payload}`;
    },
  },
};

export const SEQUENCE_TEXTS: ManagerTexts = {
  LOG: { layout: 'relation relation', text: 'rel {relation}' },
};

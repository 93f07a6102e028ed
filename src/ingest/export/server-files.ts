/**
 * The files of a data directory apart from those of pages: the directories that a server expects, versions, relation
 * maps, prepared transactions, pg_control with the WAL from which it starts, and a configuration.
 *
 * A Postgres server reads the checkpoint that pg_control names from the WAL, and starts after it. So the export has a
 * shutdown checkpoint at the LSN of the timeline, or where the next record can begin. It is the timeline's own
 * checkpoint, except for the fields that belong to a server:
 *
 *   redo                       LSN of the record, as in any shutdown checkpoint
 *   oldest active transaction  0: none runs
 *   commit times               0: the timeline has none
 *
 * A Neon compute does not need a record: there `checkPoint` is 0, and the redo LSN says where it starts.
 * Source: Neon pageserver/src/basebackup.rs, libs/postgres_ffi/src/lib.rs.
 */
import { corrupt } from '../../errors.ts';
import { formatKey } from '../../layers/key.ts';
import { formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import {
  CONTROL_FILE_PATH,
  type ControlFile,
  decodeServerSettings,
  type ServerSettings,
  stoppedControlFile,
} from '../../postgres/control-file.ts';
import { decodeTwophaseDirectory } from '../../postgres/directory-values.ts';
import {
  checkpointKey,
  GLOBAL_TABLESPACE_OID,
  relationMapKey,
  twophaseDirectoryKey,
  twophaseKey,
} from '../../postgres/key-mapping.ts';
import { decodeRelationMap } from '../../postgres/relation-map.ts';
import { twophaseFileName, twophaseFileOf } from '../../postgres/twophase-file.ts';
import {
  recordStartAt,
  type SparseWalFile,
  shutdownCheckpointRecord,
  walStartingAt,
} from '../../wal/first-segment.ts';
import { CHECKPOINT_OFFSETS, CHECKPOINT_SIZE } from '../../wal/main-data/checkpoint.ts';
import type { ExportPlan } from './export-plan.ts';
import type { ValueReader } from './value-reader.ts';

/** The kind of server for a data directory. */
export type ServerKind = 'postgres' | 'neon';

/** A small file; its path is relative to the data directory. */
export interface SmallFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** The directories of every cluster, parents first. */
export function serverDirectories(majorVersion: number): string[] {
  const summaries = majorVersion < SUMMARIES_FROM ? [] : ['pg_wal/summaries'];
  return [...DIRECTORIES, ...summaries];
}

const SUMMARIES_FROM = 17;

const DIRECTORIES = [
  'base',
  'global',
  'pg_commit_ts',
  'pg_dynshmem',
  'pg_logical',
  'pg_logical/mappings',
  'pg_logical/snapshots',
  'pg_multixact',
  'pg_multixact/members',
  'pg_multixact/offsets',
  'pg_notify',
  'pg_replslot',
  'pg_serial',
  'pg_snapshots',
  'pg_stat',
  'pg_stat_tmp',
  'pg_subtrans',
  'pg_tblspc',
  'pg_twophase',
  'pg_wal',
  'pg_wal/archive_status',
  'pg_xact',
] as const;

/**
 * The relation map of each database that has one, and its version.
 *
 * @throws `not-found`, `corrupt`, `truncated`.
 */
export async function databaseFiles(
  values: ValueReader,
  { databases }: ExportPlan,
  majorVersion: number,
): Promise<SmallFile[]> {
  const version = Buffer.from(`${majorVersion}\n`);
  const files: SmallFile[] = [{ path: 'PG_VERSION', bytes: version }];
  for (const database of databases) {
    const { path, spcnode, hasRelationMap } = database;
    const isGlobal = spcnode === GLOBAL_TABLESPACE_OID;
    if (!isGlobal) files.push({ path: `${path}/PG_VERSION`, bytes: version });
    // A tablespace that is not the default one of a database has none. Without the shared map, a server does not start.
    if (!hasRelationMap && !isGlobal) continue;
    const key = relationMapKey(database);
    const bytes = await values.read(key, 'relation map', (map) => {
      decodeRelationMap(map, majorVersion);
      return map;
    });
    files.push({ path: `${path}/pg_filenode.map`, bytes });
  }
  return files;
}

/** The files of prepared transactions. Throws `not-found`, `corrupt`, `truncated`. */
export async function* twophaseFiles(
  values: ValueReader,
  majorVersion: number,
): AsyncGenerator<SmallFile> {
  const xids = await values.read(twophaseDirectoryKey(), 'list of prepared transactions', (bytes) =>
    decodeTwophaseDirectory(bytes, majorVersion),
  );
  for (const xid of xids) {
    const bytes = await values.read(twophaseKey(xid), 'prepared transaction', twophaseFileOf);
    yield { path: `pg_twophase/${twophaseFileName(xid, majorVersion)}`, bytes };
  }
}

/** Where a server starts, and from what. */
export interface StartOfServer {
  /** Where it writes, or where the record of its checkpoint is. */
  readonly startLsn: Lsn;
  readonly control: SmallFile;
  readonly wal: readonly SparseWalFile[];
}

/** Throws `not-found`, `corrupt`. */
export async function startOfServer(
  values: ValueReader,
  about: {
    readonly lsn: Lsn;
    readonly controlBytes: Uint8Array;
    readonly control: ControlFile;
    readonly server: ServerKind;
  },
): Promise<StartOfServer> {
  const { lsn, control, server } = about;
  const { majorVersion, systemIdentifier, walSegmentSize: segmentSize } = control;
  const startLsn = recordStartAt(lsn, segmentSize);
  const checkpoint = await values.read(checkpointKey(), 'checkpoint', (bytes) => bytes.slice());
  if (checkpoint.length !== CHECKPOINT_SIZE) {
    const error = corrupt(
      'checkpoint',
      undefined,
      `${CHECKPOINT_SIZE} bytes`,
      `${checkpoint.length}`,
    );
    throw error.with({ key: formatKey(checkpointKey()) });
  }
  const view = new DataView(checkpoint.buffer, checkpoint.byteOffset, checkpoint.length);
  view.setBigUint64(CHECKPOINT_OFFSETS.redo, startLsn, true);
  if (server === 'postgres') {
    view.setUint32(CHECKPOINT_OFFSETS.oldestActiveXid, 0, true);
    view.setUint32(CHECKPOINT_OFFSETS.oldestCommitTimeXid, 0, true);
    view.setUint32(CHECKPOINT_OFFSETS.newestCommitTimeXid, 0, true);
  }
  const timelineId = view.getUint32(CHECKPOINT_OFFSETS.timelineId, true);
  const isNeon = server === 'neon';
  const checkpointLsn = isNeon ? 0n : startLsn;
  const record = isNeon ? undefined : shutdownCheckpointRecord(checkpoint, 0n);
  const bytes = stoppedControlFile(about.controlBytes, { checkpointLsn, checkpoint });
  return {
    startLsn,
    control: { path: CONTROL_FILE_PATH, bytes },
    wal: walStartingAt(startLsn, record, {
      majorVersion,
      systemIdentifier,
      timelineId,
      segmentSize,
    }),
  };
}

/** What a Neon compute reads in addition to pg_control: where the last record before the LSN begins. */
export function signalFiles(prevRecordLsn: Lsn | undefined): SmallFile[] {
  const text = prevRecordLsn === undefined ? 'invalid' : formatPgLsn(prevRecordLsn);
  const bytes = Buffer.from(`PREV LSN: ${text}`);
  return ['neon.signal', 'zenith.signal'].map((path) => ({ path, bytes }));
}

/**
 * A configuration with which a server starts, for the user that starts it: the settings that pg_control keeps, because
 * files of the cluster may need them, and a socket for this user only.
 */
export function configurationFiles(controlBytes: Uint8Array, originCount: number): SmallFile[] {
  const settings = settingsOf(decodeServerSettings(controlBytes));
  // A server does not start if it has no slot for an origin.
  if (originCount > DEFAULT_REPLICATION_SLOTS)
    settings.push(['max_replication_slots', originCount]);
  const lines = settings.map(([name, value]) => `${name} = ${value}\n`);
  const text = CONFIGURATION_HEAD + lines.join('');
  return [
    { path: 'postgresql.conf', bytes: Buffer.from(text) },
    { path: 'postgresql.auto.conf', bytes: Buffer.from(AUTOMATIC_CONFIGURATION) },
    { path: 'pg_hba.conf', bytes: Buffer.from(ACCESS) },
    { path: 'pg_ident.conf', bytes: new Uint8Array(0) },
  ];
}

const DEFAULT_REPLICATION_SLOTS = 10;

/** Impossible values are left out, because the server would not start with them. */
function settingsOf(kept: ServerSettings): [name: string, value: string | number][] {
  const numbers: [name: string, value: number, minimum: number, maximum: number][] = [
    ['max_connections', kept.maxConnections, 1, 262_143],
    ['max_worker_processes', kept.maxWorkerProcesses, 0, 262_143],
    ['max_prepared_transactions', kept.maxPreparedTransactions, 0, 262_143],
    ['max_locks_per_transaction', kept.maxLocksPerTransaction, 10, 2_147_483_647],
  ];
  const settings: [name: string, value: string | number][] = numbers
    .filter(([, value, minimum, maximum]) => value >= minimum && value <= maximum)
    .map(([name, value]) => [name, value]);
  const { walLevel, maxWalSenders } = kept;
  // With wal_level minimal, a server refuses to have senders.
  if (walLevel !== undefined) {
    settings.push(['wal_level', walLevel]);
    const senders = walLevel === 'minimal' ? 0 : maxWalSenders;
    if (senders >= 0 && senders <= 262_143) settings.push(['max_wal_senders', senders]);
  }
  settings.push(['wal_log_hints', kept.walLogHints ? 'on' : 'off']);
  settings.push(['track_commit_timestamp', kept.trackCommitTimestamp ? 'on' : 'off']);
  return settings;
}

const CONFIGURATION_HEAD = `# Written by an export of a timeline: a timeline does not have the settings of its server.
# Only the user that runs the server can connect through its socket; see pg_hba.conf, too.
unix_socket_permissions = 0700

# As pg_control has them:
`;

const AUTOMATIC_CONFIGURATION = `# Do not edit this file manually!
# It will be overwritten by the ALTER SYSTEM command.
`;

const ACCESS = `# Written by an export of a timeline. The permissions of the socket in postgresql.conf let in only the user
# that runs the server, under every role; others need a password.
# TYPE  DATABASE        USER            ADDRESS                 METHOD
local   all             all                                     trust
host    all             all             127.0.0.1/32            scram-sha-256
host    all             all             ::1/128                 scram-sha-256
local   replication     all                                     trust
`;

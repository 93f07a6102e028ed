/**
 * pg_control: the state of a Postgres cluster. 8,192 bytes, of which 292 are used; 14 to 16 (control version 1300) and 17 (1700) have the same offsets.
 *
 *   0    u64  system identifier             180  i32  settings of the server: max_connections
 *   8    u32  control version               184  i32    max_worker_processes
 *   12   u32  catalog version               188  i32    max_wal_senders
 *   16   u32  state                         192  i32    max_prepared_transactions
 *   32   u64  checkpoint LSN                196  i32    max_locks_per_transaction
 *   40        copy of the checkpoint:       200  u8     track_commit_timestamp
 *   40   u64    redo LSN                    204  u32  alignment, 8
 *   48   u32    WAL timeline                208  f64  1234567.0
 *   60   i32    WAL level (17 only)         216  u32  page size
 *   136  u64  minimum recovery LSN          220  u32  pages per relation segment
 *   144  u32    its WAL timeline            224  u32  page size of the WAL
 *   152  u64  start of a base backup        228  u32  bytes per WAL segment
 *   160  u64    its end                     252  u32  version of the page checksums, 0 off
 *   168  u8     whether its end is needed   288  u32  CRC-32C of bytes 0..288
 *   172  i32  WAL level of the server
 *   176  u8   wal_log_hints
 *
 * Integers have the byte order of the machine that wrote the file; only little-endian is supported,
 * as in Neon. Versions are checked before the checksum, whose offset depends on them.
 * Source: Postgres src/include/catalog/pg_control.h, on 64-bit alignment.
 */
import { checkBytes } from '../check-options.ts';
import { crc32cOf } from '../checksum.ts';
import { corrupt, StorageError } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';

/** Size of the file in bytes; Postgres always writes this much. */
export const CONTROL_FILE_SIZE = 8192;

/** Path of the file in the data directory. */
export const CONTROL_FILE_PATH = 'global/pg_control';

/** Cluster states in the order of their numbers, in the words of pg_controldata. */
export const CLUSTER_STATES = [
  'starting up',
  'shut down',
  'shut down in recovery',
  'shutting down',
  'in crash recovery',
  'in archive recovery',
  'in production',
] as const;

/** State of a cluster. Only `shut down` means that its files are consistent without WAL. */
export type ClusterState = (typeof CLUSTER_STATES)[number];

/** The fields of pg_control that an import needs. */
export interface ControlFile {
  /** Random number of the cluster. */
  readonly systemIdentifier: bigint;
  /** Version of pg_control itself: 1300 or 1700. */
  readonly controlVersion: number;
  /** Version of the system catalogs, a date. */
  readonly catalogVersion: number;
  /** 14 to 17. */
  readonly majorVersion: number;
  /** State of the cluster. */
  readonly state: ClusterState;
  /** Start of the latest checkpoint record. */
  readonly checkpointLsn: Lsn;
  /** Where recovery from that checkpoint would start. */
  readonly redoLsn: Lsn;
  /** Timeline of Postgres, which increases with each recovery; not the timeline of a layer. */
  readonly walTimeline: number;
  /** How far recovery has to replay before the cluster is consistent; 0 if it need not. */
  readonly minimumRecoveryLsn: Lsn;
  /** Size of a page of a relation in bytes. */
  readonly pageSize: number;
  /** Pages in each file of a relation except the last. */
  readonly segmentPageCount: number;
  /** Size of a page of the WAL in bytes. */
  readonly walPageSize: number;
  /** Size of a WAL file in bytes. */
  readonly walSegmentSize: number;
  /** 0 if pages have no checksums. */
  readonly checksumVersion: number;
}

/**
 * Decodes pg_control.
 *
 * @param bytes The content of the file, at least its first 292 bytes.
 * @throws `truncated`, `unsupported-version` (also for a big-endian file), `corrupt`.
 */
export function decodeControlFile(bytes: Uint8Array): ControlFile {
  checkBytes(bytes, 'pg_control');
  if (bytes.length < USED_SIZE) {
    throw new StorageError('truncated', {
      what: 'pg_control',
      expected: `${USED_SIZE} bytes or more`,
      actual: `${bytes.length} bytes`,
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, USED_SIZE);
  const majorVersion = checkVersions(view);
  checkChecksum(bytes, view);
  checkLayout(view);
  return {
    systemIdentifier: view.getBigUint64(0, true),
    controlVersion: view.getUint32(CONTROL_VERSION_OFFSET, true),
    catalogVersion: view.getUint32(CATALOG_VERSION_OFFSET, true),
    majorVersion,
    state: checkState(view.getUint32(STATE_OFFSET, true)),
    checkpointLsn: view.getBigUint64(32, true),
    redoLsn: view.getBigUint64(40, true),
    walTimeline: view.getUint32(48, true),
    minimumRecoveryLsn: view.getBigUint64(136, true),
    pageSize: view.getUint32(216, true),
    segmentPageCount: checkSegmentPageCount(view.getUint32(SEGMENT_OFFSET, true)),
    walPageSize: view.getUint32(224, true),
    walSegmentSize: view.getUint32(228, true),
    checksumVersion: view.getUint32(252, true),
  };
}

/** Settings of a server that pg_control keeps; some of its files need them. */
export interface ServerSettings {
  /** Undefined unless it is one of the three levels. */
  readonly walLevel: 'minimal' | 'replica' | 'logical' | undefined;
  readonly walLogHints: boolean;
  readonly maxConnections: number;
  readonly maxWorkerProcesses: number;
  readonly maxWalSenders: number;
  readonly maxPreparedTransactions: number;
  readonly maxLocksPerTransaction: number;
  readonly trackCommitTimestamp: boolean;
}

/** Decodes the settings. Requires: `decodeControlFile` accepts the bytes. */
export function decodeServerSettings(bytes: Uint8Array): ServerSettings {
  const view = new DataView(bytes.buffer, bytes.byteOffset, USED_SIZE);
  return {
    walLevel: WAL_LEVELS[view.getInt32(172, true)],
    walLogHints: view.getUint8(176) !== 0,
    maxConnections: view.getInt32(180, true),
    maxWorkerProcesses: view.getInt32(184, true),
    maxWalSenders: view.getInt32(188, true),
    maxPreparedTransactions: view.getInt32(192, true),
    maxLocksPerTransaction: view.getInt32(196, true),
    trackCommitTimestamp: view.getUint8(200) !== 0,
  };
}

const WAL_LEVELS = ['minimal', 'replica', 'logical'] as const;

/**
 * pg_control of the same cluster as if it had been shut down cleanly at another checkpoint: nothing to recover, no
 * backup to complete.
 *
 * Requires: `decodeControlFile` accepts the bytes.
 * @param checkpoint The copy of the checkpoint, 88 bytes.
 * @returns New bytes, of the size of the file.
 */
export function stoppedControlFile(
  bytes: Uint8Array,
  { checkpointLsn, checkpoint }: { readonly checkpointLsn: Lsn; readonly checkpoint: Uint8Array },
): Uint8Array {
  const stopped = new Uint8Array(CONTROL_FILE_SIZE);
  stopped.set(bytes.subarray(0, USED_SIZE));
  const view = new DataView(stopped.buffer);
  view.setUint32(STATE_OFFSET, CLUSTER_STATES.indexOf('shut down'), true);
  view.setBigUint64(32, checkpointLsn, true);
  stopped.set(checkpoint, CHECKPOINT_OFFSET);
  stopped.fill(0, MINIMUM_RECOVERY_OFFSET, RECOVERY_END);
  view.setUint32(CHECKSUM_OFFSET, crc32cOf(stopped.subarray(0, CHECKSUM_OFFSET)), true);
  return stopped;
}

const CHECKPOINT_OFFSET = 40;
/** LSNs of a recovery and of a base backup, and whether its end is needed. */
const MINIMUM_RECOVERY_OFFSET = 136;
const RECOVERY_END = 169;
const CONTROL_VERSION_OFFSET = 8;
const CATALOG_VERSION_OFFSET = 12;
const STATE_OFFSET = 16;
const FLOAT_OFFSET = 208;
const SEGMENT_OFFSET = 220;
const CHECKSUM_OFFSET = 288;
const USED_SIZE = CHECKSUM_OFFSET + 4;

/** Catalog versions of the released major versions, with their control versions. */
const RELEASES: ReadonlyMap<number, { readonly major: number; readonly control: number }> = new Map(
  [
    [202107181, { major: 14, control: 1300 }],
    [202209061, { major: 15, control: 1300 }],
    [202307071, { major: 16, control: 1300 }],
    [202406281, { major: 17, control: 1700 }],
  ],
);

/** The version of the system catalogs of a major version, 14 to 17; undefined for others. */
export function catalogVersionOf(majorVersion: number): number | undefined {
  for (const [catalog, { major }] of RELEASES) if (major === majorVersion) return catalog;
  return undefined;
}

const CONTROL_VERSIONS: ReadonlySet<number> = new Set(
  [...RELEASES.values()].map((release) => release.control),
);

function checkVersions(view: DataView): number {
  const control = view.getUint32(CONTROL_VERSION_OFFSET, true);
  if (!CONTROL_VERSIONS.has(control)) {
    const bigEndian = CONTROL_VERSIONS.has(view.getUint32(CONTROL_VERSION_OFFSET, false));
    throw unsupported(
      'control version of pg_control',
      CONTROL_VERSION_OFFSET,
      `${[...CONTROL_VERSIONS].join(' or ')} (Postgres 14 to 17)`,
      bigEndian ? 'one of them in big-endian byte order' : String(control),
    );
  }
  const catalog = view.getUint32(CATALOG_VERSION_OFFSET, true);
  const release = RELEASES.get(catalog);
  if (release === undefined || release.control !== control) {
    throw unsupported(
      `catalog version of pg_control (control version ${control})`,
      CATALOG_VERSION_OFFSET,
      'that of a released Postgres 14 to 17',
      String(catalog),
    );
  }
  return release.major;
}

function checkChecksum(bytes: Uint8Array, view: DataView): void {
  const stored = view.getUint32(CHECKSUM_OFFSET, true);
  const computed = crc32cOf(bytes.subarray(0, CHECKSUM_OFFSET));
  if (stored !== computed) {
    throw corrupt('checksum of pg_control', CHECKSUM_OFFSET, hex(computed), hex(stored));
  }
}

/** Postgres checks this, too; a mismatch after a valid checksum is unlikely. */
function checkLayout(view: DataView): void {
  const float = view.getFloat64(FLOAT_OFFSET, true);
  if (float !== 1234567) {
    throw corrupt('floating-point format of pg_control', FLOAT_OFFSET, '1234567', String(float));
  }
}

function checkState(number: number): ClusterState {
  const state = CLUSTER_STATES[number];
  if (state !== undefined) return state;
  const expected = `0 to ${CLUSTER_STATES.length - 1}`;
  throw corrupt('cluster state of pg_control', STATE_OFFSET, expected, String(number));
}

function checkSegmentPageCount(count: number): number {
  if (count > 0) return count;
  throw corrupt('pages per segment of pg_control', SEGMENT_OFFSET, 'at least 1', String(count));
}

function unsupported(what: string, offset: number, expected: string, actual: string): StorageError {
  return new StorageError('unsupported-version', { what, offset, expected, actual });
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

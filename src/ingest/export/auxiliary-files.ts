/**
 * Auxiliary files and replication origins, as files of a data directory. They come from the WAL of a Neon compute; an
 * import of a data directory does not create any.
 *
 *   pg_stat/...                        statistics
 *   pg_replslot/..., pg_logical/...    replication slots, and what their decoding needs
 *   pg_logical/replorigin_checkpoint   u32 magic 0x1257DADE; for each origin its number, u16, 6 zero bytes, and u64
 *                                      LSN; u32 CRC-32C of all before it; little-endian
 *   restart.lsn                        for a compute: the lowest LSN from which a slot decodes
 *
 * A path comes from a message in the WAL, and may be any text.
 * Source: Neon pageserver/src/basebackup.rs; Postgres src/backend/replication/logical/origin.c, slot.c.
 */
import { crc32cOf } from '../../checksum.ts';
import { type Key, type KeyRange, keyFields, keyFromFields } from '../../layers/key.ts';
import { formatPgLsn, type Lsn } from '../../layers/lsn.ts';
import { type AuxFile, decodeAuxFiles } from '../wal/aux-files.ts';
import type { ServerKind, SmallFile } from './server-files.ts';
import type { ValueReader } from './value-reader.ts';

const AUX_FILES = rangeOf(0x62, 0x63);
const ORIGINS = rangeOf(0x63, 0x64);

/** The files, and the paths of those that are left out. */
export interface AuxiliaryFiles {
  readonly files: readonly SmallFile[];
  readonly leftOut: readonly string[];
  readonly originCount: number;
}

/**
 * Reads them. A Postgres server does not get replication slots: the WAL that they would decode does not exist, and with
 * another WAL level it would not start.
 *
 * @throws `corrupt`, `truncated`, and as `Timeline.reconstruct`.
 */
export async function auxiliaryFiles(
  values: ValueReader,
  server: ServerKind,
): Promise<AuxiliaryFiles> {
  const files = new Map<string, SmallFile>();
  const leftOut: string[] = [];
  let restartLsn: Lsn | undefined;
  const groups = await values.readRange(AUX_FILES, (_, bytes) => decodeAuxFiles(bytes));
  for (const { path: pathBytes, content } of groups.flat()) {
    const path = Buffer.from(pathBytes).toString();
    if (!isWanted(path, server)) leftOut.push(path);
    else {
      files.set(path, { path, bytes: content.slice() });
      const slotLsn = restartLsnOf(path, content);
      if (slotLsn !== undefined && (restartLsn ?? slotLsn) >= slotLsn) restartLsn = slotLsn;
    }
  }
  const origins = await values.readRange(ORIGINS, originOf);
  const kept = origins.filter(({ lsn }) => lsn !== 0n);
  if (kept.length > 0) files.set(ORIGINS_PATH, { path: ORIGINS_PATH, bytes: encodeOrigins(kept) });
  const restart =
    restartLsn === undefined || server === 'postgres'
      ? []
      : [{ path: 'restart.lsn', bytes: Buffer.from(formatPgLsn(restartLsn)) }];
  return { files: [...files.values(), ...restart], leftOut, originCount: kept.length };
}

const ORIGINS_PATH = 'pg_logical/replorigin_checkpoint';

/** Only paths with characters that Postgres uses, and only where it keeps such files. */
function isWanted(path: string, server: ServerKind): boolean {
  if (path.length > MAXIMUM_PATH_LENGTH || !SAFE_PATH.test(path)) return false;
  return server === 'neon' || path.startsWith('pg_stat/') || path === ORIGINS_PATH;
}

const MAXIMUM_PATH_LENGTH = 256;
const SAFE_PATH =
  /^(?:pg_stat\/[\w-][\w.-]*|pg_replslot\/[a-z0-9_]+\/[\w-][\w.-]*|pg_logical\/(?:(?:mappings|snapshots)\/)?[\w-][\w.-]*)$/;

/** Of the state of a replication slot: the LSN from which it needs WAL. */
function restartLsnOf(path: string, { byteOffset, buffer, length }: AuxFile['content']) {
  if (!path.startsWith('pg_replslot/') || !path.endsWith('/state')) return undefined;
  if (length < RESTART_LSN_OFFSET + 8) return undefined;
  const lsn = new DataView(buffer, byteOffset, length).getBigUint64(RESTART_LSN_OFFSET, true);
  return lsn === 0n ? undefined : lsn;
}

/** Checksum and version, 16 bytes; name, 64; database and persistency, 8; two transactions, 8. */
const RESTART_LSN_OFFSET = 96;

interface Origin {
  readonly number: number;
  readonly lsn: Lsn;
}

/** The value is an LSN, big-endian; a shorter value yields 0, which means none. */
function originOf(key: Key, bytes: Uint8Array): Origin {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { number: keyFields(key).field6, lsn: bytes.length < 8 ? 0n : view.getBigUint64(0) };
}

const ORIGINS_MAGIC = 0x1257_dade;
const ORIGIN_SIZE = 16;

function encodeOrigins(origins: readonly Origin[]): Uint8Array {
  const end = 4 + origins.length * ORIGIN_SIZE;
  const bytes = new Uint8Array(end + 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, ORIGINS_MAGIC, true);
  for (const [index, { number, lsn }] of origins.entries()) {
    view.setUint16(4 + index * ORIGIN_SIZE, number, true);
    view.setBigUint64(12 + index * ORIGIN_SIZE, lsn, true);
  }
  view.setUint32(end, crc32cOf(bytes.subarray(0, end)), true);
  return bytes;
}

function rangeOf(first: number, end: number): KeyRange {
  const at = (field1: number): Key =>
    keyFromFields({ field1, field2: 0, field3: 0, field4: 0, field5: 0, field6: 0 });
  return { start: at(first), end: at(end) };
}

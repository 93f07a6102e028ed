/**
 * The part of a data directory that an import leaves out: everything except relations.
 *
 * Each file is listed with the reason. A symbolic link counts as one file, and so does a directory
 * that cannot be listed: nothing in it is needed.
 */
import { isStorageError } from '../errors.ts';
import { pathIn } from '../virtual-file/absolute-path.ts';
import type { DirectoryEntry, FileSystem } from '../virtual-file/file-system.ts';
import type { LeftOutReason } from './relation-file-name.ts';

/** A file, or a part of one, that was not imported. */
export interface LeftOutFile {
  /** Path of the file. */
  readonly path: string;
  /** Why it was left out. */
  readonly reason: LeftOutReason;
}

/** Throws `io`, `not-found` if the data directory itself cannot be listed. */
export async function findLeftOut(
  dataDirectory: string,
  fileSystem: FileSystem,
): Promise<LeftOutFile[]> {
  const found: LeftOutFile[] = [];
  for (const entry of await fileSystem.readDirectory(dataDirectory)) {
    if (IMPORTED_DIRECTORIES.has(entry.name)) continue;
    const reason = reasonOf(entry.name);
    const isKnown = entry.kind === 'directory' && reason !== 'other';
    const path = pathIn(dataDirectory, entry.name);
    if (isKnown) await listFiles(path, reason, { fileSystem, found, depth: MAXIMUM_DEPTH });
    else found.push({ path, reason });
  }
  return found;
}

const IMPORTED_DIRECTORIES: ReadonlySet<string> = new Set(['base', 'global', 'pg_tblspc']);

const REASONS: ReadonlyMap<string, LeftOutReason> = new Map([
  ['pg_xact', 'transaction status'],
  ['pg_multixact', 'transaction status'],
  ['pg_subtrans', 'transaction status'],
  ['pg_commit_ts', 'transaction status'],
  ['pg_twophase', 'two-phase files'],
  ['pg_wal', 'WAL'],
  ['pg_logical', 'replication'],
  ['pg_replslot', 'replication'],
  ['pg_stat', 'statistics'],
  ['pg_stat_tmp', 'statistics'],
  ['pg_dynshmem', 'server state'],
  ['pg_notify', 'server state'],
  ['pg_serial', 'server state'],
  ['pg_snapshots', 'server state'],
  ['postmaster.opts', 'server state'],
  ['postmaster.pid', 'server state'],
  ['backup_label', 'server state'],
  ['backup_manifest', 'server state'],
  ['recovery.signal', 'server state'],
  ['standby.signal', 'server state'],
  ['tablespace_map', 'server state'],
  ['PG_VERSION', 'version'],
]);

function reasonOf(name: string): LeftOutReason {
  return REASONS.get(name) ?? (name.endsWith('.conf') ? 'configuration' : 'other');
}

/** Postgres nests directories three deep (`pg_replslot/NAME/snapshots`). */
const MAXIMUM_DEPTH = 8;

interface Listing {
  readonly fileSystem: FileSystem;
  readonly found: LeftOutFile[];
  readonly depth: number;
}

async function listFiles(
  directory: string,
  reason: LeftOutReason,
  listing: Listing,
): Promise<void> {
  const { fileSystem, found, depth } = listing;
  const entries = depth === 0 ? undefined : await listIfPossible(directory, fileSystem);
  if (entries === undefined) found.push({ path: directory, reason });
  for (const { name, kind } of entries ?? []) {
    const path = pathIn(directory, name);
    if (kind === 'directory') await listFiles(path, reason, { ...listing, depth: depth - 1 });
    else found.push({ path, reason });
  }
}

async function listIfPossible(
  directory: string,
  fileSystem: FileSystem,
): Promise<DirectoryEntry[] | undefined> {
  try {
    return await fileSystem.readDirectory(directory);
  } catch (error) {
    if (isStorageError(error)) return undefined;
    throw error;
  }
}

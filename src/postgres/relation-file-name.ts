/**
 * Names of files in the directory of a database.
 *
 *   16384  16384_fsm  16384.1  16384_vm.2     segment of a relation fork
 *   t3_16384  t3_16384_fsm.1                  the same of a temporary relation (backend 3)
 *   pg_filenode.map                           relation map: file numbers of the mapped catalogs
 *   pg_filenode.map.tmp                       a map that was being written
 *   pg_internal.init  pg_internal.init.123    cache that Postgres rebuilds
 *   PG_VERSION  pg_control  pgsql_tmp         version, control file, temporary files
 *
 * Numbers have no leading zeros and fit into 32 bits; segment 0 has no number in its name.
 * Source: Postgres src/common/relpath.c, src/backend/storage/file/reinit.c.
 */
import { type ForkName, isForkName } from './fork.ts';
import { MAXIMUM_OID } from './key-mapping.ts';

export type RelationFileName =
  | {
      readonly kind: 'segment';
      readonly relnode: number;
      readonly fork: ForkName;
      readonly segmentNumber: number;
    }
  | { readonly kind: 'map' }
  | { readonly kind: 'left-out'; readonly reason: LeftOutReason };

/** Why a file, or a part of it, is not imported. */
export type LeftOutReason =
  | 'relation of a session'
  | 'temporary files'
  | 'cache'
  | 'control file'
  | 'version'
  /** A name among those of relations that is not the name of a relation. */
  | 'unknown name'
  /** A relation file ends within a page. */
  | 'partial page'
  /** A segment after a missing one, or after one that is not full. */
  | 'stray segment'
  | 'damaged relation map'
  | 'transaction status'
  | 'two-phase files'
  | 'WAL'
  | 'replication'
  | 'statistics'
  | 'server state'
  | 'configuration'
  /** Not one of the files that Postgres keeps in its data directory. */
  | 'other';

export function parseRelationFileName(name: string): RelationFileName {
  if (name === 'pg_filenode.map') return { kind: 'map' };
  const parts = SEGMENT_NAME.exec(name);
  const relnode = Number(parts?.[1]);
  const fork = parts?.[2] ?? 'main';
  const segmentNumber = Number(parts?.[3] ?? 0);
  if (relnode <= MAXIMUM_OID && segmentNumber <= MAXIMUM_OID && isForkName(fork)) {
    return { kind: 'segment', relnode, fork, segmentNumber };
  }
  return { kind: 'left-out', reason: reasonOf(name) };
}

/** Parses the name of a directory as an OID; undefined if it is not one. */
export function parseOid(name: string): number | undefined {
  const oid = /^[1-9][0-9]{0,9}$/.test(name) ? Number(name) : Number.NaN;
  return oid <= MAXIMUM_OID ? oid : undefined;
}

const SEGMENT_NAME = /^([1-9][0-9]{0,9})(?:_(fsm|vm|init))?(?:\.([1-9][0-9]{0,9}))?$/;
const SESSION_NAME = /^t[0-9]+_[0-9]+(?:_(?:fsm|vm|init))?(?:\.[0-9]+)?$/;

function reasonOf(name: string): LeftOutReason {
  if (SESSION_NAME.test(name)) return 'relation of a session';
  if (name.startsWith('pgsql_tmp') || name === 'pg_filenode.map.tmp') return 'temporary files';
  if (name.startsWith('pg_internal.init')) return 'cache';
  if (name === 'pg_control') return 'control file';
  if (name === 'PG_VERSION') return 'version';
  return 'unknown name';
}

/**
 * What an export of a timeline writes page by page: files of relation forks and of SLRUs, in key order, each with the key
 * of its pages.
 *
 *   base/DB/REL[_FORK][.SEGMENT]     1 GiB each but for the last; a fork without pages is an empty file
 *   global/..., pg_tblspc/SPC/PG_VERSION_CATALOG/DB/...
 *   pg_xact/NNNN, pg_multixact/members/NNNN, pg_multixact/offsets/NNNN
 *
 * An unlogged relation is one that has an init fork. After a crash, a server removes its other forks, and copies the
 * init fork to the main fork. WAL does not have its pages, so that they are of no known LSN: the same is done here, as
 * in a base backup of a pageserver.
 * Source: Neon pageserver/src/basebackup.rs; Postgres src/backend/storage/file/reinit.c.
 */
import { StorageError } from '../../errors.ts';
import { formatKey, type Key } from '../../layers/key.ts';
import { formatLsn } from '../../layers/lsn.ts';
import { type ForkName, isForkName } from '../../postgres/fork.ts';
import {
  type DatabaseId,
  relationBlockKey,
  relationDirectoryKey,
  relationSizeKey,
  slruBlockKey,
  slruDirectoryKey,
  slruSizeKey,
} from '../../postgres/key-mapping.ts';
import { databaseDirectory, relationFileName, slruFilePath } from '../../postgres/key-path.ts';
import type {
  DatabaseListing,
  RelationListing,
  TimelineDirectory,
} from '../../timeline/directory.ts';

/** A file of pages. */
export interface PageFile {
  /** Relative to the data directory. */
  readonly path: string;
  /** Number of its first page in the fork; 0 for an SLRU. */
  readonly firstBlock: number;
  readonly pageCount: number;
  /** Whether its pages have headers, and checksums where the cluster has them. */
  readonly kind: 'relation' | 'slru';
  /** The key of a page of the file, by its number in the fork. */
  readonly keyOf: (blkno: number) => Key;
}

/** All files of pages of a timeline. */
export interface ExportPlan {
  readonly files: readonly PageFile[];
  /** Databases that have a directory. */
  readonly databases: readonly ExportedDatabase[];
  /** Forks of relations. */
  readonly forkCount: number;
  /** Unlogged relations, which are empty in the export. */
  readonly unloggedCount: number;
}

/** A database, with its directory. */
export interface ExportedDatabase extends DatabaseId {
  /** Relative to the data directory. */
  readonly path: string;
  readonly hasRelationMap: boolean;
}

/**
 * Plans the files.
 *
 * @throws `not-found` (a list or a size is missing), `corrupt` (a fork or a database that has no file).
 */
export function planExport(
  directory: TimelineDirectory,
  about: { readonly majorVersion: number; readonly segmentPageCount: number },
): ExportPlan {
  const files: PageFile[] = [];
  const databases: ExportedDatabase[] = [];
  let forkCount = 0;
  let unloggedCount = 0;
  for (const database of directory.databases) {
    const { spcnode, dbnode, hasRelationMap } = database;
    const relations = present(database.relations, relationDirectoryKey(database), directory);
    // A database that was dropped in a tablespace leaves an empty entry.
    if (!hasRelationMap && relations.length === 0 && dbnode !== 0) continue;
    const path = databaseDirectory(database, about.majorVersion);
    databases.push({ spcnode, dbnode, path, hasRelationMap });
    const unlogged = new Set(
      relations.filter(({ fork }) => fork === 'init').map(({ relnode }) => relnode),
    );
    unloggedCount += unlogged.size;
    for (const relation of relations) {
      for (const fork of forksOf(relation, unlogged)) {
        forkCount += 1;
        const place = { path, fork, relation, database };
        files.push(...relationFiles(place, directory, about.segmentPageCount));
      }
    }
  }
  return { files: [...files, ...slruFiles(directory)], databases, forkCount, unloggedCount };
}

/** The forks that are written with the pages of one. Throws `corrupt`. */
function forksOf({ relnode, fork }: RelationListing, unlogged: ReadonlySet<number>): ForkName[] {
  if (typeof fork !== 'string' || !isForkName(fork)) {
    throw new StorageError('corrupt', {
      what: `fork of relation ${relnode}`,
      expected: '0 to 3',
      actual: `${fork}`,
    });
  }
  if (!unlogged.has(relnode)) return [fork];
  return fork === 'init' ? ['init', 'main'] : [];
}

interface ForkPlace {
  /** Of the directory of the database. */
  readonly path: string;
  /** The fork that is written. */
  readonly fork: ForkName;
  /** The fork that has the pages. */
  readonly relation: RelationListing;
  readonly database: DatabaseListing;
}

function relationFiles(
  { path, fork, relation, database }: ForkPlace,
  directory: TimelineDirectory,
  segmentPageCount: number,
): PageFile[] {
  const { spcnode, dbnode } = database;
  const id = { spcnode, dbnode, relnode: relation.relnode, fork: relation.fork };
  const blockCount = present(relation.blockCount, relationSizeKey(id), directory);
  const fileCount = Math.max(1, Math.ceil(blockCount / segmentPageCount));
  return Array.from({ length: fileCount }, (_, segment): PageFile => {
    const firstBlock = segment * segmentPageCount;
    return {
      path: `${path}/${relationFileName(relation.relnode, fork, segment)}`,
      firstBlock,
      pageCount: Math.min(segmentPageCount, blockCount - firstBlock),
      kind: 'relation',
      keyOf: (blkno) => relationBlockKey({ ...id, blkno }),
    };
  });
}

function slruFiles(directory: TimelineDirectory): PageFile[] {
  return directory.slrus.flatMap(({ slru, segments }) =>
    present(segments, slruDirectoryKey(slru), directory).map(
      ({ segno, blockCount }): PageFile => ({
        path: slruFilePath({ slru, segno }),
        firstBlock: 0,
        pageCount: present(blockCount, slruSizeKey({ slru, segno }), directory),
        kind: 'slru',
        keyOf: (blkno) => slruBlockKey({ slru, segno, blkno }),
      }),
    ),
  );
}

function present<T>(value: T | undefined, key: Key, { lsn }: TimelineDirectory): T {
  if (value !== undefined) return value;
  throw new StorageError('not-found', {
    what: 'list or size of the timeline',
    key: formatKey(key),
    lsn: formatLsn(lsn),
  });
}

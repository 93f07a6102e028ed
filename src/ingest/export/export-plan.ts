/**
 * Plans the pages of an export: relation forks and segments of SLRUs, in key order, each with its files and the keys of
 * its pages. A size is only the claim of a value, up to 2^32 - 1 pages, so memory here does not grow with it.
 *
 *   base/DB/REL[_FORK][.SEGMENT]     1 GiB each but for the last; a fork without pages is an empty file
 *   global/..., pg_tblspc/SPC/PG_VERSION_CATALOG/DB/...
 *   pg_xact/NNNN, pg_multixact/members/NNNN, pg_multixact/offsets/NNNN
 *
 * An unlogged relation is one that has an init fork. After a crash, a server removes its other forks, and copies the
 * init fork to the main fork. WAL does not contain its pages, so their LSN is unknown: they are treated in the same way
 * here, as in a base backup of a pageserver. Source: Neon pageserver/src/basebackup.rs; Postgres
 * src/backend/storage/file/reinit.c.
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
  SLRU_SEGMENT_PAGES,
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

/** Pages that follow each other: a fork of a relation, or a segment of an SLRU. */
export interface PageSequence {
  /** Whether its pages have headers, and checksums where the cluster has them. */
  readonly kind: 'relation' | 'slru';
  /** 0 or more; for a relation, its stored size, even if the timeline lacks some of its pages. */
  readonly pageCount: number;
  /** Pages of a file; the last file may have fewer. A sequence without pages has one empty file. */
  readonly filePageCount: number;
  /** The path of a file relative to the data directory, by its number from 0 on. */
  readonly pathOf: (fileNumber: number) => string;
  /** The key of a page, by its number in the sequence. */
  readonly keyOf: (blkno: number) => Key;
}

/** All pages of a timeline, and where they go. */
export interface ExportPlan {
  /** In the order of their keys. */
  readonly sequences: readonly PageSequence[];
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
 * Plans the pages and their files.
 *
 * @throws `not-found` (a list or a size is missing), `corrupt` (a fork or a database that has no file; a segment of an
 *   SLRU with more pages than any has).
 */
export function planExport(
  directory: TimelineDirectory,
  about: { readonly majorVersion: number; readonly segmentPageCount: number },
): ExportPlan {
  const sequences: PageSequence[] = [];
  const databases: ExportedDatabase[] = [];
  let forkCount = 0;
  let unloggedCount = 0;
  for (const database of directory.databases) {
    const { spcnode, dbnode, hasRelationMap } = database;
    const relations = present(database.relations, relationDirectoryKey(database), directory);
    // Dropping a database in a tablespace leaves an empty entry.
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
        sequences.push(forkSequence(place, directory, about.segmentPageCount));
      }
    }
  }
  for (const segment of slruSequences(directory)) sequences.push(segment);
  return { sequences, databases, forkCount, unloggedCount };
}

/** The forks that are written with the pages of a fork. Throws `corrupt`. */
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

function forkSequence(
  { path, fork, relation, database }: ForkPlace,
  directory: TimelineDirectory,
  segmentPageCount: number,
): PageSequence {
  const { spcnode, dbnode } = database;
  const { relnode } = relation;
  const id = { spcnode, dbnode, relnode, fork: relation.fork };
  return {
    kind: 'relation',
    pageCount: present(relation.blockCount, relationSizeKey(id), directory),
    filePageCount: segmentPageCount,
    pathOf: (fileNumber) => `${path}/${relationFileName(relnode, fork, fileNumber)}`,
    keyOf: (blkno) => relationBlockKey({ ...id, blkno }),
  };
}

function* slruSequences(directory: TimelineDirectory): Generator<PageSequence> {
  for (const { slru, segments } of directory.slrus) {
    for (const { segno, blockCount } of present(segments, slruDirectoryKey(slru), directory)) {
      const sizeKey = slruSizeKey({ slru, segno });
      const pageCount = present(blockCount, sizeKey, directory);
      if (pageCount > SLRU_SEGMENT_PAGES) throw tooLongSegment(pageCount, sizeKey, directory);
      yield {
        ...{ kind: 'slru', pageCount, filePageCount: SLRU_SEGMENT_PAGES },
        pathOf: () => slruFilePath({ slru, segno }),
        keyOf: (blkno) => slruBlockKey({ slru, segno, blkno }),
      };
    }
  }
}

function tooLongSegment(pageCount: number, key: Key, { lsn }: TimelineDirectory): StorageError {
  return new StorageError('corrupt', {
    what: 'size of an SLRU segment',
    ...{ key: formatKey(key), lsn: formatLsn(lsn) },
    expected: `at most ${SLRU_SEGMENT_PAGES} pages`,
    actual: `${pageCount}`,
  });
}

function present<T>(value: T | undefined, key: Key, { lsn }: TimelineDirectory): T {
  if (value !== undefined) return value;
  throw new StorageError('not-found', {
    what: 'list or size of the timeline',
    key: formatKey(key),
    lsn: formatLsn(lsn),
  });
}

/**
 * Relation files: where a data directory keeps the pages of its relations.
 *
 *   base/{db}/                                tablespace 1663
 *   global/                                   tablespace 1664, database 0
 *   pg_tblspc/{spc}/PG_{major}_{catalog}/{db}/
 *
 * `pg_tblspc/{spc}` is a symbolic link to the tablespace (or a directory, if it was made in place),
 * and the only link that is followed. Any other link in place of a directory or a relation file is
 * refused, not left out, so that no relation is lost silently.
 */
import { checkCount, checkObject, checkText } from '../check-options.ts';
import { isStorageError, StorageError } from '../errors.ts';
import { compareKeys } from '../layers/key.ts';
import { pathIn } from '../virtual-file/absolute-path.ts';
import type { DirectoryEntry, FileStat, FileSystem } from '../virtual-file/file-system.ts';
import { checkedFileSystem } from '../virtual-file/foreign-file-system.ts';
import type { ForkName } from './fork.ts';
import {
  type DatabaseId,
  DEFAULT_TABLESPACE_OID,
  GLOBAL_TABLESPACE_OID,
  relationMapKey,
  relationSizeKey,
} from './key-mapping.ts';
import type { LeftOutFile } from './left-out.ts';
import { Objections } from './objections.ts';
import { PAGE_SIZE } from './page.ts';
import { parseOid, parseRelationFileName } from './relation-file-name.ts';
import { arrangeSegments, countPages, type RelationSegment } from './relation-segments.ts';

/** The files of one fork of a relation. */
export interface RelationFork extends DatabaseId {
  /** File number of the relation. */
  readonly relnode: number;
  /** Fork of the relation. */
  readonly fork: ForkName;
  /** Complete pages of all segments. */
  readonly pageCount: number;
  /** In order, without empty ones. */
  readonly segments: readonly RelationSegment[];
}

/** The file of a relation map. */
export interface RelationMapFile extends DatabaseId {
  /** Path of the file or directory. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

/** The directory of a database in one tablespace. */
export interface DatabaseDirectory extends DatabaseId {
  /** Path of the file or directory. */
  readonly path: string;
  /** Whether it contains neither relations nor a map. */
  readonly isEmpty: boolean;
}

/** The relation files of a cluster. */
export interface RelationFiles {
  /** In key order. */
  readonly forks: readonly RelationFork[];
  /** In key order. */
  readonly maps: readonly RelationMapFile[];
  /** Directories of databases. */
  readonly databases: readonly DatabaseDirectory[];
  /** OIDs of the tablespaces below `pg_tblspc`. */
  readonly tablespaces: readonly number[];
  /** Other files in the same directories, and parts of files that are not in `forks`. */
  readonly leftOut: readonly LeftOutFile[];
  /** Problems that Postgres ignores, as errors. */
  readonly warnings: readonly StorageError[];
}

/** Where the files of a cluster are; a `ControlFile` has all but the directory. */
export interface ClusterLayout {
  /** Path of the data directory. */
  readonly dataDirectory: string;
  /** Major version of Postgres. */
  readonly majorVersion: number;
  /** Catalog version of the cluster, from pg_control. */
  readonly catalogVersion: number;
  /** Pages in a full segment. */
  readonly segmentPageCount: number;
}

/**
 * Lists all relation files of a data directory, in a deterministic order.
 *
 * @throws `not-found` (a directory or a segment is missing), `truncated` (a segment is not full),
 *   `corrupt` (longer than a segment can be), `too-large`, `invalid-input` (a symbolic link or
 *   special file in place of a directory or file), `io`.
 */
export async function findRelationFiles(
  layout: ClusterLayout,
  fileSystem: FileSystem,
): Promise<RelationFiles> {
  checkObject('layout of the cluster', layout);
  checkText('dataDirectory', layout.dataDirectory);
  for (const name of ['majorVersion', 'catalogVersion', 'segmentPageCount'] as const) {
    checkCount(name, layout[name], { from: 1 });
  }
  return searchRelationFiles(layout, fileSystem, new Objections([]));
}

/** Like `findRelationFiles`, with objections to damage that may be allowed. */
export async function searchRelationFiles(
  layout: ClusterLayout,
  fileSystem: FileSystem,
  objections: Objections,
): Promise<RelationFiles> {
  const search = new RelationSearch(layout, checkedFileSystem(fileSystem), objections);
  await search.findShared();
  await search.findDefaultTablespace();
  await search.findTablespaces();
  return search.result();
}

class RelationSearch {
  readonly #layout: ClusterLayout;
  readonly #fileSystem: FileSystem;
  readonly #objections: Objections;
  readonly #forks: RelationFork[] = [];
  readonly #maps: RelationMapFile[] = [];
  readonly #databases: DatabaseDirectory[] = [];
  readonly #tablespaces: number[] = [];
  readonly #leftOut: LeftOutFile[] = [];

  constructor(layout: ClusterLayout, fileSystem: FileSystem, objections: Objections) {
    this.#layout = layout;
    this.#fileSystem = fileSystem;
    this.#objections = objections;
  }

  async findShared(): Promise<void> {
    const directory = pathIn(this.#layout.dataDirectory, 'global');
    await this.#checkDirectory(directory);
    await this.#findDatabase(directory, { spcnode: GLOBAL_TABLESPACE_OID, dbnode: 0 });
  }

  async findDefaultTablespace(): Promise<void> {
    const directory = pathIn(this.#layout.dataDirectory, 'base');
    await this.#checkDirectory(directory);
    await this.#findDatabases(directory, DEFAULT_TABLESPACE_OID);
  }

  async findTablespaces(): Promise<void> {
    const { dataDirectory, majorVersion, catalogVersion } = this.#layout;
    const links = pathIn(dataDirectory, 'pg_tblspc');
    if (!(await this.#isThere(links))) {
      this.#objections.warn(withoutTablespaces(links));
      return;
    }
    await this.#checkDirectory(links);
    for (const entry of await this.#fileSystem.readDirectory(links)) {
      const path = pathIn(links, entry.name);
      const spcnode = parseOid(entry.name);
      if (spcnode === undefined) this.#leaveOut(path, entry);
      else if (entry.kind !== 'symbolic-link' && entry.kind !== 'directory') {
        throw wrongKind(path, entry, 'symbolic link to a directory');
      } else {
        this.#tablespaces.push(spcnode);
        await this.#findTablespace(pathIn(path, `PG_${majorVersion}_${catalogVersion}`), spcnode);
      }
    }
  }

  async #findTablespace(directory: string, spcnode: number): Promise<void> {
    try {
      await this.#checkDirectory(directory);
    } catch (error) {
      if (!isStorageError(error)) throw error;
      this.#objections.raise('damaged', error);
      return;
    }
    await this.#findDatabases(directory, spcnode);
  }

  async #findDatabases(directory: string, spcnode: number): Promise<void> {
    for (const entry of await this.#fileSystem.readDirectory(directory)) {
      const path = pathIn(directory, entry.name);
      const dbnode = parseOid(entry.name);
      if (dbnode === undefined) this.#leaveOut(path, entry);
      else if (entry.kind !== 'directory') throw wrongKind(path, entry, 'directory');
      else await this.#findDatabase(path, { spcnode, dbnode });
    }
  }

  result(): RelationFiles {
    const forks = this.#forks.sort((left, right) =>
      compareKeys(relationSizeKey(left), relationSizeKey(right)),
    );
    const maps = this.#maps.sort((left, right) =>
      compareKeys(relationMapKey(left), relationMapKey(right)),
    );
    return {
      forks,
      maps,
      databases: this.#databases,
      tablespaces: this.#tablespaces,
      leftOut: this.#leftOut,
      warnings: this.#objections.warnings,
    };
  }

  async #findDatabase(directory: string, database: DatabaseId): Promise<void> {
    const segmentsOfForks = new Map<string, ForkSegments>();
    let isEmpty = true;
    for (const entry of await this.#fileSystem.readDirectory(directory)) {
      const path = pathIn(directory, entry.name);
      const name = parseRelationFileName(entry.name);
      if (name.kind === 'left-out') {
        this.#leftOut.push({ path, reason: name.reason });
        continue;
      }
      if (entry.kind !== 'file') throw wrongKind(path, entry, 'regular file');
      const stat = await this.#fileSystem.stat(path);
      if (name.kind === 'map') {
        this.#maps.push({ ...database, path, size: stat.size });
        isEmpty = false;
        continue;
      }
      const { relnode, fork, segmentNumber } = name;
      const forkId = `${relnode}/${fork}`;
      const ofFork = segmentsOfForks.get(forkId) ?? { relnode, fork, segments: [] };
      ofFork.segments.push(describeSegment(segmentNumber, path, stat));
      segmentsOfForks.set(forkId, ofFork);
    }
    for (const { segments: found, ...fork } of segmentsOfForks.values()) {
      const { segmentPageCount } = this.#layout;
      const { segments, leftOut, isFork } = arrangeSegments(
        found,
        segmentPageCount,
        this.#objections,
      );
      this.#leftOut.push(...leftOut);
      if (!isFork) continue;
      this.#forks.push({ ...database, ...fork, pageCount: countPages(segments), segments });
      isEmpty = false;
    }
    this.#databases.push({ ...database, path: directory, isEmpty });
  }

  #leaveOut(path: string, entry: DirectoryEntry): void {
    const name = parseRelationFileName(entry.name);
    this.#leftOut.push({ path, reason: name.kind === 'left-out' ? name.reason : 'unknown name' });
  }

  async #isThere(path: string): Promise<boolean> {
    try {
      await this.#fileSystem.stat(path);
      return true;
    } catch (error) {
      if (isStorageError(error, 'not-found')) return false;
      throw error;
    }
  }

  async #checkDirectory(path: string): Promise<void> {
    const { kind } = await this.#fileSystem.stat(path);
    if (kind !== 'directory') throw wrongKind(path, { kind }, 'directory');
  }
}

interface ForkSegments {
  readonly relnode: number;
  /** Fork of the relation. */
  readonly fork: ForkName;
  readonly segments: RelationSegment[];
}

/** A file as it is listed: only its complete pages count. */
export function describeSegment(
  segmentNumber: number,
  path: string,
  stat: FileStat,
): RelationSegment {
  const { size: fileSize, identity, modificationTime } = stat;
  const size = fileSize - (fileSize % PAGE_SIZE);
  return { segmentNumber, path, size, fileSize, identity, modificationTime };
}

/** A copy that drops empty directories has no pg_tblspc. */
function withoutTablespaces(path: string): StorageError {
  return new StorageError('not-found', {
    what: 'pg_tblspc is missing: tablespaces, if any, are not imported',
    path,
  });
}

export function wrongKind(
  path: string,
  { kind }: Pick<DirectoryEntry, 'kind'>,
  expected: string,
): StorageError {
  const actual = kind === 'other' ? 'special file' : kind.replace('-', ' ');
  return new StorageError('invalid-input', {
    what: 'entry of a Postgres data directory',
    path,
    expected: `a ${expected}`,
    actual: `a ${actual}`,
  });
}

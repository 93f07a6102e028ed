/**
 * Relation files: where a data directory keeps the pages of its relations.
 *
 *   base/{db}/                                tablespace 1663
 *   global/                                   tablespace 1664, database 0
 *   pg_tblspc/{spc}/PG_{major}_{catalog}/{db}/
 *
 * `pg_tblspc/{spc}` is a symbolic link to wherever the tablespace is (or a directory, if it was
 * made in place), and the only link that is followed. Any other link in place of a directory or
 * a relation file is refused, not left out, so that no relation is lost in silence.
 */
import { StorageError } from '../errors.ts';
import { compareKeys } from '../layers/key.ts';
import { pathIn } from '../virtual-file/absolute-path.ts';
import type { DirectoryEntry, FileSystem } from '../virtual-file/file-system.ts';
import type { ForkName } from './fork.ts';
import {
  type DatabaseId,
  DEFAULT_TABLESPACE_OID,
  GLOBAL_TABLESPACE_OID,
  relationMapKey,
  relationSizeKey,
} from './key-mapping.ts';
import { type LeftOutReason, parseOid, parseRelationFileName } from './relation-file-name.ts';
import { arrangeSegments, countPages, type RelationSegment } from './relation-segments.ts';

export interface RelationFork extends DatabaseId {
  readonly relnode: number;
  readonly fork: ForkName;
  readonly pageCount: number;
  /** In order; none of them is empty. */
  readonly segments: readonly RelationSegment[];
}

export interface RelationMapFile extends DatabaseId {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

export interface LeftOutFile {
  readonly path: string;
  readonly reason: LeftOutReason;
}

export interface RelationFiles {
  /** In key order. */
  readonly forks: readonly RelationFork[];
  /** In key order. */
  readonly maps: readonly RelationMapFile[];
  readonly leftOut: readonly LeftOutFile[];
}

export interface ClusterLayout {
  readonly dataDirectory: string;
  readonly majorVersion: number;
  readonly catalogVersion: number;
  /** Pages in a full segment. */
  readonly segmentPageCount: number;
}

/**
 * Lists all relation files; the same directory gives the same list.
 *
 * Throws: what `arrangeSegments` does, `not-found` (a directory is missing), `invalid-input` (a
 * symbolic link or special file where none belongs), `io`.
 */
export async function findRelationFiles(
  layout: ClusterLayout,
  fileSystem: FileSystem,
): Promise<RelationFiles> {
  const search = new Search(layout, fileSystem);
  await search.findShared();
  await search.findDatabases(pathIn(layout.dataDirectory, 'base'), DEFAULT_TABLESPACE_OID);
  await search.findTablespaces();
  return search.result();
}

class Search {
  readonly #layout: ClusterLayout;
  readonly #fileSystem: FileSystem;
  readonly #forks: RelationFork[] = [];
  readonly #maps: RelationMapFile[] = [];
  readonly #leftOut: LeftOutFile[] = [];

  constructor(layout: ClusterLayout, fileSystem: FileSystem) {
    this.#layout = layout;
    this.#fileSystem = fileSystem;
  }

  async findShared(): Promise<void> {
    const directory = pathIn(this.#layout.dataDirectory, 'global');
    await this.#checkDirectory(directory);
    await this.#findDatabase(directory, { spcnode: GLOBAL_TABLESPACE_OID, dbnode: 0 });
  }

  async findDatabases(directory: string, spcnode: number): Promise<void> {
    await this.#checkDirectory(directory);
    for (const entry of await this.#fileSystem.readDirectory(directory)) {
      const path = pathIn(directory, entry.name);
      const dbnode = parseOid(entry.name);
      if (dbnode === undefined) this.#leaveOut(path, entry);
      else if (entry.kind !== 'directory') throw wrongKind(path, entry, 'directory');
      else await this.#findDatabase(path, { spcnode, dbnode });
    }
  }

  async findTablespaces(): Promise<void> {
    const { dataDirectory, majorVersion, catalogVersion } = this.#layout;
    const links = pathIn(dataDirectory, 'pg_tblspc');
    await this.#checkDirectory(links);
    for (const entry of await this.#fileSystem.readDirectory(links)) {
      const path = pathIn(links, entry.name);
      const spcnode = parseOid(entry.name);
      if (spcnode === undefined) this.#leaveOut(path, entry);
      else if (entry.kind !== 'symbolic-link' && entry.kind !== 'directory') {
        throw wrongKind(path, entry, 'symbolic link to a directory');
      } else {
        const version = `PG_${majorVersion}_${catalogVersion}`;
        await this.findDatabases(pathIn(path, version), spcnode);
      }
    }
  }

  result(): RelationFiles {
    const forks = this.#forks.sort((left, right) =>
      compareKeys(relationSizeKey(left), relationSizeKey(right)),
    );
    const maps = this.#maps.sort((left, right) =>
      compareKeys(relationMapKey(left), relationMapKey(right)),
    );
    return { forks, maps, leftOut: this.#leftOut };
  }

  async #findDatabase(directory: string, database: DatabaseId): Promise<void> {
    const segmentsOfForks = new Map<string, ForkSegments>();
    for (const entry of await this.#fileSystem.readDirectory(directory)) {
      const path = pathIn(directory, entry.name);
      const name = parseRelationFileName(entry.name);
      if (name.kind === 'left-out') {
        this.#leftOut.push({ path, reason: name.reason });
        continue;
      }
      if (entry.kind !== 'file') throw wrongKind(path, entry, 'regular file');
      const { size } = await this.#fileSystem.stat(path);
      if (name.kind === 'map') {
        this.#maps.push({ ...database, path, size });
        continue;
      }
      const { relnode, fork, segmentNumber } = name;
      const forkId = `${relnode}/${fork}`;
      const ofFork = segmentsOfForks.get(forkId) ?? { relnode, fork, segments: [] };
      ofFork.segments.push({ segmentNumber, path, size });
      segmentsOfForks.set(forkId, ofFork);
    }
    for (const ofFork of segmentsOfForks.values()) {
      const segments = arrangeSegments(ofFork.segments, this.#layout.segmentPageCount);
      const pageCount = countPages(segments);
      this.#forks.push({ ...database, ...ofFork, pageCount, segments });
    }
  }

  #leaveOut(path: string, entry: DirectoryEntry): void {
    const name = parseRelationFileName(entry.name);
    this.#leftOut.push({ path, reason: name.kind === 'left-out' ? name.reason : 'unknown name' });
  }

  async #checkDirectory(path: string): Promise<void> {
    const { kind } = await this.#fileSystem.stat(path);
    if (kind !== 'directory') throw wrongKind(path, { kind }, 'directory');
  }
}

interface ForkSegments {
  readonly relnode: number;
  readonly fork: ForkName;
  readonly segments: RelationSegment[];
}

function wrongKind(
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

/**
 * Plans what an import of a data directory writes, before any page is read: single values and runs of pages, in key
 * order.
 *
 *   database directory, and for each database its relation map, its relation directory, and for each
 *   fork of each relation its pages, one run a file, and its size
 *   directory, pages and sizes of each SLRU        shard 0 only
 *   two-phase directory and files                  the fast way: an empty directory
 *   control file, checkpoint
 *
 * The fast way writes the sizes of relations as 8 bytes, the classic one as 4. Directories are sorted,
 * where a pageserver writes them in any order.
 * Source: Neon pageserver/src/import_datadir.rs, tenant/timeline/import_pgdata/flow.rs.
 */
import { compareKeys, type Key } from '../../layers/key.ts';
import {
  type DirectoryDatabase,
  type DirectoryRelation,
  encodeDatabaseDirectory,
  encodeRelationDirectory,
  encodeSlruDirectory,
  encodeTwophaseDirectory,
} from '../../postgres/directory-values.ts';
import {
  checkpointKey,
  controlFileKey,
  type DatabaseId,
  databaseDirectoryKey,
  relationBlockKey,
  relationDirectoryKey,
  relationMapKey,
  relationSizeKey,
  SLRU_NAMES,
  slruBlockKey,
  slruDirectoryKey,
  slruSizeKey,
  twophaseDirectoryKey,
  twophaseKey,
} from '../../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import type { RelationFork } from '../../postgres/relation-files.ts';
import type { RelationSegment } from '../../postgres/relation-segments.ts';
import { encodeRelationSize } from '../../postgres/relation-size.ts';
import type { SlruFile, StateFiles } from '../../postgres/state-files.ts';
import type { ImportWay, SourceCluster } from './source-cluster.ts';

/** A value that is known, or a small file that is the value. */
export interface ValueTask {
  readonly kind: 'value';
  /** The key. */
  readonly start: Key;
  readonly value: Uint8Array | { readonly file: RelationSegment };
  /** Values of SLRUs are on shard 0 only. */
  readonly shards: 'all' | 'first';
}

/** Consecutive pages of one file of a relation fork. */
export interface RelationTask {
  readonly kind: 'relation';
  /** Key of the first block. */
  readonly start: Key;
  readonly fork: RelationFork;
  readonly segment: RelationSegment;
  /** First block in the fork. */
  readonly firstBlock: number;
  /** First page in the file. */
  readonly firstPage: number;
  readonly pageCount: number;
}

/** The pages of a segment of an SLRU; on shard 0 only. */
export interface SlruTask {
  readonly kind: 'slru';
  /** Key of the first block. */
  readonly start: Key;
  readonly file: SlruFile;
  /** First page in the file. */
  readonly firstPage: number;
  readonly pageCount: number;
}

export type ImportTask = ValueTask | RelationTask | SlruTask;

/** The struct of the checkpoint in pg_control. */
const CHECKPOINT_START = 40;
const CHECKPOINT_END = CHECKPOINT_START + 88;

/** Returns everything that the import writes, in key order; no task is empty. */
export function planImport(source: SourceCluster, way: ImportWay): ImportTask[] {
  const { controlBytes } = source;
  const tasks = [
    ...databaseTasks(source),
    ...source.cluster.files.forks.flatMap((fork) => forkTasks(fork, way)),
    ...slruTasks(source.state),
    ...twophaseTasks(source, way),
    valueTask(controlFileKey(), controlBytes),
    valueTask(checkpointKey(), controlBytes.slice(CHECKPOINT_START, CHECKPOINT_END)),
  ];
  return tasks.sort((left, right) => compareKeys(left.start, right.start));
}

function databaseTasks({ cluster }: SourceCluster): ValueTask[] {
  const databases = new Map<string, DirectoryDatabase & { relations: DirectoryRelation[] }>();
  const entryOf = (database: DatabaseId) => {
    const { spcnode, dbnode } = database;
    const name = `${spcnode}/${dbnode}`;
    const entry = databases.get(name) ?? { spcnode, dbnode, hasRelationMap: false, relations: [] };
    databases.set(name, entry);
    return entry;
  };
  for (const map of cluster.maps) {
    databases.set(`${map.spcnode}/${map.dbnode}`, { ...entryOf(map), hasRelationMap: true });
  }
  for (const fork of cluster.files.forks) entryOf(fork).relations.push(fork);
  const entries = [...databases.values()];
  return [
    valueTask(databaseDirectoryKey(), encodeDatabaseDirectory(entries)),
    ...cluster.maps.map((map) => valueTask(relationMapKey(map), map.bytes)),
    ...entries.map((entry) =>
      valueTask(relationDirectoryKey(entry), encodeRelationDirectory(entry.relations)),
    ),
  ];
}

function forkTasks(fork: RelationFork, way: ImportWay): ImportTask[] {
  const tasks: ImportTask[] = [];
  let firstBlock = 0;
  for (const segment of fork.segments) {
    const pageCount = segment.size / PAGE_SIZE;
    const start = relationBlockKey({ ...fork, blkno: firstBlock });
    const place = { firstBlock, firstPage: 0, pageCount };
    tasks.push({ kind: 'relation', start, fork, segment, ...place });
    firstBlock += pageCount;
  }
  const size = way === 'classic' ? encodeRelationSize(firstBlock) : encodeLongSize(firstBlock);
  return [...tasks, valueTask(relationSizeKey(fork), size)];
}

/** As the fast way writes it: u64, little-endian. */
function encodeLongSize(pageCount: number): Uint8Array {
  const bytes = new Uint8Array(8);
  bytes.set(encodeRelationSize(pageCount));
  return bytes;
}

function slruTasks({ slrus }: StateFiles): ImportTask[] {
  const directories = SLRU_NAMES.map((slru): ImportTask => {
    const segments = slrus.filter((file) => file.slru === slru).map(({ segno }) => segno);
    return valueTask(slruDirectoryKey(slru), encodeSlruDirectory(segments), 'first');
  });
  const segments = slrus.flatMap((file): ImportTask[] => {
    const { pageCount } = file;
    const size = valueTask(slruSizeKey(file), encodeRelationSize(pageCount), 'first');
    if (pageCount === 0) return [size];
    const start = slruBlockKey({ ...file, blkno: 0 });
    return [{ kind: 'slru', start, file, firstPage: 0, pageCount }, size];
  });
  return [...directories, ...segments];
}

function twophaseTasks({ cluster, state }: SourceCluster, way: ImportWay): ValueTask[] {
  const { majorVersion } = cluster.control;
  const files = way === 'classic' ? state.twophase : [];
  const xids = files.map(({ xid }) => xid);
  const directory = encodeTwophaseDirectory(xids, majorVersion);
  return [
    valueTask(twophaseDirectoryKey(), directory),
    ...files.map(
      ({ xid, segment }): ValueTask => ({
        kind: 'value',
        start: twophaseKey(xid),
        value: { file: segment },
        shards: 'all',
      }),
    ),
  ];
}

function valueTask(start: Key, value: Uint8Array, shards: ValueTask['shards'] = 'all'): ValueTask {
  return { kind: 'value', start, value, shards };
}

/**
 * The keys that a timeline must have at an LSN, according to its directories and sizes. A pageserver keeps only these
 * when it makes images; any other key may disappear.
 *
 *   database directory; for each database its relation map if it has one, its relation directory, and
 *     for each fork the blocks below its size, and the size
 *   shard 0: for each SLRU its directory, and for each segment the blocks below its size, and the size
 *   two-phase directory and files; control file; checkpoint
 *
 * Sparse keys exist or do not: auxiliary files, replication origins, relations that have moved.
 * Source: Neon pageserver/src/pgdatadir_mapping.rs, collect_keyspace.
 */
import { checkMethod } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { formatKey, type Key, type KeyRange, keyFromFields } from '../layers/key.ts';
import { formatLsn, type Lsn } from '../layers/lsn.ts';
import { decodeTwophaseDirectory } from '../postgres/directory-values.ts';
import {
  checkpointKey,
  controlFileKey,
  databaseDirectoryKey,
  type RelationForkId,
  relationBlockKey,
  relationDirectoryKey,
  relationMapKey,
  relationSizeKey,
  type SlruSegmentId,
  slruBlockKey,
  slruDirectoryKey,
  slruSizeKey,
  twophaseDirectoryKey,
  twophaseKey,
} from '../postgres/key-mapping.ts';
import type { TimelineDirectory } from './directory.ts';
import { normalized, singleKey } from './key-space.ts';
import { imageValueOf } from './read-page.ts';
import type { Timeline, TimelineReadOptions } from './timeline.ts';

/** Version of Postgres if the index does not state it. */
const DEFAULT_PG_VERSION = 17;

/** The keys of a timeline at an LSN. */
export interface CollectedKeySpace {
  /** Each key has a value. Ascending, not touching each other. */
  readonly dense: readonly KeyRange[];
  /** Each key may have a value. */
  readonly sparse: readonly KeyRange[];
}

/**
 * Collects the keys that the timeline must have at an LSN.
 *
 * @param lsn Inclusive.
 * @throws `not-found` (a list or a size is missing), and as `Timeline.directory`.
 */
export async function collectKeySpace(
  timeline: Timeline,
  lsn: Lsn,
  options: TimelineReadOptions = {},
): Promise<CollectedKeySpace> {
  checkMethod('timeline', timeline, 'directory');
  const directory = await timeline.directory(lsn, options);
  const ranges = [
    singleKey(databaseDirectoryKey()),
    ...databaseRanges(directory),
    ...slruRanges(directory),
    ...(await twophaseRanges(timeline, lsn, options)),
    singleKey(controlFileKey()),
    singleKey(checkpointKey()),
  ];
  return { dense: normalized(ranges), sparse: SPARSE };
}

const SPARSE: readonly KeyRange[] = [
  { start: metadataKey(0x62, 0), end: metadataKey(0x63, 0) },
  { start: metadataKey(0x63, 0), end: metadataKey(0x63, 0x1_0000) },
  { start: metadataKey(0x65, 0), end: metadataKey(0x66, 0) },
];

function metadataKey(field1: number, field6: number): Key {
  return keyFromFields({ field1, field2: 0, field3: 0, field4: 0, field5: 0, field6 });
}

function* databaseRanges({ lsn, databases }: TimelineDirectory): Generator<KeyRange> {
  for (const database of databases) {
    const { relations, hasRelationMap } = database;
    if (hasRelationMap) yield singleKey(relationMapKey(database));
    const key = relationDirectoryKey(database);
    yield singleKey(key);
    for (const relation of present(relations, key, lsn)) {
      yield* forkRanges({ ...database, ...relation }, relation.blockCount, lsn);
    }
  }
}

function* forkRanges(
  fork: RelationForkId,
  blockCount: number | undefined,
  lsn: Lsn,
): Generator<KeyRange> {
  const sizeKey = relationSizeKey(fork);
  const start = relationBlockKey({ ...fork, blkno: 0 });
  const count = present(blockCount, sizeKey, lsn);
  if (count > 0) {
    const last = relationBlockKey({ ...fork, blkno: count - 1 });
    yield { start, end: singleKey(last).end };
  }
  yield singleKey(sizeKey);
}

function* slruRanges({ lsn, slrus }: TimelineDirectory): Generator<KeyRange> {
  for (const { slru, segments } of slrus) {
    // Shards above 0 have none.
    if (segments === undefined) continue;
    yield singleKey(slruDirectoryKey(slru));
    for (const { segno, blockCount } of segments) {
      yield* segmentRanges({ slru, segno }, blockCount, lsn);
    }
  }
}

function* segmentRanges(
  segment: SlruSegmentId,
  blockCount: number | undefined,
  lsn: Lsn,
): Generator<KeyRange> {
  const sizeKey = slruSizeKey(segment);
  const count = present(blockCount, sizeKey, lsn);
  if (count > 0) {
    const start = slruBlockKey({ ...segment, blkno: 0 });
    yield { start, end: singleKey(slruBlockKey({ ...segment, blkno: count - 1 })).end };
  }
  yield singleKey(sizeKey);
}

async function twophaseRanges(
  timeline: Timeline,
  lsn: Lsn,
  { signal }: TimelineReadOptions,
): Promise<KeyRange[]> {
  const key = twophaseDirectoryKey();
  const [found] = await timeline.reconstructMany([key], lsn, { signal });
  const bytes = present(imageValueOf(found), key, lsn);
  const version = timeline.facts.pgVersion ?? DEFAULT_PG_VERSION;
  return [key, ...decodeTwophaseDirectory(bytes, version).map(twophaseKey)].map(singleKey);
}

function present<T>(value: T | undefined, key: Key, lsn: Lsn): T {
  if (value !== undefined) return value;
  throw new StorageError('not-found', {
    what: 'list or size of a timeline',
    key: formatKey(key),
    lsn: formatLsn(lsn),
  });
}

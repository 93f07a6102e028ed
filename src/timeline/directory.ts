/**
 * The databases, relations and SLRUs of a timeline at an LSN, from the keys that list them:
 *
 *   00 0…                    databases, and whether each has a relation map
 *   00 SPC DB 0 0 1          forks of the relations of a database; their sizes are under FFFFFFFF of each fork
 *   65 SPC DB REL FORK 1     the same if the index says that relations have moved: `r`, or empty once removed
 *   01 KIND 0…               segments of an SLRU; their sizes are under FFFFFFFF of each segment
 *
 * Lists are read first, then all sizes together, so that each layer is read only a few times, however many relations
 * there are. A missing list is distinguished from an empty one. Source: Neon pageserver/src/pgdatadir_mapping.rs.
 */
import { corrupt, isStorageError, StorageError, throwIfAborted, tooLarge } from '../errors.ts';
import { formatKey, type Key, type KeyRange, keyFields, keyFromFields } from '../layers/key.ts';
import { formatLsn, formatPgLsn, type Lsn } from '../layers/lsn.ts';
import {
  type DirectoryDatabase,
  type DirectoryRelation,
  decodeDatabaseDirectory,
  decodeRelationDirectory,
  decodeSlruDirectory,
} from '../postgres/directory-values.ts';
import { forkOfNumber } from '../postgres/fork.ts';
import {
  databaseDirectoryKey,
  relationDirectoryKey,
  relationSizeKey,
  SLRU_NAMES,
  type SlruName,
  slruDirectoryKey,
  slruSizeKey,
} from '../postgres/key-mapping.ts';
import { PAGE_SIZE } from '../postgres/page.ts';
import { decodeRelationSize } from '../postgres/relation-size.ts';
import { imageBytes, imageValueOf, type ReadKeys } from './read-page.ts';
import type { Reconstruction } from './reconstruct.ts';

/** A fork of a relation of a timeline. */
export interface RelationListing extends DirectoryRelation {
  /** Size in blocks; undefined if it is not in the timeline. */
  readonly blockCount: number | undefined;
  /** OID of the relation; undefined without a name. */
  readonly oid?: number | undefined;
  /** Name in pg_class; undefined if names were not requested, or if it is unknown. */
  readonly name?: string | undefined;
}

/** How much of pg_class of a database was read for the names of relations. */
export interface CatalogReading {
  /** Blocks of pg_class. */
  readonly blockCount: number;
  /** Blocks that need redo or are not in the timeline; also those beyond the first 16,384. */
  readonly unreadBlockCount: number;
  /** Rows whose visibility cannot be determined from the timeline. */
  readonly undecidedRowCount: number;
}

/** A database of a timeline. */
export interface DatabaseListing extends DirectoryDatabase {
  /** Forks by relation and fork; undefined if their list is not in the timeline. */
  readonly relations: readonly RelationListing[] | undefined;
  /** Undefined if names were not requested, or if there is no pg_class to read. */
  readonly catalog?: CatalogReading | undefined;
}

/** A segment of an SLRU of a timeline. */
export interface SegmentListing {
  /** Number of the segment. */
  readonly segno: number;
  /** Size in blocks; undefined if it is not in the timeline. */
  readonly blockCount: number | undefined;
}

/** An SLRU of a timeline. */
export interface SlruListing {
  /** Which SLRU it is. */
  readonly slru: SlruName;
  /** Ascending; undefined if their list is not in the timeline, as in all shards but the first. */
  readonly segments: readonly SegmentListing[] | undefined;
}

/** The content of a timeline at an LSN. */
export interface TimelineDirectory {
  /** LSN of the read, inclusive. */
  readonly lsn: Lsn;
  /** By tablespace and database. */
  readonly databases: readonly DatabaseListing[];
  /** All SLRUs that have keys. */
  readonly slrus: readonly SlruListing[];
  /** Bytes of all forks of all relations, as a pageserver counts them; undefined if a size is unknown. */
  readonly logicalSize: bigint | undefined;
}

/** How a timeline is read for its directory, all at one LSN. */
export interface DirectorySource {
  readonly lsn: Lsn;
  readonly read: ReadKeys;
  /** Reads the keys of a range that have a value. */
  readonly readRange: (range: KeyRange) => Promise<readonly Reconstruction[]>;
  /** Whether relations are listed under 65 at that LSN. */
  readonly hasMovedRelations: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Databases, relation forks and segments together: a list that claims more is refused. */
const MAXIMUM_ITEMS = 10_000_000;
/** Keys per read, whose values are all in memory until it ends. */
const KEYS_PER_READ = 65_536;

/**
 * Throws `not-found` if there is no list of databases, `corrupt` and `truncated` for lists that cannot be read,
 * `too-large` for more than 10 million items, and as reads.
 */
export async function readDirectory(source: DirectorySource): Promise<TimelineDirectory> {
  const databases = await listDatabases(source);
  checkItemCount(databases.length);
  const relations = source.hasMovedRelations
    ? await movedRelations(source, databases)
    : await listedRelations(source, databases);
  const slrus = await listSegments(source);
  checkItemCount(databases.length + countItems(relations) + countItems(slrus));
  return withSizes(source, { databases, relations, slrus });
}

async function listDatabases({ lsn, read }: DirectorySource): Promise<DirectoryDatabase[]> {
  const [found] = await read([databaseDirectoryKey()]);
  const bytes = imageValueOf(found);
  if (found !== undefined && bytes !== undefined) {
    return located(found, () => decodeDatabaseDirectory(bytes).map(checkDatabase));
  }
  throw new StorageError('not-found', { what: `no list of databases at ${formatPgLsn(lsn)}` });
}

/** In the order of the databases; undefined for one without a list. */
type Lists<T> = readonly (readonly T[] | undefined)[];

async function listedRelations(
  source: DirectorySource,
  databases: readonly DirectoryDatabase[],
): Promise<Lists<DirectoryRelation>> {
  const keys = databases.map(relationDirectoryKey);
  return readValues(source, keys, (bytes) => decodeRelationDirectory(bytes).map(checkRelation));
}

async function movedRelations(
  { readRange }: DirectorySource,
  databases: readonly DirectoryDatabase[],
): Promise<Lists<DirectoryRelation>> {
  const range = { start: movedKey(MOVED_RELATIONS), end: movedKey(MOVED_RELATIONS + 1) };
  const byDatabase = new Map<string, DirectoryRelation[]>();
  for (const { spcnode, dbnode } of databases) byDatabase.set(`${spcnode}/${dbnode}`, []);
  for (const found of await readRange(range)) {
    const { field2, field3, field4, field5, field6 } = keyFields(found.key);
    const bytes = imageBytes(found);
    if (field6 !== 1 || bytes === undefined || bytes.length === 0) continue;
    const relation = located(found, () => {
      checkExists(bytes);
      return checkRelation({ relnode: field4, fork: forkOfNumber(field5) });
    });
    byDatabase.get(`${field2}/${field3}`)?.push(relation);
  }
  return databases.map(({ spcnode, dbnode }) => byDatabase.get(`${spcnode}/${dbnode}`));
}

const MOVED_RELATIONS = 0x65;
const EXISTS = 'r'.charCodeAt(0);

function checkExists(bytes: Uint8Array): void {
  if (bytes.length === 1 && bytes[0] === EXISTS) return;
  throw corrupt('entry of a relation', undefined, 'r, or nothing', `${bytes.length} bytes`);
}

function movedKey(field1: number): Key {
  return keyFromFields({ field1, field2: 0, field3: 0, field4: 0, field5: 0, field6: 0 });
}

/** In the order of the SLRUs. */
async function listSegments(source: DirectorySource): Promise<Lists<number>> {
  return readValues(source, SLRU_NAMES.map(slruDirectoryKey), decodeSlruDirectory);
}

interface Listed {
  readonly databases: readonly DirectoryDatabase[];
  readonly relations: Lists<DirectoryRelation>;
  readonly slrus: Lists<number>;
}

async function withSizes(
  source: DirectorySource,
  { databases, relations, slrus }: Listed,
): Promise<TimelineDirectory> {
  const keys = [
    ...databases.flatMap((database, index) =>
      (relations[index] ?? []).map((relation) => relationSizeKey({ ...database, ...relation })),
    ),
    ...SLRU_NAMES.flatMap((slru, index) =>
      (slrus[index] ?? []).map((segno) => slruSizeKey({ slru, segno })),
    ),
  ];
  const sizes = (await readValues(source, keys, decodeRelationSize)).values();
  // Sizes come in the order in which their keys were listed.
  const nextSize = (): number | undefined => sizes.next().value;
  const listings = databases.map((database, index) => ({
    ...database,
    relations: relations[index]?.map((relation) => ({ ...relation, blockCount: nextSize() })),
  }));
  return {
    lsn: source.lsn,
    databases: listings,
    slrus: SLRU_NAMES.map((slru, index) => ({
      slru,
      segments: slrus[index]?.map((segno) => ({ segno, blockCount: nextSize() })),
    })),
    logicalSize: logicalSizeOf(listings),
  };
}

function logicalSizeOf(databases: readonly DatabaseListing[]): bigint | undefined {
  let blockCount = 0n;
  for (const { relations } of databases) {
    if (relations === undefined) return undefined;
    for (const relation of relations) {
      if (relation.blockCount === undefined) return undefined;
      blockCount += BigInt(relation.blockCount);
    }
  }
  return blockCount * BigInt(PAGE_SIZE);
}

/** Reads many values, a part at a time. Undefined for a key without a value. */
async function readValues<T>(
  { read, signal }: DirectorySource,
  keys: readonly Key[],
  decode: (bytes: Uint8Array) => T,
): Promise<(T | undefined)[]> {
  const values: (T | undefined)[] = [];
  for (let from = 0; from < keys.length; from += KEYS_PER_READ) {
    throwIfAborted(signal);
    for (const found of await read(keys.slice(from, from + KEYS_PER_READ))) {
      const bytes = imageValueOf(found);
      values.push(bytes === undefined ? undefined : located(found, () => decode(bytes)));
    }
  }
  return values;
}

/** An OID of 0 means that there is no object, so no key has it. */
function checkDatabase(database: DirectoryDatabase): DirectoryDatabase {
  if (database.spcnode !== 0) return database;
  throw corrupt('tablespace of a database', undefined, 'at least 1', '0');
}

function checkRelation(relation: DirectoryRelation): DirectoryRelation {
  if (relation.relnode !== 0) return relation;
  throw corrupt('file number of a relation', undefined, 'at least 1', '0');
}

/** Adds the place of the value to what `decode` throws. */
function located<T>({ key, lsn, base }: Reconstruction, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    if (!isStorageError(error)) throw error;
    const place = { path: base?.layer, offset: base?.offset };
    throw error.with({ ...place, key: formatKey(key), lsn: formatLsn(base?.lsn ?? lsn) });
  }
}

function countItems(lists: Lists<unknown>): number {
  return lists.reduce((sum, list) => sum + (list?.length ?? 0), 0);
}

function checkItemCount(count: number): void {
  if (count <= MAXIMUM_ITEMS) return;
  const unit = 'databases, relation forks and segments';
  throw tooLarge('directory of a timeline', { maximum: MAXIMUM_ITEMS, unit, actual: count });
}

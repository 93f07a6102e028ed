/**
 * Which forks of relations exist, and their sizes. A fork exists if the database directory lists its database and the
 * database's relation directory lists the fork; then it has a size.
 *
 *   create    database directory, if the database is new; relation directory; size
 *   copy      as create, for all forks of a database
 *   extend    size, and zero pages between the old end and the new block
 *   truncate  size
 *   drop      relation directory; sizes and blocks stay, since they are out of reach
 *
 * Source: Neon pageserver/src/pgdatadir_mapping.rs.
 */
import { corrupt, StorageError } from '../../errors.ts';
import { FORK_NAMES, forkOfNumber } from '../../postgres/fork.ts';
import {
  type DatabaseId,
  databaseDirectoryKey,
  relationDirectoryKey,
  relationSizeKey,
} from '../../postgres/key-mapping.ts';
import { decodeRelationSize, encodeRelationSize } from '../../postgres/relation-size.ts';
import {
  DATABASE_DIRECTORY,
  emptyDirectory,
  findItem,
  itemAt,
  itemCount,
  RELATION_DIRECTORY,
  withItem,
  withItems,
  withoutItems,
} from './directory-items.ts';
import { type IngestState, lacking } from './ingest-state.ts';
import type { Asking } from './metadata.ts';
import { NO_FORK } from './relation-sizes.ts';

/** One fork of a relation, all in numbers. */
export interface ForkNumbers extends DatabaseId {
  readonly relnode: number;
  readonly forkNumber: number;
}

/** Blocks of a fork; undefined if it does not exist. Throws `not-found`, `corrupt`. */
export function* forkSize(state: IngestState, fork: ForkNumbers): Asking<number | undefined> {
  const { spcnode, dbnode, relnode, forkNumber } = fork;
  const known = state.sizes.get(spcnode, dbnode, relnode, forkNumber);
  if (known >= 0) return known;
  if (known === NO_FORK) return undefined;
  const key = sizeKey(fork);
  const isListed = yield* isForkListed(state, fork);
  const bytes = isListed ? yield* state.metadata.readOnce(key) : undefined;
  if (isListed && bytes === undefined) throw lacking(`size of ${textOf(fork)}`, 'a size');
  const size = bytes === undefined ? NO_FORK : decodeRelationSize(bytes);
  state.sizes.set(spcnode, dbnode, relnode, forkNumber, size);
  return size === NO_FORK ? undefined : size;
}

/** Creates a fork. Throws `exists`, and as `checkFork`. */
export function* createFork(state: IngestState, fork: ForkNumbers, size: number): Asking<void> {
  checkFork(fork);
  if (!(yield* isDatabaseListed(state, fork))) {
    yield* listDatabase(state, fork, { hasRelationMap: false });
    state.metadata.put(relationDirectoryKey(fork), emptyDirectory());
  }
  const directory = yield* relationDirectory(state, fork);
  checkUnlisted(directory, fork);
  const item = forkItem(fork);
  state.metadata.put(relationDirectoryKey(fork), withItem(directory, RELATION_DIRECTORY, item));
  setForkSize(state, fork, size);
}

/**
 * Lists forks of a database that is listed; each still needs its size. Unlike one `createFork` after the other, it makes
 * only one directory.
 *
 * Throws: as `createFork`.
 */
export function* listForks(
  state: IngestState,
  database: DatabaseId,
  forks: readonly Omit<ForkNumbers, keyof DatabaseId>[],
): Asking<void> {
  const directory = yield* relationDirectory(state, database);
  for (const fork of forks) {
    checkFork({ ...fork, ...database });
    checkUnlisted(directory, { ...fork, ...database });
  }
  const listed = withItems(directory, RELATION_DIRECTORY, forks.map(forkItem));
  state.metadata.put(relationDirectoryKey(database), listed);
}

function checkUnlisted(directory: Uint8Array, fork: ForkNumbers): void {
  if (findItem(directory, RELATION_DIRECTORY, forkItem(fork)) < 0) return;
  throw new StorageError('exists', { what: `${textOf(fork)}, which is to be created` });
}

/** Sets the size of a fork that exists. */
export function setForkSize(state: IngestState, fork: ForkNumbers, size: number): void {
  const { spcnode, dbnode, relnode, forkNumber } = fork;
  state.metadata.put(sizeKey(fork), encodeRelationSize(size));
  state.sizes.set(spcnode, dbnode, relnode, forkNumber, size);
}

/** Cuts a fork, or makes it longer, if it exists. */
export function* truncateFork(state: IngestState, fork: ForkNumbers, size: number): Asking<void> {
  if ((yield* forkSize(state, fork)) !== undefined) setForkSize(state, fork, size);
}

/**
 * Extends a fork to a block, and creates it if it does not exist.
 *
 * Returns: the first block that is missing before this one; the block itself if none is.
 */
export function* extendFork(state: IngestState, fork: ForkNumbers, blkno: number): Asking<number> {
  let size = yield* forkSize(state, fork);
  if (size === undefined) {
    yield* createFork(state, fork, 0);
    size = 0;
  }
  if (blkno < size) return blkno;
  setForkSize(state, fork, blkno + 1);
  return size;
}

/** Drops all forks of relations, those that exist. A directory is put once, and only if something was in it. */
export function* dropRelations(
  state: IngestState,
  relations: readonly Omit<ForkNumbers, 'forkNumber'>[],
): Asking<void> {
  for (const ofDatabase of byDatabase(relations).values()) {
    const database = ofDatabase[0] as DatabaseId;
    if (!(yield* isDatabaseListed(state, database))) continue;
    const directory = yield* relationDirectory(state, database);
    const found = new Set<number>();
    for (const relation of ofDatabase) {
      for (const forkNumber of FORK_NAMES.keys()) {
        const { spcnode, dbnode, relnode } = relation;
        const item = forkItem({ ...relation, forkNumber });
        const index = findItem(directory, RELATION_DIRECTORY, item);
        if (index >= 0) found.add(index);
        state.sizes.set(spcnode, dbnode, relnode, forkNumber, NO_FORK);
      }
    }
    if (found.size === 0) continue;
    const left = withoutItems(directory, RELATION_DIRECTORY, found);
    state.metadata.put(relationDirectoryKey(database), left);
  }
}

function byDatabase<T extends DatabaseId>(relations: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const relation of relations) {
    const name = `${relation.spcnode}/${relation.dbnode}`;
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [relation]);
    else group.push(relation);
  }
  return groups;
}

/** All forks of the relations of a database, in order. Throws `not-found` without a directory. */
export function* forksOf(state: IngestState, database: DatabaseId): Asking<ForkNumbers[]> {
  const directory = yield* relationDirectory(state, database);
  return Array.from({ length: itemCount(directory, RELATION_DIRECTORY) }, (_, index) => {
    const item = itemAt(directory, RELATION_DIRECTORY, index);
    const view = new DataView(item.buffer, item.byteOffset, item.length);
    const { spcnode, dbnode } = database;
    return { spcnode, dbnode, relnode: view.getUint32(0), forkNumber: view.getUint8(4) };
  });
}

/** Lists a database that has a relation map, and gives it an empty relation directory if it is new. */
export function* listDatabaseWithMap(state: IngestState, database: DatabaseId): Asking<void> {
  const directory = yield* databaseDirectory(state);
  const index = findItem(directory, DATABASE_DIRECTORY, databaseItem(database, 1));
  const isMarked = index >= 0 && itemAt(directory, DATABASE_DIRECTORY, index)[8] === 1;
  if (!isMarked) yield* listDatabase(state, database, { hasRelationMap: true });
  if (index < 0) state.metadata.put(relationDirectoryKey(database), emptyDirectory());
}

/** Removes a database from the database directory, if it is listed. */
export function* dropDatabase(state: IngestState, database: DatabaseId): Asking<void> {
  const directory = yield* databaseDirectory(state);
  const index = findItem(directory, DATABASE_DIRECTORY, databaseItem(database, 0));
  state.sizes.forgetDatabase(database.spcnode, database.dbnode);
  if (index < 0) return;
  state.metadata.put(
    databaseDirectoryKey(),
    withoutItems(directory, DATABASE_DIRECTORY, new Set([index])),
  );
}

function* isForkListed(state: IngestState, fork: ForkNumbers): Asking<boolean> {
  if (!(yield* isDatabaseListed(state, fork))) return false;
  const directory = yield* relationDirectory(state, fork);
  return findItem(directory, RELATION_DIRECTORY, forkItem(fork)) >= 0;
}

function* isDatabaseListed(state: IngestState, database: DatabaseId): Asking<boolean> {
  const directory = yield* databaseDirectory(state);
  return findItem(directory, DATABASE_DIRECTORY, databaseItem(database, 0)) >= 0;
}

function* listDatabase(
  state: IngestState,
  database: DatabaseId,
  { hasRelationMap }: { readonly hasRelationMap: boolean },
): Asking<void> {
  const directory = yield* databaseDirectory(state);
  const item = databaseItem(database, hasRelationMap ? 1 : 0);
  state.metadata.put(databaseDirectoryKey(), withItem(directory, DATABASE_DIRECTORY, item));
}

function* databaseDirectory(state: IngestState): Asking<Uint8Array> {
  const key = databaseDirectoryKey();
  const directory = yield* state.metadata.read(key, DATABASE_DIRECTORY.sorted);
  if (directory === undefined) throw lacking('database directory', 'a directory');
  return directory;
}

function* relationDirectory(state: IngestState, database: DatabaseId): Asking<Uint8Array> {
  const key = relationDirectoryKey(database);
  const directory = yield* state.metadata.read(key, RELATION_DIRECTORY.sorted);
  if (directory !== undefined) return directory;
  const what = `relation directory of ${database.spcnode}/${database.dbnode}`;
  throw lacking(what, 'a directory');
}

function databaseItem({ spcnode, dbnode }: DatabaseId, flag: number): Uint8Array {
  const item = new Uint8Array(DATABASE_DIRECTORY.itemSize);
  const view = new DataView(item.buffer);
  view.setUint32(0, spcnode);
  view.setUint32(4, dbnode);
  view.setUint8(8, flag);
  return item;
}

function forkItem({
  relnode,
  forkNumber,
}: Pick<ForkNumbers, 'relnode' | 'forkNumber'>): Uint8Array {
  const item = new Uint8Array(RELATION_DIRECTORY.itemSize);
  const view = new DataView(item.buffer);
  view.setUint32(0, relnode);
  view.setUint8(4, forkNumber);
  return item;
}

function sizeKey(fork: ForkNumbers): Uint8Array {
  checkFork(fork);
  return relationSizeKey({ ...fork, fork: forkOfNumber(fork.forkNumber) });
}

/** Key field 2 has 16 bits in a pageserver, or is FFFFFFFF. */
const MAXIMUM_TABLESPACE = 0xffff;
const ANY_TABLESPACE = 0xffff_ffff;

/** Whether a pageserver can hold blocks of the tablespace. */
function fitsTablespace(spcnode: number): boolean {
  return spcnode <= MAXIMUM_TABLESPACE || spcnode === ANY_TABLESPACE;
}

/**
 * Throws `corrupt` for a fork that Postgres does not have, and as `checkRelation`. A pageserver takes any number, but no
 * server could use the fork.
 */
export function checkFork(fork: ForkNumbers): void {
  checkRelation(fork);
  if (fork.forkNumber < FORK_NAMES.length) return;
  const expected = `0 to ${FORK_NAMES.length - 1}`;
  throw corrupt(`fork of relation ${fork.relnode}`, undefined, expected, `${fork.forkNumber}`);
}

/** Throws `out-of-range` for a relation that has no keys. */
export function checkRelation(fork: Omit<ForkNumbers, 'forkNumber'>): void {
  if (fork.relnode === 0) {
    throw new StorageError('out-of-range', { what: 'relation', expected: 'above 0', actual: '0' });
  }
  if (fitsTablespace(fork.spcnode)) return;
  throw new StorageError('out-of-range', {
    what: 'tablespace',
    expected: `at most ${MAXIMUM_TABLESPACE}`,
    actual: `${fork.spcnode}`,
  });
}

function textOf({ spcnode, dbnode, relnode, forkNumber }: ForkNumbers): string {
  return `${spcnode}/${dbnode}/${relnode} ${forkOfNumber(forkNumber)}`;
}

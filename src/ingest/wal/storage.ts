/**
 * Files of relations that are created or truncated, and databases that are copied or dropped.
 *
 * TRUNCATE to b blocks cuts, as its flags say: the main fork at b; the free space map after the page that has
 * the slots of b, which becomes zeros; the visibility map after the page that has the bits of b, in which those
 * of the removed blocks are cleared. These two pages are put even if the fork does not have them.
 *
 * The free space map is a tree of pages in depth-first order: a page of leaves has 4,069 slots.
 * Source: Neon pageserver/src/walingest.rs.
 */

import { formatKey } from '../../layers/key.ts';
import { forkNumberOf, forkOfNumber } from '../../postgres/fork.ts';
import { type DatabaseId, relationBlockKey, relationMapKey } from '../../postgres/key-mapping.ts';
import { mapPlaceOf } from '../../postgres/neon-records.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { decodeDatabaseCopy, decodeDatabaseDrop } from '../../wal/main-data/database.ts';
import { decodeRelationMapUpdate } from '../../wal/main-data/relation-map.ts';
import {
  decodeStorageCreate,
  decodeStorageTruncate,
  type StorageTruncation,
  TRUNCATED_FORKS,
} from '../../wal/main-data/storage.ts';
import type { WalRecord } from '../../wal/record-format.ts';
import { type IngestState, lacking } from './ingest-state.ts';
import type { Asking } from './metadata.ts';
import {
  checkRelation,
  createFork,
  dropDatabase,
  type ForkNumbers,
  forkSize,
  forksOf,
  listDatabaseWithMap,
  listForks,
  setForkSize,
  truncateFork,
} from './relations.ts';

export function* createStorage(state: IngestState, { mainData }: WalRecord): Asking<void> {
  yield* createFork(state, decodeStorageCreate(mainData), 0);
}

export function* truncateStorage(state: IngestState, { mainData }: WalRecord): Asking<void> {
  const truncation = decodeStorageTruncate(mainData);
  checkRelation(truncation);
  const { flags, blockCount } = truncation;
  if ((flags & TRUNCATED_FORKS.main) !== 0) {
    yield* truncateFork(state, forkOf(truncation, 'main'), blockCount);
  }
  if ((flags & TRUNCATED_FORKS.fsm) !== 0) yield* cutFork(state, freeSpaceTail(state, truncation));
  if ((flags & TRUNCATED_FORKS.vm) !== 0) yield* cutFork(state, visibilityTail(state, truncation));
}

/** Where a map is truncated. */
interface Tail {
  readonly fork: ForkNumbers;
  readonly size: number;
}

function* cutFork(state: IngestState, { fork, size }: Tail): Asking<void> {
  const before = yield* forkSize(state, fork);
  if (before !== undefined && before > size) yield* truncateFork(state, fork, size);
}

const SLOTS_PER_PAGE = 4069;

/** Puts the last page of the free space map that stays. */
function freeSpaceTail(state: IngestState, truncation: StorageTruncation): Tail {
  const { blockCount } = truncation;
  const fork = forkOf(truncation, 'fsm');
  const page = pageOfLeaf(Math.floor(blockCount / SLOTS_PER_PAGE));
  const key = blockKey(fork, page);
  if (blockCount % SLOTS_PER_PAGE === 0 || !state.owns(key)) return { fork, size: page };
  state.putValue(key, { type: 'image', bytes: new Uint8Array(PAGE_SIZE) });
  return { fork, size: page + 1 };
}

/** The leaf and those before it, and the pages of both levels above them, without the leaf itself. */
function pageOfLeaf(leaf: number): number {
  const middle = Math.floor(leaf / SLOTS_PER_PAGE);
  const root = Math.floor(middle / SLOTS_PER_PAGE);
  return leaf + 1 + (middle + 1) + (root + 1) - 1;
}

/** Puts the record that clears the end of the last page of the visibility map that stays. */
function visibilityTail(state: IngestState, truncation: StorageTruncation): Tail {
  const { blockCount } = truncation;
  const fork = forkOf(truncation, 'vm');
  const { mapBlock: page, byte: truncByte, bit: truncOffset } = mapPlaceOf(blockCount);
  const key = blockKey(fork, page);
  if ((truncByte === 0 && truncOffset === 0) || !state.owns(key)) return { fork, size: page };
  const record = { truncByte: BigInt(truncByte), truncOffset: BigInt(truncOffset) };
  state.putValue(key, { type: 'truncate_vm', ...record });
  return { fork, size: page + 1 };
}

/** A database becomes a copy of another one, page by page, in the order of their keys. */
export function* copyDatabase(state: IngestState, { mainData }: WalRecord): Asking<void> {
  const { source, target } = decodeDatabaseCopy(mainData);
  const map = yield* state.metadata.readOnce(relationMapKey(source));
  if (map === undefined) throw lacking(`relation map of ${textOf(source)}`, 'a relation map');
  const forks = yield* forksOf(state, source);
  yield* putRelationMap(state, target, map);
  yield* listForks(state, target, forks);
  for (const fork of forks) yield* copyFork(state, fork, { ...fork, ...target });
}

/** The size comes last, since its key is above those of the blocks. */
function* copyFork(state: IngestState, from: ForkNumbers, to: ForkNumbers): Asking<void> {
  const size = yield* forkSize(state, from);
  if (size === undefined) throw lacking(`fork of ${textOf(from)}`, 'a size');
  for (let blkno = 0; blkno < size; blkno += 1) {
    const key = blockKey(from, blkno);
    if (state.owns(key)) yield* copyBlock(state, key, blockKey(to, blkno));
  }
  setForkSize(state, to, size);
}

function* copyBlock(state: IngestState, from: Uint8Array, to: Uint8Array): Asking<void> {
  const page = yield from;
  if (page === undefined)
    throw lacking('page that is copied', 'a page').with({ key: formatKey(from) });
  if (state.isCrowded) yield* state.makeRoom(to);
  state.putValue(to, { type: 'image', bytes: page });
}

export function* dropDatabases(state: IngestState, { mainData }: WalRecord): Asking<void> {
  const { dbnode, spcnodes } = decodeDatabaseDrop(mainData);
  for (const spcnode of spcnodes) yield* dropDatabase(state, { spcnode, dbnode });
}

export function* updateRelationMap(state: IngestState, record: WalRecord): Asking<void> {
  const { map, ...database } = decodeRelationMapUpdate(record.mainData, state.majorVersion);
  yield* putRelationMap(state, database, map.slice());
}

function* putRelationMap(state: IngestState, database: DatabaseId, map: Uint8Array): Asking<void> {
  yield* listDatabaseWithMap(state, database);
  state.metadata.put(relationMapKey(database), map);
}

function forkOf(
  { spcnode, dbnode, relnode }: StorageTruncation,
  name: 'main' | 'fsm' | 'vm',
): ForkNumbers {
  return { spcnode, dbnode, relnode, forkNumber: forkNumberOf(name) };
}

function blockKey(fork: ForkNumbers, blkno: number): Uint8Array {
  return relationBlockKey({ ...fork, fork: forkOfNumber(fork.forkNumber), blkno });
}

function textOf({ spcnode, dbnode }: DatabaseId): string {
  return `${spcnode}/${dbnode}`;
}

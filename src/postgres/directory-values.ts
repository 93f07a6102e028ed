/**
 * Directories: values that list the content of a timeline at an LSN. Big-endian; each begins with a u64 count.
 *
 *   database directory    n * (tablespace u32, database u32, has a relation map u8)
 *   relation directory    n * (relation u32, fork u8)
 *   SLRU directory        n * segment u32
 *   two-phase directory   n * transaction, u32 up to version 16, u64 from 17
 *
 * A pageserver writes them in any order; encoding sorts, so that equal directories are equal bytes.
 * Source: Neon pageserver/src/pgdatadir_mapping.rs.
 */

import { BincodeDecoder, BincodeEncoder, type StoredList } from '../bincode.ts';
import { checkBytes, checkCount } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { type Fork, forkNumberOf, forkOfNumber } from './fork.ts';
import type { DatabaseId } from './key-mapping.ts';

/** A database in the database directory. */
export interface DirectoryDatabase extends DatabaseId {
  /** True once its relation map was stored. */
  readonly hasRelationMap: boolean;
}

/** A relation fork in a relation directory. */
export interface DirectoryRelation {
  /** The relation's file number. */
  readonly relnode: number;
  /** Fork of the relation. */
  readonly fork: Fork;
}

const COUNT_SIZE = 8;

/**
 * Decodes a database directory.
 *
 * @returns The databases, by tablespace and database.
 * @throws `corrupt`, `truncated`; `corrupt` also for a database that is listed twice.
 */
export function decodeDatabaseDirectory(bytes: Uint8Array): DirectoryDatabase[] {
  const databases = decodeList(bytes, 'database directory', 9, (view, at) => ({
    spcnode: view.getUint32(at),
    dbnode: view.getUint32(at + 4),
    hasRelationMap: flagAt(view, at + 8),
  }));
  return sorted('database directory', databases, compareDatabases);
}

/** Encodes a database directory, sorted. @throws `out-of-range`. */
export function encodeDatabaseDirectory(databases: readonly DirectoryDatabase[]): Uint8Array {
  checkItems('databases', databases, 'object');
  const encoder = new BincodeEncoder(COUNT_SIZE + 9 * databases.length).count(databases.length);
  for (const { spcnode, dbnode, hasRelationMap } of databases.toSorted(compareDatabases)) {
    encoder
      .u32(spcnode)
      .u32(dbnode)
      .u8(hasRelationMap ? 1 : 0);
  }
  return encoder.finish();
}

/**
 * Decodes a relation directory.
 *
 * @returns The relation forks, by file number and fork.
 * @throws `corrupt`, `truncated`; `corrupt` also for a fork that is listed twice.
 */
export function decodeRelationDirectory(bytes: Uint8Array): DirectoryRelation[] {
  const relations = decodeList(bytes, 'relation directory', 5, (view, at) => ({
    relnode: view.getUint32(at),
    fork: forkOfNumber(view.getUint8(at + 4)),
  }));
  return sorted('relation directory', relations, compareRelations);
}

/** Encodes a relation directory, sorted. @throws `out-of-range`. */
export function encodeRelationDirectory(relations: readonly DirectoryRelation[]): Uint8Array {
  checkItems('relations', relations, 'object');
  const encoder = new BincodeEncoder(COUNT_SIZE + 5 * relations.length).count(relations.length);
  for (const { relnode, fork } of relations.toSorted(compareRelations)) {
    encoder.u32(relnode).u8(forkNumberOf(fork));
  }
  return encoder.finish();
}

/**
 * Decodes an SLRU directory.
 *
 * @returns Segment numbers, ascending.
 * @throws `corrupt`, `truncated`; `corrupt` also for a segment that is listed twice.
 */
export function decodeSlruDirectory(bytes: Uint8Array): number[] {
  const segments = decodeList(bytes, 'SLRU directory', 4, (view, at) => view.getUint32(at));
  return sorted('SLRU directory', segments, (left, right) => left - right);
}

/** Encodes an SLRU directory, sorted. @throws `out-of-range`. */
export function encodeSlruDirectory(segments: readonly number[]): Uint8Array {
  checkItems('segments', segments, 'number');
  return new BincodeEncoder(COUNT_SIZE + 4 * segments.length)
    .u32List(segments.toSorted((left, right) => left - right))
    .finish();
}

/**
 * Decodes a two-phase directory.
 *
 * @param majorVersion Version of Postgres: transactions have 64 bits from 17 on.
 * @returns Transactions, ascending.
 * @throws `corrupt`, `truncated`; `corrupt` also for a transaction that is listed twice.
 */
export function decodeTwophaseDirectory(bytes: Uint8Array, majorVersion: number): bigint[] {
  const size = xidSize(majorVersion);
  const xids = decodeList(bytes, 'two-phase directory', size, (view, at) =>
    size === 8 ? view.getBigUint64(at) : BigInt(view.getUint32(at)),
  );
  return sorted('two-phase directory', xids, compareNumbers);
}

/** Encodes a two-phase directory, sorted. @throws `out-of-range`. */
export function encodeTwophaseDirectory(xids: readonly bigint[], majorVersion: number): Uint8Array {
  checkItems('transactions', xids, 'bigint');
  const size = xidSize(majorVersion);
  const encoder = new BincodeEncoder(COUNT_SIZE + size * xids.length).count(xids.length);
  for (const xid of xids.toSorted(compareNumbers)) {
    if (size === 8) encoder.u64(xid);
    else encoder.u32(Number(xid));
  }
  return encoder.finish();
}

function checkItems(what: string, items: unknown, type: 'object' | 'number' | 'bigint'): void {
  // A copy, because `every` skips the holes of a list.
  const isList =
    Array.isArray(items) &&
    Array.from(items).every((item) => item !== null && typeof item === type);
  if (isList) return;
  throw new StorageError('invalid-input', { what, expected: `a list of ${type}s` });
}

function xidSize(majorVersion: number): 4 | 8 {
  checkCount('major version of Postgres', majorVersion, { from: 14, to: 17 });
  return majorVersion < 17 ? 4 : 8;
}

function decodeList<T>(
  bytes: Uint8Array,
  what: string,
  itemSize: number,
  decodeItem: (view: DataView, at: number) => T,
): T[] {
  checkBytes(bytes, what);
  const decoder = new BincodeDecoder(bytes);
  const list: StoredList<T> = decoder.list(what, itemSize, decodeItem);
  decoder.expectEnd();
  return list.slice(0, list.length);
}

function flagAt(view: DataView, at: number): boolean {
  const flag = view.getUint8(at);
  if (flag <= 1) return flag === 1;
  throw new StorageError('corrupt', {
    what: 'flag in the database directory',
    offset: at,
    expected: '0 or 1',
    actual: `${flag}`,
  });
}

function sorted<T>(what: string, items: T[], compare: (left: T, right: T) => number): T[] {
  items.sort(compare);
  for (let index = 1; index < items.length; index += 1) {
    if (compare(items[index - 1] as T, items[index] as T) !== 0) continue;
    throw new StorageError('corrupt', { what: `${what} lists an item twice` });
  }
  return items;
}

function compareDatabases(left: DatabaseId, right: DatabaseId): number {
  return left.spcnode - right.spcnode || left.dbnode - right.dbnode;
}

function compareRelations(left: DirectoryRelation, right: DirectoryRelation): number {
  return left.relnode - right.relnode || forkNumberOf(left.fork) - forkNumberOf(right.fork);
}

function compareNumbers(left: bigint, right: bigint): number {
  return left < right ? -1 : Number(left > right);
}

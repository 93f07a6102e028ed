/**
 * The meaning of keys: Neon's mapping of a Postgres cluster to 18-byte keys.
 *
 *   00 SPC DB REL FORK BLK            block of a relation fork           8,192 bytes
 *   00 SPC DB REL FORK FFFFFFFF       size of that fork                  u32 little-endian, blocks
 *   00 SPC DB 0 00 00000000           relation map (pg_filenode.map)     file content
 *   00 SPC DB 0 00 00000001           relation directory                 serialized set
 *   00 0   0  0 00 00000000           database directory                 serialized map
 *   01 KIND 1 SEGNO 00 BLK            block of an SLRU segment           8,192 bytes
 *   01 KIND 1 SEGNO 00 FFFFFFFF       size of that segment               u32 little-endian, blocks
 *   01 KIND 0 0 00 00000000           SLRU directory                     serialized set
 *   02 0 0 XID>>40 XID>>32 XID        two-phase file; XID 0: directory
 *   03 0 0 0 00 00000000..2           control file, checkpoint, aux files
 *   60..7E                            metadata keys
 *
 * SPC, DB, REL are OIDs and never 0 in Postgres, except DB of the shared catalogs (1664/0).
 * All keys that the table does not list are `unknown`. Two exceptions are
 * Neon's own: a relation fork above 3 is a relation block like any other, and a block number of
 * FFFFFFFF is always the size. The 64-bit XID is split over the last three fields (Postgres 17).
 * Source: Neon libs/pageserver_api/src/key.rs.
 */
import { checkBigint, checkObject } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { U32_MAXIMUM, U64_MAXIMUM } from '../integers.ts';
import { type Key, keyFields, keyFromFields } from '../layers/key.ts';
import { valueText } from '../printable.ts';
import { type Fork, forkNumberOf, forkOfNumber } from './fork.ts';

/** The block number of the size in a key; the last real block is one below. */
export const SIZE_BLOCK_NUMBER = 0xffff_ffff;
/** The last block number of a fork or an SLRU segment. */
export const MAXIMUM_BLOCK_NUMBER = SIZE_BLOCK_NUMBER - 1;
export const MAXIMUM_OID = U32_MAXIMUM;
export const MAXIMUM_XID = U64_MAXIMUM;

/** OID of the default tablespace, pg_default (`base`). */
export const DEFAULT_TABLESPACE_OID = 1663;
/** OID of the tablespace of the shared catalogs, pg_global (`global`). */
export const GLOBAL_TABLESPACE_OID = 1664;

/** SLRUs that have keys, in the order of their numbers in a key. */
export const SLRU_NAMES = ['clog', 'multixact_members', 'multixact_offsets'] as const;
/** Name of an SLRU: a transaction log that Postgres keeps in segments of pages. */
export type SlruName = (typeof SLRU_NAMES)[number];
/** Pages of a full segment of an SLRU. */
export const SLRU_SEGMENT_PAGES = 32;

const METADATA_FIRST = 0x60;
const METADATA_LAST = 0x7e;

/** A database in one tablespace. */
export interface DatabaseId {
  /** OID of the tablespace. */
  readonly spcnode: number;
  /** OID of the database; 0 for the shared catalogs. */
  readonly dbnode: number;
}

/** One fork of a relation. */
export interface RelationForkId extends DatabaseId {
  /** The relation's file number (relfilenode), never 0. */
  readonly relnode: number;
  /** Fork of the relation. */
  readonly fork: Fork;
}

/** One segment of an SLRU. */
export interface SlruSegmentId {
  /** Which SLRU it is. */
  readonly slru: SlruName;
  /** Number of the segment. */
  readonly segno: number;
}

/** The meaning of a key, with the fields of its kind. `blkno` is a block number. */
export type KeyMeaning =
  | ({ readonly kind: 'rel_block'; readonly blkno: number } & RelationForkId)
  | ({ readonly kind: 'rel_size' } & RelationForkId)
  | ({ readonly kind: 'relmap' } & DatabaseId)
  | ({ readonly kind: 'rel_dir' } & DatabaseId)
  | { readonly kind: 'db_dir' }
  | ({ readonly kind: 'slru_block'; readonly blkno: number } & SlruSegmentId)
  | ({ readonly kind: 'slru_size' } & SlruSegmentId)
  | { readonly kind: 'slru_dir'; readonly slru: SlruName }
  | { readonly kind: 'twophase'; readonly xid: bigint }
  | { readonly kind: 'twophase_dir' }
  | { readonly kind: 'control_file' }
  | { readonly kind: 'checkpoint' }
  | { readonly kind: 'aux_files' }
  | { readonly kind: 'metadata' }
  | { readonly kind: 'unknown' };

/** Kind of a key. */
export type KeyKind = KeyMeaning['kind'];

/**
 * Describes the meaning of a key; `unknown` for one that the mapping does not define.
 *
 * @throws `invalid-input` unless the key has 18 bytes.
 */
export function describeKey(key: Key): KeyMeaning {
  const { field1 } = keyFields(key);
  if (field1 === 0) return describeRelationKey(key);
  if (field1 === 1) return describeSlruKey(key);
  if (field1 === 2) return describeTwophaseKey(key);
  if (field1 === 3) return describeSingleKey(key);
  if (field1 >= METADATA_FIRST && field1 <= METADATA_LAST) return { kind: 'metadata' };
  return { kind: 'unknown' };
}

function describeRelationKey(key: Key): KeyMeaning {
  const { field2: spcnode, field3: dbnode, field4: relnode, field5, field6 } = keyFields(key);
  if (relnode !== 0) {
    const relation = { spcnode, dbnode, relnode, fork: forkOfNumber(field5) };
    if (field6 === SIZE_BLOCK_NUMBER) return { kind: 'rel_size', ...relation };
    return { kind: 'rel_block', ...relation, blkno: field6 };
  }
  if (spcnode === 0 && dbnode === 0 && field5 === 0 && field6 === 0) return { kind: 'db_dir' };
  if (spcnode === 0 || field5 !== 0) return { kind: 'unknown' };
  if (field6 === 0) return { kind: 'relmap', spcnode, dbnode };
  if (field6 === 1) return { kind: 'rel_dir', spcnode, dbnode };
  return { kind: 'unknown' };
}

function describeSlruKey(key: Key): KeyMeaning {
  const { field2, field3, field4: segno, field5, field6 } = keyFields(key);
  const slru = SLRU_NAMES[field2];
  if (slru === undefined || field5 !== 0) return { kind: 'unknown' };
  if (field3 === 0 && segno === 0 && field6 === 0) return { kind: 'slru_dir', slru };
  if (field3 !== 1) return { kind: 'unknown' };
  if (field6 === SIZE_BLOCK_NUMBER) return { kind: 'slru_size', slru, segno };
  return { kind: 'slru_block', slru, segno, blkno: field6 };
}

function describeTwophaseKey(key: Key): KeyMeaning {
  const { field2, field3, field4, field5, field6 } = keyFields(key);
  if (field2 !== 0 || field3 !== 0 || field4 > 0xff_ffff) return { kind: 'unknown' };
  const xid = (BigInt(field4) << 40n) | (BigInt(field5) << 32n) | BigInt(field6);
  return xid === 0n ? { kind: 'twophase_dir' } : { kind: 'twophase', xid };
}

function describeSingleKey(key: Key): KeyMeaning {
  const { field2, field3, field4, field5, field6 } = keyFields(key);
  if (field2 !== 0 || field3 !== 0 || field4 !== 0 || field5 !== 0) return { kind: 'unknown' };
  if (field6 === 0) return { kind: 'control_file' };
  if (field6 === 1) return { kind: 'checkpoint' };
  if (field6 === 2) return { kind: 'aux_files' };
  return { kind: 'unknown' };
}

/**
 * Key of a block of a relation fork.
 *
 * @param block `blkno` is at most `MAXIMUM_BLOCK_NUMBER`.
 * @throws `out-of-range`.
 */
export function relationBlockKey(block: RelationForkId & { readonly blkno: number }): Key {
  checkObject('block', block);
  return relationKey(block, checkBlockNumber(block.blkno));
}

/** Key of the size of a fork, the key after its last possible block. @throws `out-of-range`. */
export function relationSizeKey(relation: RelationForkId): Key {
  return relationKey(relation, SIZE_BLOCK_NUMBER);
}

/** Key of the relation map of a database. @throws `out-of-range`. */
export function relationMapKey(database: DatabaseId): Key {
  return databaseKey(database, 0);
}

/** Key of the relation directory of a database. @throws `out-of-range`. */
export function relationDirectoryKey(database: DatabaseId): Key {
  return databaseKey(database, 1);
}

/** Key of the database directory. */
export function databaseDirectoryKey(): Key {
  return keyFromFields({ ...NO_FIELDS, field1: 0 });
}

/**
 * Key of a block of an SLRU segment.
 *
 * @param block `blkno` is at most `MAXIMUM_BLOCK_NUMBER`.
 * @throws `out-of-range`.
 */
export function slruBlockKey(block: SlruSegmentId & { readonly blkno: number }): Key {
  checkObject('block', block);
  return slruKey(block, checkBlockNumber(block.blkno));
}

/** Key of the size of an SLRU segment. @throws `out-of-range`. */
export function slruSizeKey(segment: SlruSegmentId): Key {
  return slruKey(segment, SIZE_BLOCK_NUMBER);
}

/** Key of the directory of an SLRU. @throws `out-of-range`. */
export function slruDirectoryKey(slru: SlruName): Key {
  return keyFromFields({ ...NO_FIELDS, field1: 1, field2: slruNumberOf(slru) });
}

/**
 * Key of the two-phase state of a transaction.
 *
 * @param xid At least 1: 0 is the directory.
 * @throws `out-of-range`.
 */
export function twophaseKey(xid: bigint): Key {
  checkBigint('xid', xid);
  if (xid < 1n || xid > MAXIMUM_XID) {
    throw outOfRange('xid', `1 to ${MAXIMUM_XID}`, valueText(xid));
  }
  return keyFromFields({
    ...NO_FIELDS,
    field1: 2,
    field4: Number(xid >> 40n),
    field5: Number((xid >> 32n) & 0xffn),
    field6: Number(xid & 0xffff_ffffn),
  });
}

/** Key of the directory of two-phase files. */
export function twophaseDirectoryKey(): Key {
  return keyFromFields({ ...NO_FIELDS, field1: 2 });
}

/** Key of the control file. */
export function controlFileKey(): Key {
  return keyFromFields({ ...NO_FIELDS, field1: 3, field6: 0 });
}

/** Key of the checkpoint record. */
export function checkpointKey(): Key {
  return keyFromFields({ ...NO_FIELDS, field1: 3, field6: 1 });
}

/** Key of the directory of auxiliary files. */
export function auxFilesKey(): Key {
  return keyFromFields({ ...NO_FIELDS, field1: 3, field6: 2 });
}

const NO_FIELDS = { field2: 0, field3: 0, field4: 0, field5: 0, field6: 0 };

function relationKey(relation: RelationForkId, field6: number): Key {
  checkObject('relation', relation);
  return keyFromFields({
    field1: 0,
    field2: checkOid('spcnode', relation.spcnode, 0),
    field3: checkOid('dbnode', relation.dbnode, 0),
    field4: checkOid('relnode', relation.relnode, 1),
    field5: forkNumberOf(relation.fork),
    field6,
  });
}

function databaseKey(database: DatabaseId, field6: number): Key {
  checkObject('database', database);
  return keyFromFields({
    ...NO_FIELDS,
    field1: 0,
    field2: checkOid('spcnode', database.spcnode, 1),
    field3: checkOid('dbnode', database.dbnode, 0),
    field6,
  });
}

/** The block of a page, whose number counts from the first segment on. */
export function slruBlockOfPage<S extends SlruName>(
  slru: S,
  page: number,
): SlruSegmentId & { readonly slru: S; readonly blkno: number } {
  const segno = Math.floor(page / SLRU_SEGMENT_PAGES);
  return { slru, segno, blkno: page % SLRU_SEGMENT_PAGES };
}

function slruKey(segment: SlruSegmentId, field6: number): Key {
  checkObject('segment', segment);
  return keyFromFields({
    field1: 1,
    field2: slruNumberOf(segment.slru),
    field3: 1,
    field4: checkOid('segno', segment.segno, 0),
    field5: 0,
    field6,
  });
}

function slruNumberOf(slru: SlruName): number {
  const number = SLRU_NAMES.indexOf(slru);
  if (number < 0) throw outOfRange('slru', SLRU_NAMES.join(', '), valueText(slru));
  return number;
}

function checkBlockNumber(blkno: number): number {
  if (Number.isInteger(blkno) && blkno >= 0 && blkno <= MAXIMUM_BLOCK_NUMBER) return blkno;
  throw outOfRange('blkno', `0 to ${MAXIMUM_BLOCK_NUMBER}`, valueText(blkno));
}

function checkOid(name: string, value: number, minimum: number): number {
  if (Number.isInteger(value) && value >= minimum && value <= MAXIMUM_OID) return value;
  throw outOfRange(name, `${minimum} to ${MAXIMUM_OID}`, valueText(value));
}

function outOfRange(what: string, expected: string, actual: string): StorageError {
  return new StorageError('out-of-range', { what, expected, actual });
}

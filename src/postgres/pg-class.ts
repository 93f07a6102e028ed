/**
 * pg_class: the catalog of relations, a row for each. The first columns are the same in versions 14 to 17 and are
 * never null, little-endian:
 *
 *   0    u32   OID of the relation
 *   4    64    name, up to the first zero byte
 *   68   u32   OID of its schema
 *   88   u32   file number; 0: the relation map has it, or there is no file
 *   92   u32   tablespace; 0: that of the database
 *   113  u8    whether all databases share it
 *
 * Source: Postgres src/include/catalog/pg_class.h.
 */
import { corrupt } from '../errors.ts';
import type { HeapTuple } from './heap-page.ts';

/** OID of pg_class itself, by which a relation map has its file number. */
export const PG_CLASS_OID = 1259;

/** The columns of a relation in the catalog. */
export interface CatalogRelation {
  readonly oid: number;
  /** Bytes that are not UTF-8 are replaced. */
  readonly name: string;
  readonly schemaOid: number;
  /** 0: the relation map has it, or there is no file. */
  readonly relnode: number;
  /** 0: that of the database. */
  readonly spcnode: number;
  readonly isShared: boolean;
}

const NAME_OFFSET = 4;
const NAME_SIZE = 64;
const SIZE = 114;
const COLUMN_COUNT = 13;
const UTF8 = new TextDecoder();

/** Throws `corrupt` for a row that is too short to be one of pg_class. */
export function decodeCatalogRelation({ columns, columnCount }: HeapTuple): CatalogRelation {
  if (columns.length < SIZE || columnCount < COLUMN_COUNT) {
    const actual = `${columnCount} columns, ${columns.length} bytes`;
    const expected = `at least ${COLUMN_COUNT} columns, ${SIZE} bytes`;
    throw corrupt('row of pg_class', undefined, expected, actual);
  }
  const view = new DataView(columns.buffer, columns.byteOffset, SIZE);
  const name = columns.subarray(NAME_OFFSET, NAME_OFFSET + NAME_SIZE);
  const nameEnd = name.indexOf(0);
  return {
    oid: view.getUint32(0, true),
    name: UTF8.decode(nameEnd < 0 ? name : name.subarray(0, nameEnd)),
    schemaOid: view.getUint32(68, true),
    relnode: view.getUint32(88, true),
    spcnode: view.getUint32(92, true),
    isShared: view.getUint8(113) !== 0,
  };
}

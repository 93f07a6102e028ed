/**
 * Main data of resource manager Database.
 *
 *   CREATE (14), CREATE_FILE_COPY  u32 database, u32 tablespace, u32 source database, u32 source tablespace
 *   CREATE_WAL_LOG                 u32 database, u32 tablespace
 *   DROP                           u32 database, i32 n, n * u32 tablespace
 *
 * The operation in the info byte: 14 has 00 CREATE, 10 DROP; later versions 00 CREATE_FILE_COPY,
 * 10 CREATE_WAL_LOG, 20 DROP.
 * Source: Postgres src/include/commands/dbcommands_xlog.h.
 */
import type { DatabaseId } from '../../postgres/key-mapping.ts';
import { countedList, decoderOf, u32At } from './main-data.ts';

/** CREATE of 14, and CREATE_FILE_COPY. */
export interface DatabaseCopy {
  /** The new database. */
  readonly target: DatabaseId;
  /** The database that is copied. */
  readonly source: DatabaseId;
}

/** DROP. */
export interface DatabaseDrop {
  /** OID of the database. */
  readonly dbnode: number;
  /** The tablespaces where it has files. */
  readonly spcnodes: readonly number[];
}

/** Decodes the main data of a copy. @throws `corrupt`, `invalid-input`. */
export function decodeDatabaseCopy(mainData: Uint8Array): DatabaseCopy {
  const decoder = decoderOf(mainData);
  const target = { dbnode: decoder.u32('database'), spcnode: decoder.u32('tablespace') };
  const source = {
    dbnode: decoder.u32('source database'),
    spcnode: decoder.u32('source tablespace'),
  };
  decoder.expectEnd();
  return { target, source };
}

/** Decodes the main data of CREATE_WAL_LOG. @throws `corrupt`, `invalid-input`. */
export function decodeDatabaseCreateByLog(mainData: Uint8Array): DatabaseId {
  const decoder = decoderOf(mainData);
  const database = { dbnode: decoder.u32('database'), spcnode: decoder.u32('tablespace') };
  decoder.expectEnd();
  return database;
}

/** Decodes the main data of DROP. @throws `corrupt`, `invalid-input`. */
export function decodeDatabaseDrop(mainData: Uint8Array): DatabaseDrop {
  const decoder = decoderOf(mainData);
  const dbnode = decoder.u32('database');
  const spcnodes = countedList(decoder, 'tablespaces', 4, u32At);
  decoder.expectEnd();
  return { dbnode, spcnodes };
}

/**
 * Main data of resource manager CLOG: the status of transactions.
 *
 *   ZEROPAGE  i32 page number; i64 from 17 on (`decodeZeroPage`)
 *   TRUNCATE  the same, u32 oldest transaction, u32 its database
 *
 * Source: Postgres src/backend/access/transam/clog.c.
 */
import { decoderOf, slruPageNumber } from './main-data.ts';

/** TRUNCATE. */
export interface ClogTruncation {
  /** The first page that stays. */
  readonly page: bigint;
  /** The oldest transaction whose status is kept. */
  readonly oldestXid: number;
  /** OID of the database where it is the oldest. */
  readonly oldestXidDatabase: number;
}

/** Decodes the main data of TRUNCATE. @throws `corrupt`, `invalid-input`. */
export function decodeClogTruncate(mainData: Uint8Array, majorVersion: number): ClogTruncation {
  const decoder = decoderOf(mainData);
  const page = slruPageNumber(decoder, majorVersion);
  const oldestXid = decoder.u32('oldest transaction');
  const oldestXidDatabase = decoder.u32('database of the oldest transaction');
  decoder.expectEnd();
  return { page, oldestXid, oldestXidDatabase };
}

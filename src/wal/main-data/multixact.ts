/**
 * Main data of resource manager MultiXact.
 *
 *   ZERO_OFF_PAGE, ZERO_MEM_PAGE  i32 page number; i64 from 17 on (`decodeZeroPage`)
 *   CREATE_ID                     u32 multixact, u32 offset of its first member, i32 n,
 *                                 n * (u32 transaction, u32 status)
 *   TRUNCATE_ID                   u32 database of the oldest multixact, u32 multixacts from, to,
 *                                 u32 members from, to; the ends are not dropped
 *
 * Source: Postgres src/include/access/multixact.h.
 */
import type { MultixactMember } from '../../layers/value-format.ts';
import { countedList, decoderOf, u32At } from './main-data.ts';

/** CREATE_ID. */
export interface MultixactCreation {
  /** The new multixact. */
  readonly multixactId: number;
  /** Place of its first member. */
  readonly offset: number;
  /** Its member transactions. */
  readonly members: readonly MultixactMember[];
}

/** TRUNCATE_ID. */
export interface MultixactTruncation {
  /** OID of the database with the oldest multixact. */
  readonly dbnode: number;
  /** First multixact that is dropped. */
  readonly startId: number;
  /** First multixact that stays. */
  readonly endId: number;
  /** First member that is dropped. */
  readonly startMember: number;
  /** First member that stays. */
  readonly endMember: number;
}

/** Decodes the main data of CREATE_ID. @throws `corrupt`, `invalid-input`. */
export function decodeMultixactCreate(mainData: Uint8Array): MultixactCreation {
  const decoder = decoderOf(mainData);
  const multixactId = decoder.u32('multixact');
  const offset = decoder.u32('offset of the first member');
  const members = countedList(decoder, 'members', 8, (view, at) => ({
    xid: u32At(view, at),
    status: u32At(view, at + 4),
  }));
  decoder.expectEnd();
  return { multixactId, offset, members };
}

/** Decodes the main data of TRUNCATE_ID. @throws `corrupt`, `invalid-input`. */
export function decodeMultixactTruncate(mainData: Uint8Array): MultixactTruncation {
  const decoder = decoderOf(mainData);
  const truncation = {
    dbnode: decoder.u32('database'),
    startId: decoder.u32('first multixact'),
    endId: decoder.u32('end of the multixacts'),
    startMember: decoder.u32('first member'),
    endMember: decoder.u32('end of the members'),
  };
  decoder.expectEnd();
  return truncation;
}

/**
 * Invalidation message: which entry of which cache is stale. 16 bytes, little-endian.
 *
 *   0  i8   what: 0 and above a catalog cache, -1 catalog, -2 relation, -3 smgr, -4 relation map, -5 snapshot
 *   4  u32  database, of -1, -2, -4 and -5
 *   8  u32  catalog (-1), relation (-2 and -5)
 *
 * Source: Postgres src/include/storage/sinval.h.
 */
import type { BincodeDecoder } from '../../bincode.ts';
import { countedList, u32At } from './main-data.ts';

/** An invalidation message; the meaning of the fields depends on the id. */
export interface InvalidationMessage {
  /** -5 to 127: the cache. */
  readonly id: number;
  /** The u32 at 4. */
  readonly first: number;
  /** The u32 at 8. */
  readonly second: number;
}

/** Bytes of a message. */
export const INVALIDATION_MESSAGE_SIZE = 16;

export function invalidationMessageAt(view: DataView, at: number): InvalidationMessage {
  return { id: view.getInt8(at), first: u32At(view, at + 4), second: u32At(view, at + 8) };
}

/** Messages after their i32 count. Throws `corrupt`. */
export function invalidationMessages(decoder: BincodeDecoder): InvalidationMessage[] {
  const what = 'invalidation messages';
  return countedList(decoder, what, INVALIDATION_MESSAGE_SIZE, invalidationMessageAt);
}

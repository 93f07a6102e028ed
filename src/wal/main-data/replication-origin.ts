/**
 * Main data of resource manager ReplicationOrigin: how far a remote server was replayed.
 *
 *   SET   u64 remote LSN, u16 origin, u8 force, 5 bytes of padding
 *   DROP  u16 origin
 *
 * Source: Postgres src/include/replication/origin.h.
 */
import type { Lsn } from '../../layers/lsn.ts';
import { decoderOf, flagOf, lsnOf } from './main-data.ts';

/** SET. */
export interface OriginProgress {
  /** LSN of the remote server. */
  readonly remoteLsn: Lsn;
  /** Number of the origin. */
  readonly origin: number;
  /** True if the LSN may go back. */
  readonly force: boolean;
}

/** Decodes the main data of SET. @throws `corrupt`, `invalid-input`. */
export function decodeOriginSet(mainData: Uint8Array): OriginProgress {
  const decoder = decoderOf(mainData);
  const remoteLsn = lsnOf(decoder, 'remote LSN');
  const origin = decoder.u16('origin');
  const force = flagOf(decoder, 'force flag');
  decoder.skip('padding', 5);
  decoder.expectEnd();
  return { remoteLsn, origin, force };
}

/** Decodes the main data of DROP: the number of the origin. @throws `corrupt`, `invalid-input`. */
export function decodeOriginDrop(mainData: Uint8Array): number {
  const decoder = decoderOf(mainData);
  const origin = decoder.u16('origin');
  decoder.expectEnd();
  return origin;
}

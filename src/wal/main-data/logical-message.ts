/**
 * Main data of resource manager LogicalMessage.
 *
 *   MESSAGE  u32 database, u8 is transactional, 3 bytes of padding, u64 length of the prefix with its zero
 *            byte, u64 length of the message, prefix, message
 *
 * Source: Postgres src/include/replication/message.h.
 */
import type { BincodeDecoder } from '../../bincode.ts';
import { corrupt } from '../../errors.ts';
import { decoderOf, flagOf } from './main-data.ts';

/** MESSAGE. */
export interface LogicalMessage {
  /** OID of the database. */
  readonly dbnode: number;
  /** True if it counts only once its transaction has committed. */
  readonly isTransactional: boolean;
  /** Prefix, without its zero byte; a view. */
  readonly prefix: Uint8Array;
  /** Content; a view. */
  readonly message: Uint8Array;
}

/** Decodes the main data of MESSAGE. @throws `corrupt`, `invalid-input`. */
export function decodeLogicalMessage(mainData: Uint8Array): LogicalMessage {
  const decoder = decoderOf(mainData);
  const dbnode = decoder.u32('database');
  const isTransactional = flagOf(decoder, 'transactional flag');
  decoder.skip('padding', 3);
  const prefixLength = lengthOf(decoder, 'prefix', mainData.length);
  const messageLength = lengthOf(decoder, 'message', mainData.length);
  const prefix = decoder.array('prefix', prefixLength);
  if (prefix.at(-1) !== 0) {
    const actual = prefixLength === 0 ? 'no prefix' : `${prefix.at(-1)}`;
    throw corrupt('prefix', decoder.offset - prefixLength, 'a zero byte at its end', actual);
  }
  const message = decoder.array('message', messageLength);
  decoder.expectEnd();
  return { dbnode, isTransactional, prefix: prefix.subarray(0, -1), message };
}

/** A u64 that is a length: no more than all of the data. */
function lengthOf(decoder: BincodeDecoder, what: string, maximum: number): number {
  const length = decoder.u64(`length of the ${what}`);
  if (length <= BigInt(maximum)) return Number(length);
  throw decoder.corrupt(`length of the ${what}`, `at most ${maximum}`, `${length}`, 8);
}

/**
 * Main data of resource manager LogicalMessage.
 *
 *   MESSAGE  u32 database, u8 is transactional, 3 bytes of padding, length of the prefix with its zero byte,
 *            length of the message, prefix, message
 *
 * The lengths are u64; a server of 32 bits, such as one in WebAssembly, writes u32. The total length shows which: no
 * data fits both. If u64 fits, the second u32 is 0: read as u32, the message would be empty, and bytes would be left.
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
  const lengthSize = hasShortLengths(mainData) ? 4 : 8;
  const prefixLength = lengthOf(decoder, 'prefix', { lengthSize, maximum: mainData.length });
  const messageLength = lengthOf(decoder, 'message', { lengthSize, maximum: mainData.length });
  const prefix = decoder.array('prefix', prefixLength);
  if (prefix.at(-1) !== 0) {
    const actual = prefixLength === 0 ? 'no prefix' : `${prefix.at(-1)}`;
    throw corrupt('prefix', decoder.offset - prefixLength, 'a zero byte at its end', actual);
  }
  const message = decoder.array('message', messageLength);
  decoder.expectEnd();
  return { dbnode, isTransactional, prefix: prefix.subarray(0, -1), message };
}

const LENGTHS_AT = 8;
const SHORT_HEADER_SIZE = 16;

/** Whether lengths of 32 bits account for all of the data, with a prefix up to its zero byte. */
function hasShortLengths(mainData: Uint8Array): boolean {
  if (mainData.length < SHORT_HEADER_SIZE) return false;
  const view = new DataView(mainData.buffer, mainData.byteOffset, mainData.length);
  const prefixLength = view.getUint32(LENGTHS_AT, true);
  const messageLength = view.getUint32(LENGTHS_AT + 4, true);
  if (SHORT_HEADER_SIZE + prefixLength + messageLength !== mainData.length) return false;
  return mainData.indexOf(0, SHORT_HEADER_SIZE) === SHORT_HEADER_SIZE + prefixLength - 1;
}

/** A length that does not exceed that of all the data. */
function lengthOf(
  decoder: BincodeDecoder,
  what: string,
  { lengthSize, maximum }: { readonly lengthSize: 4 | 8; readonly maximum: number },
): number {
  const name = `length of the ${what}`;
  const length = lengthSize === 4 ? BigInt(decoder.u32(name)) : decoder.u64(name);
  if (length <= BigInt(maximum)) return Number(length);
  throw decoder.corrupt(name, `at most ${maximum}`, `${length}`, lengthSize);
}

/**
 * Main data of a WAL record: the data that does not belong to a block. Structs of C, little-endian, with natural
 * alignment; the content of padding is undefined. Lists begin with an i32 count and are not aligned.
 *
 * Each of the other files in this folder owns the formats of one resource manager. They check each length before use.
 * A record has a checksum, so data that is too short for its kind was written that way: `corrupt`, with an offset
 * that counts from the start of the main data.
 */
import { BincodeDecoder, type StoredList } from '../../bincode.ts';
import { checkBytes, checkCount } from '../../check-options.ts';
import type { Lsn } from '../../layers/lsn.ts';

/** Microseconds since 2000-01-01 UTC. */
export type PostgresTime = bigint;

/**
 * Starts to decode main data.
 *
 * @throws `invalid-input` unless these are bytes. The decoder throws `corrupt` where they end too early.
 */
export function decoderOf(mainData: Uint8Array): BincodeDecoder {
  checkBytes(mainData, 'main data');
  return new BincodeDecoder(mainData, { byteOrder: 'little-endian', ifShort: 'corrupt' });
}

/** Throws `invalid-input` unless the version is one whose WAL is known. */
export function checkMajorVersion(majorVersion: number): void {
  checkCount('major version of Postgres', majorVersion, { from: 14, to: 17 });
}

/** A list of items of a fixed size after its i32 count. A negative count is more than any data has room for. */
export function countedList<T>(
  decoder: BincodeDecoder,
  what: string,
  itemSize: number,
  decodeItem: (view: DataView, at: number) => T,
): T[] {
  const count = decoder.u32(`number of ${what}`);
  return allOf(decoder.items(what, count, itemSize, decodeItem));
}

export function allOf<T>(list: StoredList<T>): T[] {
  return list.slice(0, list.length);
}

export function u32At(view: DataView, at: number): number {
  return view.getUint32(at, true);
}

export function lsnOf(decoder: BincodeDecoder, what: string): Lsn {
  return decoder.u64(what);
}

/** A bool is one byte; the bytes after it are padding, and not zero. Any byte but 0 is true, as in C. */
export function flagOf(decoder: BincodeDecoder, what: string): boolean {
  return decoder.u8(what) !== 0;
}

/** Decodes the main data of a record that makes a page of an SLRU: its number. @throws `corrupt`, `invalid-input`. */
export function decodeZeroPage(mainData: Uint8Array, majorVersion: number): bigint {
  const decoder = decoderOf(mainData);
  const page = slruPageNumber(decoder, majorVersion);
  decoder.expectEnd();
  return page;
}

/** The number of a page of an SLRU: i32 up to version 16, i64 from 17. */
export function slruPageNumber(decoder: BincodeDecoder, majorVersion: number): bigint {
  checkMajorVersion(majorVersion);
  return majorVersion < 17 ? BigInt(decoder.u32('page number') | 0) : decoder.i64('page number');
}

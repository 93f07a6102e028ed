/**
 * The number by which a layer map compares a key: 128 bits, in four words.
 *
 *   (field1 & 7F) << 120 | (field2 & FFFF) << 104 | field3 << 72 | field4 << 40 | field5 << 32 | field6
 *
 * A pageserver writes only keys with a field2 of at most FFFF, or of FFFFFFFF or 22222222; the upper
 * half of the last two is lost in the number. So FFFF…FF and 7F0000FFFF…FF are the same key here.
 *
 * Source: Neon libs/pageserver_api/src/key.rs.
 */
import { StorageError } from '../../errors.ts';
import { checkKey, formatKey, type Key } from '../../layers/key.ts';

/** Words of a key's number. */
export const KEY_WORDS = 4;

/** The number of a key. Throws `invalid-input` unless it has 18 bytes, `out-of-range` for field2. */
export function keyNumber(key: Key, what: string): Uint32Array {
  checkKey(key);
  const number = new Uint32Array(KEY_WORDS);
  if (!writeKeyNumber(key, 0, number, 0)) throw unfitKey(key, what);
  return number;
}

/**
 * Writes the number of the key at `at` as four words from `to` on. False if its field2 does not fit.
 */
export function writeKeyNumber(
  keys: Uint8Array,
  at: number,
  words: Uint32Array,
  to: number,
): boolean {
  const byte = (index: number): number => keys[at + index] ?? 0;
  const upper = (byte(1) << 8) | byte(2);
  const lower = (byte(3) << 8) | byte(4);
  const fits = upper === 0 || ((upper === 0xffff || upper === 0x2222) && upper === lower);
  words[to] = (((byte(0) & 0x7f) << 24) | (lower << 8) | byte(5)) >>> 0;
  words[to + 1] = word(byte(6), byte(7), byte(8), byte(9));
  words[to + 2] = word(byte(10), byte(11), byte(12), byte(13));
  words[to + 3] = word(byte(14), byte(15), byte(16), byte(17));
  return fits;
}

/** The number of keys from one number up to another (exclusive), which must not be below it. */
export function keysBetween(words: Uint32Array, start: number, end: number): bigint {
  return numberAt(words, end) - numberAt(words, start);
}

/** The error for a key that a pageserver does not write. */
export function unfitKey(key: Key, what: string): StorageError {
  return new StorageError('out-of-range', {
    what,
    key: formatKey(key),
    expected: 'field 2 at most FFFF, or 22222222 or FFFFFFFF',
  });
}

function numberAt(words: Uint32Array, row: number): bigint {
  let number = 0n;
  for (let word = 0; word < KEY_WORDS; word += 1) {
    number = (number << 32n) | BigInt(words[row * KEY_WORDS + word] ?? 0);
  }
  return number;
}

function word(first: number, second: number, third: number, fourth: number): number {
  return ((first << 24) | (second << 16) | (third << 8) | fourth) >>> 0;
}

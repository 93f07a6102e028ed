/**
 * Key: 18 bytes; byte order is key order. Text: 36 upper-case hex digits.
 *
 *   field1 u8 | field2 u32 | field3 u32 | field4 u32 | field5 u8 | field6 u32    big-endian
 *
 * For a Postgres relation block: 0, tablespace, database, relation, fork, block number.
 *
 * A pageserver holds a key in 128 bits: 7 of field1, 16 of field2, and all of the others. It stops at
 * the first key of a layer that does not fit.
 */

import { checkCount, checkObject, checkText, isBytes } from '../check-options.ts';
import { StorageError, type StorageErrorDetails, untracedError } from '../errors.ts';
import { valueText } from '../printable.ts';

/** Bytes of a key. */
export const KEY_SIZE = 18;

/** The two digits of each byte. */
const HEX_DIGITS = Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).toUpperCase().padStart(2, '0'),
);

/** 18 bytes. Functions that return a key return a new array, and never change their arguments. */
export type Key = Uint8Array;

/** Half-open: `start` is inside, `end` is not. */
export interface KeyRange {
  /** First key, inclusive. */
  readonly start: Key;
  /** Last key, exclusive. */
  readonly end: Key;
}

/** The fields of a key. */
export interface KeyFields {
  /** u8; 0 for a relation block. */
  readonly field1: number;
  /** u32; the tablespace of a relation block. */
  readonly field2: number;
  /** u32; the database of a relation block. */
  readonly field3: number;
  /** u32; the relation of a relation block. */
  readonly field4: number;
  /** u8; the fork of a relation block. */
  readonly field5: number;
  /** u32; the number of a relation block. */
  readonly field6: number;
}

/** All zero: no key is below it. */
export function minimumKey(): Key {
  return new Uint8Array(KEY_SIZE);
}

/** All 0xFF: no range contains it, because the end of a range is exclusive. */
export function maximumKey(): Key {
  return new Uint8Array(KEY_SIZE).fill(0xff);
}

/**
 * Parses exactly 36 hex digits of either case.
 *
 * @throws `invalid-input`.
 */
export function parseKey(text: string): Key {
  checkText('key', text);
  if (!/^[0-9a-fA-F]{36}$/.test(text)) {
    throw new StorageError('invalid-input', {
      what: 'key',
      expected: '36 hex digits',
      actual: JSON.stringify(text),
    });
  }
  const key = new Uint8Array(KEY_SIZE);
  for (let at = 0; at < KEY_SIZE; at += 1) {
    key[at] = Number.parseInt(text.slice(2 * at, 2 * at + 2), 16);
  }
  return key;
}

/**
 * 36 upper-case hex digits of the 18 bytes at `offset`.
 *
 * @throws `invalid-input` if fewer bytes are left.
 */
export function formatKey(bytes: Uint8Array, offset = 0): string {
  if (!isBytes(bytes)) checkKey(bytes);
  if (!Number.isSafeInteger(offset) || offset < 0) checkCount('offset of a key', offset);
  if (bytes.length - offset < KEY_SIZE) checkKey(bytes.subarray(offset));
  let text = '';
  for (let at = offset; at < offset + KEY_SIZE; at += 1) text += HEX_DIGITS[bytes[at] ?? 0];
  return text;
}

/** Compares two keys for sorting: negative, zero or positive. */
export function compareKeys(left: Key, right: Key): number {
  if (!isBytes(left)) checkKey(left);
  if (!isBytes(right)) checkKey(right);
  const length = Math.min(left.length, right.length);
  for (let at = 0; at < length; at += 1) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

/**
 * The key with these fields.
 *
 * @throws `out-of-range` for a field that does not fit.
 */
export function keyFromFields(fields: KeyFields): Key {
  checkObject('fields of a key', fields);
  const key = new Uint8Array(KEY_SIZE);
  key[0] = checkField('field1', fields.field1, 0xff);
  setWord(key, 1, checkField('field2', fields.field2, 0xffff_ffff));
  setWord(key, 5, checkField('field3', fields.field3, 0xffff_ffff));
  setWord(key, 9, checkField('field4', fields.field4, 0xffff_ffff));
  key[13] = checkField('field5', fields.field5, 0xff);
  setWord(key, 14, checkField('field6', fields.field6, 0xffff_ffff));
  return key;
}

/** Byte by byte: creating a view of a small array takes ten times as long as creating the array. */
function setWord(key: Key, at: number, word: number): void {
  key[at] = word >>> 24;
  key[at + 1] = word >>> 16;
  key[at + 2] = word >>> 8;
  key[at + 3] = word;
}

/**
 * The fields of a key.
 *
 * @throws `invalid-input` unless the key has 18 bytes.
 */
export function keyFields(key: Key): KeyFields {
  checkKey(key);
  const view = new DataView(key.buffer, key.byteOffset, KEY_SIZE);
  return {
    field1: view.getUint8(0),
    field2: view.getUint32(1),
    field3: view.getUint32(5),
    field4: view.getUint32(9),
    field5: view.getUint8(13),
    field6: view.getUint32(14),
  };
}

/**
 * The key that is `count` above. A key is one number of 144 bits, so field6 carries into field5.
 *
 * @throws `out-of-range` above the last key; `invalid-input` unless the key has 18 bytes.
 */
export function addToKey(key: Key, count: number): Key {
  checkKey(key);
  const result = Uint8Array.from(key);
  let carry = checkField('count', count, 0xffff_ffff);
  for (let index = KEY_SIZE - 1; carry > 0; index -= 1) {
    if (index < 0) {
      throw new StorageError('out-of-range', { what: 'key plus count', key: formatKey(key) });
    }
    const sum = (result[index] ?? 0) + carry;
    result[index] = sum % 256;
    carry = Math.floor(sum / 256);
  }
  return result;
}

/**
 * The key that is 1 above.
 *
 * @throws `out-of-range` for the last key.
 */
export function nextKey(key: Key): Key {
  return addToKey(key, 1);
}

/** Throws `invalid-input` unless the key has 18 bytes. */
export function checkKey(key: Key): void {
  if (!isBytes(key) || key.length !== KEY_SIZE) {
    throw new StorageError('invalid-input', {
      what: 'key',
      expected: `${KEY_SIZE} bytes`,
      actual: isBytes(key) ? `${key.length} bytes` : typeof key,
    });
  }
}

/** A field2 of four of these bytes is accepted by a pageserver, though it has more than 16 bits. */
const WIDE_FIELD2_BYTES = [0xff, 0x22];

/**
 * Whether a pageserver can hold the key at `at`.
 *
 * @param keys Only the five bytes from `at` on are read.
 */
export function fitsPageserver(keys: Uint8Array, at = 0): boolean {
  if (!isBytes(keys)) checkKey(keys);
  if (typeof at !== 'number') checkCount('index of a key', at);
  if ((keys[at] as number) > 0x7f) return false;
  return (keys[at + 1] === 0 && keys[at + 2] === 0) || hasWideField2(keys, at);
}

function hasWideField2(keys: Uint8Array, at: number): boolean {
  return WIDE_FIELD2_BYTES.some((value) => {
    for (let byte = at + 1; byte <= at + 4; byte += 1) if (keys[byte] !== value) return false;
    return true;
  });
}

/** The error for a key that a pageserver cannot hold. */
export function unfitKeyError(
  keys: Uint8Array,
  at: number,
  details: Partial<StorageErrorDetails> = {},
): StorageError {
  return untracedError('out-of-range', {
    what: 'key that a pageserver cannot hold',
    key: formatKey(keys, at),
    expected: 'a first byte of at most 7F, and field 2 at most FFFF, or 22222222 or FFFFFFFF',
    ...details,
  });
}

/** Throws `out-of-range` unless start < end. */
export function checkKeyRange(range: KeyRange): void {
  checkKey(range?.start);
  checkKey(range?.end);
  if (compareKeys(range.start, range.end) >= 0) {
    throw new StorageError('out-of-range', {
      what: 'key range',
      expected: 'start below end',
      actual: `${formatKey(range.start)}-${formatKey(range.end)}`,
    });
  }
}

/** A copy with its own keys. */
export function copyKeyRange({ start, end }: KeyRange): KeyRange {
  return { start: Uint8Array.from(start), end: Uint8Array.from(end) };
}

function checkField(name: string, value: number, maximum: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= maximum) return value;
  throw new StorageError('out-of-range', {
    what: name,
    expected: `an integer from 0 to ${maximum}`,
    actual: valueText(value),
  });
}

/**
 * For tables of keys: mixes the one at `keyAt` in words of four bytes; the last word overlaps the one before by two.
 */
export function hashOfKey(keys: DataView, keyAt: number): number {
  let hash = 0;
  for (let byte = 0; byte < LAST_WORD_AT; byte += 4) hash = mix(hash ^ keys.getInt32(keyAt + byte));
  return mix(hash ^ keys.getInt32(keyAt + LAST_WORD_AT)) >>> 0;
}

const LAST_WORD_AT = KEY_SIZE - 4;

/** Every bit of the word reaches most bits of the result. */
function mix(word: number): number {
  const product = Math.imul(word ^ (word >>> 16), 0x45d9f3b);
  return product ^ (product >>> 15);
}

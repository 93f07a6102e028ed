/**
 * Reads the digits of a canonical layer name, without creating an object for it.
 *
 *   {36 digits}-{36 digits}__{16 digits}             image
 *   {36 digits}-{36 digits}__{16 digits}-{16 digits} delta
 *
 * A timeline may have 100,000 layers, and a pattern takes 10 times as long. `parseLayerName` uses one for names
 * that are not of this form.
 */
import { KEY_SIZE } from './key.ts';

/** The parts of a name. Reused from name to name. */
export interface NameDigits {
  /** Which kind of layer it is. */
  kind: 'delta' | 'image';
  /** The two keys, one after the other. */
  readonly keys: Uint8Array;
  /** Start LSN and end LSN, of two words each. The end of an image is one above its LSN. */
  readonly lsns: Uint32Array;
}

const SEPARATOR_AT = 2 * KEY_SIZE;
const END_KEY_AT = SEPARATOR_AT + 1;
const LSN_AT = END_KEY_AT + 2 * KEY_SIZE + 2;
const IMAGE_LENGTH = LSN_AT + 16;
const DELTA_LENGTH = IMAGE_LENGTH + 17;

const DASH = 0x2d;
const UNDERSCORE = 0x5f;
const LOWER_CASE_A = 0x61;

/** The value of each character code that is a hex digit; 0xff for the others. */
const DIGITS = new Uint8Array(128).fill(0xff);
for (let value = 0; value < 16; value += 1) {
  const digit = value.toString(16);
  DIGITS[digit.charCodeAt(0)] = value;
  DIGITS[digit.toUpperCase().charCodeAt(0)] = value;
}

/** An empty record for the functions below. */
export function newNameDigits(): NameDigits {
  return { kind: 'delta', keys: new Uint8Array(2 * KEY_SIZE), lsns: new Uint32Array(4) };
}

/** For names that are only checked. */
const SCRATCH = newNameDigits();

/** Fills the record; false if the name is not of this form, or a range of a delta is not ascending. */
export function readCanonicalName(name: string, into: NameDigits): boolean {
  const isImage = name.length === IMAGE_LENGTH;
  if (!isImage && name.length !== DELTA_LENGTH) return false;
  if (name.charCodeAt(SEPARATOR_AT) !== DASH) return false;
  if (name.charCodeAt(LSN_AT - 2) !== UNDERSCORE || name.charCodeAt(LSN_AT - 1) !== UNDERSCORE) {
    return false;
  }
  if (!readKey(name, 0, into.keys, 0) || !readKey(name, END_KEY_AT, into.keys, KEY_SIZE)) {
    return false;
  }
  if (!readLsn(name, LSN_AT, into.lsns, 0)) return false;
  into.kind = isImage ? 'image' : 'delta';
  if (isImage) return endOfImage(into.lsns);
  if (name.charCodeAt(IMAGE_LENGTH) !== DASH) return false;
  if (!readLsn(name, IMAGE_LENGTH + 1, into.lsns, 2)) return false;
  const [startHigh = 0, startLow = 0, endHigh = 0, endLow = 0] = into.lsns;
  if (!areKeysAscending(into.keys)) return false;
  return startHigh < endHigh || (startHigh === endHigh && startLow < endLow);
}

/**
 * Whether the name is canonical and without a generation, so that parsing and formatting it would give the
 * same name. Also false for a few such names; the parser decides on those.
 */
export function isCanonicalName(name: string): boolean {
  if (!readCanonicalName(name, SCRATCH)) return false;
  for (let at = 0; at < name.length; at += 1) {
    if (name.charCodeAt(at) >= LOWER_CASE_A) return false;
  }
  return true;
}

/** Sets the end of an image one above its LSN; false for the highest LSN, which has no end. */
export function endOfImage(lsns: Uint32Array): boolean {
  const low = (lsns[1] ?? 0) + 1;
  const carry = low > 0xffff_ffff ? 1 : 0;
  lsns[3] = low;
  lsns[2] = (lsns[0] ?? 0) + carry;
  return carry === 0 || lsns[2] !== 0;
}

function readKey(name: string, at: number, keys: Uint8Array, to: number): boolean {
  let wrong = 0;
  for (let byte = 0; byte < KEY_SIZE; byte += 1) {
    const high = digit(name, at + 2 * byte);
    const low = digit(name, at + 2 * byte + 1);
    wrong |= high | low;
    keys[to + byte] = (high << 4) | low;
  }
  return wrong < 16;
}

function areKeysAscending(keys: Uint8Array): boolean {
  for (let at = 0; at < KEY_SIZE; at += 1) {
    const difference = (keys[at] ?? 0) - (keys[KEY_SIZE + at] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

function readLsn(name: string, at: number, lsns: Uint32Array, to: number): boolean {
  let wrong = 0;
  for (let half = 0; half < 2; half += 1) {
    let word = 0;
    for (let index = 0; index < 8; index += 1) {
      const value = digit(name, at + 8 * half + index);
      wrong |= value;
      word = (word << 4) | value;
    }
    lsns[to + half] = word;
  }
  return wrong < 16;
}

function digit(name: string, at: number): number {
  const code = name.charCodeAt(at);
  return code < 128 ? (DIGITS[code] ?? 0xff) : 0xff;
}

/**
 * ASCII text, written directly into bytes, because creating many short strings for each of a million entries or records
 * would be slow. Each function writes at `at` and returns the end; the caller provides enough room.
 */

/** The codes of the two digits of each byte. */
const HIGH_DIGITS = new Uint8Array(256);
const LOW_DIGITS = new Uint8Array(256);
for (let byte = 0; byte < 256; byte += 1) {
  HIGH_DIGITS[byte] = '0123456789ABCDEF'.charCodeAt(byte >>> 4);
  LOW_DIGITS[byte] = '0123456789ABCDEF'.charCodeAt(byte & 0x0f);
}

const ZERO = 0x30;
const BLANK = 0x20;
const LAST_PRINTABLE = 0x7e;
const MAXIMUM_I32 = 0x7fff_ffff;

/** Bytes of the largest safe integer. */
export const MAXIMUM_INTEGER_LENGTH = 16;

export function asciiBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Decodes bytes to text; the inverse of `asciiBytes`. */
export function asciiText({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString('latin1');
}

/** Returns: the end; -1 if a character is not ASCII or a control character. */
export function writePrintableText(target: Uint8Array, at: number, text: string): number {
  const { length } = text;
  for (let index = 0; index < length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < BLANK || code > LAST_PRINTABLE) return -1;
    target[at + index] = code;
  }
  return at + length;
}

/** Requires: text in ASCII. */
export function writeText(target: Uint8Array, at: number, text: string): number {
  const { length } = text;
  for (let index = 0; index < length; index += 1) target[at + index] = text.charCodeAt(index);
  return at + length;
}

export function writeAscii(target: Uint8Array, at: number, text: Uint8Array): number {
  const { length } = text;
  for (let index = 0; index < length; index += 1) target[at + index] = text[index] as number;
  return at + length;
}

/** Upper-case hex digits of `length` bytes. */
export function writeHex(
  target: Uint8Array,
  at: number,
  { bytes, start, length }: { bytes: Uint8Array; start: number; length: number },
): number {
  let end = at;
  for (let index = start; index < start + length; index += 1) {
    const byte = bytes[index] as number;
    target[end] = HIGH_DIGITS[byte] as number;
    target[end + 1] = LOW_DIGITS[byte] as number;
    end += 2;
  }
  return end;
}

/** The eight upper-case hex digits of a u32. */
export function writeHexWord(target: Uint8Array, at: number, word: number): number {
  let end = at;
  for (let shift = 24; shift >= 0; shift -= 8) {
    const byte = (word >>> shift) & 0xff;
    target[end] = HIGH_DIGITS[byte] as number;
    target[end + 1] = LOW_DIGITS[byte] as number;
    end += 2;
  }
  return end;
}

/** A safe integer from 0, in decimal, padded with blanks to a width. */
export function writePaddedInteger(
  target: Uint8Array,
  at: number,
  value: number,
  width: number,
): number {
  const length = digitCount(value);
  let start = at;
  for (let blanks = width - length; blanks > 0; blanks -= 1) {
    target[start] = BLANK;
    start += 1;
  }
  return writeDigits(target, start, value, length);
}

/** A safe integer from 0, in decimal. */
export function writeInteger(target: Uint8Array, at: number, value: number): number {
  return writeDigits(target, at, value, digitCount(value));
}

function digitCount(value: number): number {
  let count = 1;
  for (let limit = 10; value >= limit; limit *= 10) count += 1;
  return count;
}

function writeDigits(target: Uint8Array, at: number, value: number, length: number): number {
  const end = at + length;
  let place = end - 1;
  let rest = value;
  for (; rest > MAXIMUM_I32; place -= 1) {
    const shorter = Math.floor(rest / 10);
    target[place] = ZERO + (rest - shorter * 10);
    rest = shorter;
  }
  // A compiler turns a 32-bit division by a constant into a multiplication.
  for (let word = rest | 0; place >= at; place -= 1) {
    const shorter = (word / 10) | 0;
    target[place] = ZERO + (word - shorter * 10);
    word = shorter;
  }
  return end;
}

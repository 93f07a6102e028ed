/**
 * Parses a line of many megabytes without converting it to one string: long texts are cut out first
 * and stay bytes. In the rest of the line an unpredictable name replaces each of them.
 */
import { randomUUID } from 'node:crypto';
import { tooLarge } from '../errors.ts';
import { JsonFields } from './json-fields.ts';

const LONG_TEXT = 64 * 1024;
const MAXIMUM_REST = 256 * 1024 * 1024;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

/** Requires: the line is UTF-8. Throws SyntaxError like JSON.parse, or `too-large`. */
export function parseLongLine(line: Uint8Array): JsonFields {
  const secret = randomUUID();
  const longTexts = new Map<string, Uint8Array>();
  const rest: string[] = [];
  let restLength = 0;
  let copied = 0;
  const copyUntil = (end: number): void => {
    restLength += end - copied;
    if (restLength > MAXIMUM_REST) {
      throw tooLarge('line without its long texts', { maximum: MAXIMUM_REST });
    }
    rest.push(Buffer.from(line.buffer, line.byteOffset + copied, end - copied).toString('utf8'));
    copied = end;
  };
  const scanner = new TextScanner(line);
  for (let text = scanner.next(); text !== undefined; text = scanner.next()) {
    if (text.escaped || text.end - text.start <= LONG_TEXT) continue;
    const name = `${secret}:${longTexts.size}`;
    longTexts.set(name, line.subarray(text.start, text.end));
    copyUntil(text.start);
    rest.push(name);
    copied = text.end;
  }
  copyUntil(line.length);
  return new JsonFields(JSON.parse(rest.join('')), 'line', longTexts);
}

/**
 * Whether lists and objects of the line are nested deeper: each level costs JSON.parse eighty bytes,
 * so a line of brackets could use up all memory. In a line that is not JSON, brackets in an
 * unterminated text count as well.
 */
export function nestsDeeperThan(maximum: number, line: Uint8Array): boolean {
  const scanner = new TextScanner(line);
  let depth = 0;
  let position = 0;
  for (;;) {
    const text = scanner.next();
    const end = text === undefined ? line.length : text.start - 1;
    for (; position < end; position += 1) {
      const byte = line[position];
      if (byte === OPENING_BRACKET || byte === OPENING_BRACE) depth += 1;
      else if (byte === CLOSING_BRACKET || byte === CLOSING_BRACE) depth -= 1;
      if (depth > maximum) return true;
    }
    if (text === undefined) return false;
    position = text.end + 1;
  }
}

/** Finds the texts of a line in order; looks at each byte at most twice. */
class TextScanner {
  readonly #line: Uint8Array;
  #position = 0;
  /** The first backslash at or after the position, or -1. */
  #backslash: number;

  constructor(line: Uint8Array) {
    this.#line = line;
    this.#backslash = line.indexOf(BACKSLASH);
  }

  /** The range between two quotes; undefined if no further text ends. */
  next(): { start: number; end: number; escaped: boolean } | undefined {
    const quote = this.#line.indexOf(QUOTE, this.#position);
    if (quote < 0) return undefined;
    const start = quote + 1;
    if (this.#backslash >= 0 && this.#backslash < start) this.#findBackslash(start);
    let end = this.#line.indexOf(QUOTE, start);
    let escaped = false;
    while (this.#backslash >= 0 && this.#backslash < end) {
      escaped = true;
      const next = this.#backslash + 2;
      if (end < next) end = this.#line.indexOf(QUOTE, next);
      this.#findBackslash(next);
    }
    if (end < 0) return undefined;
    this.#position = end + 1;
    return { start, end, escaped };
  }

  #findBackslash(from: number): void {
    this.#backslash = this.#line.indexOf(BACKSLASH, from);
  }
}

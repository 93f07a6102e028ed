/**
 * JSON whose numbers are preserved: integers beyond 2^53 become bigints, and other numbers that a JavaScript number
 * would change keep their text. So a document can be read and written without loss.
 *
 * The nesting is checked before anything is parsed, because the parser recurses. An object with a duplicate name is
 * refused, because readers disagree about which of the two counts.
 */
import { LosslessNumber, parse, stringify } from 'lossless-json';
import { checkBytes } from '../check-options.ts';
import { StorageError, tooLarge } from '../errors.ts';
import { messageOf } from '../realms.ts';

/** A parsed value. */
export type JsonValue =
  | null
  | boolean
  | string
  | number
  | bigint
  | LosslessNumber
  | readonly JsonValue[]
  | JsonObject;

/** A parsed object, with its names in their order. */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/** What is parsed, for errors and limits. */
export interface JsonSource {
  /** `index_part.json`. */
  readonly what: string;
  /** The file, if it is one. */
  readonly path?: string | undefined;
  /** Longer texts are refused. */
  readonly maximumSize: number;
}

/** The files of a timeline nest 4 deep. */
const MAXIMUM_DEPTH = 64;
/** Longer integers keep their text: making a bigint takes time that grows with the square. */
const MAXIMUM_DIGITS = 40;

/** Throws `too-large` and `corrupt`, with the offset in bytes where it is known. */
export function parseExactJson(content: Uint8Array | string, source: JsonSource): JsonValue {
  if (typeof content !== 'string') checkBytes(content, source.what);
  if (content.length > source.maximumSize) {
    const { what, path, maximumSize: maximum } = source;
    throw tooLarge(what, { maximum, actual: content.length, path });
  }
  const text = typeof content === 'string' ? content : decodeUtf8(content, source);
  const { names, hasLongNumbers } = scan(text, source);
  const fast = hasLongNumbers ? undefined : parseQuickly(text);
  if (fast !== undefined && countNames(fast) === names) return fast;
  const value = parseExactly(text, source);
  if (countNames(value) !== names)
    throw invalidJson(source, { expected: 'each name of an object once' });
  return value;
}

/** JSON without white space. Requires: a value of `parseExactJson`, or one made of the same types. */
export function formatExactJson(value: JsonValue): string {
  return stringify(value) ?? 'null';
}

/** Whether the value is an object, not an array and not a number that keeps its text. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !isKeptNumber(value)
  );
}

/** Whether the value is a number that keeps its text. */
export function isKeptNumber(value: JsonValue | undefined): value is LosslessNumber {
  return typeof value === 'object' && value !== null && 'isLosslessNumber' in value;
}

function decodeUtf8(content: Uint8Array, source: JsonSource): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
  } catch (cause) {
    throw invalidJson(source, { expected: 'UTF-8', cause });
  }
}

/** Undefined for invalid JSON: the other parser reports where. */
function parseQuickly(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (messageOf(error) === '') throw error;
    return undefined;
  }
}

function parseExactly(text: string, source: JsonSource): JsonValue {
  try {
    return parse(text, undefined, { parseNumber: exactNumber }) as JsonValue;
  } catch (cause) {
    const message = messageOf(cause);
    const position = / at position (\d+)$/.exec(message);
    throw invalidJson(source, {
      expected: 'JSON, each name of an object once',
      actual: position === null ? message : message.slice(0, position.index),
      offset: position === null ? undefined : byteOffset(text, Number(position[1])),
      cause,
    });
  }
}

function exactNumber(text: string): number | bigint | LosslessNumber {
  const number = Number(text);
  if (Number.isSafeInteger(number) && String(number) === text) return number;
  const isInteger = text.length <= MAXIMUM_DIGITS && /^(0|-?[1-9]\d*)$/.test(text);
  return isInteger ? BigInt(text) : new LosslessNumber(text);
}

/** Counts the names of all objects, looks for long numbers, and checks the nesting. */
function scan(
  text: string,
  source: JsonSource,
): { readonly names: number; readonly hasLongNumbers: boolean } {
  let depth = 0;
  let names = 0;
  let isInString = false;
  let digits = 0;
  let hasLongNumbers = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (isInString) {
      if (code === 0x5c) at += 1;
      else if (code === 0x22) isInString = false;
      continue;
    }
    const isOfNumber = (code >= 0x30 && code <= 0x39) || code === 0x2d;
    digits = isOfNumber ? digits + 1 : 0;
    // A fraction, an exponent or a minus may change, too. No letter of a keyword is an E or a dot.
    if (digits > 15 || code === 0x2e || code === 0x45 || code === 0x2d) hasLongNumbers = true;
    if (code === 0x65 && isDigit(text.charCodeAt(at - 1))) hasLongNumbers = true;
    if (code === 0x22) isInString = true;
    else if (code === 0x3a) names += 1;
    else if (code === 0x7b || code === 0x5b) depth += 1;
    else if (code === 0x7d || code === 0x5d) depth -= 1;
    if (depth > MAXIMUM_DEPTH) {
      const offset = byteOffset(text, at);
      throw invalidJson(source, { expected: `nesting of at most ${MAXIMUM_DEPTH}`, offset });
    }
  }
  return { names, hasLongNumbers };
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function countNames(value: JsonValue): number {
  if (Array.isArray(value)) {
    return value.reduce((count, item) => count + countNames(item), 0);
  }
  if (!isJsonObject(value)) return 0;
  let count = 0;
  for (const name of Object.keys(value)) {
    const item = value[name];
    count += 1;
    // Most are numbers.
    if (typeof item === 'object') count += countNames(item);
  }
  return count;
}

function byteOffset(text: string, position: number): number {
  return new TextEncoder().encode(text.slice(0, position)).length;
}

function invalidJson(
  { what, path }: JsonSource,
  details: {
    readonly expected: string;
    readonly actual?: string;
    readonly offset?: number | undefined;
    readonly cause?: unknown;
  },
): StorageError {
  return new StorageError('corrupt', { what, path, ...details });
}

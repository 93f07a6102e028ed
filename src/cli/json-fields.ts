/** Typed access to the fields of a parsed JSON object. Throws `invalid-input` for other types. */
import { constants } from 'node:buffer';
import { StorageError } from '../errors.ts';
import { I64_MAXIMUM, I64_MINIMUM, U8_MAXIMUM, U32_MAXIMUM, U64_MAXIMUM } from '../integers.ts';
import { shortened } from '../printable.ts';
import { messageOf } from '../realms.ts';

/** Texts that were cut out of a long line, by their placeholders. */
export type LongTexts = ReadonlyMap<string, Uint8Array>;

export class JsonFields {
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #longTexts: LongTexts | undefined;

  constructor(object: unknown, what: string, longTexts?: LongTexts) {
    if (!isRecord(object)) throw wrongField(what, 'a JSON object', describe(object));
    this.#object = object;
    this.#longTexts = longTexts;
  }

  object(name: string): JsonFields {
    return new JsonFields(this.#get(name), name, this.#longTexts);
  }

  objects(name: string): JsonFields[] {
    return this.#list(name).map((item) => new JsonFields(item, `item of ${name}`));
  }

  text(name: string): string {
    const text = this.#digits(name);
    const cutOut = this.#longTexts?.get(text);
    return cutOut === undefined ? text : parseLongText(cutOut, name);
  }

  /** Text that is valid in UTF-8: without lone surrogates. */
  wellFormedText(name: string): string {
    const text = this.text(name);
    if (/\p{Surrogate}/u.test(text)) throw wrongField(name, 'Unicode text', 'a lone surrogate');
    return text;
  }

  boolean(name: string): boolean {
    const value = this.#get(name);
    if (typeof value === 'boolean') return value;
    throw wrongField(name, 'true or false', describe(value));
  }

  u8(name: string): number {
    return checkInteger(this.#get(name), name, U8_MAXIMUM);
  }

  u32(name: string): number {
    return checkInteger(this.#get(name), name, U32_MAXIMUM);
  }

  u32OrNull(name: string): number | null {
    const value = this.#get(name);
    return value === null ? null : checkInteger(value, name, U32_MAXIMUM);
  }

  u32List(name: string): number[] {
    return this.#list(name).map((item) => checkInteger(item, `item of ${name}`, U32_MAXIMUM));
  }

  u64(name: string): bigint {
    return checkBigInteger(this.#get(name), name, { minimum: 0n, maximum: U64_MAXIMUM });
  }

  i64(name: string): bigint {
    return checkBigInteger(this.#get(name), name, { minimum: I64_MINIMUM, maximum: I64_MAXIMUM });
  }

  hexOrNull(name: string): Uint8Array | null {
    return this.#get(name) === null ? null : this.#hex(name);
  }

  /** The field `hex`, or `base64` instead. */
  bytes(): Uint8Array {
    if (this.#has('base64')) {
      if (this.#has('hex')) throw wrongField('hex', 'either hex or base64', 'both');
      return this.#base64('base64');
    }
    return this.#hex('hex');
  }

  #hex(name: string): Uint8Array {
    const digits = this.#digits(name);
    const cutOut = this.#longTexts?.get(digits);
    if (cutOut !== undefined) return decodeLongHex(cutOut, name);
    // The decoder stops at the first character that is not a digit, and accepts U+0131 as 1.
    const bytes = Buffer.from(digits, 'hex');
    if (bytes.length * 2 === digits.length && Buffer.byteLength(digits) === digits.length) {
      return bytes;
    }
    throw wrongField(name, 'pairs of hex digits', describe(digits));
  }

  #base64(name: string): Uint8Array {
    const digits = this.#digits(name);
    const cutOut = this.#longTexts?.get(digits);
    if (cutOut !== undefined && cutOut.length > constants.MAX_STRING_LENGTH) {
      throw wrongField(name, 'base64 of one blob', `${cutOut.length} characters`);
    }
    const text = cutOut === undefined ? digits : latin1(cutOut, 0, cutOut.length);
    // The decoder accepts anything; only canonical text is encoded to the same text.
    const bytes = Buffer.from(text, 'base64');
    if (bytes.toString('base64') === text) return bytes;
    throw wrongField(name, 'base64 with its padding', describe(text));
  }

  /** The text, or its placeholder if it was cut out. */
  #digits(name: string): string {
    const value = this.#get(name);
    if (typeof value === 'string') return value;
    throw wrongField(name, 'a string', describe(value));
  }

  #list(name: string): readonly unknown[] {
    const value = this.#get(name);
    if (Array.isArray(value)) return value;
    throw wrongField(name, 'a list', describe(value));
  }

  #has(name: string): boolean {
    return Object.hasOwn(this.#object, name);
  }

  #get(name: string): unknown {
    if (this.#has(name)) return this.#object[name];
    throw new StorageError('invalid-input', { what: `field ${name} is missing` });
  }
}

export function wrongField(name: string, expected: string, actual: string): StorageError {
  return new StorageError('invalid-input', { what: `field ${name}`, expected, actual });
}

/** Number of digits that are decoded at a time: they may be too long for one string. */
const LONG_PIECE = 1024 * 1024;

function decodeLongHex(digits: Uint8Array, name: string): Uint8Array {
  if (digits.length % 2 !== 0) throw wrongField(name, 'pairs of hex digits', 'an odd number');
  const bytes = new Uint8Array(digits.length / 2);
  for (let start = 0; start < digits.length; start += LONG_PIECE) {
    const end = Math.min(start + LONG_PIECE, digits.length);
    const piece = Buffer.from(latin1(digits, start, end), 'hex');
    if (piece.length * 2 !== end - start) {
      throw wrongField(name, 'pairs of hex digits', 'something else');
    }
    bytes.set(piece, start / 2);
  }
  return bytes;
}

/** A long text that is not digits: JSON's own rules for strings apply. */
function parseLongText(content: Uint8Array, name: string): string {
  try {
    const text: unknown = JSON.parse(`"${Buffer.from(content).toString('utf8')}"`);
    return String(text);
  } catch (error) {
    throw wrongField(name, 'a string', messageOf(error));
  }
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

function checkInteger(value: unknown, name: string, maximum: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maximum) {
    return value;
  }
  throw wrongField(name, `an integer from 0 to ${maximum}`, describe(value));
}

function checkBigInteger(
  value: unknown,
  name: string,
  { minimum, maximum }: { minimum: bigint; maximum: bigint },
): bigint {
  const exact =
    (typeof value === 'number' && Number.isSafeInteger(value)) ||
    (typeof value === 'string' && /^-?[0-9]{1,20}$/.test(value));
  if (!exact) {
    throw wrongField(
      name,
      'an integer of 64 bits, as a string from 2^53 on',
      describeNumber(value),
    );
  }
  const integer = BigInt(value);
  if (integer >= minimum && integer <= maximum) return integer;
  throw wrongField(name, `${minimum} to ${maximum}`, String(integer));
}

/** A number that JSON.parse has rounded is not shown: the input was another one. */
function describeNumber(value: unknown): string {
  const isRounded = typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER;
  return isRounded ? 'a number beyond 2^53' : describe(value);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const SHOWN_LENGTH = 40;

/** Does not describe the content of lists and objects, which may be nested too deeply to recurse. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (isRecord(value)) return 'an object';
  if (typeof value !== 'string') return String(value);
  return JSON.stringify(shortened(value, SHOWN_LENGTH));
}

/**
 * Reads the fields of JSON objects, with their types and limits. Each error names the place of the
 * field: `layer_metadata.NAME.file_size`.
 */
import { isStorageError, StorageError } from '../errors.ts';
import { formatIdentifier, parseIdentifier } from '../layers/identifier.ts';
import { type Lsn, parseLsn } from '../layers/lsn.ts';
import { isJsonObject, isKeptNumber, type JsonObject, type JsonValue } from './exact-json.ts';
import { normalizeJsonTime } from './json-time.ts';

/** A value, and where it is. */
export class JsonField {
  readonly value: JsonValue | undefined;
  readonly #place: string;
  readonly #path: string | undefined;

  /** The value at a place; the whole document is at `place` of its name. */
  constructor(value: JsonValue | undefined, place: string, path: string | undefined) {
    this.value = value;
    this.#place = place;
    this.#path = path;
  }

  /** A field of an object. Throws unless this is an object. */
  field(name: string): JsonField {
    return this.#inner(this.object(), name);
  }

  /** All fields of an object. */
  *fields(): Generator<readonly [name: string, field: JsonField], undefined> {
    const object = this.object();
    for (const name of Object.keys(object)) yield [name, this.#inner(object, name)];
  }

  /** The result of reading the value; undefined if it is missing or null. */
  optional<T>(read: (field: JsonField) => T): T | undefined {
    return this.value === undefined || this.value === null ? undefined : read(this);
  }

  object(): JsonObject {
    if (isJsonObject(this.value)) return this.value;
    throw this.error('an object');
  }

  array(): readonly JsonField[] {
    if (!Array.isArray(this.value)) throw this.error('an array');
    const values: readonly JsonValue[] = this.value;
    return values.map((value, at) => new JsonField(value, `${this.#place}[${at}]`, this.#path));
  }

  text(): string {
    if (typeof this.value === 'string') return this.value;
    throw this.error('a string');
  }

  boolean(): boolean {
    if (typeof this.value === 'boolean') return this.value;
    throw this.error('true or false');
  }

  /** An integer from 0 to the maximum, at most 2^53 - 1. */
  count(maximum = Number.MAX_SAFE_INTEGER): number {
    const { value } = this;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maximum) {
      return value;
    }
    throw this.error(`an integer from 0 to ${maximum}`);
  }

  /** An integer from 0 to 2^64 - 1. */
  u64(): bigint {
    const { value } = this;
    if (typeof value === 'bigint' && value >= 0n && value < 1n << 64n) return value;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return BigInt(value);
    throw this.error('an integer from 0 to 2^64 - 1');
  }

  /** `HI/LO`; blanks around it are ignored. */
  lsn(): Lsn {
    const text = typeof this.value === 'string' ? this.value.trim() : '';
    if (!text.includes('/')) throw this.error('an LSN as HI/LO');
    return this.parsed(() => parseLsn(text));
  }

  /** 32 hex digits, as lower case. */
  identifier(): string {
    return this.parsed(() => formatIdentifier(parseIdentifier(this.text(), 'id')));
  }

  /** A time without a zone, in its canonical form. */
  time(): string {
    const time = normalizeJsonTime(this.text());
    if (time === undefined) throw this.error('a time as 2026-03-25T10:00:00.123');
    return time;
  }

  /** One of the words. */
  word<T extends string>(words: readonly T[]): T {
    const found = words.find((word) => word === this.value);
    if (found !== undefined) return found;
    throw this.error(words.map((word) => `'${word}'`).join(' or '));
  }

  /** A parser reports invalid input, as for an argument; in a file, that is damage. */
  parsed<T>(parse: () => T): T {
    try {
      return parse();
    } catch (error) {
      if (!isStorageError(error, 'invalid-input', 'out-of-range', 'ambiguous-name')) throw error;
      throw this.error(error.expected ?? error.message);
    }
  }

  /** The error for a value that is not what was expected. */
  error(expected: string): StorageError {
    const what = this.value === undefined ? 'missing field' : 'field';
    const actual = this.value === undefined ? undefined : described(this.value);
    return new StorageError('corrupt', {
      what: `${what} ${this.#place}`,
      path: this.#path,
      expected,
      actual,
    });
  }

  #inner(object: JsonObject, name: string): JsonField {
    const value = Object.hasOwn(object, name) ? object[name] : undefined;
    return new JsonField(value, this.#place === '' ? name : `${this.#place}.${name}`, this.#path);
  }
}

function described(value: JsonValue): string {
  if (Array.isArray(value)) return 'an array';
  if (isJsonObject(value)) return 'an object';
  if (isKeptNumber(value)) return value.value;
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

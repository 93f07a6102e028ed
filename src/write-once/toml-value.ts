/**
 * TOML as values. Integers are bigint and floats are number, so that both come back as what they
 * were, and 64-bit integers exactly. Tables have no prototype: `__proto__` is a key like any other.
 *
 * Not kept: comments, the way a value was spelled, and digits of a time below a millisecond.
 */
import { parse, stringify, TomlError } from 'smol-toml';
import { StorageError, type StorageErrorCode } from '../errors.ts';

/** `Date` stands for all times; what is read is a subclass that knows which sort it is. */
export type TomlValue = string | bigint | number | boolean | Date | TomlValue[] | TomlTable;

export interface TomlTable {
  [key: string]: TomlValue;
}

export const MAXIMUM_TOML_DEPTH = 64;

const MINIMUM_INTEGER = -(2n ** 63n);
const MAXIMUM_INTEGER = 2n ** 63n - 1n;

/** Throws: `corrupt`, with the offset in UTF-8 bytes for what is no TOML. */
export function parseToml(text: string): TomlTable {
  return checkedTable(parseUnchecked(text), 'corrupt');
}

/** Throws: `invalid-input` for what TOML cannot hold, such as integers beyond 64 bits. */
export function formatToml(table: TomlTable): string {
  return stringify(checkedTable(table, 'invalid-input'), { numbersAsFloat: true });
}

/** A table without a prototype, with the given entries. */
export function tomlTable(entries: Iterable<readonly [string, TomlValue]> = []): TomlTable {
  const table: TomlTable = Object.create(null);
  for (const [key, value] of entries) table[key] = value;
  return table;
}

export function isTomlTable(value: unknown): value is TomlTable {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return !(value instanceof Date);
}

function parseUnchecked(text: string): unknown {
  try {
    return parse(text, { integersAsBigInt: true, maxDepth: MAXIMUM_TOML_DEPTH });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column } = error;
    throw new StorageError('corrupt', {
      what: `TOML, line ${line}, column ${column}`,
      offset: offsetOf(text, line, column),
      expected: 'valid TOML',
      // The rest of the message quotes the document.
      actual: error.message.split('\n', 1).join('').replace('Invalid TOML document: ', ''),
      cause: error,
    });
  }
}

function offsetOf(text: string, line: number, column: number): number {
  const lines = text.split('\n');
  const before = lines.slice(0, line - 1).map((content) => `${content}\n`);
  const start = before.reduce((length, content) => length + Buffer.byteLength(content), 0);
  return start + Buffer.byteLength((lines[line - 1] ?? '').slice(0, column - 1));
}

/** Checks and copies; the code is for what TOML cannot hold. */
function checkedTable(value: unknown, code: StorageErrorCode): TomlTable {
  const checked = new Checker(code).value(value, 0, 'document');
  if (isTomlTable(checked)) return checked;
  throw new StorageError(code, { what: 'TOML document', expected: 'a table' });
}

class Checker {
  readonly #code: StorageErrorCode;

  constructor(code: StorageErrorCode) {
    this.#code = code;
  }

  value(value: unknown, depth: number, name: string): TomlValue {
    if (depth > MAXIMUM_TOML_DEPTH) {
      throw this.#error(name, `at most ${MAXIMUM_TOML_DEPTH} levels of tables and arrays`, 'more');
    }
    if (typeof value === 'boolean' || typeof value === 'number') return value;
    if (typeof value === 'string') return this.#text(value, name);
    if (typeof value === 'bigint') return this.#integer(value, name);
    if (value instanceof Date) return this.#time(value, name);
    if (Array.isArray(value)) {
      return Array.from(value, (item: unknown) => this.value(item, depth + 1, name));
    }
    if (isPlainObject(value)) {
      return tomlTable(
        Object.entries(value).map(([key, item]) => [
          this.#text(key, name),
          this.value(item, depth + 1, key),
        ]),
      );
    }
    throw this.#error(name, 'a value of TOML', describe(value));
  }

  #text(text: string, name: string): string {
    if (/\p{Surrogate}/u.test(text)) throw this.#error(name, 'Unicode', 'a lone surrogate');
    return text;
  }

  #integer(value: bigint, name: string): bigint {
    if (value >= MINIMUM_INTEGER && value <= MAXIMUM_INTEGER) return value;
    throw this.#error(name, 'a signed 64-bit integer', String(value));
  }

  #time(value: Date, name: string): Date {
    if (!Number.isNaN(value.getTime())) return value;
    throw this.#error(name, 'a valid time', 'an invalid one');
  }

  #error(name: string, expected: string, actual: string): StorageError {
    return new StorageError(this.#code, { what: `TOML value of ${name}`, expected, actual });
  }
}

function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function describe(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

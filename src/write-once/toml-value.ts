/**
 * TOML as values. Integers are bigint and floats are number, so that both are preserved, 64-bit integers
 * exactly. Tables have no prototype: `__proto__` is a key like any other.
 *
 * Not kept: comments, the way a value was spelled, and digits of a time below a millisecond.
 */

import { isDate, isNativeError } from 'node:util/types';
import { parse, stringify, TomlDate, type TomlError } from 'smol-toml';
import { checkArray, checkText, itemsOf } from '../check-options.ts';
import { StorageError, type StorageErrorCode } from '../errors.ts';
import { shortened } from '../printable.ts';
import { isPlainObject } from '../realms.ts';

/** A TOML value. All times are `Date`s; parsed ones are of a subclass that knows the kind of time. */
export type TomlValue = string | bigint | number | boolean | Date | TomlValue[] | TomlTable;

/** A TOML table. */
export interface TomlTable {
  [key: string]: TomlValue;
}

export const MAXIMUM_TOML_DEPTH = 64;

const SHOWN_NAME_LENGTH = 64;

const SHOWN_INTEGER = 10n ** 40n;

const MINIMUM_INTEGER = -(2n ** 63n);
const MAXIMUM_INTEGER = 2n ** 63n - 1n;

/** Throws: `corrupt`; for invalid TOML with the offset in UTF-8 bytes. */
export function parseToml(text: string): TomlTable {
  return checkedTable(parseUnchecked(text), 'corrupt');
}

/** Throws: `invalid-input` for values that TOML cannot represent, such as integers beyond 64 bits. */
export function formatToml(table: TomlTable): string {
  const checked = withOwnTimes(checkedTable(table, 'invalid-input'));
  return stringify(checked, { numbersAsFloat: true });
}

/** Creates a table without a prototype from entries. */
export function tomlTable(entries: Iterable<readonly [string, TomlValue]> = []): TomlTable {
  const table: TomlTable = Object.create(null);
  for (const entry of itemsOf('entries of a table', entries)) {
    checkArray('entry of a table', entry);
    const [key, value] = entry;
    checkText('name in a table', key);
    table[key] = value;
  }
  return table;
}

export function isTomlTable(value: unknown): value is TomlTable {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return !isDate(value);
}

function parseUnchecked(text: string): unknown {
  try {
    return parse(text, { integersAsBigInt: true, maxDepth: MAXIMUM_TOML_DEPTH });
  } catch (error) {
    if (!isTomlError(error)) throw error;
    const { line, column } = error;
    throw new StorageError('corrupt', {
      what: `TOML, line ${line}, column ${column}`,
      offset: offsetOf(text, line, column),
      expected: 'valid TOML',
      // The rest of the message quotes the document, as long as its lines are.
      actual: error.message.split('\n', 1).join('').replace('Invalid TOML document: ', ''),
    });
  }
}

function isTomlError(error: unknown): error is TomlError {
  return isNativeError(error) && 'line' in error && 'column' in error;
}

/**
 * A copy whose times are of the class that the formatter knows: it takes a Date of another realm for
 * a table.
 */
function withOwnTimes(value: TomlValue): TomlValue {
  if (isDate(value)) return ownTime(value);
  if (Array.isArray(value)) return value.map(withOwnTimes);
  if (!isTomlTable(value)) return value;
  return tomlTable(Object.entries(value).map(([key, item]) => [key, withOwnTimes(item)]));
}

/** The kind of a parsed time (a date, a time, or both) follows from its text. */
function ownTime(time: Date): TomlDate {
  const own = new TomlDate(time.toISOString());
  return own.isValid() ? own : new TomlDate(time);
}

function offsetOf(text: string, line: number, column: number): number {
  const lines = text.split('\n');
  const before = lines.slice(0, line - 1).map((content) => `${content}\n`);
  const start = before.reduce((length, content) => length + Buffer.byteLength(content), 0);
  return start + Buffer.byteLength((lines[line - 1] ?? '').slice(0, column - 1));
}

/** Throws an error with this code for values that TOML cannot hold. */
function checkedTable(value: unknown, code: StorageErrorCode): TomlTable {
  new Checker(code).check(value, 0, 'document');
  if (isTomlTable(value)) return value;
  throw new StorageError(code, { what: 'TOML document', expected: 'a table' });
}

class Checker {
  readonly #code: StorageErrorCode;

  constructor(code: StorageErrorCode) {
    this.#code = code;
  }

  check(value: unknown, depth: number, name: string): void {
    if (depth > MAXIMUM_TOML_DEPTH) {
      throw this.#error(name, `at most ${MAXIMUM_TOML_DEPTH} levels of tables and arrays`, 'more');
    }
    if (typeof value === 'boolean' || typeof value === 'number') return;
    if (typeof value === 'string') this.#text(value, name);
    else if (typeof value === 'bigint') this.#integer(value, name);
    else if (isDate(value)) this.#time(value, name);
    else if (Array.isArray(value)) {
      for (const item of value) this.check(item, depth + 1, name);
    } else if (isPlainObject(value)) {
      for (const [key, item] of Object.entries(value)) {
        this.#text(key, name);
        this.check(item, depth + 1, key);
      }
    } else {
      throw this.#error(name, 'a value of TOML', describe(value));
    }
  }

  #text(text: string, name: string): void {
    if (/\p{Surrogate}/u.test(text)) throw this.#error(name, 'Unicode', 'a lone surrogate');
  }

  #integer(value: bigint, name: string): void {
    if (value >= MINIMUM_INTEGER && value <= MAXIMUM_INTEGER) return;
    // To write a million digits takes longer than to read them.
    const isShown = value < SHOWN_INTEGER && value > -SHOWN_INTEGER;
    const actual = isShown ? String(value) : 'one of many digits';
    throw this.#error(name, 'a signed 64-bit integer', actual);
  }

  #time(value: Date, name: string): void {
    if (Number.isNaN(value.getTime())) throw this.#error(name, 'a valid time', 'an invalid one');
  }

  #error(name: string, expected: string, actual: string): StorageError {
    const what = `TOML value of ${shortened(name, SHOWN_NAME_LENGTH)}`;
    return new StorageError(this.#code, { what, expected, actual });
  }
}

function describe(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

import { describe, expect, test } from 'vitest';
import {
  formatToml,
  MAXIMUM_TOML_DEPTH,
  parseToml,
  type TomlTable,
  tomlTable,
} from '../../src/write-once/toml-value.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

/** Tables in one another, and a number in the innermost. */
function nested(depth: number): TomlTable {
  let table = tomlTable([['a', 1n]]);
  for (let level = 1; level < depth; level += 1) table = tomlTable([['a', table]]);
  return table;
}

describe('tables in one another', () => {
  test('tables in one another are written as deep as is allowed, and not one deeper', () => {
    expect(formatToml(nested(MAXIMUM_TOML_DEPTH))).toContain('a = 1');
    const error = storageErrorThrownBy(() => formatToml(nested(MAXIMUM_TOML_DEPTH + 1)));
    expect(error).toMatchObject({ code: 'invalid-input', actual: 'more' });
  });

  test('tables in one another that were written can be read', () => {
    const table = nested(MAXIMUM_TOML_DEPTH - 1);
    expect(parseToml(formatToml(table))).toEqual(table);
  });
});

describe('an integer', () => {
  test.each([-(2n ** 63n), 2n ** 63n - 1n])('an integer of %s is written', (value) => {
    expect(formatToml(tomlTable([['a', value]]))).toContain(String(value));
  });

  test.each([-(2n ** 63n) - 1n, 2n ** 63n])('an integer of %s is refused', (value) => {
    const writing = () => formatToml(tomlTable([['a', value]]));
    expect(storageErrorThrownBy(writing).code).toBe('invalid-input');
  });
});

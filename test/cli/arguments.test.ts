import { InvalidArgumentError } from 'commander';
import { describe, expect, test } from 'vitest';
import {
  countArgument,
  layerLsnOrAutoArgument,
  sizeArgument,
  zstdLevelArgument,
} from '../../src/cli/arguments.ts';

describe('a count', () => {
  test.each([
    ['0', 0],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ])('a count of %s is parsed as a number', (text, count) => {
    expect(countArgument(text)).toBe(count);
  });

  test.each(['', '-1', '1.5', '9007199254740992'])('a count of %j is refused', (text) => {
    expect(() => countArgument(text)).toThrow(InvalidArgumentError);
  });
});

describe('a size', () => {
  test.each([
    ['1', 1],
    ['1.5k', 1536],
    ['512KiB', 524_288],
    ['2 TB', 2 * 1024 ** 4],
    ['8191t', 8191 * 1024 ** 4],
    ['999999999999999', 999_999_999_999_999],
  ])('a size of %s is parsed as bytes', (text, size) => {
    expect(sizeArgument(text)).toBe(size);
  });

  test.each(['', '-1', 'k', '1.2345k', '8192t', '1000000000000000'])(
    'a size of %j is refused',
    (text) => {
      expect(() => sizeArgument(text)).toThrow(InvalidArgumentError);
    },
  );
});

describe('a level of zstd', () => {
  test.each([
    ['-7', -7],
    ['22', 22],
    ['+1', 1],
  ])('a level of zstd of %s is accepted', (text, level) => {
    expect(zstdLevelArgument(text)).toBe(level);
  });

  test.each(['-8', '23', ''])('zstd level %j is refused', (text) => {
    expect(() => zstdLevelArgument(text)).toThrow('Expected a level from -7 to 22.');
  });
});

describe('the LSN of a layer', () => {
  test('the LSN of a layer may be 0/1, but not 0/0', () => {
    expect(layerLsnOrAutoArgument('0/1')).toBe(1n);
    expect(() => layerLsnOrAutoArgument('0/0')).toThrow('Expected an LSN above 0/0, or auto.');
  });
});

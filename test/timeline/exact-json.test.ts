/** JSON that is hostile, and numbers that a JavaScript number would change. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatExactJson, parseExactJson } from '../../src/timeline/exact-json.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const SOURCE = { what: 'index_part.json', path: '/index', maximumSize: 10_000_000 };

describe('exact JSON', () => {
  test.each([
    ['{"a":18446744073709551615,"b":[-0,1.50,1e3,0.1E-7,-12]}'],
    ['{"a":123456789012345678901234567890123456789012345678901234567890}'],
    ['{"__proto__":{"x":1},"constructor":9007199254740993}'],
    ['[true,false,null,"\\u0000\\ud800","e1"]'],
    ['{"e":9007199254740991,"é":"😀"}'],
  ])('the JSON %s is written as it was read', (text) => {
    expect(formatExactJson(parseExactJson(text, SOURCE))).toBe(text);
  });

  test('exact JSON is what JSON.parse makes of any JSON of small integers', () => {
    fc.assert(
      fc.property(fc.json({ noUnicodeString: false }), (text) => {
        const hasOtherNumbers = /[.eE-]|\d{16}/.test(text.replace(/"(\\.|[^"\\])*"/g, ''));
        const parsed = parseExactJson(text, SOURCE);
        expect(hasOtherNumbers || JSON.stringify(parsed) === JSON.stringify(JSON.parse(text))).toBe(
          true,
        );
        expect(JSON.parse(formatExactJson(parsed))).toEqual(JSON.parse(text));
      }),
      { numRuns: rounds(200) },
    );
  });

  test.each([
    ['that ends early', '{"a":[1,', 8],
    ['with a comma too many', '{"é":1,}', 8],
    ['with a name twice', '{"a":1,"a":2}', 8],
    ['with a leading zero', '[01]', 2],
    ['with something after it', '{} x', 3],
    ['without anything', '', 0],
    ['with a byte order mark', '\ufeff{}', 0],
  ])('JSON %s is refused at its offset', (_, text, offset) => {
    const error = storageErrorThrownBy(() =>
      parseExactJson(new TextEncoder().encode(text), SOURCE),
    );
    expect(error.code).toBe('corrupt');
    expect(error.path).toBe('/index');
    expect(error.offset).toBe(offset);
  });

  test('exact JSON with a name twice and the same value is refused', () => {
    const error = storageErrorThrownBy(() => parseExactJson('{"a":{"x":1,"x":1}}', SOURCE));
    expect(error.message).toContain('each name of an object once');
  });

  test('exact JSON that is not UTF-8 is refused', () => {
    const error = storageErrorThrownBy(() =>
      parseExactJson(Uint8Array.of(0x22, 0xff, 0x22), SOURCE),
    );
    expect(error.message).toContain('UTF-8');
  });

  test.each([
    ['arrays', '['],
    ['objects', '{"a":'],
  ])('JSON of a million nested %s is refused without a recursion', (_, opening) => {
    const text = opening.repeat(1_000_000);
    const error = storageErrorThrownBy(() => parseExactJson(text, SOURCE));
    expect(error.code).toBe('corrupt');
    expect(error.message).toContain('nesting of at most 64');
    expect(error.offset).toBe(64 * opening.length);
  });

  test('exact JSON above the size is refused before it is read', () => {
    const error = storageErrorThrownBy(() =>
      parseExactJson('['.repeat(11), { ...SOURCE, maximumSize: 10 }),
    );
    expect(error.code).toBe('too-large');
  });

  test('exact JSON with a number of a million digits is read in time', () => {
    const digits = '9'.repeat(1_000_000);
    const before = process.cpuUsage();
    expect(formatExactJson(parseExactJson(digits, SOURCE))).toBe(digits);
    expect(process.cpuUsage(before).user).toBeLessThan(10_000_000);
  });
});

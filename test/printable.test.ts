import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { printable } from '../src/printable.ts';
import { rounds } from './support/rounds.ts';

describe('what could act on a terminal, a log or a page is escaped', () => {
  test.each([
    ['a colour', '\x1b[31mred\x1b[0m', '\\x1b[31mred\\x1b[0m'],
    ['a clipboard', '\x1b]52;c;AAAA\x07', '\\x1b]52;c;AAAA\\x07'],
    ['a line break', 'one\ntwo\rthree', 'one\\x0atwo\\x0dthree'],
    ['a tab and a backspace', 'a\tb\b', 'a\\x09b\\x08'],
    ['NUL and DEL', '\x00\x7f', '\\x00\\x7f'],
    ['C1, an escape of its own', '\x9b2J\x85', '\\x9b2J\\x85'],
    ['bidirectional marks', 'a\u202eb\u2066c\u061c', 'a\\u{202e}b\\u{2066}c\\u{61c}'],
    ['what has no width', 'a\u200b\u200d\ufeff\u00adb', 'a\\u{200b}\\u{200d}\\u{feff}\\xadb'],
    ['line and paragraph separators', '\u2028\u2029', '\\u{2028}\\u{2029}'],
    ['tags', '\u{e0041}', '\\u{e0041}'],
    ['private use', '\ue000\u{100000}', '\\u{e000}\\u{100000}'],
    ['a lone surrogate', 'a\ud800b\udc00', 'a\\u{d800}b\\u{dc00}'],
  ])('printing escapes %s', (_, text, expected) => {
    expect(printable(text)).toBe(expected);
  });
});

test.each(['', 'plain text, 100 %', 'Größe \u{1f600} 数据', 'a\\b "quoted" <tag>'])(
  'a text without control characters is printed as it is: %s',
  (text) => {
    expect(printable(text)).toBe(text);
  },
);

test('whatever goes in, what comes out is one line of characters that show', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const shown = printable(text);
      expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/u);
      expect(printable(shown)).toBe(shown);
    }),
    { numRuns: rounds(300) },
  );
});

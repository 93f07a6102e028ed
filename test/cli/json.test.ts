import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeJson } from '../../src/cli/json.ts';

describe('JSON text', () => {
  test.each([
    ['C0', '\x00\x1b\x1f', '"\\u0000\\u001b\\u001f"'],
    ['DEL and C1', '\x7f\x80\x9b\x9f', '"\\u007f\\u0080\\u009b\\u009f"'],
    ['bidirectional marks', '\u202e\u2066\u200f', '"\\u202e\\u2066\\u200f"'],
    ['line separators', '\u2028\u2029', '"\\u2028\\u2029"'],
    ['invisible characters', '\ufeff\u00ad\u200b', '"\\ufeff\\u00ad\\u200b"'],
    ['tags above the basic plane', '\u{e0041}', '"\\udb40\\udc41"'],
    ['a lone surrogate', '\ud800', '"\\ud800"'],
    ['nothing of what is printable', 'slot_ü€😀 "\\', '"slot_ü€😀 \\"\\\\"'],
  ])('a JSON text escapes %s, and is parsed as what it was', (_, text, expected) => {
    expect(encodeJson(text)).toBe(expected);
    expect(JSON.parse(encodeJson(text))).toBe(text);
  });

  test('JSON text decodes to the same value and holds no control character, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const encoded = encodeJson({ [text]: [text] });
        expect(JSON.parse(encoded)).toEqual({ [text]: [text] });
        expect(encoded).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
    );
  });
});

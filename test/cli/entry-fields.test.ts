/** The fields of an entry, written as bytes, against what JSON makes of the same entry. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  asciiBytes,
  MAXIMUM_INTEGER_LENGTH,
  writeAscii,
  writeHex,
  writeHexWord,
  writeInteger,
} from '../../src/ascii.ts';
import { MAXIMUM_FIELDS_LENGTH, writeEntryFields } from '../../src/cli/entry-fields.ts';
import { formatKey } from '../../src/layers/key.ts';
import { rowOf } from '../../src/layers/layer-file/entry-cursor.ts';
import { MAXIMUM_LSN } from '../../src/layers/lsn.ts';

const TYPES = [
  'image',
  'wal',
  'clear_vm',
  'clog_set_committed',
  'clog_set_aborted',
  'multixact_offset_create',
  'multixact_members_create',
  'aux_file',
  'truncate_vm',
];

/** What a function writes after two bytes that it must leave alone. */
function written(write: (target: Uint8Array, at: number) => number): string {
  const target = Buffer.alloc(400, '#');
  const end = write(target, 2);
  expect(target.toString('latin1', 0, 2)).toBe('##');
  expect(target.subarray(end).every((byte) => byte === 0x23)).toBe(true);
  return target.toString('latin1', 2, end);
}

describe('an integer', () => {
  const powers = Array.from({ length: 16 }, (_, digits) => 10 ** digits);
  test.each([
    0,
    Number.MAX_SAFE_INTEGER,
    0xffff_ffff,
    0x1_0000_0000,
    ...powers.flatMap((power) => [power - 1, power, power + 1]),
  ])('the integer %s has its decimal digits', (value) => {
    const text = written((target, at) => writeInteger(target, at, value));
    expect(text).toBe(String(value));
    expect(text.length).toBeLessThanOrEqual(MAXIMUM_INTEGER_LENGTH);
  });
});

describe('hex digits', () => {
  test('hex digits are those of every byte, in upper case', () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    for (let start = 0; start < 256; start += 64) {
      const digits = written((target, at) => writeHex(target, at, { bytes, start, length: 64 }));
      const expected = Buffer.from(bytes.subarray(start, start + 64)).toString('hex');
      expect(digits).toBe(expected.toUpperCase());
    }
  });

  test.each([
    [0, '00000000'],
    [1, '00000001'],
    [0x89ab_cdef, '89ABCDEF'],
    [0xffff_ffff, 'FFFFFFFF'],
  ])('the hex digits of the word %s are %s', (word, expected) => {
    expect(written((target, at) => writeHexWord(target, at, word))).toBe(expected);
  });
});

test('ASCII text is written as it is', () => {
  const text = '{"key":"~ \n';
  expect(written((target, at) => writeAscii(target, at, asciiBytes(text)))).toBe(text);
});

test('the fields of an entry are what JSON makes of them', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 18, maxLength: 18 }),
      fc.bigInt({ min: 0n, max: MAXIMUM_LSN }),
      fc.record({
        willInit: fc.boolean(),
        offset: fc.nat({ max: 0x7f_ffff_ffff }),
        storedLength: fc.nat({ max: 0x1000_0003 }),
        compressed: fc.boolean(),
      }),
      fc.record({
        type: fc.constantFrom(...TYPES),
        length: fc.nat({ max: 0x0fff_ffff }),
      }),
      (key, lsn, facts, content) => {
        const fields = { entry: rowOf({ key, lsn, ...facts }), ...content };
        const text = written((target, at) => writeEntryFields(target, at, fields));
        expect(`{${text}}`).toBe(
          JSON.stringify({
            key: formatKey(key),
            lsn: lsn.toString(16).toUpperCase().padStart(16, '0'),
            will_init: facts.willInit,
            offset: facts.offset,
            stored_len: facts.storedLength,
            len: content.length,
            compressed: facts.compressed,
            type: content.type,
          }),
        );
        expect(text.length).toBeLessThanOrEqual(MAXIMUM_FIELDS_LENGTH);
      },
    ),
  );
});

test('the fields with the longest numbers of the longest type fit into their room', () => {
  const largest = Number.MAX_SAFE_INTEGER;
  const facts = { willInit: false, offset: largest, storedLength: largest, compressed: false };
  const entry = rowOf({ key: new Uint8Array(18).fill(0xff), lsn: MAXIMUM_LSN, ...facts });
  for (const type of TYPES) {
    const fields = { entry, type, length: largest };
    const text = written((target, at) => writeEntryFields(target, at, fields));
    expect(text.length).toBeLessThanOrEqual(MAXIMUM_FIELDS_LENGTH);
  }
});

test('a row among others is written', () => {
  const keys = Uint8Array.from({ length: 54 }, (_, byte) => byte);
  const facts = { willInit: true, offset: 8293, storedLength: 102, compressed: false };
  const row = rowOf({ key: keys, lsn: 0x0123_4567_89ab_cdefn, ...facts });
  const fields = { entry: { ...row, keyStart: 18 }, type: 'wal', length: 100 };
  expect(written((target, at) => writeEntryFields(target, at, fields))).toBe(
    '"key":"12131415161718191A1B1C1D1E1F20212223","lsn":"0123456789ABCDEF","will_init":true' +
      ',"offset":8293,"stored_len":102,"len":100,"compressed":false,"type":"wal"',
  );
});

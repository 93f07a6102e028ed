import { describe, expect, test } from 'vitest';
import { encodeJson } from '../../src/cli/json.ts';
import { JsonFields } from '../../src/cli/json-fields.ts';
import { parseValue, valuePieces } from '../../src/cli/value-json.ts';
import { isStorageError } from '../../src/errors.ts';
import { encodeValue, type Value, viewValue } from '../../src/layers/value-format.ts';
import { textOfPieces } from '../support/json-pieces.ts';

function parse(value: unknown) {
  return parseValue(new JsonFields(value, 'value'));
}

const EXAMPLES: readonly (readonly [Value, string])[] = [
  [{ type: 'image', bytes: Buffer.from('00ff', 'hex') }, '{"type":"image","hex":"00ff"}'],
  [
    { type: 'wal', willInit: true, bytes: Buffer.alloc(0) },
    '{"type":"wal","will_init":true,"hex":""}',
  ],
  [
    { type: 'clear_vm', newHeapBlock: 0xffff_ffff, oldHeapBlock: null, flags: 255 },
    '{"type":"clear_vm","new":4294967295,"old":null,"flags":255}',
  ],
  [
    { type: 'clog_set_committed', xids: [3, 4], timestamp: -0x8000_0000_0000_0000n },
    '{"type":"clog_set_committed","xids":[3,4],"timestamp":"-9223372036854775808"}',
  ],
  [{ type: 'clog_set_aborted', xids: [] }, '{"type":"clog_set_aborted","xids":[]}'],
  [
    { type: 'multixact_offset_create', multixactId: 1, multixactOffset: 2 },
    '{"type":"multixact_offset_create","mid":1,"moff":2}',
  ],
  [
    {
      type: 'multixact_members_create',
      multixactOffset: 9,
      members: [{ xid: 700, status: 5 }],
    },
    '{"type":"multixact_members_create","moff":9,"members":[{"xid":700,"status":5}]}',
  ],
  [
    { type: 'aux_file', path: 'slot_ü€😀\x1b\u202e', content: Buffer.from('10', 'hex') },
    '{"type":"aux_file","path":"slot_ü€😀\\u001b\\u202e","content":"10"}',
  ],
  [{ type: 'aux_file', path: '', content: null }, '{"type":"aux_file","path":"","content":null}'],
  [
    { type: 'truncate_vm', truncByte: 0xffff_ffff_ffff_ffffn, truncOffset: 9007199254740993n },
    '{"type":"truncate_vm","trunc_byte":"18446744073709551615","trunc_offs":"9007199254740993"}',
  ],
];

describe('a value in JSON', () => {
  test.each(EXAMPLES)('the value %o is printed in JSON and parsed from it again', (value, text) => {
    expect(textOfPieces(valuePieces(viewValue(encodeValue(value))))).toBe(text);
    expect(parse(JSON.parse(text))).toEqual({ kind: 'value', value });
  });

  test('raw bytes are stored unchanged', () => {
    expect(parse({ type: 'raw', will_init: false, hex: 'FFfe' })).toEqual({
      kind: 'raw',
      willInit: false,
      bytes: Buffer.from('fffe', 'hex'),
    });
  });

  test('base64 may replace hex', () => {
    expect(parse({ type: 'image', base64: '/w8=' })).toEqual(parse({ type: 'image', hex: 'ff0f' }));
  });

  test('numbers of 64 bits are strings or safe numbers', () => {
    const committed = { type: 'clog_set_committed', xids: [] };
    expect(parse({ ...committed, timestamp: -1 })).toEqual(
      parse({ ...committed, timestamp: '-1' }),
    );
    expect(parse({ type: 'truncate_vm', trunc_byte: 2 ** 53 - 1, trunc_offs: '0' })).toEqual({
      kind: 'value',
      value: { type: 'truncate_vm', truncByte: 9007199254740991n, truncOffset: 0n },
    });
  });

  test('a property of a prototype is not a field', () => {
    expect(() => parse({ type: 'image', ...Object.create({ hex: '00' }) })).toThrow('hex');
    expect(() => parse(JSON.parse('{"__proto__":{"type":"image"},"hex":""}'))).toThrow('type');
  });

  test.each<[string, unknown]>([
    ['no object', 'image'],
    ['a list', []],
    ['null', null],
    ['no type', { hex: '' }],
    ['an unknown type', { type: 'wall', hex: '' }],
    ['no bytes', { type: 'image' }],
    ['hex and base64', { type: 'image', hex: '', base64: '' }],
    ['half a pair of digits', { type: 'image', hex: 'abc' }],
    ['a character that is not a hex digit', { type: 'image', hex: '0g' }],
    ['blanks between digits', { type: 'image', hex: '00 11' }],
    ['digits that only look so', { type: 'image', hex: '\u0131\u0131' }],
    ['hex that is a number', { type: 'image', hex: 12 }],
    ['hex that is null', { type: 'image', hex: null }],
    ['base64 without its padding', { type: 'image', base64: '/w8' }],
    ['base64 for URLs', { type: 'image', base64: '_w8=' }],
    ['base64 with bits left over', { type: 'image', base64: '/w9=' }],
    ['will_init that is a number', { type: 'wal', will_init: 1, hex: '' }],
    ['will_init missing', { type: 'wal', hex: '' }],
    ['flags above 255', { type: 'clear_vm', new: null, old: null, flags: 256 }],
    ['a block below 0', { type: 'clear_vm', new: -1, old: null, flags: 0 }],
    ['a block that is a fraction', { type: 'clear_vm', new: 0.5, old: null, flags: 0 }],
    ['a block that is missing', { type: 'clear_vm', new: 1, flags: 0 }],
    ['an xid above 32 bits', { type: 'clog_set_aborted', xids: [2 ** 32] }],
    ['an xid that is a string', { type: 'clog_set_aborted', xids: ['1'] }],
    ['xids that are no list', { type: 'clog_set_aborted', xids: {} }],
    ['a timestamp that is rounded', { type: 'clog_set_committed', xids: [], timestamp: 2 ** 53 }],
    [
      'a timestamp above 63 bits',
      { type: 'clog_set_committed', xids: [], timestamp: `${2n ** 63n}` },
    ],
    ['a timestamp in hex', { type: 'clog_set_committed', xids: [], timestamp: '0x10' }],
    ['a timestamp of blanks', { type: 'clog_set_committed', xids: [], timestamp: ' 1' }],
    ['an offset below 0', { type: 'truncate_vm', trunc_byte: '-1', trunc_offs: '0' }],
    ['an offset above 64 bits', { type: 'truncate_vm', trunc_byte: `${2n ** 64n}`, trunc_offs: 0 }],
    ['a member that is a number', { type: 'multixact_members_create', moff: 0, members: [1] }],
    [
      'a member without status',
      { type: 'multixact_members_create', moff: 0, members: [{ xid: 1 }] },
    ],
    ['a path with half a pair', { type: 'aux_file', path: '\ud800', content: null }],
    ['content that is missing', { type: 'aux_file', path: '' }],
    ['content that is not hex', { type: 'aux_file', path: '', content: 'x' }],
  ])('JSON of a value that is %s is refused', (_, value) => {
    const error = (() => {
      try {
        return parse(value);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(isStorageError(error, 'invalid-input')).toBe(true);
  });

  test('a number that was rounded is not quoted', () => {
    const value = { type: 'truncate_vm', trunc_byte: 2 ** 53, trunc_offs: '0' };
    expect(() => parse(value)).toThrow('as a string from 2^53 on, found a number beyond 2^53');
  });
});

describe('a value that is written in several pieces', () => {
  test.each([1000, 1001, 2500])(
    'a list of %i items is written in pieces that together are its JSON',
    (count) => {
      const xids = Array.from({ length: count }, (_, index) => 4_294_967_295 - index);
      const value: Value = { type: 'clog_set_committed', xids, timestamp: 5n };
      const text = textOfPieces(valuePieces(viewValue(encodeValue(value))));
      expect(text).toBe(JSON.stringify({ type: value.type, xids, timestamp: '5' }));
      const members = xids.map((xid, status) => ({ xid, status }));
      const list: Value = { type: 'multixact_members_create', multixactOffset: 7, members };
      expect(textOfPieces(valuePieces(viewValue(encodeValue(list))))).toBe(
        JSON.stringify({ type: list.type, moff: 7, members }),
      );
    },
  );

  test.each([
    ['one byte', 'a'],
    ['two bytes', 'ü'],
    ['three bytes', '€'],
    ['four bytes', '😀'],
    ['an escape', '\u0001'],
    ['an escape of two units', '\u{e0001}'],
    ['a quote', '"'],
    ['a mark in front', '\ufeff'],
  ])(
    'a path whose characters take %s is written in pieces that together are its JSON',
    (_, character) => {
      for (const before of ['', 'x', 'xy', 'xyz']) {
        for (const length of [32 * 1024 - 4, 32 * 1024, 32 * 1024 + 4, 100_000]) {
          const count = Math.floor(length / Buffer.byteLength(character));
          const path = before + character.repeat(count);
          const value: Value = { type: 'aux_file', path, content: null };
          const text = textOfPieces(valuePieces(viewValue(encodeValue(value))));
          expect(text === `{"type":"aux_file","path":${encodeJson(path)},"content":null}`).toBe(
            true,
          );
        }
      }
    },
  );
});

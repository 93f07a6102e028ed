/** Values: literal bytes of every type, and everything that is not a value. */
import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isStorageError } from '../../src/errors.ts';
import {
  decodeValue,
  encodeValue,
  IMAGE_HEADER_SIZE,
  type Value,
  valueWillInit,
} from '../../src/layers/value-format.ts';
import { outlineOfValue, outlineOfValueAt } from '../../src/layers/value-outline.ts';
import { hex } from '../support/layers.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';
import { valuesOfEveryType } from '../support/values.ts';

interface Vector {
  readonly name: string;
  readonly value: Value;
  /** One field a line. */
  readonly fields: readonly string[];
}

const VECTORS: readonly Vector[] = [
  {
    name: 'image',
    value: { type: 'image', bytes: Uint8Array.of(0xaa, 0xbb) },
    fields: [
      '00000000', // variant: image
      '0000000000000002', // length
      'aabb', // data
    ],
  },
  {
    name: 'empty image',
    value: { type: 'image', bytes: new Uint8Array(0) },
    fields: [
      '00000000', // variant: image
      '0000000000000000', // length
    ],
  },
  {
    name: 'WAL record that initialises the page',
    value: { type: 'wal', willInit: true, bytes: Uint8Array.of(0x01) },
    fields: [
      '00000001', // variant: record
      '00000000', // record: Postgres
      '01', // willInit
      '0000000000000001', // length
      '01', // data
    ],
  },
  {
    name: 'WAL record that needs what is older',
    value: { type: 'wal', willInit: false, bytes: new Uint8Array(0) },
    fields: [
      '00000001', // variant: record
      '00000000', // record: Postgres
      '00', // willInit
      '0000000000000000', // length
    ],
  },
  {
    name: 'clear_vm with both blocks',
    value: { type: 'clear_vm', newHeapBlock: 0xffff_ffff, oldHeapBlock: 7, flags: 3 },
    fields: [
      '00000001', // variant: record
      '00000001', // record: clear visibility map flags
      '01', // new heap block: some
      'ffffffff', // new heap block
      '01', // old heap block: some
      '00000007', // old heap block
      '03', // flags
    ],
  },
  {
    name: 'clear_vm without blocks',
    value: { type: 'clear_vm', newHeapBlock: null, oldHeapBlock: null, flags: 0xff },
    fields: [
      '00000001', // variant: record
      '00000001', // record: clear visibility map flags
      '00', // new heap block: none
      '00', // old heap block: none
      'ff', // flags
    ],
  },
  {
    name: 'clog_set_committed',
    value: { type: 'clog_set_committed', xids: [1, 0xffff_fffe], timestamp: -2n },
    fields: [
      '00000001', // variant: record
      '00000002', // record: clog, committed
      '0000000000000002', // count
      '00000001', // xid
      'fffffffe', // xid
      'fffffffffffffffe', // timestamp, signed
    ],
  },
  {
    name: 'clog_set_aborted',
    value: { type: 'clog_set_aborted', xids: [0x01020304] },
    fields: [
      '00000001', // variant: record
      '00000003', // record: clog, aborted
      '0000000000000001', // count
      '01020304', // xid
    ],
  },
  {
    name: 'multixact_offset_create',
    value: { type: 'multixact_offset_create', multixactId: 5, multixactOffset: 0x8000_0000 },
    fields: [
      '00000001', // variant: record
      '00000004', // record: multixact offset
      '00000005', // mid
      '80000000', // moff
    ],
  },
  {
    name: 'multixact_members_create',
    value: {
      type: 'multixact_members_create',
      multixactOffset: 9,
      members: [
        { xid: 0x11, status: 5 },
        { xid: 0x12, status: 0 },
      ],
    },
    fields: [
      '00000001', // variant: record
      '00000005', // record: multixact members
      '00000009', // moff
      '0000000000000002', // count
      '00000011', // xid
      '00000005', // status
      '00000012', // xid
      '00000000', // status
    ],
  },
  {
    name: 'aux_file with content',
    value: { type: 'aux_file', path: 'é/\u{1f600}', content: Uint8Array.of(0xcc) },
    fields: [
      '00000001', // variant: record
      '00000006', // record: auxiliary file
      '0000000000000007', // length of the path, in bytes
      'c3a92ff09f9880', // path, UTF-8
      '01', // content: some
      '0000000000000001', // length
      'cc', // content
    ],
  },
  {
    name: 'aux_file that is removed',
    value: { type: 'aux_file', path: '', content: null },
    fields: [
      '00000001', // variant: record
      '00000006', // record: auxiliary file
      '0000000000000000', // length of the path
      '00', // content: none
    ],
  },
  {
    name: 'truncate_vm',
    value: { type: 'truncate_vm', truncByte: 0xffff_ffff_ffff_ffffn, truncOffset: 1n },
    fields: [
      '00000001', // variant: record
      '00000007', // record: truncate visibility map
      'ffffffffffffffff', // truncByte
      '0000000000000001', // truncOffset
    ],
  },
];

describe.each(VECTORS)('$name', ({ value, fields }) => {
  const bytes = bytesOf(fields.join(''));

  it('a value is encoded as the bytes of the format', () => {
    expect(hex(encodeValue(value))).toBe(fields.join(''));
    expect(decodeValue(bytes)).toEqual(value);
  });

  it('a value is refused wherever it is cut, with the start of a field as the place', () => {
    const starts = fieldStarts(fields);
    for (let length = 0; length < bytes.length; length += 1) {
      const error = storageErrorThrownBy(() => decodeValue(bytes.subarray(0, length)));
      expect(error.code).toMatch(/^(truncated|corrupt)$/);
      expect(error.offset).toBeLessThanOrEqual(length);
      expect(starts).toContain(error.offset);
    }
  });

  it('a value with a byte after it is refused', () => {
    const error = storageErrorThrownBy(() => decodeValue(Buffer.concat([bytes, Buffer.alloc(1)])));
    expect(error).toMatchObject({ code: 'corrupt', offset: bytes.length });
  });
});

describe('bytes that are not a value', () => {
  it.each([
    // what, bytes, offset of the error
    ['variant 2', '00000002', 0],
    ['variant 0xffffffff', 'ffffffff0000000000000000', 0],
    ['record 8', '0000000100000008', 4],
    ['record 0xffffffff', '00000001ffffffff', 4],
    ['willInit 2', '0000000100000000020000000000000000', 8],
    ['option 2', '000000010000000102', 8],
    ['second option 0xff', '0000000100000001 00 ff', 9],
    ['option of a content 2', '0000000100000006 0000000000000000 02', 16],
  ])('a value with %s is corrupt', (_, text, offset) => {
    expect(storageErrorThrownBy(() => decodeValue(bytesOf(text)))).toMatchObject({
      code: 'corrupt',
      offset,
    });
  });

  it.each([
    ['image', '00000000', ''],
    ['WAL record', '000000010000000001', ''],
    ['xids', '0000000100000002', '00000001'],
    ['members', '000000010000000500000000', '0000000100000002'],
    ['path', '0000000100000006', '61'],
    ['content', '0000000100000006000000000000000001', '61'],
  ])('a length of %s beyond the bytes is refused before anything is allocated', (_, head, tail) => {
    for (const length of ['8000000000000000', 'ffffffffffffffff', '0020000000000001']) {
      const error = storageErrorThrownBy(() => decodeValue(bytesOf(head + length + tail)));
      expect(error).toMatchObject({ code: 'corrupt', offset: head.length / 2 });
    }
  });

  it.each([
    ['a lone continuation byte', '80'],
    ['an overlong slash', 'c0af'],
    ['a surrogate', 'eda080'],
    ['a code point above the last', 'f4908080'],
    ['half a character', 'c3'],
  ])('a path with %s is corrupt', (_, path) => {
    const length = (path.length / 2).toString(16).padStart(16, '0');
    const error = storageErrorThrownBy(() =>
      decodeValue(bytesOf(`0000000100000006${length}${path}00`)),
    );
    expect(error).toMatchObject({ code: 'corrupt', offset: 16, expected: 'UTF-8' });
  });

  it('bytes that are not a value are a typed error or decode to a value within them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.constantFrom(0, 1), (bytes, tag) => {
        if (bytes.length > 8) bytes.set([0, 0, 0, tag, 0, 0, 0, (bytes[7] ?? 0) % 9]);
        try {
          expect(hex(encodeValue(decodeValue(bytes)))).toBe(hex(bytes));
        } catch (error) {
          expect(error).toMatchObject({ name: 'StorageError', offset: expect.any(Number) });
        }
      }),
    );
  });
});

describe('the outline of a value', () => {
  it('the outline of a value has what the complete value has, and the same errors', () => {
    fc.assert(
      fc.property(valuesOfEveryType(), fc.nat(), fc.nat(), (value, place, change) => {
        const bytes = encodeValue(value);
        expect(outlineOfValue(bytes)).toEqual({
          type: value.type,
          willInit: valueWillInit(value),
        });
        const at = place % bytes.length;
        const changed = bytes.slice();
        changed[at] = change & 0xff;
        for (const damaged of [changed, bytes.subarray(0, at), Buffer.concat([bytes, changed])]) {
          const expected = resultOf(() => {
            const { type, ...rest } = decodeValue(damaged);
            return { type, willInit: valueWillInit({ type, ...rest } as Value) };
          });
          expect(resultOf(() => outlineOfValue(damaged))).toEqual(expected);
          // Among others, which are no part of it.
          const among = Buffer.concat([bytes, damaged, bytes]);
          expect(resultOf(() => outlineOfValueAt(among, bytes.length, damaged.length))).toEqual(
            expected,
          );
        }
      }),
    );
  });
});

describe('the outline of an image or a WAL record', () => {
  it('the outline of an image or a WAL record that is changed in any byte, or cut, is that of the decoder', () => {
    for (const length of [0, 1, 4, 5, 6, 255, 256]) {
      const values: Value[] = [
        { type: 'image', bytes: new Uint8Array(length) },
        { type: 'wal', willInit: false, bytes: new Uint8Array(length) },
        { type: 'wal', willInit: true, bytes: new Uint8Array(length) },
      ];
      for (const bytes of values.map(encodeValue)) {
        for (let at = 0; at < Math.min(bytes.length, 20); at += 1) {
          for (const change of [0, 1, 2, 0x80, 0xff]) {
            const changed = bytes.slice();
            changed[at] = change;
            for (const damaged of [changed, changed.subarray(0, at), changed.subarray(at)]) {
              expect(resultOf(() => outlineOfValueAt(damaged, 0, damaged.length))).toEqual(
                resultOf(() => outlineOfValue(damaged)),
              );
            }
          }
        }
      }
    }
  });
});

describe('a value that cannot be encoded', () => {
  it.each<[string, Value]>([
    ['a path that ends in a high surrogate', auxFile('a\ud800')],
    ['a path with a low surrogate', auxFile('\udc00a')],
    ['a path with surrogates the wrong way round', auxFile('\udc00\ud800')],
  ])('a value with %s is refused as invalid-input', (_, value) => {
    expect(storageErrorThrownBy(() => encodeValue(value)).code).toBe('invalid-input');
  });

  it.each<[string, Value]>([
    ['a block above u32', clearVm({ newHeapBlock: 0x1_0000_0000 })],
    ['a negative block', clearVm({ oldHeapBlock: -1 })],
    ['flags above u8', clearVm({ flags: 256 })],
    ['a fraction', { type: 'clog_set_aborted', xids: [1.5] }],
    ['no number', { type: 'clog_set_aborted', xids: [Number.NaN] }],
    ['a timestamp above i64', committed(1n << 63n)],
    ['a timestamp below i64', committed(-(1n << 63n) - 1n)],
    ['a negative u64', { type: 'truncate_vm', truncByte: -1n, truncOffset: 0n }],
    ['a u64 of 65 bits', { type: 'truncate_vm', truncByte: 0n, truncOffset: 1n << 64n }],
  ])('a value with %s is refused as out of range', (_, value) => {
    expect(storageErrorThrownBy(() => encodeValue(value)).code).toBe('out-of-range');
  });

  it('a value without a type is refused', () => {
    const value: unknown = { type: 'test', bytes: new Uint8Array(1) };
    expect(storageErrorThrownBy(() => encodeValue(value as Value)).code).toBe('invalid-input');
  });
});

describe('any value', () => {
  it('any value round-trips through encoding and decoding', () => {
    fc.assert(
      fc.property(valuesOfEveryType(), (value) => {
        expect(decodeValue(encodeValue(value))).toEqual(value);
      }),
    );
  });

  it('any value needs nothing older only as an image or as a record that says so', () => {
    fc.assert(
      fc.property(valuesOfEveryType(), (value) => {
        const expected = value.type === 'image' || (value.type === 'wal' && value.willInit);
        expect(valueWillInit(value)).toBe(expected);
      }),
    );
  });

  it('any value is decoded without a copy of its bytes', () => {
    const bytes = encodeValue({ type: 'image', bytes: Uint8Array.of(1, 2, 3) });
    const value = decodeValue(bytes);
    bytes[IMAGE_HEADER_SIZE] = 9;
    expect(value).toEqual({ type: 'image', bytes: Uint8Array.of(9, 2, 3) });
  });

  it('any value is decoded from a view as from a copy', () => {
    const bytes = encodeValue(committed(5n));
    const memory = Buffer.concat([Buffer.alloc(3, 0xff), bytes, Buffer.alloc(3, 0xff)]);
    expect(decodeValue(memory.subarray(3, 3 + bytes.length))).toEqual(committed(5n));
  });
});

function auxFile(path: string): Value {
  return { type: 'aux_file', path, content: null };
}

function committed(timestamp: bigint): Value {
  return { type: 'clog_set_committed', xids: [], timestamp };
}

function clearVm(fields: Partial<Extract<Value, { type: 'clear_vm' }>>): Value {
  return { type: 'clear_vm', newHeapBlock: null, oldHeapBlock: null, flags: 0, ...fields };
}

/** What it returns, or the code and place of what it throws. */
function resultOf(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    if (!isStorageError(error)) throw error;
    return { code: error.code, offset: error.offset };
  }
}

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

/** The offsets at which fields start. */
function fieldStarts(fields: readonly string[]): number[] {
  let start = 0;
  return fields.map((field) => {
    start += field.length / 2;
    return start - field.length / 2;
  });
}

describe('a list of more items than the maximum', () => {
  const xids = encodeValue({ type: 'clog_set_aborted', xids: [7, 8, 9] });
  const members = encodeValue({
    type: 'multixact_members_create',
    multixactOffset: 1,
    members: [
      { xid: 7, status: 1 },
      { xid: 8, status: 2 },
    ],
  });

  it.each([
    [xids, 2, 16],
    [members, 1, 20],
    [xids, 0, 16],
  ])(
    'a list of more items than the maximum is too large: case %#',
    (bytes, maximumItems, offset) => {
      const error = storageErrorThrownBy(() => decodeValue(bytes, { maximumItems }));
      expect(error).toMatchObject({ code: 'too-large', offset });
    },
  );

  it('1,000,000 are decoded, one more only where it is allowed', () => {
    const most = Array.from({ length: 1_000_000 }, (_, index) => index);
    const value = { type: 'clog_set_aborted', xids: most } as const;
    deepStrictEqual(decodeValue(encodeValue(value)), value);
    const more = encodeValue({ ...value, xids: [...most, 1] });
    expect(storageErrorThrownBy(() => decodeValue(more)).code).toBe('too-large');
    const decoded = decodeValue(more, { maximumItems: Number.POSITIVE_INFINITY });
    deepStrictEqual(decoded, { ...value, xids: [...most, 1] });
  });
});

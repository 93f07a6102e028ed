import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isStorageError } from '../../src/errors.ts';
import { chosenHeapDialect, heapDialectOf } from '../../src/wal/heap-dialect.ts';
import { decodeWalRecord } from '../../src/wal/record-format.ts';
import { HEAP, HEAP2 } from '../../src/wal/resource-managers.ts';
import { readDescribedRecords } from '../support/described-records.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const DELETE = 0x10;
const UPDATE = 0x20;
const LOCK = 0x60;

function heap(info: number, hex: string) {
  const mainData = new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  return { resourceManager: HEAP, info, mainData };
}

// infomask2: 3 attributes, infomask: no nulls, hoff 24, and its one byte of padding.
const VANILLA_TUPLE = '0300 0208 18 00';
const NEON_TUPLE = '0300 0208 07000000 18 00';

describe('a record of 14 and 15', () => {
  test.each([
    ['DELETE', DELETE, '2E030000 0800 10 00', 'vanilla'],
    ['DELETE', DELETE, '2E030000 0800 0000 00000000 10 00', 'neon'],
    [
      'DELETE with an old tuple',
      DELETE,
      `2E030000 0800 10 04 ${VANILLA_TUPLE} 0500000000000000`,
      'vanilla',
    ],
    ['DELETE with an old tuple', DELETE, `2E030000 0800 0000 00000000 10 04 ${NEON_TUPLE}`, 'neon'],
    ['UPDATE', UPDATE, '2E030000 0200 00 60 00000000 0500', 'vanilla'],
    ['UPDATE', UPDATE, '2E030000 0200 00 60 05000000 00000000 0500', 'neon'],
    [
      'UPDATE with an old tuple',
      UPDATE,
      `2E030000 0200 00 04 00000000 0500 ${VANILLA_TUPLE} 000000000000`,
      'vanilla',
    ],
    [
      'UPDATE with an old tuple',
      UPDATE,
      `2E030000 0200 00 04 05000000 00000000 0500 ${NEON_TUPLE}`,
      'neon',
    ],
    ['LOCK', LOCK, '03000000 0200 06 00', 'vanilla'],
    ['LOCK', LOCK, '03000000 0200 0000 00000000 06 00', 'neon'],
    ['INSERT', 0x00, '0500 08', 'same'],
    ['TRUNCATE', 0x30, '', 'same'],
  ])('%s with info %i and the bytes %s is of the dialect %s', (_, info, hex, dialect) => {
    for (const version of [14, 15]) expect(heapDialectOf(heap(info, hex), version)).toBe(dialect);
  });

  test('a record of 14 and 15 that another resource manager wrote reads alike in both dialects', () => {
    const record = { ...heap(DELETE, ''), resourceManager: HEAP2 };
    expect(heapDialectOf(record, 15)).toBe('same');
  });

  test('a record of 14 and 15 of the samples is vanilla, or the same', () => {
    const told = new Set<string>();
    for (const { version, bytes, record_type } of readDescribedRecords()) {
      const dialect = heapDialectOf(decodeWalRecord(bytes, version), version);
      told.add(dialect);
      if (version >= 16) expect(dialect).toBe('same');
      if (record_type === 'LOCK' && version < 16) expect(dialect).toMatch(/vanilla|same/);
    }
    expect(told).toEqual(new Set(['vanilla', 'same']));
  });
});

describe('a record that can be read in both ways', () => {
  // Vanilla: hoff is the byte 12, 24. Neon: flags in byte 13, hoff in byte 22.
  const both = heap(DELETE, '2E030000 0800 10 04 0300 0208 18 04 0300 0208 00000000 18 0000000000');

  test('a record that can be read in both ways is undecided', () => {
    expect(heapDialectOf(both, 15)).toBe('undecided');
  });

  test('a record that can be read in both ways may have as many bytes as the other dialect without an old tuple', () => {
    const allNull = heap(DELETE, '2E030000 0800 10 04 0100 0108 18 00');
    expect(heapDialectOf(allNull, 15)).toBe('undecided');
  });

  test('a record that can be read in both ways is read in the given dialect, and refused without one', () => {
    expect(chosenHeapDialect(both, 15, 'neon')).toBe('neon');
    expect(chosenHeapDialect(both, 15, 'vanilla')).toBe('vanilla');
    const error = storageErrorThrownBy(() => chosenHeapDialect(both, 15));
    expect(error.code).toBe('invalid-input');
    expect(error.message).toContain('vanilla or neon');
  });
});

test('a record that contradicts the given dialect is corrupt', () => {
  const lock = heap(LOCK, '03000000 0200 06 00');
  expect(chosenHeapDialect(lock, 14, 'vanilla')).toBe('vanilla');
  const error = storageErrorThrownBy(() => chosenHeapDialect(lock, 14, 'neon'));
  expect(error.code).toBe('corrupt');
  expect(error.message).toContain('expected neon, found vanilla');
});

test('16 and 17 have one dialect, whatever dialect is given', () => {
  const lock = heap(LOCK, '03000000 0200 06 00');
  expect(chosenHeapDialect(lock, 17, 'neon')).toBe('vanilla');
});

test.each([
  ['DELETE', DELETE, '2E030000 0800 10'],
  ['DELETE of 9 bytes', DELETE, '2E030000 0800 10 00 00'],
  ['DELETE without the old tuple that its flags announce', DELETE, '2E030000 0800 10 04'],
  ['UPDATE of 16 bytes', UPDATE, '2E030000 0200 00 60 00000000 0500 0000'],
  ['LOCK of 13 bytes', LOCK, '03000000 0200 0000 00000000 06'],
  ['LOCK without data', LOCK, ''],
])('a %s of neither dialect is corrupt', (_, info, hex) => {
  const error = storageErrorThrownBy(() => heapDialectOf(heap(info, hex), 15));
  expect(error.code).toBe('corrupt');
  expect(error.message).toMatch(/Heap\/(DELETE|UPDATE|LOCK)/);
});

test('any main data gives a dialect or a typed error, and never contradicts the given one', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(DELETE, UPDATE, 0x40, LOCK),
      fc.uint8Array({ maxLength: 60 }),
      fc.constantFrom('vanilla' as const, 'neon' as const),
      (info, mainData, told) => {
        const record = { resourceManager: HEAP, info, mainData };
        try {
          expect(chosenHeapDialect(record, 14, told)).toBe(told);
        } catch (error) {
          if (!isStorageError(error, 'corrupt')) throw error;
        }
      },
    ),
  );
});

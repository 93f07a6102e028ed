import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeDatabaseDirectory,
  decodeRelationDirectory,
  decodeSlruDirectory,
  decodeTwophaseDirectory,
  encodeDatabaseDirectory,
  encodeRelationDirectory,
  encodeSlruDirectory,
  encodeTwophaseDirectory,
} from '../../src/postgres/directory-values.ts';
import { decodeRelationSize } from '../../src/postgres/relation-size.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const bytes = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

test('database directory: count, then tablespace, database, relation map', () => {
  const value = bytes('0000000000000002 00000680 00000000 01 0000067F 00000001 01');
  const databases = [
    { spcnode: 1663, dbnode: 1, hasRelationMap: true },
    { spcnode: 1664, dbnode: 0, hasRelationMap: true },
  ];
  expect(decodeDatabaseDirectory(value)).toEqual(databases);
  expect(encodeDatabaseDirectory(databases)).toEqual(
    bytes('0000000000000002 0000067F 00000001 01 00000680 00000000 01'),
  );
});

test('relation directory: count, then file number and fork', () => {
  const value = bytes('0000000000000002 000004EB 00 000004EB 01');
  const relations = [
    { relnode: 1259, fork: 'main' },
    { relnode: 1259, fork: 'fsm' },
  ] as const;
  expect(decodeRelationDirectory(value)).toEqual(relations);
  expect(encodeRelationDirectory(relations.toReversed())).toEqual(value);
});

test('SLRU directory: count, then segments', () => {
  const value = bytes('0000000000000002 00000000 00000003');
  expect(decodeSlruDirectory(value)).toEqual([0, 3]);
  expect(encodeSlruDirectory([3, 0])).toEqual(value);
});

test('two-phase directory: transactions have 32 bits up to 16, 64 bits from 17', () => {
  const of17 = bytes('0000000000000001 0000000A000002E4');
  expect(decodeTwophaseDirectory(of17, 17)).toEqual([0xa_0000_02e4n]);
  expect(encodeTwophaseDirectory([0xa_0000_02e4n], 17)).toEqual(of17);
  const of16 = bytes('0000000000000001 000002E4');
  expect(decodeTwophaseDirectory(of16, 16)).toEqual([740n]);
  expect(encodeTwophaseDirectory([740n], 16)).toEqual(of16);
});

test('an empty directory is 8 zero bytes', () => {
  const empty = new Uint8Array(8);
  expect(encodeDatabaseDirectory([])).toEqual(empty);
  expect(encodeRelationDirectory([])).toEqual(empty);
  expect(encodeSlruDirectory([])).toEqual(empty);
  expect(encodeTwophaseDirectory([], 17)).toEqual(empty);
  expect(decodeDatabaseDirectory(empty)).toEqual([]);
});

test('encoded directories decode to what they were, in order', () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  fc.assert(
    fc.property(fc.uniqueArray(u32), fc.integer({ min: 0, max: 255 }), (numbers, fork) => {
      const relations = numbers.map((relnode) => ({
        relnode,
        fork: (fork > 3 ? fork : 4) as number,
      }));
      const decoded = decodeRelationDirectory(encodeRelationDirectory(relations));
      expect(decoded).toEqual(relations.toSorted((left, right) => left.relnode - right.relnode));
      const segments = decodeSlruDirectory(encodeSlruDirectory(numbers));
      expect(segments).toEqual(numbers.toSorted((left, right) => left - right));
    }),
  );
});

describe('a damaged directory', () => {
  test.each([
    ['a count beyond its bytes', '0000000000000003 00000000 00000003', 'corrupt'],
    ['bytes after its items', '0000000000000001 00000000 00', 'corrupt'],
    ['an item twice', '0000000000000002 00000003 00000003', 'corrupt'],
    ['no count', '000000', 'truncated'],
  ])('a directory of segments with %s is refused', (_, hex, code) => {
    expect(storageErrorThrownBy(() => decodeSlruDirectory(bytes(hex))).code).toBe(code);
  });

  test('a damaged directory with a flag of 2 is corrupt at its offset', () => {
    const value = bytes('0000000000000001 00000680 00000000 02');
    const error = storageErrorThrownBy(() => decodeDatabaseDirectory(value));
    expect(error).toMatchObject({ code: 'corrupt', offset: 16 });
  });
});

test('a size of 8 bytes, as the fast import writes it, is read; one above 32 bits is corrupt', () => {
  expect(decodeRelationSize(bytes('07000000 00000000'))).toBe(7);
  const error = storageErrorThrownBy(() => decodeRelationSize(bytes('07000000 01000000')));
  expect(error.code).toBe('corrupt');
});

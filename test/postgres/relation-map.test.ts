import { describe, expect, it } from 'vitest';
import { decodeRelationMap } from '../../src/postgres/relation-map.ts';
import { relationMapBytes } from '../support/relation-map.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

/** The first mappings of database 5 of Postgres 15.14, fresh from initdb; its CRC-32C. */
const REAL_15 = { start: '17275900 11000000 eb040000eb040000', crc: 0xd19c326b };

describe('a relation map', () => {
  it.each([
    [14, 512],
    [15, 512],
    [16, 524],
    [17, 524],
  ])('a relation map of Postgres %i has %i bytes', (majorVersion, size) => {
    const bytes = relationMapBytes({ mappings: [[1259, 16390]] }, majorVersion);
    expect(bytes.length).toBe(size);
    expect(decodeRelationMap(bytes, majorVersion)).toEqual([{ oid: 1259, relnode: 16390 }]);
    const other = majorVersion < 16 ? 16 : 15;
    const code = majorVersion < 16 ? 'truncated' : 'corrupt';
    expect(storageErrorThrownBy(() => decodeRelationMap(bytes, other)).code).toBe(code);
  });

  it.each([
    [15, 62],
    [17, 64],
  ])(
    'a relation map of Postgres %i has room for %i mappings, and no more',
    (majorVersion, room) => {
      const mappings = Array.from({ length: room }, (_, index) => [index + 1, index + 2] as const);
      const full = relationMapBytes({ mappings }, majorVersion);
      expect(decodeRelationMap(full, majorVersion)).toHaveLength(room);
      const fuller = relationMapBytes({ mappings, count: room + 1 }, majorVersion);
      const error = storageErrorThrownBy(() => decodeRelationMap(fuller, majorVersion));
      expect([error.code, error.offset, error.actual]).toEqual(['corrupt', 4, `${room + 1}`]);
    },
  );

  it('a relation map without mappings is one', () => {
    expect(decodeRelationMap(relationMapBytes({ mappings: [] }), 17)).toEqual([]);
  });

  it('a relation map of a server begins as those made here do', () => {
    const mappings = [
      [1259, 1259],
      [1249, 1249],
    ] as const;
    const start = Buffer.from(REAL_15.start.replaceAll(' ', ''), 'hex');
    const made = relationMapBytes({ count: 17, mappings }, 15);
    expect(Buffer.from(made.subarray(0, start.length)).equals(start)).toBe(true);
  });

  it.each([
    ['another magic number', relationMapBytes({ magic: 0x592718 }), 'corrupt', 0],
    ['fewer than no mappings', relationMapBytes({ count: -1 }), 'corrupt', 4],
    ['a mapping changed', relationMapBytes().fill(7, 8, 9), 'corrupt', 520],
    ['its checksum changed', relationMapBytes().fill(7, 520, 521), 'corrupt', 520],
    ['nothing in it', new Uint8Array(0), 'truncated', undefined],
    ['one byte less', relationMapBytes().subarray(1), 'truncated', undefined],
    ['one byte more', new Uint8Array(525), 'corrupt', undefined],
  ])('a relation map with %s is refused', (_, bytes, code, offset) => {
    const error = storageErrorThrownBy(() => decodeRelationMap(bytes, 17));
    expect([error.code, error.offset]).toEqual([code, offset]);
  });
});

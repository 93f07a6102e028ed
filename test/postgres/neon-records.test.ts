import { describe, expect, test } from 'vitest';
import type { Key } from '../../src/layers/key.ts';
import type { MultixactMember } from '../../src/layers/value-format.ts';
import { auxFilesKey, relationBlockKey, slruBlockKey } from '../../src/postgres/key-mapping.ts';
import { applyNeonRecord, type NeonRecord } from '../../src/postgres/neon-records.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const LSN = 0x1_0000_1234n;
const ONES = 0xff;

function mapKey(blkno: number): Key {
  return relationBlockKey({ spcnode: 1663, dbnode: 5, relnode: 16384, fork: 'vm', blkno });
}

/** A page of a visibility map with a header, and all bits set. */
function fullMap(): Uint8Array {
  const page = new Uint8Array(8192).fill(ONES, 24);
  new DataView(page.buffer).setUint16(14, 8192, true);
  return page;
}

/** What differs from `before`, as `[offset, new byte]`. */
function changes(before: Uint8Array, after: Uint8Array): [number, number][] {
  const changed: [number, number][] = [];
  for (const [at, byte] of after.entries()) if (byte !== before[at]) changed.push([at, byte]);
  return changed;
}

function apply(page: Uint8Array, key: Key, record: NeonRecord): Uint8Array {
  return applyNeonRecord(page, { key, lsn: LSN, record });
}

const LSN_BYTES: [number, number][] = [
  [0, 1],
  [4, 0x34],
  [5, 0x12],
];

describe('clear_vm', () => {
  test('clear_vm clears two bits of heap block 0x11 and sets the LSN', () => {
    const record = { type: 'clear_vm', newHeapBlock: 0x11, oldHeapBlock: null, flags: 3 } as const;
    const page = apply(fullMap(), mapKey(0), record);
    expect(changes(fullMap(), page)).toEqual([...LSN_BYTES, [24 + 4, 0xff & ~0x0c]]);
  });

  test('clear_vm clears one bit of heap block 32,675, on the second page of the map', () => {
    const record = {
      type: 'clear_vm',
      newHeapBlock: null,
      oldHeapBlock: 32_675,
      flags: 2,
    } as const;
    expect(changes(fullMap(), apply(fullMap(), mapKey(1), record))).toEqual([
      ...LSN_BYTES,
      [24, 0x7f],
    ]);
  });

  test('clear_vm of two blocks clears both', () => {
    const record = { type: 'clear_vm', newHeapBlock: 0, oldHeapBlock: 32_671, flags: 3 } as const;
    expect(changes(fullMap(), apply(fullMap(), mapKey(0), record))).toEqual([
      ...LSN_BYTES,
      [24, 0xfc],
      [8191, 0x3f],
    ]);
  });

  test('clear_vm leaves the LSN of a new page 0, and the given page as it was', () => {
    const zeros = new Uint8Array(8192);
    const record = { type: 'clear_vm', newHeapBlock: 1, oldHeapBlock: null, flags: 3 } as const;
    expect(apply(zeros, mapKey(0), record)).toEqual(zeros);
    const full = fullMap();
    apply(full, mapKey(0), record);
    expect(full).toEqual(fullMap());
  });

  test.each([
    ['another page of the map', mapKey(1)],
    [
      'a page that is no map',
      relationBlockKey({ spcnode: 1, dbnode: 1, relnode: 1, fork: 'main', blkno: 0 }),
    ],
  ])('clear_vm on %s is corrupt, with the key and the LSN', (_, key) => {
    const record = { type: 'clear_vm', newHeapBlock: 5, oldHeapBlock: null, flags: 3 } as const;
    const error = storageErrorThrownBy(() => apply(fullMap(), key, record));
    expect(error).toMatchObject({ code: 'corrupt', lsn: '0000000100001234' });
  });
});

describe('truncate_vm', () => {
  test('truncate_vm keeps the low bits of its byte and nothing after it; the LSN stays', () => {
    const record = { type: 'truncate_vm', truncByte: 7n, truncOffset: 4n } as const;
    const page = apply(fullMap(), mapKey(0), record);
    const expected = fullMap();
    expected[24 + 7] = 0x0f;
    expected.fill(0, 24 + 8);
    expect(page).toEqual(expected);
  });

  test.each([
    [8168n, 0n],
    [0n, 8n],
    [0xffff_ffff_ffff_ffffn, 0n],
  ])('truncate_vm of byte %d, bit %d is corrupt', (truncByte, truncOffset) => {
    const record = { type: 'truncate_vm', truncByte, truncOffset } as const;
    expect(storageErrorThrownBy(() => apply(fullMap(), mapKey(0), record)).code).toBe('corrupt');
  });
});

describe('clog', () => {
  const page = new Uint8Array(8192);
  const key = (page: number) => slruBlockKey({ slru: 'clog', segno: page >> 5, blkno: page & 31 });

  test('a commit sets 01 and appends the time, big-endian', () => {
    const timestamp = 0x0102_0304_0506_0708n;
    const after = apply(page, key(0), { type: 'clog_set_committed', xids: [740, 743], timestamp });
    expect(after).toHaveLength(8200);
    expect(changes(page, after.subarray(0, 8192))).toEqual([[185, 0b0100_0001]]);
    expect([...after.subarray(8192)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('an abort sets 10 and keeps the existing time', () => {
    const stamped = Uint8Array.from({ length: 8200 }, (_, at) => (at < 8192 ? 0 : 9));
    const after = apply(stamped, key(1), { type: 'clog_set_aborted', xids: [35_964] });
    expect(changes(stamped, after)).toEqual([[799, 0b10]]);
    expect(after).toHaveLength(8200);
  });

  test('a page of another length gets no time', () => {
    const record = { type: 'clog_set_committed', xids: [0], timestamp: 1n } as const;
    expect(apply(new Uint8Array(8193), key(0), record)).toHaveLength(8193);
  });

  test('a transaction of another page is corrupt, and so is a short page', () => {
    const record = { type: 'clog_set_aborted', xids: [32_768] } as const;
    expect(storageErrorThrownBy(() => apply(page, key(0), record)).code).toBe('corrupt');
    const short = storageErrorThrownBy(() => apply(new Uint8Array(8191), key(1), record));
    expect(short.code).toBe('corrupt');
  });
});

describe('multixact', () => {
  const page = new Uint8Array(8192);

  test('an offset is at 4 * (multixact mod 2048), little-endian', () => {
    const key = slruBlockKey({ slru: 'multixact_offsets', segno: 0, blkno: 1 });
    const record = {
      type: 'multixact_offset_create',
      multixactId: 2049,
      multixactOffset: 0x102,
    } as const;
    expect(changes(page, apply(page, key, record))).toEqual([
      [4, 2],
      [5, 1],
    ]);
  });

  const member = (multixactOffset: number, members: MultixactMember[]): NeonRecord => ({
    type: 'multixact_members_create',
    multixactOffset,
    members,
  });
  const memberKey = (segno: number, blkno: number) =>
    slruBlockKey({ slru: 'multixact_members', segno, blkno });

  test.each([
    [123_456_789, 2358, 6, 4780 + 1, 4788],
    [0xffff_ffff, 82_040, 5, 5160 + 3, 5176],
  ])(
    'the multixact member %i has its flags and its transaction there',
    (offset, segno, blkno, flagAt, xidAt) => {
      const record = member(offset, [{ xid: 0x21, status: 5 }]);
      expect(changes(page, apply(page, memberKey(segno, blkno), record))).toEqual([
        [flagAt, 5],
        [xidAt, 0x21],
      ]);
    },
  );

  test('members 1635 and 1636 are on two pages', () => {
    const two = [
      { xid: 1, status: 1 },
      { xid: 2, status: 2 },
    ];
    expect(storageErrorThrownBy(() => apply(page, memberKey(0, 0), member(1635, two))).code).toBe(
      'corrupt',
    );
    const [first] = two;
    const after = apply(page, memberKey(0, 0), member(1635, first === undefined ? [] : [first]));
    expect(changes(page, after)).toEqual([
      [408 * 20 + 3, 1],
      [408 * 20 + 4 + 12, 1],
    ]);
  });
});

test('an auxiliary file changes nothing', () => {
  const page = Uint8Array.of(1, 2);
  expect(apply(page, auxFilesKey(), { type: 'aux_file', path: 'a', content: null })).toEqual(page);
});

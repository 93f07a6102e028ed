import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareKeys, formatKey, keyFromFields, nextKey, parseKey } from '../../src/layers/key.ts';
import { FORK_NAMES } from '../../src/postgres/fork.ts';
import { explainKey } from '../../src/postgres/key-explanation.ts';
import {
  auxFilesKey,
  checkpointKey,
  controlFileKey,
  databaseDirectoryKey,
  describeKey,
  type KeyMeaning,
  relationBlockKey,
  relationDirectoryKey,
  relationMapKey,
  relationSizeKey,
  SLRU_NAMES,
  slruBlockKey,
  slruDirectoryKey,
  slruSizeKey,
  twophaseDirectoryKey,
  twophaseKey,
} from '../../src/postgres/key-mapping.ts';
import { rounds } from '../support/rounds.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

const RELATION = { spcnode: 1663, dbnode: 5, relnode: 16384 };

/** Key, meaning, words; spaces separate the six fields. */
const VECTORS: readonly (readonly [string, KeyMeaning, string])[] = [
  [
    '00 0000067F 00000005 00004000 00 00000007',
    { kind: 'rel_block', ...RELATION, fork: 'main', blkno: 7 },
    'block 7 of relation 1663/5/16384, main fork',
  ],
  [
    '00 0000067F 00000005 00004000 01 FFFFFFFE',
    { kind: 'rel_block', ...RELATION, fork: 'fsm', blkno: 0xffff_fffe },
    'block 4294967294 of relation 1663/5/16384, fsm fork',
  ],
  [
    '00 0000067F 00000005 00004000 02 FFFFFFFF',
    { kind: 'rel_size', ...RELATION, fork: 'vm' },
    'size of relation 1663/5/16384, vm fork',
  ],
  [
    '00 0000067F 00000005 00004000 03 00000000',
    { kind: 'rel_block', ...RELATION, fork: 'init', blkno: 0 },
    'block 0 of relation 1663/5/16384, init fork',
  ],
  [
    '00 0000067F 00000005 00004000 07 00000001',
    { kind: 'rel_block', ...RELATION, fork: 7, blkno: 1 },
    'block 1 of relation 1663/5/16384, fork 7 (not one of Postgres)',
  ],
  [
    '00 0000067F 00000005 00004000 FF FFFFFFFF',
    { kind: 'rel_size', ...RELATION, fork: 255 },
    'size of relation 1663/5/16384, fork 255 (not one of Postgres)',
  ],
  [
    '00 0000067F 00000005 00000000 00 00000000',
    { kind: 'relmap', spcnode: 1663, dbnode: 5 },
    'relation map of database 5 in tablespace 1663',
  ],
  [
    '00 00000680 00000000 00000000 00 00000000',
    { kind: 'relmap', spcnode: 1664, dbnode: 0 },
    'relation map of the shared catalogs (1664/0)',
  ],
  [
    '00 0000067F 00000005 00000000 00 00000001',
    { kind: 'rel_dir', spcnode: 1663, dbnode: 5 },
    'relation directory of database 5 in tablespace 1663',
  ],
  ['00 00000000 00000000 00000000 00 00000000', { kind: 'db_dir' }, 'database directory'],
  [
    '01 00000000 00000001 0000000A 00 0000001F',
    { kind: 'slru_block', slru: 'clog', segno: 10, blkno: 31 },
    'block 31 of clog segment 10 (file 000A)',
  ],
  [
    '01 00000001 00000001 0000000A 00 FFFFFFFF',
    { kind: 'slru_size', slru: 'multixact_members', segno: 10 },
    'size of multixact_members segment 10 (file 000A)',
  ],
  [
    '01 00000002 00000000 00000000 00 00000000',
    { kind: 'slru_dir', slru: 'multixact_offsets' },
    'directory of multixact_offsets segments',
  ],
  [
    '02 00000000 00000000 00123456 78 9ABCDEF0',
    { kind: 'twophase', xid: 0x1234_5678_9abc_def0n },
    'two-phase state of transaction 1311768467463790320',
  ],
  [
    '02 00000000 00000000 00000000 00 000002E4',
    { kind: 'twophase', xid: 740n },
    'two-phase state of transaction 740',
  ],
  [
    '02 00000000 00000000 00000000 00 00000000',
    { kind: 'twophase_dir' },
    'directory of two-phase files',
  ],
  [
    '03 00000000 00000000 00000000 00 00000000',
    { kind: 'control_file' },
    'control file (pg_control)',
  ],
  ['03 00000000 00000000 00000000 00 00000001', { kind: 'checkpoint' }, 'checkpoint record'],
  [
    '03 00000000 00000000 00000000 00 00000002',
    { kind: 'aux_files' },
    'directory of auxiliary files',
  ],
  ['60 00000000 00000000 00000000 00 00000000', { kind: 'metadata' }, 'metadata key 60 (reserved)'],
  [
    '62 00000000 00000000 00000000 00 00000001',
    { kind: 'metadata' },
    'metadata key 62 (auxiliary files)',
  ],
  [
    '65 0000067F 00000005 00004000 00 00000001',
    { kind: 'metadata' },
    'metadata key 65 (relation directory)',
  ],
  ['7E FFFFFFFF FFFFFFFF FFFFFFFF FF FFFFFFFF', { kind: 'metadata' }, 'metadata key 7E (reserved)'],
];

const UNKNOWN = [
  '00 00000000 00000005 00000000 00 00000000', // no tablespace
  '00 00000000 00000000 00000000 00 00000001',
  '00 0000067F 00000005 00000000 01 00000000', // relation map with a fork
  '00 0000067F 00000005 00000000 00 00000002',
  '00 0000067F 00000005 00000000 00 FFFFFFFF',
  '01 00000003 00000001 00000000 00 00000000', // no such SLRU
  '01 00000000 00000001 00000000 01 00000000', // fifth field
  '01 00000000 00000002 00000000 00 00000000', // third field
  '01 00000000 00000000 00000000 00 00000001',
  '02 00000001 00000000 00000000 00 00000000',
  '02 00000000 00000001 00000000 00 00000000',
  '02 00000000 00000000 01000000 00 00000000', // above 64 bits
  '03 00000000 00000000 00000000 00 00000003',
  '03 00000000 00000000 00000001 00 00000000',
  '04 00000000 00000000 00000000 00 00000000',
  '5F FFFFFFFF FFFFFFFF FFFFFFFF FF FFFFFFFF',
  '7F 00000000 00000000 00000000 00 00000000',
  'FF FFFFFFFF FFFFFFFF FFFFFFFF FF FFFFFFFF',
];

describe('the meaning of a key', () => {
  it.each(VECTORS)(
    'the key %s has a meaning, from which the same key is built',
    (spaced, meaning, words) => {
      const key = parseKey(spaced.replaceAll(' ', ''));
      expect(describeKey(key)).toEqual(meaning);
      expect(explainKey(key)).toBe(words);
      const built = keyOf(meaning);
      if (built !== undefined) expect(formatKey(built)).toBe(formatKey(key));
    },
  );

  it.each(UNKNOWN)('the key %s is unknown, not guessed', (spaced) => {
    const key = parseKey(spaced.replaceAll(' ', ''));
    expect(describeKey(key)).toEqual({ kind: 'unknown' });
    expect(explainKey(key)).toBe('a key without a known meaning');
  });

  it('the meaning of a key comes back from the key that it makes, for every kind', () => {
    fc.assert(
      fc.property(anyMeaning(), (meaning) => {
        const key = keyOf(meaning);
        expect(key).toBeDefined();
        expect(key && describeKey(key)).toEqual(meaning);
      }),
      { numRuns: rounds(2000) },
    );
  });

  it('the meaning of a key makes the same key again, for every key that has one', () => {
    fc.assert(
      fc.property(anyKey(), (key) => {
        const built = keyOf(describeKey(key));
        if (built !== undefined) expect(formatKey(built)).toBe(formatKey(key));
      }),
      { numRuns: rounds(2000) },
    );
  });

  it('the meaning of a key refuses bytes that are not a key', () => {
    const error = storageErrorThrownBy(() => describeKey(new Uint8Array(17)));
    expect(error.code).toBe('invalid-input');
  });
});

describe('the order of keys', () => {
  it('puts the size of a fork immediately after its last block and before the next fork', () => {
    const fork = { ...RELATION, fork: 'main' } as const;
    const last = relationBlockKey({ ...fork, blkno: 0xffff_fffe });
    expect(formatKey(nextKey(last))).toBe(formatKey(relationSizeKey(fork)));
    const next = relationBlockKey({ ...RELATION, fork: 'fsm', blkno: 0 });
    expect(formatKey(nextKey(relationSizeKey(fork)))).toBe(formatKey(next));
  });

  it('puts a relation map before the relations of its database', () => {
    const block = relationBlockKey({
      spcnode: 1663,
      dbnode: 5,
      relnode: 1,
      fork: 'main',
      blkno: 0,
    });
    expect(compareKeys(relationMapKey({ spcnode: 1663, dbnode: 5 }), block)).toBeLessThan(0);
    const before = relationSizeKey({ ...RELATION, dbnode: 4, relnode: 0xffff_ffff, fork: 'init' });
    expect(compareKeys(relationMapKey({ spcnode: 1663, dbnode: 5 }), before)).toBeGreaterThan(0);
  });
});

it('the largest xid has a key', () => {
  const key = twophaseKey((1n << 64n) - 1n);
  expect(formatKey(key)).toBe('020000000000000000' + '00FFFFFF' + 'FF' + 'FFFFFFFF');
});

describe('numbers that no key can hold', () => {
  const cases: readonly (readonly [string, () => unknown])[] = [
    ['the block number of the size', () => relationBlockKey(block({ blkno: 0xffff_ffff }))],
    ['a negative block number', () => relationBlockKey(block({ blkno: -1 }))],
    ['a block number with a fraction', () => relationBlockKey(block({ blkno: 0.5 }))],
    ['relation 0, which is the map', () => relationBlockKey(block({ relnode: 0 }))],
    ['a relation above 32 bits', () => relationSizeKey(block({ relnode: 0x1_0000_0000 }))],
    ['a tablespace above 32 bits', () => relationSizeKey(block({ spcnode: 0x1_0000_0000 }))],
    ['fork 256', () => relationSizeKey({ ...RELATION, fork: 256 })],
    ['tablespace 0 of a map', () => relationMapKey({ spcnode: 0, dbnode: 5 })],
    ['a negative segment', () => slruSizeKey({ slru: 'clog', segno: -1 })],
    ['xid 0, which is the directory', () => twophaseKey(0n)],
    ['an xid above 64 bits', () => twophaseKey(1n << 64n)],
  ];
  it.each(cases)('a number that no key can hold is out of range: %s', (_, make) => {
    expect(storageErrorThrownBy(make).code).toBe('out-of-range');
  });
});

function block(changes: { blkno?: number; relnode?: number; spcnode?: number }) {
  return { ...RELATION, fork: 'main', blkno: 0, ...changes } as const;
}

function keyOf(meaning: KeyMeaning): Uint8Array | undefined {
  switch (meaning.kind) {
    case 'rel_block':
      return relationBlockKey(meaning);
    case 'rel_size':
      return relationSizeKey(meaning);
    case 'relmap':
      return relationMapKey(meaning);
    case 'rel_dir':
      return relationDirectoryKey(meaning);
    case 'db_dir':
      return databaseDirectoryKey();
    case 'slru_block':
      return slruBlockKey(meaning);
    case 'slru_size':
      return slruSizeKey(meaning);
    case 'slru_dir':
      return slruDirectoryKey(meaning.slru);
    case 'twophase':
      return twophaseKey(meaning.xid);
    case 'twophase_dir':
      return twophaseDirectoryKey();
    case 'control_file':
      return controlFileKey();
    case 'checkpoint':
      return checkpointKey();
    case 'aux_files':
      return auxFilesKey();
    case 'metadata':
    case 'unknown':
      return undefined;
  }
}

function anyMeaning(): fc.Arbitrary<KeyMeaning> {
  const u32 = fc.nat({ max: 0xffff_ffff });
  const oid = fc.integer({ min: 1, max: 0xffff_ffff });
  const blkno = fc.nat({ max: 0xffff_fffe });
  const fork = fc.oneof(fc.constantFrom(...FORK_NAMES), fc.integer({ min: 4, max: 255 }));
  const relation = { spcnode: u32, dbnode: u32, relnode: oid, fork };
  const segment = { slru: fc.constantFrom(...SLRU_NAMES), segno: u32 };
  return fc.oneof(
    fc.record({ kind: fc.constant('rel_block'), ...relation, blkno }),
    fc.record({ kind: fc.constant('rel_size'), ...relation }),
    fc.record({ kind: fc.constant('relmap'), spcnode: oid, dbnode: u32 }),
    fc.record({ kind: fc.constant('rel_dir'), spcnode: oid, dbnode: u32 }),
    fc.record({ kind: fc.constant('slru_block'), ...segment, blkno }),
    fc.record({ kind: fc.constant('slru_size'), ...segment }),
    fc.record({ kind: fc.constant('slru_dir'), slru: segment.slru }),
    fc.record({
      kind: fc.constant('twophase'),
      xid: fc.bigInt({ min: 1n, max: (1n << 64n) - 1n }),
    }),
  );
}

/** Keys whose fields are often the special numbers. */
function anyKey(): fc.Arbitrary<Uint8Array> {
  const u8 = fc.oneof(fc.constantFrom(0, 1, 2, 3, 0x60, 0x7e, 0x7f), fc.nat({ max: 0xff }));
  const u32 = fc.oneof(fc.constantFrom(0, 1, 2, 0xffff_ffff), fc.nat({ max: 0xffff_ffff }));
  return fc
    .record({ field1: u8, field2: u32, field3: u32, field4: u32, field5: u8, field6: u32 })
    .map(keyFromFields);
}

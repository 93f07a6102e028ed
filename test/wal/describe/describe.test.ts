import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isStorageError } from '../../../src/errors.ts';
import { parseLsn } from '../../../src/layers/lsn.ts';
import { describeWalRecord } from '../../../src/wal/describe/describe.ts';
import { formatWaldumpLine } from '../../../src/wal/describe/waldump-line.ts';
import { decodeWalRecord } from '../../../src/wal/record-format.ts';
import { recordKinds } from '../../../src/wal/resource-managers.ts';
import {
  readDescribedRecords,
  recordBytes,
  withChecksum,
} from '../../support/described-records.ts';
import { rounds } from '../../support/rounds.ts';
import { storageErrorThrownBy } from '../../support/storage-errors.ts';

const RECORDS = readDescribedRecords();
const VERSIONS = [14, 15, 16, 17];

function described(spec: Parameters<typeof recordBytes>[0], majorVersion: number): string {
  const record = decodeWalRecord(recordBytes(spec), majorVersion);
  const { resourceManager, recordType, description } = describeWalRecord(record, { majorVersion });
  return `${resourceManager}/${recordType} ${description}`;
}

describe('to the letter', () => {
  test.each(VERSIONS)('records of %i have the text of their server', (version) => {
    const differences = RECORDS.filter((golden) => golden.version === version).flatMap((golden) => {
      const record = decodeWalRecord(golden.bytes, version);
      const { resourceManager, recordType, description } = describeWalRecord(record, {
        majorVersion: version,
      });
      const actual = `${resourceManager}/${recordType} ${description}`;
      const expected = `${golden.resource_manager}/${golden.record_type} ${golden.description}`;
      return actual === expected ? [] : [`${golden.start_lsn}: ${actual} - ${expected}`];
    });
    expect(differences).toEqual([]);
  });

  test('records of 15 have the line of pg_waldump', () => {
    let compared = 0;
    for (const { version, bytes, start_lsn, waldump } of RECORDS) {
      if (waldump === undefined) continue;
      const record = decodeWalRecord(bytes, version);
      const place = { startLsn: parseLsn(start_lsn), length: bytes.length };
      expect(formatWaldumpLine(record, place, { majorVersion: version })).toBe(waldump);
      compared += 1;
    }
    expect(compared).toBeGreaterThan(700);
  });

  test('the samples lack only the kinds that are described below', () => {
    const seen = new Set(
      RECORDS.map((record) => `${record.resource_manager}/${record.record_type}`),
    );
    const kinds = VERSIONS.flatMap((version) => recordKinds(version)).map(
      ({ manager, type }) => `${manager}/${type}`,
    );
    const missing = [...new Set(kinds)].filter((kind) => !seen.has(kind)).sort();
    expect(missing).toMatchInlineSnapshot(`
      [
        "BRIN/UPDATE",
        "BRIN/UPDATE+INIT",
        "CLOG/TRUNCATE",
        "Gin/DELETE_PAGE",
        "Gist/ASSIGN_LSN",
        "Gist/DELETE",
        "Hash/MOVE_PAGE_CONTENTS",
        "Hash/VACUUM_ONE_PAGE",
        "Heap/HOT_UPDATE+INIT",
        "SPGist/VACUUM_ROOT",
        "XLOG/NOOP",
        "neon/DELETE",
        "neon/HOT_UPDATE",
        "neon/HOT_UPDATE+INIT",
        "neon/INSERT",
        "neon/INSERT+INIT",
        "neon/LOCK",
        "neon/MULTI_INSERT",
        "neon/MULTI_INSERT+INIT",
        "neon/UPDATE",
        "neon/UPDATE+INIT",
      ]
    `);
  });
});

describe('kinds that the samples lack', () => {
  const NEON = 134;
  test.each([
    [
      'CLOG',
      14,
      { resourceManager: 3, info: 0x10, mainData: '02000000 39050000 05000000' },
      'CLOG/TRUNCATE page 2; oldestXact 1337',
    ],
    [
      'CLOG',
      17,
      { resourceManager: 3, info: 0x10, mainData: '0200000001000000 39050000 05000000' },
      'CLOG/TRUNCATE page 4294967298; oldestXact 1337',
    ],
    ['NOOP', 15, { resourceManager: 0, info: 0x20 }, 'XLOG/NOOP '],
    [
      'Gist',
      14,
      { resourceManager: 14, info: 0x10, mainData: '39050000 0200' },
      'Gist/DELETE delete: latestRemovedXid 1337, nitems: 2',
    ],
    [
      'Gist',
      16,
      { resourceManager: 14, info: 0x10, mainData: '39050000 0200 01' },
      'Gist/DELETE delete: snapshotConflictHorizon 1337, nitems: 2',
    ],
    [
      'Gist',
      17,
      { resourceManager: 14, info: 0x10, mainData: '39050000 0200 01' },
      'Gist/DELETE delete: snapshotConflictHorizon 1337, nitems: 2, isCatalogRel T',
    ],
    ['Gist', 17, { resourceManager: 14, info: 0x70 }, 'Gist/ASSIGN_LSN '],
    ['Gin', 17, { resourceManager: 13, info: 0x50 }, 'Gin/DELETE_PAGE '],
    [
      'Hash',
      17,
      { resourceManager: 12, info: 0x70, mainData: '0300 01' },
      'Hash/MOVE_PAGE_CONTENTS ntups 3, is_primary T',
    ],
    [
      'Hash',
      15,
      { resourceManager: 12, info: 0xc0, mainData: '39050000 02000000' },
      'Hash/VACUUM_ONE_PAGE ntuples 2, latestRemovedXid 1337',
    ],
    [
      'Hash',
      16,
      { resourceManager: 12, info: 0xc0, mainData: '39050000 0200 00' },
      'Hash/VACUUM_ONE_PAGE ntuples 2, snapshotConflictHorizon 1337',
    ],
    [
      'Hash',
      17,
      { resourceManager: 12, info: 0xc0, mainData: '39050000 0200 00' },
      'Hash/VACUUM_ONE_PAGE ntuples 2, snapshotConflictHorizon 1337, isCatalogRel F',
    ],
    [
      'BRIN',
      17,
      { resourceManager: 17, info: 0x20, mainData: '0700 0000 01000000 80000000 0800' },
      'BRIN/UPDATE heapBlk 1 pagesPerRange 128 old offnum 7, new offnum 8',
    ],
    [
      'BRIN',
      17,
      { resourceManager: 17, info: 0xa0, mainData: '0700 0000 01000000 80000000 0800' },
      'BRIN/UPDATE+INIT heapBlk 1 pagesPerRange 128 old offnum 7, new offnum 8',
    ],
    [
      'SPGist',
      15,
      { resourceManager: 16, info: 0x70, mainData: '0300' },
      'SPGist/VACUUM_ROOT ndelete: 3',
    ],
    [
      'neon',
      16,
      { resourceManager: NEON, info: 0x80, mainData: '0500 01' },
      'neon/INSERT+INIT off: 5, flags: 0x01',
    ],
    [
      'neon',
      16,
      { resourceManager: NEON, info: 0x10, mainData: '2E030000 0800 10 02 07000000' },
      'neon/DELETE xmax: 814, off: 8, infobits: [KEYS_UPDATED], flags: 0x02',
    ],
    [
      'neon',
      17,
      { resourceManager: NEON, info: 0x30, mainData: '2E030000 0800 06 60 07000000 00000000 0500' },
      'neon/HOT_UPDATE old_xmax: 814, old_off: 8, old_infobits: [LOCK_ONLY, EXCL_LOCK], flags: 0x60, new_xmax: 0, new_off: 5',
    ],
    [
      'neon',
      17,
      { resourceManager: NEON, info: 0x40, mainData: '2E030000 07000000 0800 06 01' },
      'neon/LOCK xmax: 814, off: 8, infobits: [LOCK_ONLY, EXCL_LOCK], flags: 0x01',
    ],
    [
      'neon',
      17,
      { resourceManager: NEON, info: 0xd0, mainData: '02 00 0200 07000000' },
      'neon/MULTI_INSERT+INIT ntuples: 2, flags: 0x02',
    ],
    [
      'neon',
      17,
      {
        resourceManager: NEON,
        info: 0x50,
        mainData: '02 00 0200 07000000 0300 0400',
        headers: '00 20 0100 7F060000 05000000 00400000 00000000',
        blockData: '00',
      },
      'neon/MULTI_INSERT ntuples: 2, flags: 0x02, offsets: [3, 4]',
    ],
    [
      'an extension',
      17,
      { resourceManager: 200, info: 0x30, mainData: '01' },
      'custom200/UNKNOWN (30) rmid: 200',
    ],
    [
      'an extension of 15 with the number of neon',
      15,
      { resourceManager: NEON, info: 0x10 },
      'custom134/UNKNOWN (10) rmid: 134',
    ],
    [
      'an operation that nobody has',
      17,
      { resourceManager: 10, info: 0x90, mainData: '01' },
      'Heap/UNKNOWN (90) ',
    ],
  ])(
    'a kind that the samples lack, %s of version %i, is described as by pg_waldump',
    (_, version, spec, text) => {
      expect(described(spec, version)).toBe(text);
    },
  );

  test.each([
    [true, ' (full page image)'],
    [false, ' (full page image, for WAL verification)'],
  ])('a Gin record with an image that is to be applied (%s) says so', (apply, text) => {
    const golden = RECORDS.find(({ record_type }) => record_type === 'FPI');
    const record = decodeWalRecord(golden?.bytes ?? new Uint8Array(), golden?.version ?? 0);
    const blocks = record.blocks.map((block) => ({
      ...block,
      image: block.image && { ...block.image, apply },
    }));
    const vacuum = { ...record, resourceManager: 13, info: 0x90, blocks };
    expect(describeWalRecord(vacuum, { majorVersion: 17 }).description).toBe(text);
  });
});

describe('heap records of 14 and 15 in Neon’s dialect', () => {
  test.each([
    [0x10, '2E030000 0800 0000 00000000 10 01', 'Heap/DELETE off 8 flags 0x01 KEYS_UPDATED '],
    [
      0x20,
      '2E030000 0200 00 60 05000000 07000000 0500',
      'Heap/UPDATE off 2 xmax 814 flags 0x60 ; new off 5 xmax 7',
    ],
    [
      0xc0,
      '2E030000 0200 00 60 05000000 07000000 0500',
      'Heap/HOT_UPDATE+INIT off 2 xmax 814 flags 0x60 ; new off 5 xmax 7',
    ],
    [
      0x60,
      '03000000 0200 0000 00000000 05 00',
      'Heap/LOCK off 2: xid 3: flags 0x00 IS_MULTI EXCL_LOCK ',
    ],
  ])(
    'a heap record in the dialect of Neon with info %i is described by its own layout',
    (info, mainData, text) => {
      for (const version of [14, 15]) {
        expect(described({ resourceManager: 10, info, mainData }, version)).toBe(text);
      }
    },
  );

  test('a record that can be read in both ways needs the dialect', () => {
    const mainData = '2E030000 0800 10 04 0300 0208 18 04 0300 0208 00000000 18 0000000000';
    const bytes = recordBytes({ resourceManager: 10, info: 0x10, mainData });
    const record = decodeWalRecord(bytes, 15);
    const error = storageErrorThrownBy(() => describeWalRecord(record, { majorVersion: 15 }));
    expect(error.code).toBe('invalid-input');
    expect(error.message).toContain('Heap/DELETE: ');
    const read = (dialect: 'vanilla' | 'neon') =>
      describeWalRecord(record, { majorVersion: 15, dialect }).description;
    expect(read('vanilla')).toBe('off 8 flags 0x04 KEYS_UPDATED ');
    expect(read('neon')).toBe('off 8 flags 0x04 KEYSHR_LOCK KEYS_UPDATED ');
  });
});

describe('times', () => {
  const commit = (microseconds: bigint, times: 'walinspect' | 'waldump') => {
    const mainData = Buffer.alloc(8);
    mainData.writeBigInt64LE(microseconds);
    const bytes = recordBytes({ resourceManager: 1, info: 0, mainData: mainData.toString('hex') });
    const record = decodeWalRecord(bytes, 17);
    return describeWalRecord(record, { majorVersion: 17, times }).description;
  };

  test.each([
    [0n, '2000-01-01 00:00:00+00', '2000-01-01 00:00:00.000000 UTC'],
    [849_247_447_424_500n, '2026-11-29 06:04:07.4245+00', '2026-11-29 06:04:07.424500 UTC'],
    [-1n, '1999-12-31 23:59:59.999999+00', '1999-12-31 23:59:59.999999 UTC'],
    [5_097_600_000_000n, '2000-02-29 00:00:00+00', '2000-02-29 00:00:00.000000 UTC'],
    [
      9_223_371_331_199_999_999n,
      '294276-12-31 23:59:59.999999+00',
      '294276-12-31 23:59:59.999999 UTC',
    ],
    [-63_082_281_600_000_000n, '0001-01-01 00:00:00+00', '0001-01-01 00:00:00.000000 UTC'],
    [
      -63_082_281_600_000_001n,
      '0001-12-31 23:59:59.999999+00 BC',
      '0001-12-31 23:59:59.999999 UTC',
    ],
    [0x7fff_ffff_ffff_ffffn, 'infinity', 'infinity'],
    [-0x8000_0000_0000_0000n, '-infinity', '-infinity'],
  ])('a time of %s microseconds is printed as by Postgres', (microseconds, walinspect, waldump) => {
    expect(commit(microseconds, 'walinspect')).toBe(walinspect);
    expect(commit(microseconds, 'waldump')).toBe(waldump);
  });

  test('dates are those of the calendar, on every day', () => {
    fc.assert(
      fc.property(fc.integer({ min: -730_000, max: 2_900_000 }), (day) => {
        const date = new Date(Date.UTC(2000, 0, 1) + day * 86_400_000).toISOString();
        const text = commit(BigInt(day) * 86_400_000_000n, 'walinspect');
        expect(text).toBe(`${date.slice(0, -'Thh:mm:ss.sssZ'.length)} 00:00:00+00`);
      }),
    );
  });
});

describe('numbers of tuples are printed as %g does', () => {
  test.each([
    [10, '10'],
    [0, '0'],
    [123_456, '123456'],
    [1_234_567, '1.23457e+06'],
    [1e15, '1e+15'],
    [0.5, '0.5'],
    [0.000012345678, '1.23457e-05'],
    [999_999.9, '1e+06'],
    [-1, '-1'],
    [Number.POSITIVE_INFINITY, 'inf'],
    [Number.NaN, 'nan'],
  ])('a number of tuples of %d is printed with six digits, as C does', (value, text) => {
    const mainData = Buffer.alloc(8);
    mainData.writeDoubleLE(value);
    const spec = { resourceManager: 12, info: 0xb0, mainData: mainData.toString('hex') };
    expect(described(spec, 17)).toBe(`Hash/UPDATE_META_PAGE ntuples ${text}`);
  });
});

describe('damage with a right checksum', () => {
  test.each([
    ['main data that ends early', { resourceManager: 10, info: 0, mainData: '05' }, 'Heap/INSERT'],
    ['no main data', { resourceManager: 11, info: 0x30 }, 'Btree/SPLIT_L'],
    [
      'a count beyond the data',
      { resourceManager: 10, info: 0x30, mainData: '05000000 FFFFFFFF 00000000' },
      'Heap/TRUNCATE',
    ],
    [
      'a negative count',
      { resourceManager: 1, info: 0x50, mainData: '05000000 FFFFFFFF' },
      'Transaction/ASSIGNMENT',
    ],
    [
      'no block data where its kind has some',
      { resourceManager: 11, info: 0xe0 },
      'Btree/META_CLEANUP',
    ],
    [
      'a horizon that its flags announce and that is missing',
      { resourceManager: 9, info: 0x10, mainData: '00 08' },
      'Heap2/PRUNE_ON_ACCESS',
    ],
  ])('a record with %s is corrupt, and the error names the kind', (_, spec, kind) => {
    const record = decodeWalRecord(recordBytes(spec), 17);
    const error = storageErrorThrownBy(() => describeWalRecord(record, { majorVersion: 17 }));
    expect(error.code).toBe('corrupt');
    expect(error.message).toContain(`${kind}: `);
  });

  test('no main data is long enough to be cut to any length without a typed error or a text', () => {
    for (const { bytes, version } of RECORDS.filter(({ bytes }) => bytes.length < 200)) {
      const record = decodeWalRecord(bytes, version);
      for (let length = 0; length < record.mainData.length; length += 1) {
        const cut = { ...record, mainData: record.mainData.subarray(0, length) };
        expectTextOrCorrupt(() => describeWalRecord(cut, { majorVersion: version }).description);
      }
    }
  });

  const EXECUTIONS = Number(process.env['LAYERFILE_DESCRIBE_EXECUTIONS'] ?? rounds(5000));

  test('any change of a record, read as any version, gives a text of bounded length or a typed error', () => {
    const small = RECORDS.filter(({ bytes }) => bytes.length < 500);
    const place = { startLsn: 0n, length: 0 };
    const change = fc.record({
      at: fc.nat({ max: 476 }),
      value: fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 0x7f, 0xff)),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(...small),
        fc.constantFrom(...VERSIONS),
        fc.array(change, { minLength: 1, maxLength: 8 }),
        fc.option(fc.record({ resourceManager: fc.nat({ max: 140 }), info: fc.nat({ max: 255 }) })),
        (golden, majorVersion, changes, kind) => {
          const bytes = golden.bytes.slice();
          for (const { at, value } of changes) if (24 + at < bytes.length) bytes[24 + at] = value;
          if (kind !== null) [bytes[16], bytes[17]] = [kind.info, kind.resourceManager];
          withChecksum(bytes);
          expectTextOrCorrupt(() => {
            const record = decodeWalRecord(bytes, majorVersion);
            return formatWaldumpLine(record, place, { majorVersion });
          });
        },
      ),
      { numRuns: EXECUTIONS },
    );
  }, 600_000);

  function expectTextOrCorrupt(action: () => string): void {
    try {
      expect(action().length).toBeLessThan(20_000);
    } catch (error) {
      if (!isStorageError(error, 'corrupt', 'truncated', 'invalid-input')) throw error;
    }
  }
});

test('options that are unknown or out of range are refused', () => {
  const record = decodeWalRecord(recordBytes({ resourceManager: 0, info: 0x20 }), 17);
  for (const options of [
    { majorVersion: 13 },
    { majorVersion: 17, dialect: 'other' },
    { majorVersion: 17, times: 'local' },
    { majorVersion: 17, time: 'waldump' },
  ]) {
    const error = storageErrorThrownBy(() =>
      Reflect.apply(describeWalRecord, null, [record, options]),
    );
    expect(error.code).toBe('invalid-input');
  }
});

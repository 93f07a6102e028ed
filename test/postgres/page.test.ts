import { describe, expect, it } from 'vitest';
import {
  checkPageChecksum,
  decodePageHeader,
  PAGE_SIZE,
  pageChecksum,
} from '../../src/postgres/page.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

/** Pages that Postgres 17.5 wrote: block number, bytes by offset; all others are zero. */
const REAL_PAGES = {
  'block 0 of a visibility map': {
    blockNumber: 0,
    runs: [
      [0, '0000000050596401'], // LSN 0/1645950
      [8, '052f'], // checksum 0x2f05
      [10, '0000'], // flags
      [12, '180000200020'], // lower 24, upper 8192, special 8192
      [18, '0420'], // 8192 bytes, layout 4
      [20, '00000000'], // nothing to prune
    ],
    lsn: 0x164_5950n,
    checksum: 0x2f05,
    lower: 24,
    upper: 8192,
    special: 8192,
  },
  'block 1 of a B-tree': {
    blockNumber: 1,
    runs: [
      [0, '00000000f8053f01'], // LSN 0/13F05F8
      [8, 'db0f00001c00e01ff01f042000000000'],
      [24, 'e09f2000'], // one item pointer
      [8164, '01001000dc31000000000000000000000000000000000000'],
      [8188, '03000000'],
    ],
    lsn: 0x13f_05f8n,
    checksum: 0x0fdb,
    lower: 28,
    upper: 8160,
    special: 8176,
  },
  'block 2 of a free space map': {
    blockNumber: 2,
    runs: [
      [0, '0000000028a76901'],
      [8, '4ed2000018000020002004200000000000000000e5e500e5000000e5'],
      [43, 'e5'],
      [59, 'e5'],
      [91, 'e5'],
      [155, 'e5'],
      [283, 'e5'],
      [539, 'e5'],
      [1051, 'e5'],
      [2075, 'e5'],
      [4123, 'e5'],
    ],
    lsn: 0x169_a728n,
    checksum: 0xd24e,
    lower: 24,
    upper: 8192,
    special: 8192,
  },
} as const;

describe('a page that Postgres wrote', () => {
  it.each(Object.entries(REAL_PAGES))(
    'the header of a page that Postgres wrote is decoded: %s',
    (_, real) => {
      const { blockNumber, lsn, checksum, lower, upper, special } = real;
      const page = pageOf(real.runs);
      expect(decodePageHeader(page)).toEqual({
        lsn,
        checksum,
        flags: 0,
        lower,
        upper,
        special,
        pageSize: 8192,
        layoutVersion: 4,
        pruneXid: 0,
      });
      expect(pageChecksum(page, blockNumber)).toBe(checksum);
      expect(checkPageChecksum(page, blockNumber)).toBe('good');
    },
  );

  it('a page that Postgres wrote in another place does not match', () => {
    const page = pageOf(REAL_PAGES['block 1 of a B-tree'].runs);
    expect(checkPageChecksum(page, 0)).toBe('mismatch');
    expect(checkPageChecksum(page, 0xffff_fffe)).toBe('mismatch');
  });

  it('a page that Postgres wrote with a changed checksum is a mismatch; the field itself is not part of the sum', () => {
    const page = pageOf(REAL_PAGES['block 1 of a B-tree'].runs);
    page[9] = 0x10;
    expect(pageChecksum(page, 1)).toBe(0x0fdb);
    expect(checkPageChecksum(page, 1)).toBe('mismatch');
  });

  it('a page that Postgres wrote with one byte changed is a mismatch; 16 bits miss one in 65,535', () => {
    const original = pageOf(REAL_PAGES['block 1 of a B-tree'].runs);
    let missed = 0;
    for (let offset = 0; offset < PAGE_SIZE; offset += 7) {
      if (offset === 8 || offset === 9) continue;
      const page = Uint8Array.from(original);
      page[offset] = (page[offset] ?? 0) ^ 0x40;
      if (checkPageChecksum(page, 1) === 'good') missed += 1;
    }
    expect(missed).toBeLessThanOrEqual(1);
  });

  it('a page that Postgres wrote is decoded at an odd offset of a larger buffer', () => {
    const buffer = new Uint8Array(PAGE_SIZE + 3);
    buffer.set(pageOf(REAL_PAGES['block 1 of a B-tree'].runs), 3);
    expect(checkPageChecksum(buffer.subarray(3), 1)).toBe('good');
  });
});

describe('a page without a checksum', () => {
  it('a page without a checksum was never written: all zero', () => {
    expect(checkPageChecksum(new Uint8Array(PAGE_SIZE), 5)).toBe('new');
  });

  it('a page without a checksum was written with checksums off', () => {
    const page = pageOf(REAL_PAGES['block 1 of a B-tree'].runs);
    page.fill(0, 8, 10);
    expect(checkPageChecksum(page, 1)).toBe('absent');
  });

  it('a page without a checksum looks new but holds something', () => {
    const page = new Uint8Array(PAGE_SIZE);
    page[8191] = 1;
    expect(checkPageChecksum(page, 5)).toBe('absent');
  });
});

it.each([0, 24, 8191, 8193])('%i bytes are refused as a page', (length) => {
  const bytes = new Uint8Array(length);
  expect(storageErrorThrownBy(() => decodePageHeader(bytes)).code).toBe('invalid-input');
  expect(storageErrorThrownBy(() => pageChecksum(bytes, 0)).code).toBe('invalid-input');
});

function pageOf(runs: readonly (readonly [number, string])[]): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE);
  for (const [offset, hex] of runs) page.set(Buffer.from(hex, 'hex'), offset);
  return page;
}

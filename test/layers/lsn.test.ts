/** LSNs: text in names, text for people, ranges. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkLsn,
  checkLsnRange,
  formatLsn,
  formatPgLsn,
  MAXIMUM_LSN,
  parseLsn,
} from '../../src/layers/lsn.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

describe('an LSN', () => {
  it.each([
    // number, in names, for people
    [0n, '0000000000000000', '0/0'],
    [0x16b3748n, '00000000016B3748', '0/16B3748'],
    [0x1_0000_0000n, '0000000100000000', '1/0'],
    [0xab_0000_00cdn, '000000AB000000CD', 'AB/CD'],
    [MAXIMUM_LSN, 'FFFFFFFFFFFFFFFF', 'FFFFFFFF/FFFFFFFF'],
  ])('the LSN %d is formatted as %s in names and %s for people', (lsn, text, forPeople) => {
    expect(formatLsn(lsn)).toBe(text);
    expect(formatPgLsn(lsn)).toBe(forPeople);
    expect(parseLsn(text)).toBe(lsn);
    expect(parseLsn(text.toLowerCase())).toBe(lsn);
    expect(parseLsn(forPeople)).toBe(lsn);
  });

  it('an LSN is read without leading zeros', () => {
    expect(parseLsn('1')).toBe(1n);
    expect(parseLsn('16B3748')).toBe(0x16b3748n);
    expect(parseLsn('00000001/00000002')).toBe(0x1_0000_0002n);
  });

  it('an LSN of two halves may stand between blanks, as a copy from psql does', () => {
    for (const text of [' 0/3C490F8 ', '0/3C490F8\n', '\t0/3c490f8']) {
      expect(parseLsn(text)).toBe(0x3c4_90f8n);
    }
  });

  it.each([
    [''],
    [' '],
    ['0 /1'],
    ['0/ 1'],
    ['0'.repeat(17)],
    ['+1'],
    ['-1'],
    ['0x1'],
    ['g'],
    ['1 '],
    ['1\n'],
    ['/'],
    ['1/'],
    ['/1'],
    ['1/2/3'],
    ['000000001/0'],
    ['0/000000001'],
    ['1_0'],
  ])('an LSN is refused as text: %j', (text) => {
    expect(storageErrorThrownBy(() => parseLsn(text)).code).toBe('invalid-input');
  });

  it.each([[-1n], [MAXIMUM_LSN + 1n]])('an LSN %d is refused', (lsn) => {
    const error = storageErrorThrownBy(() => checkLsn(lsn, 'end'));
    expect(error).toMatchObject({ code: 'out-of-range', actual: String(lsn) });
    expect(error.message).toContain('end');
  });

  it('an LSN that is not a bigint is refused', () => {
    const lsn: unknown = 5;
    expect(storageErrorThrownBy(() => checkLsn(lsn as bigint)).code).toBe('out-of-range');
  });

  it('an LSN round-trips through both texts', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: MAXIMUM_LSN }), (lsn) => {
        expect(parseLsn(formatLsn(lsn))).toBe(lsn);
        expect(parseLsn(formatPgLsn(lsn))).toBe(lsn);
        expect(formatLsn(lsn)).toMatch(/^[0-9A-F]{16}$/);
      }),
    );
  });
});

describe('an LSN range', () => {
  it('an LSN range of one LSN is accepted, up to the last', () => {
    expect(() => checkLsnRange({ start: MAXIMUM_LSN - 1n, end: MAXIMUM_LSN })).not.toThrow();
  });

  it.each([
    ['empty', 5n, 5n],
    ['reversed', 6n, 5n],
    ['with a negative start', -1n, 5n],
    ['with an end above u64', 5n, MAXIMUM_LSN + 1n],
  ])('an LSN range is refused: %s', (_, start, end) => {
    expect(storageErrorThrownBy(() => checkLsnRange({ start, end })).code).toBe('out-of-range');
  });
});

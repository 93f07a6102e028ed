import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  halvesOf,
  highHalf,
  joinHalves,
  LsnBounds,
  lowHalf,
  setHalves,
  splitLsn,
} from '../../src/layers/lsn-halves.ts';

const LSN = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

describe('an LSN in halves', () => {
  it('an LSN in halves is the same LSN when it is joined, alone or among others', () => {
    fc.assert(
      fc.property(LSN, LSN, (before, lsn) => {
        const { high, low } = splitLsn(lsn);
        expect([high, low]).toEqual([Number(lsn >> 32n), Number(lsn & 0xffff_ffffn)]);
        expect(joinHalves(high, low)).toBe(lsn);
        const lsns = BigUint64Array.of(before, lsn);
        const halves = halvesOf(lsns);
        expect([highHalf(halves, 1), lowHalf(halves, 1)]).toEqual([high, low]);
        setHalves(halves, 0, high, low);
        expect(lsns[0]).toBe(lsn);
      }),
    );
  });

  it.each([
    // from, to, the LSN in question, whether it is inside
    [5n, 5n, 5n, false],
    [5n, 6n, 5n, true],
    [5n, 6n, 6n, false],
    [0n, 0x1_0000_0000n, 0xffff_ffffn, true],
    [0n, 0x1_0000_0000n, 0x1_0000_0000n, false],
    [0x1_0000_0005n, 0x2_0000_0000n, 0x1_0000_0004n, false],
    [0x1_0000_0005n, 0x2_0000_0000n, 0x1_0000_0005n, true],
    [0x1_0000_0005n, 0x3_0000_0003n, 0x3_0000_0002n, true],
    [0x1_0000_0005n, 0x3_0000_0003n, 0x2_0000_0009n, true],
    [0x1_0000_0005n, 0x3_0000_0003n, 0x3_0000_0003n, false],
    [0n, 2n ** 64n, 2n ** 64n - 1n, true],
  ])('a range of halves from %d below %d has %d inside: %s', (start, end, lsn, isInside) => {
    const { high, low } = splitLsn(lsn);
    expect(new LsnBounds({ start, end }).contains(high, low)).toBe(isInside);
  });

  it('an LSN in halves is inside a range where its bigint is', () => {
    fc.assert(
      fc.property(LSN, LSN, LSN, (start, end, lsn) => {
        const { high, low } = splitLsn(lsn);
        const isInside = lsn >= start && lsn < end;
        expect(new LsnBounds({ start, end }).contains(high, low)).toBe(isInside);
      }),
    );
  });
});

/** Rows in any order against a plain list of them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryIndex } from '../../../src/layers/ephemeral-layer/memory-index.ts';
import { checkReach, SingleRow } from '../../../src/layers/ephemeral-layer/rows.ts';
import { formatKey, keyFromFields } from '../../../src/layers/key.ts';

interface Put {
  /** Of a relation, and of a block of it. */
  readonly relation: number;
  readonly block: number;
  readonly lsn: bigint;
  readonly space?: number;
  readonly fork?: number;
}

/** Few of each, so that keys come again, and some far apart, so that many bytes differ. */
const puts = fc.array(
  fc.record({
    relation: fc.constantFrom(1, 2, 0x1_0000, 0xffff_ffff),
    block: fc.constantFrom(0, 1, 255, 256, 0x8000_0000),
    lsn: fc.constantFrom(1n, 2n, 0x1_0000n, 0xffff_ffffn, 0x1_0000_0000n, 2n ** 64n - 1n),
  }),
  { maxLength: 60 },
);

const IN_ORDER: fc.Arbitrary<Put[]> = puts.map((some) =>
  [...new Map(some.map((put) => [nameOf(put), put])).entries()]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([, put]) => put),
);

/** As in a log, in which no value takes the place of another. */
const IN_ORDER_OF_LSNS: fc.Arbitrary<Put[]> = puts.map((some) =>
  some.map((put, at) => ({ ...put, lsn: BigInt(at + 1) * 0x5000_0000n })),
);

/** Values of one record have one LSN, and may replace each other. */
const IN_ORDER_OF_RECORDS: fc.Arbitrary<Put[]> = puts.map((some) =>
  some.map((put, at) => ({ ...put, lsn: BigInt((at >>> 2) + 1) * 0x5000_0000n })),
);

describe.each([
  ['in the order of their records', IN_ORDER_OF_RECORDS],
  ['in any order', puts],
  ['in order', IN_ORDER],
  ['in the order of their LSNs', IN_ORDER_OF_LSNS],
])('rows that come %s', (_, order) => {
  it('rows in a memory index are sorted by key and LSN, the last one of each', () => {
    fc.assert(
      fc.property(order, (some) => {
        const index = indexOf(some);
        const sorted = [...index.sortedRows()];
        expect(sorted).toEqual(
          [...lastRows(some).entries()]
            .sort(([left], [right]) => (left < right ? -1 : 1))
            .map(([, row]) => row),
        );
        expect(index.entryCount).toBe(sorted.length);
      }),
    );
  });

  it('rows in a memory index are found by key and LSN while others are added, and so are the older ones after them', () => {
    fc.assert(
      fc.property(order, (some) => {
        const index = new MemoryIndex();
        for (const [row, put] of some.entries()) {
          index.add(rowOf(put), row);
          const rows = lastRows(some.slice(0, row + 1));
          for (const lsn of [put.lsn - 1n, put.lsn, 2n ** 64n - 1n]) {
            expect(walk(index, put, lsn)).toEqual(rowsOf(rows, put, lsn));
          }
        }
      }),
    );
  });
});

it.each([1, 2, 300, 2048, 2049, 5000])(
  'rows of %d relations, over more than one segment, are sorted by key and LSN',
  (count) => {
    const some = Array.from({ length: 20_000 }, (_, at) => {
      const relation = Math.imul(at % count, 0x9e37_79b1) >>> 0;
      return {
        relation,
        space: relation % 7,
        fork: relation % 5,
        block: Math.imul(at % 3001, 0x85eb_ca6b) >>> 0,
        // Pairs of rows share an LSN, and every tenth takes the place of the one before.
        lsn: BigInt(at >>> 1),
      };
    }).flatMap((put, at) => (at % 10 === 0 ? [put, put] : [put]));
    const sorted = [...lastRows(some).entries()].sort(([left], [right]) => (left < right ? -1 : 1));
    expect([...indexOf(some).sortedRows()]).toEqual(sorted.map(([, row]) => row));
  },
);

it('a walk that began while all was in order continues when it no longer is', () => {
  const some = [1n, 2n, 3n].map((lsn) => ({ relation: 1, block: 1, lsn }));
  const index = indexOf(some);
  const newest = index.find(keyOf(some[0] as Put), 3n);
  index.add(rowOf({ relation: 1, block: 1, lsn: 2n }), 3);
  const older = index.olderRow(newest);
  expect([newest, older, index.olderRow(older), index.olderRow(0)]).toEqual([2, 3, 0, -1]);
  // A walk that stands on a row that was replaced.
  expect(index.olderRow(1)).toBe(0);
});

it.each([2 ** 32 - 1, 2 ** 32, 2 ** 35 - 6])(
  'a value at position %d is found there',
  (position) => {
    checkReach(position + 5);
    const index = new MemoryIndex();
    index.add(
      new SingleRow().set({ key: keyOf(PUT), lsn: 1n, length: 5, willInit: true }),
      position,
    );
    const { rows } = index;
    expect([rows.position(0), rows.length(0), rows.willInit(0)]).toEqual([position, 5, 1]);
  },
);

it('a value that would end beyond the last position is refused', () => {
  expect(() => checkReach(2 ** 35)).toThrow(expect.objectContaining({ code: 'too-large' }));
});

const PUT: Put = { relation: 1, block: 1, lsn: 1n };

function indexOf(some: readonly Put[]): MemoryIndex {
  const index = new MemoryIndex();
  for (const [row, put] of some.entries()) index.add(rowOf(put), row);
  return index;
}

function rowOf(put: Put): SingleRow {
  return new SingleRow().set({ key: keyOf(put), lsn: put.lsn, length: 1, willInit: false });
}

function keyOf({ relation, block, space = 1663, fork = 0 }: Put) {
  return keyFromFields({
    field1: 0,
    field2: space,
    field3: 5,
    field4: relation,
    field5: fork,
    field6: block,
  });
}

/** In the order of (key, LSN), as text. */
function nameOf(put: Put): string {
  return `${formatKey(keyOf(put))}@${put.lsn.toString(16).padStart(16, '0')}`;
}

/** The last row of each (key, LSN). */
function lastRows(some: readonly Put[]): Map<string, number> {
  return new Map(some.map((put, row) => [nameOf(put), row]));
}

/** Rows of the key at or below the LSN, newest first. */
function rowsOf(rows: Map<string, number>, put: Put, lsn: bigint): number[] {
  const from = nameOf({ ...put, lsn: 0n });
  const to = nameOf({ ...put, lsn });
  return [...rows]
    .filter(([name]) => name >= from && name <= to)
    .sort(([left], [right]) => (left < right ? 1 : -1))
    .map(([, row]) => row);
}

function walk(index: MemoryIndex, put: Put, lsn: bigint): number[] {
  const found: number[] = [];
  for (let row = index.find(keyOf(put), lsn); row >= 0; row = index.olderRow(row)) found.push(row);
  return found;
}

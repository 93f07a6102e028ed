/** Rows of words in ascending order. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sortRows } from '../../../src/timeline/layer-map/sort-rows.ts';
import { rounds } from '../../support/rounds.ts';

const RUNS = Number(process.env['LAYERFILE_SORT_RUNS'] ?? rounds(200));

/** Few values, so that rows repeat, and bits at both ends of a word. */
const word = fc.constantFrom(0, 1, 0xff, 0x100, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff);
const table = fc
  .integer({ min: 1, max: 4 })
  .chain((width) => fc.array(fc.array(word, { minLength: width, maxLength: width })));

function compare(left: readonly number[] = [], right: readonly number[] = []): number {
  const at = left.findIndex((value, index) => value !== right[index]);
  return at < 0 ? 0 : (left[at] ?? 0) - (right[at] ?? 0);
}

test('rows are in the order of their words, the most significant first, and equal ones in their own', () => {
  fc.assert(
    fc.property(table, (rows) => {
      const width = rows[0]?.length ?? 1;
      const expected = rows
        .map((_, row) => row)
        .sort((left, right) => compare(rows[left], rows[right]) || left - right);
      expect([...sortRows(Uint32Array.from(rows.flat()), width)]).toEqual(expected);
    }),
    { numRuns: RUNS },
  );
});

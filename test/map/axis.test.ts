import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Axis } from '../../src/map/page/axis.ts';
import { rounds } from '../support/rounds.ts';

const LENGTH = 1000;

function axisOf(values: readonly bigint[], width: number): Axis {
  const words = values.flatMap((value) =>
    Array.from({ length: width }, (_, word) =>
      Number((value >> (32n * BigInt(width - 1 - word))) & 0xffff_ffffn),
    ),
  );
  const axis = new Axis(Uint32Array.from(words), width);
  axis.place(LENGTH);
  return axis;
}

describe('the scale of ranks', () => {
  test('puts all borders at the same distance', () => {
    const axis = axisOf([0n, 5n, 2n ** 127n], 4);
    const [first = 0, second = 0, third = 0] = axis.positions;
    expect(second - first).toBeCloseTo(third - second, 6);
    expect(first).toBeGreaterThan(0);
    expect(third).toBeLessThan(LENGTH);
  });

  test('the scale of ranks has a number between two borders where it lies between them', () => {
    const axis = axisOf([100n, 200n, 300n], 2);
    const [first = 0, second = 0] = axis.positions;
    expect(axis.pixelOf(150n)).toBeCloseTo((first + second) / 2, 1);
    expect(axis.valueAt((first + second) / 2)).toBe(150n);
  });

  test('the scale of ranks ends at the outermost borders', () => {
    const axis = axisOf([100n, 200n], 2);
    expect([axis.valueAt(-1e6), axis.valueAt(1e6)]).toEqual([100n, 200n]);
  });
});

describe('the true scale', () => {
  test('the true scale shows single blocks in 128 bits', () => {
    const relation = (0x67fn << 104n) | (5n << 72n) | (16384n << 40n);
    const axis = axisOf([0n, relation, relation + 1n, relation + 2n, 2n ** 127n], 4);
    axis.useScale('true');
    axis.showBorders(1, 3);
    axis.place(LENGTH);
    const [, first = 0, second = 0, third = 0] = axis.positions;
    expect([first, second, third].map(Math.round)).toEqual(
      [173, 500, 827].map((pixel) => expect.closeTo(pixel, -1.2)),
    );
    expect(second - first).toBeCloseTo(third - second, 3);
  });

  test('the true scale keeps what the other scale showed', () => {
    const axis = axisOf([0n, 100n, 1000n, 5000n, 6000n], 2);
    axis.showBorders(1, 2);
    axis.place(LENGTH);
    const before = [axis.valueAt(0), axis.valueAt(LENGTH)];
    axis.useScale('true');
    axis.place(LENGTH);
    const [low = 0n, high = 0n] = before;
    expect(axis.valueAt(0)).toBeLessThanOrEqual(low);
    expect(axis.valueAt(LENGTH)).toBeGreaterThanOrEqual(high);
    expect(Number(axis.valueAt(LENGTH) - axis.valueAt(0))).toBeLessThan(Number(high - low) * 1.1);
  });

  test('the true scale of one LSN shows it', () => {
    const axis = axisOf([7n, 8n], 2);
    axis.useScale('true');
    axis.showAll();
    axis.place(LENGTH);
    expect(axis.positions[0]).toBeGreaterThanOrEqual(0);
    expect(axis.positions[1]).toBeLessThanOrEqual(LENGTH);
  });
});

test('an axis without borders can be moved', () => {
  const axis = axisOf([], 4);
  axis.zoom(0.5, 0.5);
  axis.pan(3);
  axis.useScale('true');
  axis.place(LENGTH);
  expect([axis.count, axis.valueAt(10) >= 0n]).toEqual([0, true]);
});

const borders = fc
  .uniqueArray(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), { minLength: 2, maxLength: 20 })
  .map((values) => values.sort((left, right) => (left < right ? -1 : 1)));
const moves = fc.array(
  fc.oneof(
    fc.record({ pan: fc.double({ min: -2, max: 2, noNaN: true }) }),
    fc.record({
      zoom: fc.double({ min: 0.001, max: 1000, noNaN: true }),
      part: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    fc.record({ scale: fc.constantFrom('ranks' as const, 'true' as const) }),
  ),
  { maxLength: 20 },
);

test('whatever moves the view, borders stay in order and some of what there is stays in it', () => {
  fc.assert(
    fc.property(borders, moves, (values, steps) => {
      const axis = axisOf(values, 4);
      for (const step of steps) {
        if ('pan' in step) axis.pan(step.pan);
        else if ('zoom' in step) axis.zoom(step.zoom, step.part);
        else axis.useScale(step.scale);
        axis.place(LENGTH);
      }
      const { positions, count } = axis;
      for (let border = 1; border < count; border += 1) {
        expect(positions[border]).toBeGreaterThanOrEqual(positions[border - 1] ?? 0);
      }
      expect(positions[0]).toBeLessThan(LENGTH);
      expect(positions[count - 1]).toBeGreaterThan(0);
      for (const [border, value] of values.entries()) {
        const pixel = positions[border] ?? 0;
        if (pixel >= 0 && pixel <= LENGTH) expect(axis.pixelOf(value)).toBeCloseTo(pixel, 0);
      }
    }),
    { numRuns: rounds(200) },
  );
});

test('zooming keeps what is under the pointer', () => {
  const axis = axisOf([0n, 1000n, 5000n, 10_000n], 2);
  axis.useScale('true');
  axis.place(LENGTH);
  const before = axis.valueAt(250);
  axis.zoom(0.1, 0.25);
  axis.place(LENGTH);
  expect(Number(axis.valueAt(250) - before)).toBeCloseTo(0, 0);
});

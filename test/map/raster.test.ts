import { describe, expect, test } from 'vitest';
import { type Paint, type Picture, paintBox, patternStep } from '../../src/map/page/raster.ts';

const FILL = 1;
const INK = 2;
const EDGE = 3;

function picture(width: number, height: number, down = 0): Picture {
  const pixels = new Uint32Array(width * height);
  return { pixels, width, height, unit: 1, origin: { across: 0, down } };
}

function paint(pattern: Paint['pattern'], edge?: number): Paint {
  return { pattern, fill: FILL, ink: INK, edge, edgeWidth: 1, edgeStyle: 'solid' };
}

/** A digit for each pixel, a line for each row. */
function rowsOf({ pixels, width }: Picture): string[] {
  const rows: string[] = [];
  for (let at = 0; at < pixels.length; at += width)
    rows.push(pixels.subarray(at, at + width).join(''));
  return rows;
}

test('a rectangle covers its pixels, without those of its ends', () => {
  const made = picture(5, 4);
  paintBox(made, { left: 1, top: 1, right: 4, bottom: 3 }, paint('plain'));
  expect(rowsOf(made)).toEqual(['00000', '01110', '01110', '00000']);
});

test.each([
  ['left', { left: -9, top: 0, right: 1, bottom: 2 }, ['100', '100']],
  ['right', { left: 2, top: 0, right: 9e9, bottom: 2 }, ['001', '001']],
  ['above', { left: 0, top: -9e9, right: 3, bottom: 1 }, ['111', '000']],
  ['below', { left: 0, top: 1, right: 3, bottom: 9 }, ['000', '111']],
  ['everywhere', { left: -9, top: -9, right: 9, bottom: 9 }, ['111', '111']],
  ['outside', { left: 3, top: 0, right: 9, bottom: 2 }, ['000', '000']],
  ['empty', { left: 2, top: 0, right: 2, bottom: 2 }, ['000', '000']],
])('a rectangle that reaches out is cut: %s', (_, box, expected) => {
  const made = picture(3, 2);
  paintBox(made, box, paint('plain'));
  expect(rowsOf(made)).toEqual(expected);
});

test('an outline is drawn inside, and not where it would be all there is', () => {
  const made = picture(8, 4);
  paintBox(made, { left: 0, top: 0, right: 4, bottom: 4 }, paint('plain', EDGE));
  paintBox(made, { left: 5, top: 0, right: 8, bottom: 4 }, paint('plain', EDGE));
  expect(rowsOf(made)).toEqual(['33330111', '31130111', '31130111', '33330111']);
});

test('the outline of a rectangle that lies outside is outside', () => {
  const made = picture(3, 3);
  paintBox(made, { left: -5, top: -5, right: 2, bottom: 9 }, paint('plain', EDGE));
  expect(rowsOf(made)).toEqual(['130', '130', '130']);
});

describe('a pattern', () => {
  test('a pattern of stripes runs on from one rectangle to the next', () => {
    const whole = picture(8, 8);
    paintBox(whole, { left: 0, top: 0, right: 8, bottom: 8 }, paint('stripes'));
    const parts = picture(8, 8);
    for (let top = 0; top < 8; top += 1) {
      paintBox(parts, { left: 0, top, right: 8, bottom: top + 1 }, paint('stripes'));
    }
    expect(rowsOf(parts)).toEqual(rowsOf(whole));
    expect(rowsOf(whole).slice(0, 2)).toEqual(['22211111', '22111112']);
  });

  test.each(['stripes', 'dots', 'cross'] as const)(
    'a pattern of %s is the same in a wide rectangle as in columns of one pixel',
    (pattern) => {
      const box = { top: 1, bottom: 19 };
      const about = { width: 40, height: 20, unit: 1, origin: { across: 3, down: 5 } };
      const whole: Picture = { ...about, pixels: new Uint32Array(40 * 20) };
      paintBox(whole, { ...box, left: 2, right: 37 }, paint(pattern));
      const parts: Picture = { ...about, pixels: new Uint32Array(40 * 20) };
      for (let left = 2; left < 37; left += 1) {
        paintBox(parts, { ...box, left, right: left + 1 }, paint(pattern));
      }
      expect(rowsOf(parts)).toEqual(rowsOf(whole));
      expect(new Set(whole.pixels)).toEqual(new Set([0, FILL, INK]));
    },
  );

  test('a pattern moves with its origin', () => {
    const made = picture(8, 8, 1);
    paintBox(made, { left: 0, top: 0, right: 8, bottom: 8 }, paint('stripes'));
    expect(rowsOf(made)[1]).toBe('22211111');
  });

  test.each(['dots', 'cross', 'hollow', 'stripes'] as const)(
    'a pattern of %s repeats',
    (pattern) => {
      const step = patternStep(1);
      const made = picture(2 * step, 2 * step);
      paintBox(made, { left: 0, top: 0, right: 2 * step, bottom: 2 * step }, paint(pattern));
      const rows = rowsOf(made);
      expect(rows.slice(step)).toEqual(rows.slice(0, step));
      expect(rows.map((row) => row.slice(step))).toEqual(rows.map((row) => row.slice(0, step)));
      expect(new Set(made.pixels)).toEqual(new Set([pattern === 'hollow' ? 0 : FILL, INK]));
    },
  );

  test('a pattern differs from each other kind', () => {
    const pictures = (['plain', 'stripes', 'dots', 'cross', 'hollow'] as const).map((pattern) => {
      const made = picture(8, 8);
      paintBox(made, { left: 0, top: 0, right: 8, bottom: 8 }, paint(pattern));
      return made.pixels.join('');
    });
    expect(new Set(pictures).size).toBe(5);
  });
});

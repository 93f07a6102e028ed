/**
 * Paints rectangles into an array of pixels: 100,000 layers in a few milliseconds, where a canvas takes
 * a tenth of a second, and the same pixels in every browser.
 *
 * Kinds of rectangles differ by pattern and outline, not only by colour. All patterns have one origin,
 * so that those of small rectangles side by side join. It moves with the view.
 */

/** How a rectangle is filled. `hollow` paints the pattern only, and lets the rest through. */
export type Pattern = 'plain' | 'stripes' | 'dots' | 'cross' | 'hollow';

/** Colours are 0xAABBGGRR, as a little-endian pixel. */
export interface Paint {
  readonly pattern: Pattern;
  readonly fill: number;
  /** Colour of the pattern. */
  readonly ink: number;
  /** Undefined for no outline. */
  readonly edge: number | undefined;
  readonly edgeWidth: number;
  readonly edgeStyle: 'solid' | 'dashed';
}

/** Pixels of a picture, row by row. */
export interface Picture {
  readonly pixels: Uint32Array;
  readonly width: number;
  readonly height: number;
  /** Device pixels in a pixel of the page: the size of patterns and outlines. */
  readonly unit: number;
  /** Where patterns begin, in pixels: from 0 up to the end of the pattern. */
  readonly origin: { readonly across: number; readonly down: number };
}

/** A rectangle in pixels; the ends are exclusive. It may lie outside, in part or as a whole. */
export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** Rectangles smaller than this have no outline, which would be all there is of them. */
const SMALLEST_OUTLINED = 4;
const DASH = 5;

/** Paints a rectangle. */
export function paintBox(picture: Picture, box: Box, paint: Paint): void {
  const left = Math.max(0, box.left);
  const right = Math.min(picture.width, box.right);
  const top = Math.max(0, box.top);
  const bottom = Math.min(picture.height, box.bottom);
  if (left >= right || top >= bottom) return;
  if (paint.pattern === 'plain') fill(picture, { left, top, right, bottom }, paint.fill);
  else fillPattern(picture, { left, top, right, bottom }, paint);
  const smaller = Math.min(box.right - box.left, box.bottom - box.top);
  if (paint.edge !== undefined && smaller >= SMALLEST_OUTLINED * picture.unit) {
    outline(picture, box, paint, Math.max(1, Math.round(paint.edgeWidth * picture.unit)));
  }
}

/** Pixels after which patterns repeat, in either direction. */
export function patternStep(unit: number): number {
  return 2 * Math.max(2, Math.round(4 * unit));
}

function fill({ pixels, width }: Picture, area: Box, colour: number): void {
  const { left, right } = area;
  const isShort = right - left < 16;
  for (let row = area.top; row < area.bottom; row += 1) {
    const from = row * width + left;
    const to = row * width + right;
    if (isShort) for (let at = from; at < to; at += 1) pixels[at] = colour;
    else pixels.fill(colour, from, to);
  }
}

function fillPattern(
  { pixels, width, unit, origin }: Picture,
  area: Box,
  { pattern, fill: ground, ink }: Paint,
): void {
  const step = patternStep(unit);
  const half = step / 2;
  const thick = Math.max(1, Math.round((pattern === 'stripes' ? 3 : 1) * unit));
  const isHollow = pattern === 'hollow';
  const before = step - origin.across;
  for (let row = area.top; row < area.bottom; row += 1) {
    const down = (row + step - origin.down) % step;
    const isDotRow = down % half < 2 * thick;
    const shift = down < half ? 0 : half;
    for (let column = area.left; column < area.right; column += 1) {
      const across = (column + before) % step;
      let isInk: boolean;
      if (pattern === 'stripes') isInk = (across + down) % step < thick;
      else if (pattern === 'dots') isInk = isDotRow && (across + shift) % step < 2 * thick;
      else isInk = (across + down) % step < thick || (across + step - down) % step < thick;
      if (isInk) pixels[row * width + column] = ink;
      else if (!isHollow) pixels[row * width + column] = ground;
    }
  }
}

function outline(picture: Picture, box: Box, paint: Paint, thick: number): void {
  const { edge = 0, edgeStyle } = paint;
  const { left, top, right, bottom } = box;
  const sides: Box[] = [
    { left, top, right, bottom: top + thick },
    { left, top: bottom - thick, right, bottom },
    { left, top, right: left + thick, bottom },
    { left: right - thick, top, right, bottom },
  ];
  for (const side of sides) {
    const clipped = {
      left: Math.max(0, side.left),
      top: Math.max(0, side.top),
      right: Math.min(picture.width, side.right),
      bottom: Math.min(picture.height, side.bottom),
    };
    if (clipped.left >= clipped.right || clipped.top >= clipped.bottom) continue;
    if (edgeStyle === 'solid') fill(picture, clipped, edge);
    else dash(picture, clipped, edge, DASH * thick);
  }
}

function dash({ pixels, width }: Picture, area: Box, colour: number, length: number): void {
  for (let row = area.top; row < area.bottom; row += 1) {
    for (let column = area.left; column < area.right; column += 1) {
      if ((row + column) % (2 * length) < length) pixels[row * width + column] = colour;
    }
  }
}

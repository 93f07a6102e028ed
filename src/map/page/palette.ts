/** The colours of the map, from the custom properties of the style sheet. */
import type { Paint } from './raster.ts';

/** Colours as text for a canvas. */
export interface Palette {
  readonly ground: number;
  /** By the numbers that `paintNumber` returns; 0 is not used. */
  readonly paints: readonly Paint[];
  readonly hole: Paint;
  readonly text: string;
  readonly muted: string;
  readonly grid: string;
  readonly panel: string;
  readonly cutoff: string;
  readonly branch: string;
  readonly consistent: string;
  readonly path: string;
  readonly select: string;
}

const LEVEL_COUNT = 3;

/** The number of the paint of a layer. */
export function paintNumber(
  level: number,
  look: 'visible' | 'covered' | 'added' | 'removed',
): number {
  return 1 + level + LEVEL_COUNT * LOOKS.indexOf(look);
}

const LOOKS = ['visible', 'covered', 'added', 'removed'] as const;
const PATTERNS = ['plain', 'stripes', 'dots'] as const;
const NAMES = ['l1', 'l0', 'image'] as const;

/** How much of a covered layer's colour is that of the ground. */
const FADED = 0.62;

/** Reads the colours that currently apply to the element. */
export function readPalette(element: Element): Palette {
  const style = getComputedStyle(element);
  const text = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  const pixel = (name: string): number => pixelOf(text(name));
  const ground = pixel('ground');
  const paints: Paint[] = [];
  const plain = (level: number): Paint => ({
    pattern: PATTERNS[level] ?? 'plain',
    fill: pixel(`${NAMES[level]}-fill`),
    ink: pixel(`${NAMES[level]}-ink`),
    edge: pixel(`${NAMES[level]}-edge`),
    edgeWidth: 1,
    edgeStyle: 'solid',
  });
  for (let level = 0; level < LEVEL_COUNT; level += 1) {
    const paint = plain(level);
    const faded = (colour: number): number => mix(colour, ground, FADED);
    paints[paintNumber(level, 'visible')] = paint;
    paints[paintNumber(level, 'covered')] = {
      ...paint,
      fill: faded(paint.fill),
      ink: faded(paint.ink),
      edge: faded(paint.edge ?? ground),
      edgeStyle: 'dashed',
    };
    paints[paintNumber(level, 'added')] = { ...paint, edge: pixel('added'), edgeWidth: 3 };
    paints[paintNumber(level, 'removed')] = {
      pattern: 'cross',
      fill: mix(paint.fill, ground, 0.8),
      ink: pixel('removed-ink'),
      edge: pixel('removed'),
      edgeWidth: 1.5,
      edgeStyle: 'dashed',
    };
  }
  const hole: Paint = {
    pattern: 'hollow',
    fill: ground,
    ink: pixel('hole'),
    edge: undefined,
    edgeWidth: 0,
    edgeStyle: 'solid',
  };
  return {
    ground,
    paints,
    hole,
    text: text('text'),
    muted: text('muted'),
    grid: text('grid'),
    panel: text('panel'),
    cutoff: text('cutoff'),
    branch: text('branch'),
    consistent: text('consistent'),
    path: text('path'),
    select: text('select'),
  };
}

/** `#rrggbb` as an opaque pixel; black for anything else. */
function pixelOf(colour: string): number {
  const number = Number.parseInt(colour.slice(1), 16) || 0;
  const [red, green, blue] = [number >> 16, (number >> 8) & 0xff, number & 0xff];
  return ((0xff << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function mix(colour: number, other: number, part: number): number {
  let mixed = 0xff << 24;
  for (const shift of [0, 8, 16]) {
    const channel = ((colour >> shift) & 0xff) * (1 - part) + ((other >> shift) & 0xff) * part;
    mixed |= Math.round(channel) << shift;
  }
  return mixed >>> 0;
}

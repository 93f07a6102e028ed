/** Draws the map: layers as pixels, and above them axes, lines, marks and the path of a read. */
import { formatPgLsn, parseLsn } from '../../layers/lsn.ts';
import { shortKey } from './layer-facts.ts';
import { keyOfNumber, type Model, numberOfKey } from './model.ts';
import { type Palette, paintNumber } from './palette.ts';
import { type Box, type Picture, paintBox, patternStep } from './raster.ts';
import { GUTTER, THINNEST, THINNEST_IMAGE, type View } from './view.ts';

/** Minimum distance between labels of an axis, in pixels of the page. */
const KEY_LABEL_WIDTH = 128;
const LSN_LABEL_HEIGHT = 30;
/** More lines than these would hide the layers; those nearest to the top are drawn. */
const MAXIMUM_LINES = 400;

/** Coordinates are clamped to this, far outside any plot, so that they stay exact. */
const FAR = 1e7;

const FONT = '12px ui-sans-serif, system-ui, sans-serif';

export class Scene {
  readonly #canvas: HTMLCanvasElement;
  readonly #model: Model;
  readonly #view: View;
  #looks: Uint8Array;
  #pixels: ImageData | undefined;

  constructor(canvas: HTMLCanvasElement, model: Model, view: View) {
    this.#canvas = canvas;
    this.#model = model;
    this.#view = view;
    this.#looks = new Uint8Array(model.count);
    this.snapshotChanged();
  }

  /** Updates the look of each layer; needed after the model shows another snapshot. */
  snapshotChanged(): void {
    const model = this.#model;
    for (let row = 0; row < model.count; row += 1) {
      const change = model.changeOf(row);
      const look =
        change === 'added' || change === 'removed'
          ? change
          : model.isVisible(row)
            ? 'visible'
            : 'covered';
      this.#looks[row] = change === undefined ? 0 : paintNumber(model.levelNumber(row), look);
    }
  }

  /** Draws everything. `ratio`: device pixels in a pixel of the page. */
  draw(palette: Palette, ratio: number): void {
    const canvas = this.#canvas;
    const { clientWidth: width, clientHeight: height } = canvas;
    const deviceWidth = Math.max(1, Math.round(width * ratio));
    const deviceHeight = Math.max(1, Math.round(height * ratio));
    if (canvas.width !== deviceWidth || canvas.height !== deviceHeight) {
      canvas.width = deviceWidth;
      canvas.height = deviceHeight;
    }
    const context = canvas.getContext('2d');
    if (context === null) return;
    this.#view.place(width, height);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, deviceWidth, deviceHeight);
    this.#drawLayers(context, palette, ratio);
    context.setTransform(ratio, 0, 0, ratio, GUTTER.left * ratio, GUTTER.top * ratio);
    context.font = FONT;
    this.#drawAxes(context, palette);
    context.save();
    context.beginPath();
    context.rect(0, 0, this.#view.width, this.#view.height);
    context.clip();
    this.#drawLines(context, palette);
    this.#drawMarks(context, palette);
    this.#drawPath(context, palette);
    context.restore();
  }

  #drawLayers(context: CanvasRenderingContext2D, palette: Palette, ratio: number): void {
    const view = this.#view;
    const width = Math.max(1, Math.round(view.width * ratio));
    const height = Math.max(1, Math.round(view.height * ratio));
    let image = this.#pixels;
    if (image?.width !== width || image.height !== height)
      image = context.createImageData(width, height);
    this.#pixels = image;
    const { keys, lsns } = this.#view;
    const step = patternStep(ratio);
    const picture: Picture = {
      pixels: new Uint32Array(image.data.buffer),
      width,
      height,
      unit: ratio,
      origin: {
        across: remainder((keys.positions[0] ?? 0) * ratio, step),
        down: remainder((view.height - (lsns.positions[0] ?? 0)) * ratio, step),
      },
    };
    picture.pixels.fill(palette.ground);
    this.#paintHoles(picture, palette);
    this.#paintLayers(picture, palette);
    context.putImageData(image, Math.round(GUTTER.left * ratio), Math.round(GUTTER.top * ratio));
  }

  #paintHoles(picture: Picture, palette: Palette): void {
    const ratio = picture.unit;
    const holes = this.#model.snapshotColumns?.holes ?? new Uint32Array();
    const { keys, lsns, height } = this.#view;
    const first = lsns.positions[0] ?? 0;
    const last = lsns.positions[lsns.count - 1] ?? 0;
    const top = toPixel((height - last) * ratio);
    const bottom = toPixel((height - first) * ratio);
    for (let at = 0; at < holes.length; at += 2) {
      const left = toPixel((keys.positions[holes[at] ?? 0] ?? 0) * ratio);
      const right = toPixel((keys.positions[holes[at + 1] ?? 0] ?? 0) * ratio);
      paintBox(picture, { left, top, right: Math.max(right, left + 1), bottom }, palette.hole);
    }
  }

  #paintLayers(picture: Picture, palette: Palette): void {
    const ratio = picture.unit;
    const { keyStart, keyEnd, lsnStart, lsnEnd } = this.#model.columns;
    const { keys, lsns, paintOrder, height } = this.#view;
    const imageLevel = 2;
    const thinnest = Math.max(1, Math.round(THINNEST * ratio));
    const thinnestImage = Math.round(THINNEST_IMAGE * ratio);
    const box: Box = { left: 0, top: 0, right: 0, bottom: 0 };
    for (let at = 0; at < paintOrder.length; at += 1) {
      const row = paintOrder[at] ?? 0;
      const paint = palette.paints[this.#looks[row] ?? 0];
      if (paint === undefined) continue;
      const bottom = height - (lsns.positions[lsnStart[row] ?? 0] ?? 0);
      const top = height - (lsns.positions[lsnEnd[row] ?? 0] ?? 0);
      const left = keys.positions[keyStart[row] ?? 0] ?? 0;
      const right = keys.positions[keyEnd[row] ?? 0] ?? 0;
      if (left > this.#view.width || right < -1 || top > height + 1 || bottom < -1) continue;
      box.left = toPixel(left * ratio);
      box.right = Math.max(box.left + thinnest, toPixel(right * ratio));
      box.bottom = toPixel(bottom * ratio);
      const least = this.#model.levelNumber(row) === imageLevel ? thinnestImage : thinnest;
      box.top = Math.min(box.bottom - least, toPixel(top * ratio));
      paintBox(picture, box, paint);
    }
  }

  #drawAxes(context: CanvasRenderingContext2D, palette: Palette): void {
    const { width, height } = this.#view;
    context.strokeStyle = palette.muted;
    context.lineWidth = 1;
    context.strokeRect(-0.5, -0.5, width + 1, height + 1);
    context.fillStyle = palette.muted;
    context.textBaseline = 'middle';
    context.textAlign = 'right';
    for (const { pixel, border } of ticksOf(this.#view.lsns, height, LSN_LABEL_HEIGHT)) {
      const down = height - pixel;
      context.fillRect(-6, Math.round(down), 6, 1);
      const lsn = this.#view.lsns.borderValue(border);
      context.fillText(formatPgLsn(lsn), -10, down, GUTTER.left - 14);
    }
    context.textAlign = 'left';
    context.textBaseline = 'top';
    for (const { pixel, border } of ticksOf(this.#view.keys, width, KEY_LABEL_WIDTH)) {
      context.fillRect(Math.round(pixel), height, 1, 6);
      const [upper, lower] = shortKey(keyOfNumber(this.#view.keys.borderValue(border)));
      const left = Math.min(pixel, width - KEY_LABEL_WIDTH + 8);
      context.fillText(upper, left, height + 10, KEY_LABEL_WIDTH - 8);
      context.fillText(lower, left, height + 26, KEY_LABEL_WIDTH - 8);
    }
  }

  /** The lines of the snapshot, with their names at the right. */
  #drawLines(context: CanvasRenderingContext2D, palette: Palette): void {
    const { width, height, lsns } = this.#view;
    let lowestLabel = Number.NEGATIVE_INFINITY;
    const lines = linesOf(this.#model, palette)
      .map((line) => ({ ...line, down: height - lsns.pixelOf(line.lsn) }))
      .filter(({ down }) => down >= -1 && down <= height + 1)
      .sort((left, right) => left.down - right.down);
    for (const { name, colour, dash, lsn, down } of lines.slice(0, MAXIMUM_LINES)) {
      const at = Math.min(height - 1, Math.max(1, down));
      context.strokeStyle = colour;
      context.lineWidth = 2;
      context.setLineDash(dash);
      context.beginPath();
      context.moveTo(0, at);
      context.lineTo(width, at);
      context.stroke();
      context.setLineDash([]);
      const label = Math.max(lowestLabel + 20, Math.min(height - 10, at + 11));
      if (label > height - 8 && lowestLabel > height - 30) continue;
      lowestLabel = label;
      const text = `${name} ${formatPgLsn(lsn)}`;
      const room = context.measureText(text).width + 12;
      context.fillStyle = palette.panel;
      context.globalAlpha = 0.9;
      context.fillRect(width - room - 4, label - 9, room, 18);
      context.globalAlpha = 1;
      context.strokeStyle = colour;
      context.lineWidth = 1;
      context.strokeRect(width - room - 4.5, label - 9.5, room, 18);
      context.fillStyle = palette.text;
      context.textAlign = 'left';
      context.textBaseline = 'middle';
      context.fillText(text, width - room + 2, label);
    }
  }

  #drawMarks(context: CanvasRenderingContext2D, palette: Palette): void {
    const { hovered, selected } = this.#view;
    context.strokeStyle = palette.select;
    if (hovered !== undefined) this.#frame(context, hovered, 2);
    if (selected !== undefined) this.#frame(context, selected, 4);
  }

  #frame(context: CanvasRenderingContext2D, row: number, lineWidth: number): void {
    const { left, top, right, bottom } = this.#view.boxOf(row);
    context.lineWidth = lineWidth;
    const from = Math.max(-10, left);
    const above = Math.max(-10, top);
    context.strokeRect(
      from,
      above,
      Math.min(this.#view.width + 10, right) - from,
      Math.min(this.#view.height + 10, bottom) - above,
    );
  }

  #drawPath(context: CanvasRenderingContext2D, palette: Palette): void {
    const { path, keys, lsns, height } = this.#view;
    if (path === undefined) return;
    const across = keys.pixelOf(numberOfKey(path.key));
    const down = (lsn: bigint): number => clamp(height - lsns.pixelOf(lsn), -20, height + 20);
    context.strokeStyle = palette.path;
    for (const { row } of path.visits) this.#frame(context, row, 2);
    const start = down(path.lsn);
    const end = down(path.visits.at(-1)?.floor ?? path.lsn);
    for (const [colour, lineWidth] of [
      [palette.panel, 6],
      [palette.path, 3],
    ] as const) {
      context.strokeStyle = colour;
      context.lineWidth = lineWidth;
      context.beginPath();
      context.moveTo(across, start);
      context.lineTo(across, path.end === 'bottom' ? Math.min(height, end + 24) : end);
      context.stroke();
    }
    context.fillStyle = palette.path;
    context.beginPath();
    context.arc(across, start, 6, 0, 2 * Math.PI);
    context.fill();
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    let lastMark = Number.NEGATIVE_INFINITY;
    path.visits.forEach(({ floor, end: visitEnd }, index) => {
      const middle = (down(visitEnd) + down(floor)) / 2;
      if (middle < lastMark + 18) return;
      lastMark = middle;
      context.fillStyle = palette.panel;
      context.strokeStyle = palette.path;
      context.lineWidth = 2;
      context.beginPath();
      context.arc(across + 16, middle, 9, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
      context.fillStyle = palette.text;
      context.fillText(String(index + 1), across + 16, middle);
    });
  }
}

interface Line {
  readonly name: string;
  readonly lsn: bigint;
  readonly colour: string;
  readonly dash: number[];
}

function linesOf(model: Model, palette: Palette): Line[] {
  const { snapshot } = model;
  const lines: Line[] = [];
  const add = (name: string, lsn: string | undefined, colour: string, dash: number[]): void => {
    if (lsn !== undefined) lines.push({ name, lsn: parseLsn(lsn), colour, dash });
  };
  add('disk consistent', snapshot?.diskConsistentLsn, palette.consistent, []);
  add('GC cutoff', snapshot?.gcCutoffLsn, palette.cutoff, [12, 4]);
  add('ancestor', snapshot?.ancestorLsn, palette.branch, [2, 4]);
  for (const lsn of snapshot?.branchLsns ?? []) add('branch', lsn, palette.branch, [2, 4]);
  return lines;
}

/**
 * The borders that are labelled. On the scale of ranks each 2^n-th is, so that labels do not change
 * while the view moves.
 */
function ticksOf(
  axis: View['keys'],
  length: number,
  distance: number,
): { pixel: number; border: number }[] {
  const ticks: { pixel: number; border: number }[] = [];
  let step = 1;
  if (axis.scale === 'ranks' && axis.count > 1) {
    const perRank = (axis.positions[1] ?? 0) - (axis.positions[0] ?? 0);
    while (perRank * step < distance && step < axis.count) step *= 2;
  }
  let last = Number.NEGATIVE_INFINITY;
  for (let border = 0; border < axis.count; border += step) {
    const pixel = axis.positions[border] ?? 0;
    if (pixel < -0.5 || pixel < last + distance) continue;
    if (pixel > length + 0.5) break;
    last = pixel;
    ticks.push({ pixel, border });
  }
  return ticks;
}

/** From 0 up to the divisor, as a whole number. */
function remainder(position: number, divisor: number): number {
  const rest = toPixel(position) % divisor;
  return rest < 0 ? rest + divisor : rest;
}

function toPixel(position: number): number {
  return Math.round(clamp(position, -FAR, FAR));
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}

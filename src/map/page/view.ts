/** The visible part of the map: both axes, the place of the plot on the canvas, and the marks. */
import { Axis } from './axis.ts';
import { type Model, numberOfKey } from './model.ts';
import type { ReadPath } from './read-path.ts';

/** Pixels of the page around the plot, for the labels of the axes. */
export const GUTTER = { left: 92, right: 10, top: 10, bottom: 46 } as const;

/** Layers are not drawn thinner than this, in pixels of the page. */
export const THINNEST = 1;
/** Minimum height of images: their one LSN would be invisible on a true scale. */
export const THINNEST_IMAGE = 3;

export class View {
  readonly keys: Axis;
  readonly lsns: Axis;
  /** Rows that are painted later lie on top. */
  readonly paintOrder: Int32Array;
  /** Size of the plot in pixels of the page. */
  width = 1;
  height = 1;
  selected: number | undefined;
  hovered: number | undefined;
  path: ReadPath | undefined;
  readonly #model: Model;

  constructor(model: Model) {
    this.#model = model;
    this.keys = new Axis(model.keyWords, 4);
    this.lsns = new Axis(model.columns.lsnWords, 2);
    this.paintOrder = paintOrderOf(model);
  }

  /** Fits the axes to a canvas of this size. */
  place(width: number, height: number): void {
    this.width = Math.max(1, width - GUTTER.left - GUTTER.right);
    this.height = Math.max(1, height - GUTTER.top - GUTTER.bottom);
    this.keys.place(this.width);
    this.lsns.place(this.height);
  }

  showAll(): void {
    this.keys.showAll();
    this.lsns.showAll();
  }

  /** Shows a layer and its surroundings. */
  showLayer(row: number): void {
    const { keyStart, keyEnd, lsnStart, lsnEnd } = this.#model.columns;
    this.keys.showBorders(keyStart[row] ?? 0, keyEnd[row] ?? 0);
    this.lsns.showBorders(lsnStart[row] ?? 0, lsnEnd[row] ?? 0);
  }

  /** Shows everything if the path of the read leaves the view. */
  showPath(path: ReadPath): void {
    this.keys.place(this.width);
    this.lsns.place(this.height);
    const across = this.keys.pixelOf(numberOfKey(path.key));
    const lowest = path.visits.at(-1)?.floor ?? path.lsn;
    const isInside =
      across >= 0 &&
      across <= this.width &&
      this.lsns.pixelOf(path.lsn) <= this.height &&
      this.lsns.pixelOf(lowest) >= 0;
    if (!isInside) this.showAll();
  }

  /** Where a layer lies in the plot, in pixels of the page, from its upper left corner. */
  boxOf(row: number): { left: number; top: number; right: number; bottom: number } {
    const { keyStart, keyEnd, lsnStart, lsnEnd } = this.#model.columns;
    const left = this.keys.positions[keyStart[row] ?? 0] ?? 0;
    const right = this.keys.positions[keyEnd[row] ?? 0] ?? 0;
    const top = this.height - (this.lsns.positions[lsnEnd[row] ?? 0] ?? 0);
    const bottom = this.height - (this.lsns.positions[lsnStart[row] ?? 0] ?? 0);
    const least = this.#model.level(row) === 'image' ? THINNEST_IMAGE : THINNEST;
    return {
      left,
      right: Math.max(right, left + THINNEST),
      top: Math.min(top, bottom - least),
      bottom,
    };
  }

  /** The layers under a place of the plot, the uppermost first. */
  layersAt(across: number, down: number): number[] {
    const found: number[] = [];
    for (let at = this.paintOrder.length - 1; at >= 0; at -= 1) {
      const row = this.paintOrder[at] ?? 0;
      const box = this.boxOf(row);
      const isInside =
        across >= box.left && across < box.right && down >= box.top && down < box.bottom;
      if (isInside && this.#model.changeOf(row) !== undefined) found.push(row);
    }
    return found;
  }
}

/** L0s below L1s below images; within them by LSN. */
function paintOrderOf(model: Model): Int32Array {
  const depth = Uint8Array.of(1, 0, 2);
  const depthOf = (row: number): number => depth[model.levelNumber(row)] ?? 0;
  return Int32Array.from({ length: model.count }, (_, row) => row).sort(
    (left, right) => depthOf(left) - depthOf(right) || left - right,
  );
}

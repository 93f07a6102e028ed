/**
 * The segments of image coverage as a pageserver cuts them. It keeps a map from key to image, whose
 * nodes remain where the image is the same on both sides, and L0 compaction counts them.
 *
 * Images are inserted in the order of the table. For an image with the keys a to b:
 *
 *   1. a node is set at a, then one at b, each with the value that holds there;
 *   2. of the nodes from a up to b, those without an image, or with one that ends lower, are raised. In each run of
 *      raised nodes, the first gets this image and the others are deleted. A node that is not raised ends the run and
 *      stays.
 *
 * The nodes of an LSN are those of a lower one with more images inserted. So they are kept, and rebuilt only for a
 * lower LSN than the last.
 */
import { NONE } from './coverage.ts';
import type { LayerTable } from './layer-table.ts';
import { NumberSet } from './number-set.ts';

export class ImageNodes {
  readonly #table: LayerTable;
  /** The images in the order of the table. */
  readonly #images: Int32Array;
  #nodes: NumberSet;
  /** The image from a node on, by the border of the node. */
  readonly #values: Int32Array;
  #inserted = 0;

  constructor(table: LayerTable, images: Int32Array) {
    this.#table = table;
    this.#images = images;
    this.#nodes = new NumberSet(table.borderCount);
    this.#values = new Int32Array(table.borderCount);
  }

  /** Makes the nodes those of the images below the bound. */
  moveTo(bound: number): void {
    if (this.#inserted > 0 && (this.#images[this.#inserted - 1] ?? 0) >= bound) {
      this.#nodes = new NumberSet(this.#table.borderCount);
      this.#inserted = 0;
    }
    for (; this.#inserted < this.#images.length; this.#inserted += 1) {
      const image = this.#images[this.#inserted] ?? 0;
      if (image >= bound) return;
      this.#insert(image);
    }
  }

  /** The image from a border on, or `NONE`: that of the nearest node at or below it. */
  valueAt(border: number): number {
    const node = this.#nodes.previousFrom(border);
    return node < 0 ? NONE : (this.#values[node] ?? NONE);
  }

  /** The first node at or above a border; -1 if there is none. */
  nodeFrom(border: number): number {
    return this.#nodes.nextFrom(border);
  }

  #insert(image: number): void {
    const start = this.#table.keyStart[image] ?? 0;
    const end = this.#table.keyEnd[image] ?? 0;
    this.#setNode(start);
    this.#setNode(end);
    let isRunOpen = false;
    for (let node = start; node >= 0 && node < end; node = this.#nodes.nextFrom(node + 1)) {
      const isRaised = this.#isRaised(this.#values[node] ?? NONE, image);
      if (isRaised && isRunOpen) this.#nodes.delete(node);
      else if (isRaised) this.#values[node] = image;
      isRunOpen = isRaised;
    }
  }

  #setNode(border: number): void {
    if (this.#nodes.has(border)) return;
    this.#values[border] = this.valueAt(border);
    this.#nodes.add(border);
  }

  #isRaised(value: number, image: number): boolean {
    return value === NONE || (this.#table.lsnEnd[value] ?? 0) < (this.#table.lsnEnd[image] ?? 0);
  }
}

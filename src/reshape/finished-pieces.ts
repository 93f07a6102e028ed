/**
 * Layers that are being finished: the index and the sync of one proceed while the next is written. At most
 * one at a time, so that few buffers are in memory and the layers become durable in order.
 */
import { isStorageError } from '../errors.ts';
import type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';

/** Called with each layer once it is durable, in order; the next one waits for the returned promise. */
export type OnLayer = (layer: FinishedLayer) => void | Promise<void>;

export class FinishedPieces {
  readonly #onLayer: OnLayer | undefined;
  readonly #layers: FinishedLayer[] = [];
  #finishing: Promise<void> | undefined;

  constructor(onLayer: OnLayer | undefined) {
    this.#onLayer = onLayer;
  }

  /** Waits for the previous layer, then begins to finish another. Throws the error of the previous one. */
  async begin(finish: () => Promise<FinishedLayer>): Promise<void> {
    await this.all();
    this.#finishing = this.#finish(finish);
    // The next call throws the error.
    this.#finishing.catch(() => {});
  }

  /** Waits for all. Throws the error if one failed. */
  async all(): Promise<readonly FinishedLayer[]> {
    await this.#finishing;
    return this.#layers;
  }

  /** Waits for the layer in progress, and ignores its failure. */
  async settle(): Promise<void> {
    try {
      await this.#finishing;
    } catch (error) {
      if (!isStorageError(error)) throw error;
    }
  }

  async #finish(finish: () => Promise<FinishedLayer>): Promise<void> {
    const layer = await finish();
    this.#layers.push(layer);
    await this.#onLayer?.(layer);
  }
}

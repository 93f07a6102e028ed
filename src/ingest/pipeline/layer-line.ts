/**
 * The layers of an ingest, one after the other: one takes values while the previous one is written out, so that there
 * are at most two. A layer starts where the previous one ended.
 *
 * A layer ends at an LSN border: it is frozen after a record, written, synced, and passed on. Only then is the next
 * one written, so that borders are passed on in ascending order, each after everything up to it is durable.
 */
import type { EphemeralEntry } from '../../layers/ephemeral-layer/ephemeral-layer.ts';
import type { Key } from '../../layers/key.ts';
import type { FinishedLayer } from '../../layers/layer-file/layer-writer.ts';
import type { Lsn } from '../../layers/lsn.ts';
import type { OpenLayer, OpenLayers } from './open-layers.ts';
import type { PutBatch } from './put-batch.ts';

/** Where a layer ends. */
export interface Border {
  /** End LSN of the last record; the layer ends one above. */
  readonly lastLsn: Lsn;
  /** End LSN of the preceding record, as `prev_record_lsn` of an index. */
  readonly previousLsn: Lsn | null;
}

/** Called at each border with the layer below it, which is durable; undefined if no record put a value. */
export type OnBorder = (border: Border, layer: FinishedLayer | undefined) => Promise<void>;

export class LayerLine {
  readonly #layers: OpenLayers;
  readonly #onBorder: OnBorder;
  #open: OpenLayer;
  /** Set while it is written out. */
  #frozen: OpenLayer | undefined;
  /** The last read of the frozen layer, which is not closed before. */
  #reading: Promise<unknown> | undefined;
  /** Ends when the last frozen layer has been passed on. */
  #passedOn: Promise<void> = Promise.resolve();
  #startLsn: Lsn;
  #size = 0;

  /** `startLsn`: of the first layer, inclusive. */
  static async create(
    layers: OpenLayers,
    { startLsn, onBorder }: { readonly startLsn: Lsn; readonly onBorder: OnBorder },
  ): Promise<LayerLine> {
    return new LayerLine(layers, await layers.open(startLsn), startLsn, onBorder);
  }

  private constructor(layers: OpenLayers, first: OpenLayer, startLsn: Lsn, onBorder: OnBorder) {
    this.#layers = layers;
    this.#open = first;
    this.#startLsn = startLsn;
    this.#onBorder = onBorder;
  }

  /** First LSN of the open layer. */
  get startLsn(): Lsn {
    return this.#startLsn;
  }

  /** Bytes of values in the open layer. */
  get size(): number {
    return this.#size;
  }

  /** Puts a batch, which must not change until a returned promise settles. */
  put(batch: PutBatch): void | Promise<void> {
    this.#size += batch.size;
    return this.#open.put(batch);
  }

  /**
   * The values of a key that have not been passed on, newest first, down to one that needs no older one. Requires:
   * no put is under way.
   */
  async versions(key: Key, lsn: Lsn): Promise<EphemeralEntry[]> {
    const found = await this.#open.versions(key, lsn);
    if (this.#frozen === undefined || found.at(-1)?.willInit) return found;
    const reading = this.#frozen.versions(key, lsn);
    this.#reading = reading;
    return [...found, ...(await reading)];
  }

  /**
   * Ends the open layer, and opens the next one. Waits until the previous layer has been passed on, and throws its
   * error if that failed. Requires: no put is in progress.
   */
  async freeze(border: Border): Promise<void> {
    const startLsn = border.lastLsn + 1n;
    const freezing = this.#open.freeze(startLsn);
    freezing.catch(() => {});
    await this.#passedOn;
    const next = await this.#layers.open(startLsn);
    const frozen = this.#open;
    this.#frozen = frozen;
    this.#open = next;
    this.#startLsn = startLsn;
    this.#size = 0;
    this.#passedOn = this.#passOn(frozen, freezing, border);
    // It is thrown at the next border, or at the end.
    this.#passedOn.catch(() => {});
  }

  /** Resolves when all frozen layers have been passed on. Throws the error if one failed. */
  async drained(): Promise<void> {
    await this.#passedOn;
  }

  /** Waits for the layer that is being written, and deletes what has not been passed on. Idempotent. */
  async close(): Promise<void> {
    await Promise.allSettled([this.#passedOn]);
    await this.#layers.close();
  }

  async #passOn(frozen: OpenLayer, freezing: Promise<void>, border: Border): Promise<void> {
    await freezing;
    await this.#onBorder(border, await frozen.finish());
    this.#frozen = undefined;
    await Promise.allSettled([this.#reading]);
    await frozen.close();
  }
}

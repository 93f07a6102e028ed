/**
 * The layers of an ingest, one after the other: one takes values while the previous one is written out, so that there
 * are at most two. A layer starts where the previous one ended.
 *
 * A layer ends at an LSN border: it is frozen after a record, written, synced, and passed on. Only then is the next
 * one written, so that borders are passed on in ascending order, each after everything up to it is durable.
 *
 * The values of one record may need more than one layer. Such layers have the same LSNs and disjoint keys, in ascending
 * order, and are passed on together at the border after the record:
 *
 *   LSN   border                                            border
 *   keys  00..                K1                K2     ..FF
 *         [ layer            )[ layer          )[ layer    )
 *
 * So they are not L0s, which have all keys, but what a pageserver makes of several L0s: a read finds each key in one of
 * them.
 */
import type { EphemeralEntry } from '../../layers/ephemeral-layer/ephemeral-layer.ts';
import { type Key, type KeyRange, maximumKey, minimumKey } from '../../layers/key.ts';
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

/** Called at each border with the layers below it, which are durable; usually one, and none if no record put a value. */
export type OnBorder = (border: Border, layers: readonly FinishedLayer[]) => Promise<void>;

export class LayerLine {
  readonly #layers: OpenLayers;
  readonly #onBorder: OnBorder;
  #open: OpenLayer;
  /** Set while it is written out. */
  #frozen: OpenLayer | undefined;
  /** The last read of the frozen layer, which is not closed before. */
  #reading: Promise<unknown> | undefined;
  /** Ends when the last frozen layer has been passed on; after a split, when it has been written. */
  #passedOn: Promise<void> = Promise.resolve();
  #startLsn: Lsn;
  #size = 0;
  /** First key of the open layer after a split. */
  #startKey: Key | undefined;
  /** Written layers with the LSNs of the open layer, and the keys before its first one. */
  #split: FinishedLayer[] = [];

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

  /** The key of the last split after the last border: the open layer may have it and higher ones. Undefined without. */
  get startKey(): Key | undefined {
    return this.#startKey;
  }

  /** Puts a batch, which must not change until a returned promise settles. */
  put(batch: PutBatch): void | Promise<void> {
    this.#size += batch.size;
    return this.#open.put(batch);
  }

  /**
   * The values of a key that have not been passed on, newest first, down to one that needs no older one; after a split,
   * without those of its record. Requires: no put is under way.
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
   * error if that failed; after a split, also until this one has been. Requires: no put is in progress.
   */
  async freeze(border: Border): Promise<void> {
    const isSplit = this.#startKey !== undefined;
    const startLsn = border.lastLsn + 1n;
    const frozen = await this.#replaceOpen({ startLsn, endLsn: startLsn, endKey: maximumKey() });
    this.#frozen = frozen.layer;
    this.#startKey = undefined;
    this.#follow(this.#passOn(frozen, border));
    // No read looks at the layers of the split.
    if (isSplit) await this.#passedOn;
  }

  /**
   * Ends the open layer before a key, within a record that ends at `lastLsn`, and opens one of the same LSNs for the
   * keys from there on. Waits and throws as `freeze`.
   *
   * Requires: the open layer has values of one record only, none has the key or a higher one, and no later one of the
   * record has a lower one; no put is in progress.
   */
  async split(key: Key, lastLsn: Lsn): Promise<void> {
    const endKey = Uint8Array.from(key);
    const endLsn = lastLsn + 1n;
    const frozen = await this.#replaceOpen({ startLsn: this.#startLsn, endLsn, endKey });
    this.#startKey = endKey;
    this.#follow(this.#writeSplit(frozen));
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

  /** Freezes the open layer at its end, and opens the next one at `startLsn`, once the previous one was passed on. */
  async #replaceOpen({
    startLsn,
    endLsn,
    endKey,
  }: {
    readonly startLsn: Lsn;
    readonly endLsn: Lsn;
    readonly endKey: Key;
  }): Promise<FrozenLayer> {
    const layer = this.#open;
    const freezing = layer.freeze(endLsn);
    freezing.catch(() => {});
    await this.#passedOn;
    this.#open = await this.#layers.open(startLsn);
    this.#startLsn = startLsn;
    this.#size = 0;
    return { layer, freezing, keyRange: { start: this.#startKey ?? minimumKey(), end: endKey } };
  }

  #follow(work: Promise<void>): void {
    this.#passedOn = work;
    // It is thrown at the next border or split, or at the end.
    work.catch(() => {});
  }

  async #passOn({ layer, freezing, keyRange }: FrozenLayer, border: Border): Promise<void> {
    await freezing;
    const last = await layer.finish(keyRange);
    const layers = last === undefined ? this.#split : [...this.#split, last];
    this.#split = [];
    await this.#onBorder(border, layers);
    this.#frozen = undefined;
    await Promise.allSettled([this.#reading]);
    await layer.close();
  }

  async #writeSplit({ layer, freezing, keyRange }: FrozenLayer): Promise<void> {
    await freezing;
    const written = await layer.finish(keyRange);
    if (written !== undefined) this.#split.push(written);
    await layer.close();
  }
}

/** A layer that takes no more puts, and its keys. */
interface FrozenLayer {
  readonly layer: OpenLayer;
  readonly freezing: Promise<void>;
  readonly keyRange: KeyRange;
}

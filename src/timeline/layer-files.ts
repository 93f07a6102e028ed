/**
 * The layers of one timeline, opened when they are needed. Some readers stay open after their last use, because later
 * reads often need the same layers.
 */
import { isStorageError, StorageError, throwIfAborted } from '../errors.ts';
import type { LayerInput } from '../layers/layer-file/layer-input.ts';
import type { ReadOptions } from '../layers/layer-file/open-file.ts';
import { nameOfSummary } from '../layers/layer-file/summary.ts';
import { formatLayerName, parseLayerName, sameLayer } from '../layers/layer-name.ts';
import { openLayer } from '../layers/open-layer.ts';
import type { AnyLayerReader } from './layer-versions.ts';

/** Where a layer is stored. */
export interface LayerPlace {
  /** For messages. */
  readonly path: string;
  /** Bytes according to the index; undefined if unknown. */
  readonly size: number | bigint | undefined;
  /** What to read it from. Throws if the object cannot be looked up. */
  readonly input: (signal: AbortSignal | undefined) => Promise<LayerInput>;
}

/** A layer that is open until it is released. */
export interface HeldLayer {
  readonly reader: AnyLayerReader;
  release(): void;
}

interface OpenedLayer {
  readonly opening: Promise<AnyLayerReader>;
  users: number;
}

export interface LayerFilesOptions {
  readonly readOptions: ReadOptions;
  /** 32 hex digits; undefined if any tenant will do. */
  readonly tenantId: string | undefined;
  /** Readers that stay open without a user. */
  readonly maximumIdle: number;
}

export class LayerFiles {
  readonly #places: ReadonlyMap<string, LayerPlace>;
  readonly #options: LayerFilesOptions;
  /** In the order of their last use. */
  readonly #open = new Map<string, OpenedLayer>();
  #isClosed = false;

  /** Requires: `places` has each layer under the name that the layer map has. */
  constructor(places: ReadonlyMap<string, LayerPlace>, options: LayerFilesOptions) {
    this.#places = places;
    this.#options = options;
  }

  /**
   * Opens a layer, or reuses its open reader. Release it when done.
   *
   * @throws As `openLayer`; `not-found` for a layer that has disappeared; `corrupt` if the file is not the layer that
   * its name describes, or if its tenant or its size differs from the expected one; `closed`.
   */
  async acquire(name: string, signal?: AbortSignal | undefined): Promise<HeldLayer> {
    throwIfAborted(signal);
    if (this.#isClosed) throw new StorageError('closed', { what: 'timeline is closed' });
    const known = this.#open.get(name);
    const opened = known ?? { opening: this.#openLayer(name, signal), users: 0 };
    // The last entry of the map is the most recently used.
    this.#open.delete(name);
    this.#open.set(name, opened);
    opened.users += 1;
    try {
      const reader = await opened.opening;
      return { reader, release: () => this.#release(opened) };
    } catch (error) {
      if (this.#open.get(name) === opened) this.#open.delete(name);
      throw error;
    }
  }

  /** Passes an open layer to `use`, and releases it. Throws as `acquire`, and what `use` throws. */
  async withLayer<T>(
    name: string,
    use: (reader: AnyLayerReader) => Promise<T>,
    signal?: AbortSignal | undefined,
  ): Promise<T> {
    const held = await this.acquire(name, signal);
    try {
      return await use(held.reader);
    } finally {
      held.release();
    }
  }

  /** Closes all readers, used or not. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const opened = [...this.#open.values()];
    this.#open.clear();
    for (const { opening } of opened) await closeReader(opening);
  }

  async #openLayer(name: string, signal: AbortSignal | undefined): Promise<AnyLayerReader> {
    const place = this.#places.get(name);
    if (place === undefined) {
      throw new StorageError('not-found', { what: 'layer is not in the timeline', path: name });
    }
    const reader = await openLayer(await place.input(signal), {
      ...this.#options.readOptions,
      nameCheck: 'ignore',
      signal,
    });
    const error = this.#mismatch(reader, name, place);
    if (error === undefined) return reader;
    await Promise.allSettled([reader.close()]);
    throw error;
  }

  #mismatch(reader: AnyLayerReader, name: string, place: LayerPlace): StorageError | undefined {
    const { path, size } = place;
    const { summary } = reader;
    const differs = (what: string, expected: string, actual: string): StorageError =>
      new StorageError('corrupt', { what, path, expected, actual });
    const ofFile = nameOfSummary(summary);
    if (!sameLayer(parseLayerName(name), ofFile)) {
      return differs('summary of the layer', name, formatLayerName(ofFile));
    }
    const { tenantId } = this.#options;
    if (tenantId !== undefined && summary.tenantId !== tenantId) {
      return differs('tenant of the layer', tenantId, summary.tenantId);
    }
    if (size === undefined || BigInt(size) === BigInt(reader.size)) return undefined;
    return differs('size of the layer', `${size} bytes, as the index says`, `${reader.size}`);
  }

  #release(opened: OpenedLayer): void {
    opened.users -= 1;
    let idle = 0;
    for (const { users } of this.#open.values()) if (users === 0) idle += 1;
    for (const [name, { users, opening }] of this.#open) {
      if (idle <= this.#options.maximumIdle) return;
      if (users > 0) continue;
      this.#open.delete(name);
      void closeReader(opening);
      idle -= 1;
    }
  }
}

/** A file that was only read loses nothing if closing it fails. */
async function closeReader(opening: Promise<AnyLayerReader>): Promise<void> {
  try {
    await (await opening).close();
  } catch (error) {
    if (!isStorageError(error)) throw error;
  }
}

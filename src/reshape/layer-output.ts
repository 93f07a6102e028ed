/** Where the layers and the index of a reshaped timeline go, such as a `TimelineOutput`. */

import {
  checkFunction,
  checkMethod,
  checkObject,
  checkOneOf,
  checkText,
} from '../check-options.ts';
import type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';
import type { IndexPart } from '../timeline/index-part/index-part.ts';
import type { IndexLayer } from '../timeline/index-part/layer-entry.ts';
import type { TenantManifest } from '../timeline/tenant-manifest.ts';

/** Where layers and an index are stored. */
export interface LayerOutput {
  /** Where layers are made, under names without a generation. */
  readonly stagingDirectory: string;
  /** The stored layer, as an index names it. */
  readonly layers: ReadonlyMap<string, IndexLayer>;
  /**
   * Stores a finished layer and removes the local file. An existing layer with the same content is reused.
   */
  putLayer(layer: { readonly path: string }): Promise<{
    readonly path: string;
    readonly state: 'written' | 'present';
  }>;
  /** Stores the index, after all layers that it names. Returns its path. */
  putIndex(index: IndexPart): Promise<string>;
  /**
   * Stores the manifest of the tenant, or of the shard, unless it already exists with the same content. Returns its
   * path.
   */
  putTenantManifest?(manifest: Omit<TenantManifest, 'version'>): Promise<string>;
}

/** A layer that was made and stored. */
export interface ReshapedLayer extends FinishedLayer {
  /** Path of the stored object; the local file has been removed. */
  readonly path: string;
  /** `present`: an earlier run had stored the same. */
  readonly state: 'written' | 'present';
}

/** Stores layers as they are finished, and lists them. */
export class StoredLayers {
  readonly #output: LayerOutput;
  readonly #onLayer: ((layer: ReshapedLayer) => void | Promise<void>) | undefined;
  readonly list: ReshapedLayer[] = [];

  constructor(output: LayerOutput, onLayer?: (layer: ReshapedLayer) => void | Promise<void>) {
    checkMethod('output', output, 'putLayer');
    checkMethod('output', output, 'putIndex');
    checkText('stagingDirectory of the output', output.stagingDirectory);
    checkMethod('layers of the output', output.layers, 'get');
    checkFunction('putTenantManifest of the output', output.putTenantManifest);
    this.#output = output;
    this.#onLayer = onLayer;
  }

  async add(layer: FinishedLayer): Promise<void> {
    const result = await this.#output.putLayer(layer);
    checkObject('result of putLayer', result);
    const { path, state } = result;
    checkText('path of a stored layer', path);
    checkOneOf('state of a stored layer', state, ['written', 'present']);
    const stored = { ...layer, path, state };
    this.list.push(stored);
    await this.#onLayer?.(stored);
  }

  /** Stores the index of the layers. Returns its path. */
  async putIndex(index: IndexPart): Promise<string> {
    const path = await this.#output.putIndex(index);
    checkText('result of putIndex', path);
    return path;
  }
}

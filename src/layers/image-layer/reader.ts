/** Reads an image layer: the pages of a key range at one LSN. */

import type { EntryOptions } from '../layer-file/entry-options.ts';
import type { LayerInput } from '../layer-file/layer-input.ts';
import { LayerReader } from '../layer-file/layer-reader.ts';
import {
  type OpenedLayer,
  openLayerFileOfKind,
  type ReadOptions,
} from '../layer-file/open-file.ts';
import { type SalvagedItem, salvageLayer } from '../layer-file/salvage.ts';
import type { ImageSummary } from '../layer-file/summary-format.ts';

/**
 * An image layer that is open for reading: the pages of a key range at one LSN.
 *
 * @example
 * await using reader = await ImageLayerReader.open(path);
 * const page = (await reader.get(key))?.bytes;
 */
export class ImageLayerReader extends LayerReader<ImageSummary> {
  /**
   * Opens an image layer.
   *
   * @param from A path, or any source of the bytes of a layer file.
   * @returns The reader; close it when done.
   * @throws `not-found`, `io`, `truncated`, `corrupt` (also for a delta layer),
   * `unsupported-version`, `invalid-input`, `aborted`.
   */
  static async open(from: LayerInput, options: ReadOptions = {}): Promise<ImageLayerReader> {
    return new ImageLayerReader(await openLayerFileOfKind(from, 'image', options), options);
  }

  /**
   * A reader of a file that `openLayerFile` has opened.
   * @internal
   */
  static from(opened: OpenedLayer<ImageSummary>, options: ReadOptions): ImageLayerReader {
    return new ImageLayerReader(opened, options);
  }

  /**
   * Every readable entry, and the damage between them; see `salvageBatches`.
   *
   * @returns Items in index order; entries are copies.
   * @throws What keeps the index from being read, `io`, `aborted`, `closed`.
   */
  salvage(options: EntryOptions = {}): AsyncGenerator<SalvagedItem> {
    return salvageLayer(this.salvageBatches(options), { decode: undefined, path: this.path });
  }
}

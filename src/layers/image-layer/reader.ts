/** Reads an image layer: the pages of a key range at one LSN. */
import type { ByteSource } from '../../blob-writer/byte-source.ts';
import { type EntryOptions, LayerReader } from '../layer-file/layer-reader.ts';
import {
  type OpenedLayer,
  openLayerFileOfKind,
  type ReadOptions,
} from '../layer-file/open-file.ts';
import { type SalvagedItem, salvageLayer } from '../layer-file/salvage.ts';
import type { ImageSummary } from '../layer-file/summary-format.ts';

export class ImageLayerReader extends LayerReader<ImageSummary> {
  /**
   * Opens an image layer.
   *
   * Throws: `not-found`, `io`, `truncated`, `corrupt` (also a delta layer), `unsupported-version`.
   */
  static async open(
    from: string | ByteSource,
    options: ReadOptions = {},
  ): Promise<ImageLayerReader> {
    return new ImageLayerReader(await openLayerFileOfKind(from, 'image', options), options);
  }

  /** For what has been opened already. */
  static from(opened: OpenedLayer<ImageSummary>, options: ReadOptions): ImageLayerReader {
    return new ImageLayerReader(opened, options);
  }

  /** Every readable entry, and what is damaged in between; see `salvageBatches`. */
  salvage(options: EntryOptions = {}): AsyncGenerator<SalvagedItem> {
    return salvageLayer(this.salvageBatches(options), { decode: undefined, path: this.path });
  }
}

/** Reads an image layer: the pages of a key range at one LSN. */
import type { ByteSource } from '../../blob-writer/byte-source.ts';
import { StorageError } from '../../errors.ts';
import {
  type EntryOptions,
  LayerReader,
  type OpenedLayer,
  openLayerFile,
  type ReadOptions,
} from '../layer-file/layer-reader.ts';
import { type SalvagedItem, salvageLayer } from '../layer-file/salvage.ts';
import type { ImageSummary } from './summary-format.ts';

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
    const opened = await openLayerFile(from, options);
    if (opened.summary.kind === 'image') {
      return new ImageLayerReader(opened, opened.summary, options);
    }
    await opened.file?.close();
    throw new StorageError('corrupt', {
      what: 'kind of layer',
      path: opened.source.path,
      offset: 0,
      expected: 'an image layer',
      actual: 'a delta layer',
    });
  }

  /** For what has been opened already. */
  static from(opened: OpenedLayer, summary: ImageSummary, options: ReadOptions): ImageLayerReader {
    return new ImageLayerReader(opened, summary, options);
  }

  /** Every readable entry, and what is damaged in between. */
  salvage(options: EntryOptions = {}): AsyncGenerator<SalvagedItem> {
    return salvageLayer(this.salvageBatches(options), { decode: undefined, path: this.path });
  }
}

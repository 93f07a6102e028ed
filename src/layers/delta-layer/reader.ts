/** Reads a delta layer: the changes of a key range within an LSN range. */
import type { ByteSource } from '../../blob-writer/byte-source.ts';
import { type EntryOptions, LayerReader } from '../layer-file/layer-reader.ts';
import {
  type OpenedLayer,
  openLayerFileOfKind,
  type ReadOptions,
} from '../layer-file/open-file.ts';
import { type SalvagedItem, salvageLayer } from '../layer-file/salvage.ts';
import type { DeltaSummary } from '../layer-file/summary-format.ts';
import { decodeValue } from '../value-format.ts';

export class DeltaLayerReader extends LayerReader<DeltaSummary> {
  /**
   * Opens a delta layer.
   *
   * Throws: `not-found`, `io`, `truncated`, `corrupt` (also an image layer), `unsupported-version`.
   */
  static async open(
    from: string | ByteSource,
    options: ReadOptions = {},
  ): Promise<DeltaLayerReader> {
    return new DeltaLayerReader(await openLayerFileOfKind(from, 'delta', options), options);
  }

  /** For what has been opened already. */
  static from(opened: OpenedLayer<DeltaSummary>, options: ReadOptions): DeltaLayerReader {
    return new DeltaLayerReader(opened, options);
  }

  /** Every readable entry with its decoded value, and what is damaged in between; see `salvageBatches`. */
  salvage(options: EntryOptions = {}): AsyncGenerator<SalvagedItem> {
    return salvageLayer(this.salvageBatches(options), { decode: decodeValue, path: this.path });
  }
}

/** Reads a delta layer: the changes of a key range within an LSN range. */
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
import { decodeValue } from '../value-format.ts';
import type { DeltaSummary } from './summary-format.ts';

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
    const opened = await openLayerFile(from, options);
    if (opened.summary.kind === 'delta') {
      return new DeltaLayerReader(opened, opened.summary, options);
    }
    await opened.file?.close();
    throw new StorageError('corrupt', {
      what: 'kind of layer',
      path: opened.source.path,
      offset: 0,
      expected: 'a delta layer',
      actual: 'an image layer',
    });
  }

  /** For what has been opened already. */
  static from(opened: OpenedLayer, summary: DeltaSummary, options: ReadOptions): DeltaLayerReader {
    return new DeltaLayerReader(opened, summary, options);
  }

  /** Every readable entry with its decoded value, and what is damaged in between. */
  salvage(options: EntryOptions = {}): AsyncGenerator<SalvagedItem> {
    return salvageLayer(this.salvageBatches(options), { decode: decodeValue, path: this.path });
  }
}

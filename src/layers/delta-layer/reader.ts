/** Reads a delta layer: the changes of a key range within an LSN range. */

import type { EntryOptions } from '../layer-file/entry-options.ts';
import type { LayerInput } from '../layer-file/layer-input.ts';
import { LayerReader } from '../layer-file/layer-reader.ts';
import {
  type OpenedLayer,
  openLayerFileOfKind,
  type ReadOptions,
} from '../layer-file/open-file.ts';
import { type SalvagedItem, salvageLayer } from '../layer-file/salvage.ts';
import type { DeltaSummary } from '../layer-file/summary-format.ts';
import { decodeValue } from '../value-format.ts';

/**
 * A delta layer that is open for reading: changes of a key range within an LSN range.
 *
 * @example
 * await using reader = await DeltaLayerReader.open(path);
 * for await (const { key, lsn, bytes } of reader.entries()) use(key, lsn, decodeValue(bytes));
 */
export class DeltaLayerReader extends LayerReader<DeltaSummary> {
  /**
   * Opens a delta layer.
   *
   * @param from A path, or any source of the bytes of a layer file.
   * @returns The reader; close it when done.
   * @throws `not-found`, `io`, `truncated`, `corrupt` (also for an image layer),
   * `unsupported-version`, `invalid-input`, `aborted`.
   */
  static async open(from: LayerInput, options: ReadOptions = {}): Promise<DeltaLayerReader> {
    return new DeltaLayerReader(await openLayerFileOfKind(from, 'delta', options), options);
  }

  /**
   * A reader of a file that `openLayerFile` has opened.
   * @internal
   */
  static from(opened: OpenedLayer<DeltaSummary>, options: ReadOptions): DeltaLayerReader {
    return new DeltaLayerReader(opened, options);
  }

  /**
   * Every readable entry with its decoded value, and the damage between them; see `salvageBatches`.
   *
   * @returns Items in index order; entries are copies.
   * @throws What keeps the index from being read, `io`, `aborted`, `closed`.
   */
  salvage(options: EntryOptions = {}): AsyncGenerator<SalvagedItem> {
    return salvageLayer(this.salvageBatches(options), { decode: decodeValue, path: this.path });
  }
}

/**
 * What a dump prints, a batch at a time: one promise for each of a million entries, and a copy of
 * its bytes, would take longer than the printing.
 */
import { StorageError } from '../errors.ts';
import type { EntryBatch } from '../layers/layer-file/entry-batch.ts';
import type { ScannedItem } from '../layers/layer-file/entry-scan.ts';
import { locateValueError, type SalvagedItem } from '../layers/layer-file/salvage.ts';
import { decodeValue } from '../layers/value-format.ts';

/** Yields iterators; an item is a view that is valid until the next one is asked for. */
export async function* salvagedRuns(
  items: AsyncIterable<ScannedItem>,
  layer: { readonly kind: 'delta' | 'image'; readonly path: string },
): AsyncGenerator<Iterable<SalvagedItem>, void, undefined> {
  for await (const item of items) {
    yield item.kind === 'batch' ? entriesOf(item.batch, layer) : [item];
  }
}

function* entriesOf(
  batch: EntryBatch,
  { kind, path }: { readonly kind: 'delta' | 'image'; readonly path: string },
): Generator<SalvagedItem, void, undefined> {
  for (let index = 0; index < batch.count; index += 1) {
    const entry = {
      key: batch.key(index),
      lsn: batch.lsn(index),
      willInit: batch.willInit[index] === 1,
      offset: batch.offsets[index] ?? 0,
      storedLength: batch.storedLengths[index] ?? 0,
      compressed: batch.compressed[index] === 1,
      bytes: batch.bytes(index),
    };
    if (kind === 'image') {
      yield { kind: 'entry', entry };
      continue;
    }
    try {
      yield { kind: 'entry', entry, value: decodeValue(entry.bytes) };
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      const { key, lsn, offset } = entry;
      yield {
        kind: 'damaged-entry',
        key,
        lsn,
        offset,
        error: locateValueError(error, entry, path),
      };
    }
  }
}

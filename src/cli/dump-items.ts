/**
 * What a dump prints, a batch at a time: one promise for each of a million entries, and a copy of
 * its bytes, would take longer than the printing. Where contents are not printed, none above 1 MiB
 * is held.
 */
import { createHash } from 'node:crypto';
import { StorageError } from '../errors.ts';
import type { EntryBatch, LayerEntry } from '../layers/layer-file/entry-batch.ts';
import type {
  DamagedBlock,
  DamagedEntry,
  LargeEntry,
  ScannedItem,
} from '../layers/layer-file/entry-scan.ts';
import { readLargeValue } from '../layers/layer-file/large-value.ts';
import { locateValueError } from '../layers/layer-file/salvage.ts';
import { outlineOfValue, viewValue } from '../layers/value-format.ts';
import { type ShownEntry, shownEntry } from './entry-json.ts';
import type { ValuesMode } from './values-mode.ts';

export type DumpItem =
  | { readonly kind: 'entry'; readonly shown: ShownEntry }
  | DamagedEntry
  | DamagedBlock;

export interface DumpedLayer {
  readonly kind: 'delta' | 'image';
  readonly path: string;
  readonly values: ValuesMode;
}

/** Whether contents are printed, so that they are needed whole. */
export function printsContents(values: ValuesMode): boolean {
  return values === 'hex' || values === 'json';
}

/** Yields iterators; an item is a view that is valid until the next one is asked for. */
export async function* dumpItems(
  items: AsyncIterable<ScannedItem | LargeEntry>,
  layer: DumpedLayer,
): AsyncGenerator<Iterable<DumpItem>, void, undefined> {
  for await (const item of items) {
    if (item.kind === 'batch') yield entriesOf(item.batch, layer);
    else if (item.kind === 'large-entry') yield [await streamEntry(item, layer)];
    else yield [item];
  }
}

function* entriesOf(batch: EntryBatch, layer: DumpedLayer): Generator<DumpItem, void, undefined> {
  for (let index = 0; index < batch.count; index += 1) {
    const entry: LayerEntry = {
      key: batch.key(index),
      lsn: batch.lsn(index),
      willInit: batch.willInit[index] === 1,
      offset: batch.offsets[index] ?? 0,
      storedLength: batch.storedLengths[index] ?? 0,
      compressed: batch.compressed[index] === 1,
      bytes: batch.bytes(index),
    };
    yield showEntry(entry, layer);
  }
}

function showEntry(entry: LayerEntry, layer: DumpedLayer): DumpItem {
  try {
    return { kind: 'entry', shown: shownOf(entry, layer) };
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    return damagedValue(entry, error, layer);
  }
}

function shownOf(entry: LayerEntry, { kind, values }: DumpedLayer): ShownEntry {
  const { bytes } = entry;
  if (kind === 'image') return shownEntry({ entry });
  if (printsContents(values)) return shownEntry({ entry, value: viewValue(bytes) });
  const { type } = outlineOfValue(bytes);
  return { entry, type, length: bytes.length, content: { kind: 'whole', bytes } };
}

async function streamEntry(item: LargeEntry, layer: DumpedLayer): Promise<DumpItem> {
  const hash = layer.values === 'sha256' ? createHash('sha256') : undefined;
  const onPiece = (piece: Uint8Array): void => void hash?.update(piece);
  const show = (type: string, length: number): DumpItem => {
    const content = { kind: 'streamed', sha256: hash?.digest('hex') ?? '' } as const;
    return { kind: 'entry', shown: { entry: item, type, length, content } };
  };
  if (layer.kind === 'image') {
    const length = await item.stream(onPiece);
    return typeof length === 'number' ? show('image', length) : length;
  }
  const value = await readLargeValue(item, onPiece);
  if (value.kind !== 'value') return value;
  const { length, outline } = value;
  if (!(outline instanceof StorageError)) return show(outline.type, length);
  return damagedValue({ ...item, bytes: { length } }, outline, layer);
}

function damagedValue(
  entry: Parameters<typeof locateValueError>[1],
  error: StorageError,
  { path }: DumpedLayer,
): DamagedEntry {
  const { key, lsn, offset } = entry;
  const located = locateValueError(error, entry, path);
  return { kind: 'damaged-entry', key, lsn, offset, error: located };
}

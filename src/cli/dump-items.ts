/**
 * The items of a dump, a batch at a time: one promise and a copy of the bytes for each of a million
 * entries would take longer than printing. If contents are not printed, those above 1 MiB are
 * streamed, not held.
 */
import { createHash, type Hash } from 'node:crypto';
import { isStorageError, type StorageError } from '../errors.ts';
import type { KeyRange } from '../layers/key.ts';
import type { EntryBatch } from '../layers/layer-file/entry-batch.ts';
import { EntryCursor, rowOf } from '../layers/layer-file/entry-cursor.ts';
import type { EntryOptions } from '../layers/layer-file/entry-options.ts';
import type { DamagedBlock, DamagedEntry, LargeEntry } from '../layers/layer-file/entry-scan.ts';
import { readLargeValue } from '../layers/layer-file/large-value.ts';
import type { DamagedBlob, LooseBlob } from '../layers/layer-file/loose-blobs.ts';
import { locateValueError } from '../layers/layer-file/salvage.ts';
import type { DamagedSummary, SalvageReader } from '../layers/layer-file/salvage-reader.ts';
import type { SalvagedScanItem } from '../layers/layer-file/salvage-scan.ts';
import { type Lsn, type LsnRange, MAXIMUM_LSN } from '../layers/lsn.ts';
import { type ValueView, viewValue } from '../layers/value-format.ts';
import { printsContents, type ValuesMode } from './context.ts';
import type { LooseItem, ShownContent, ShownEntry } from './entry-json.ts';
import type { ValueFilter } from './value-record.ts';

export type DumpItem =
  | { readonly kind: 'entry'; readonly shown: ShownEntry }
  | ({ readonly kind: 'blob' } & LooseItem)
  | DamagedEntry
  | DamagedBlock
  | DamagedBlob
  | DamagedSummary;

export type SalvagedForDump = SalvagedScanItem | LargeEntry | DamagedSummary;

export interface DumpedLayer {
  readonly kind: 'delta' | 'image';
  readonly path: string;
  readonly values: ValuesMode;
  /** Digest of streamed blobs without keys. */
  readonly digest: LooseDigest;
}

/** The digest of the blob without a key that is being streamed. */
export class LooseDigest {
  #hash: Hash | undefined;
  #offset = -1;

  add(offset: number, piece: Uint8Array): void {
    if (offset !== this.#offset) this.#hash = createHash('sha256');
    this.#offset = offset;
    this.#hash?.update(piece);
  }

  /** Returns the digest of all pieces of that blob; there may be none. */
  take(offset: number): string {
    const hash = offset === this.#offset ? this.#hash : undefined;
    this.#offset = -1;
    return (hash ?? createHash('sha256')).digest('hex');
  }
}

/** Yields batches; an item is a view that is valid until the next one is requested. */
export async function* dumpItems(
  items: AsyncIterable<SalvagedForDump>,
  layer: DumpedLayer,
): AsyncGenerator<Iterable<DumpItem>, void, undefined> {
  for await (const item of items) {
    if (item.kind === 'batch') yield entriesOf(item.batch, layer);
    else if (item.kind === 'large-entry') yield [await streamEntry(item, layer)];
    else if (item.kind === 'loose-blob') yield [looseBlob(item, layer)];
    else yield [item];
  }
}

function looseBlob(blob: LooseBlob, { kind, values, digest }: DumpedLayer): DumpItem {
  const sha256 = values === 'sha256' ? digest.take(blob.offset) : undefined;
  return { kind: 'blob', blob, layerKind: kind, sha256 };
}

function* entriesOf(batch: EntryBatch, layer: DumpedLayer): Generator<DumpItem, void, undefined> {
  const shown = new ShownRow(batch);
  const item: DumpItem = { kind: 'entry', shown };
  for (const { entry } = shown; !entry.isDone; entry.index += 1) {
    try {
      shown.look(layer);
    } catch (error) {
      if (!isStorageError(error)) throw error;
      yield damagedValue(entry, error, layer);
      continue;
    }
    yield item;
  }
}

/** The entry that is printed, with the beginning of its content. */
class ShownRow implements ShownEntry {
  readonly entry: EntryCursor;
  type = 'image';
  length = 0;
  #value: ValueView | undefined;

  constructor(batch: EntryBatch) {
    this.entry = new EntryCursor(batch);
  }

  /** Determines type and length of the content. Throws with offsets from the start of the value. */
  look({ kind, values }: DumpedLayer): void {
    const { entry } = this;
    this.length = entry.contentLength;
    if (kind === 'image') return;
    if (values === 'json') this.#value = viewValue(entry.bytes);
    this.type = this.#value?.type ?? entry.outline().type;
  }

  get content(): ShownContent {
    return { kind: 'whole', bytes: this.entry.bytes, value: this.#value };
  }
}

async function streamEntry(item: LargeEntry, layer: DumpedLayer): Promise<DumpItem> {
  const hash = layer.values === 'sha256' ? createHash('sha256') : undefined;
  const onPiece = (piece: Uint8Array): void => void hash?.update(piece);
  const show = (type: string, length: number): DumpItem => {
    const content = { kind: 'streamed', sha256: hash?.digest('hex') ?? '' } as const;
    return { kind: 'entry', shown: { entry: rowOf(item), type, length, content } };
  };
  if (layer.kind === 'image') {
    const length = await item.stream(onPiece);
    return typeof length === 'number' ? show('image', length) : length;
  }
  const value = await readLargeValue(item, onPiece);
  if (value.kind !== 'value') return value;
  const { length, outline } = value;
  if (!isStorageError(outline)) return show(outline.type, length);
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

/** The items with only the entries whose values are wanted; damage keeps its place. */
export async function* wantedItems(
  batches: AsyncIterable<Iterable<DumpItem>>,
  filter: ValueFilter,
): AsyncGenerator<Iterable<DumpItem>, void, undefined> {
  for await (const batch of batches) yield wantedOf(batch, filter);
}

function* wantedOf(
  batch: Iterable<DumpItem>,
  filter: ValueFilter,
): Generator<DumpItem, void, undefined> {
  for (const item of batch) {
    if (item.kind !== 'entry' || isWanted(item.shown, filter)) yield item;
  }
}

function isWanted({ type, content }: ShownEntry, filter: ValueFilter): boolean {
  return content.kind === 'whole' && filter(type, content.bytes);
}

/** The selection of a dump. */
export interface Selection {
  readonly keyRange?: KeyRange | undefined;
  readonly lsnStart?: Lsn | undefined;
  readonly lsnEnd?: Lsn | undefined;
  readonly values: ValuesMode;
  /** Which values are wanted; undefined for all. */
  readonly filter?: ValueFilter | undefined;
}

/** Reads the entries that are selected; undefined if the ranges are empty. */
export function selectItems(
  reader: SalvageReader,
  options: Selection,
  digest: LooseDigest,
): AsyncIterable<SalvagedForDump> | undefined {
  const { keyRange, lsnStart, lsnEnd } = options;
  const onLoosePiece = (offset: number, piece: Uint8Array) => digest.add(offset, piece);
  const salvage = (range: EntryOptions) =>
    printsContents(options.values) || options.filter !== undefined
      ? reader.salvageBatches(range)
      : reader.salvageStreamed({ ...range, onLoosePiece });
  if (reader.summary.kind === 'image') {
    const { lsn } = reader.summary;
    const isInside = lsn >= (lsnStart ?? 0n) && (lsnEnd === undefined || lsn < lsnEnd);
    return isInside ? salvage({ keyRange }) : undefined;
  }
  const lsnRange: LsnRange | undefined =
    lsnStart === undefined && lsnEnd === undefined
      ? undefined
      : { start: lsnStart ?? 0n, end: lsnEnd ?? MAXIMUM_LSN };
  if (lsnRange !== undefined && lsnRange.start >= lsnRange.end) return undefined;
  return salvage({ keyRange, lsnRange });
}

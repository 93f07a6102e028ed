/**
 * What both kinds of layer have in common for reading.
 *
 * A reader takes nothing in the file for granted, keeps no state between calls but its caches, and
 * may be used by any number of callers at once. `entries`, `keys`, `batches` and
 * the point reads are strict: they throw at the first damage. `salvage` reports it and goes on.
 */
import { assert } from '../../assert.ts';
import type { Blob, BlobRequest } from '../../blob-writer/blob-location.ts';
import { BlobReader } from '../../blob-writer/blob-reader.ts';
import type { ByteSource } from '../../blob-writer/byte-source.ts';
import { cachedSource } from '../../blob-writer/value-cache.ts';
import { isStorageError, StorageError, throwIfAborted } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import {
  DEFAULT_DECOMPRESSION_LIMITS,
  type DecompressionLimits,
} from '../../zstd/decompression.ts';
import { type CacheShare, shareOf } from '../disk-btree/block-cache.ts';
import { IndexBlocks } from '../disk-btree/index-blocks.ts';
import { DiskBtreeReader } from '../disk-btree/reader.ts';
import type { Search } from '../disk-btree/search.ts';
import type { EntryPosition, WalkOptions } from '../disk-btree/walk.ts';
import { checkKey, formatKey, KEY_SIZE, type Key, type KeyRange } from '../key.ts';
import {
  ALL_LSNS,
  checkLsn,
  checkWantedLsns,
  formatLsn,
  type Lsn,
  type LsnRange,
  MAXIMUM_LSN,
} from '../lsn.ts';
import { descendEntries } from './descending-scan.ts';
import type { EntryBatch, LayerEntry } from './entry-batch.ts';
import {
  type EntryLayout,
  entryAt,
  type IndexEntry,
  justAbove,
  keyOfEntry,
  layoutOf,
} from './entry-layout.ts';
import { type EntryScan, type LargeEntry, scanEntries } from './entry-scan.ts';
import { describeIndex, type IndexBlock } from './index-listing.ts';
import { entriesOfBatch, keysOfSlice } from './item-groups.ts';
import { type ItemGroup, ItemIterator } from './item-iterator.ts';
import type { OpenedLayer, ReadOptions } from './open-file.ts';
import {
  type SalvagedLayer,
  type SalvagedScanItem,
  salvageStreamed,
  salvageWhole,
} from './salvage-scan.ts';
import type { LayerSummary } from './summary-format.ts';

/** Keys that are searched for side by side: their index blocks and values are held at once. */
const MAXIMUM_GROUP = 1024;

export interface EntryOptions {
  /** Default: all keys. */
  readonly keyRange?: KeyRange | undefined;
  /** Default: all LSNs. */
  readonly lsnRange?: LsnRange | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface OrderedEntryOptions extends EntryOptions {
  /** Descending keys and, within a key, newest first. */
  readonly reverse?: boolean | undefined;
}

export interface SalvageStreamOptions extends EntryOptions {
  /** Each piece of a blob without a key, with the offset of that blob. */
  readonly onLoosePiece?: ((offset: number, piece: Uint8Array) => void) | undefined;
}

export interface LayerStatistics {
  readonly entryCount: number;
  readonly indexBlockCount: number;
  /** Levels of the index; 1 if the root is a leaf. */
  readonly levelCount: number;
  /** Bytes that the summary, the values and the index take. */
  readonly valuesSize: number;
  readonly indexSize: number;
}

/** An entry of the key that was looked for; `key` is the entry key that was. */
interface FoundEntry extends EntryPosition {
  readonly key: Uint8Array;
}

export class LayerReader<S extends LayerSummary = LayerSummary> {
  readonly summary: S;
  /** Undefined for a source that has none. */
  readonly path: string | undefined;
  /** Bytes of the file. */
  readonly size: number;
  readonly layout: EntryLayout;
  readonly blobs: BlobReader;
  readonly index: DiskBtreeReader;
  readonly #source: ByteSource;
  readonly #limits: DecompressionLimits;
  /** Blocks of the index and of values; reads in flight leave none there after `close`. */
  readonly #cached: CacheShare;
  readonly #close: () => Promise<void>;
  #isClosed = false;
  readonly #maximumExpandedLength: number;

  /** For the two kinds of reader: `DeltaLayerReader.open`, `ImageLayerReader.open`. */
  constructor({ source, summary, close }: OpenedLayer<S>, options: ReadOptions) {
    const { indexStartBlock: startBlock, indexRootBlock: rootBlock } = summary;
    this.summary = summary;
    this.path = source.path;
    this.size = source.size;
    this.layout = layoutOf(summary);
    this.#cached = shareOf(options.blockCache);
    const { cache, owner } = this.#cached;
    const blocks = new IndexBlocks(source, { startBlock, rootBlock });
    this.index = new DiskBtreeReader(blocks, this.layout, this.#cached);
    const region = { start: BLOCK_SIZE, end: startBlock * BLOCK_SIZE };
    const defaults = DEFAULT_DECOMPRESSION_LIMITS;
    this.#source = source;
    this.#limits = {
      maximumLength: options.maximumBlobLength ?? defaults.maximumLength,
      maximumWindowSize: options.maximumWindowSize ?? defaults.maximumWindowSize,
    };
    this.blobs = new BlobReader(cachedSource(source, cache.values, owner), region, this.#limits);
    this.#maximumExpandedLength = maximumExpandedLength(options, source.size);
    this.#close = close;
  }

  /**
   * The newest entry of a key at or before an LSN; by default the newest of all.
   *
   * Returns: undefined if there is none; else the entry, all of it the caller's own. A small content
   * may share its array with other contents (`bytes.buffer` is more than it), which keep it alive.
   * Throws: `corrupt`, `truncated`, `out-of-order`, `out-of-range`, `too-large`, `io`; damage on the
   * way to the key is never reported as absence.
   */
  async get(key: Key, lsn: Lsn = MAXIMUM_LSN): Promise<LayerEntry | undefined> {
    const search = this.#search(key, lsn);
    if (search === undefined) return undefined;
    if (!search.isDone) await this.index.finish([search]);
    const position = foundKey(search);
    if (position === undefined) return undefined;
    const request = this.#request(position);
    try {
      const blob = this.blobs.readCached(request);
      return this.#entryOf(position, blob ?? (await this.blobs.read(request)));
    } catch (error) {
      throw located(error, entryAt(this.layout, position.node, position.index));
    }
  }

  /**
   * As `get`, at once: the event loop stands still for as long as the device takes.
   * Requires: opened with `reads: 'sync'`, or from a source with `readSync`.
   * Throws also: `invalid-input` where that is not so.
   */
  getSync(key: Key, lsn: Lsn = MAXIMUM_LSN): LayerEntry | undefined {
    const search = this.#search(key, lsn);
    if (search === undefined) return undefined;
    if (!search.isDone) this.index.finishSync(search);
    const position = foundKey(search);
    if (position === undefined) return undefined;
    const request = this.#request(position);
    try {
      return this.#entryOf(
        position,
        this.blobs.readCached(request) ?? this.blobs.readSync(request),
      );
    } catch (error) {
      throw located(error, entryAt(this.layout, position.node, position.index));
    }
  }

  /**
   * `get` for many keys, with few reads, side by side.
   *
   * Returns: in the order of the keys; contents may be views of arrays that nobody changes.
   * Throws: as `get`.
   */
  async getMany(keys: readonly Key[], lsn: Lsn = MAXIMUM_LSN): Promise<(LayerEntry | undefined)[]> {
    this.#throwIfClosed();
    const wanted = keys.map((key) => this.#wantedKey(key, lsn));
    const entries: (LayerEntry | undefined)[] = [];
    for (let first = 0; first < wanted.length; first += MAXIMUM_GROUP) {
      const group = wanted.slice(first, first + MAXIMUM_GROUP);
      for (const entry of await this.#entriesOf(group)) entries.push(entry);
    }
    return entries;
  }

  /** The entries of one key, newest first. Throws: as `get`. */
  versions(key: Key, lsnRange?: LsnRange): AsyncGenerator<LayerEntry> {
    return this.#descendEntries({ lsnRange }, () => this.#walkOfKey(key, lsnRange ?? ALL_LSNS));
  }

  /**
   * Entries in index order, or in reverse.
   *
   * Returns: entries that are copies, valid for good.
   * Throws: as `get`, at the first damage; everything before it was handed out.
   */
  entries(options: OrderedEntryOptions = {}): AsyncGenerator<LayerEntry> {
    return options.reverse
      ? this.#descendEntries(options, () => this.#walkOptions(options))
      : new ItemIterator(this.#entryGroups(options));
  }

  /**
   * Entries in index order, many at a time, without a copy.
   *
   * Returns: batches; all of one is a view, valid until the next one is asked for or the scan ends.
   * Throws: as `entries`.
   */
  async *batches(options: EntryOptions = {}): AsyncGenerator<EntryBatch> {
    const slices = this.index.ascend(this.#walkOptions(options));
    for await (const item of scanEntries(slices, this.#scan(options))) {
      if (item.kind !== 'batch') throw item.error;
      yield item.batch;
    }
  }

  /** Index entries without contents, in index order or in reverse; only the index is read. */
  keys(options: OrderedEntryOptions = {}): AsyncGenerator<IndexEntry> {
    return new ItemIterator(this.#keyGroups(options));
  }

  /**
   * Batches with the damage between them, for dumping and verifying what cannot be trusted. Leaves
   * that nothing leads to are found by themselves, also where the root is lost; if there are none,
   * blobs are given without keys. See `salvage-scan.ts` for what is given.
   *
   * Throws: when nothing can be read, and `io`.
   */
  async *salvageBatches(options: EntryOptions = {}): AsyncGenerator<SalvagedScanItem> {
    yield* salvageWhole(this.#salvaged(options));
  }

  /**
   * As `salvageBatches`, but what has, or may have, more than 1 MiB is handed out on its own, to be
   * streamed: nothing larger is held, whatever the file is.
   */
  async *salvageStreamed(
    options: SalvageStreamOptions = {},
  ): AsyncGenerator<SalvagedScanItem | LargeEntry> {
    yield* salvageStreamed({ ...this.#salvaged(options), onLoosePiece: options.onLoosePiece });
  }

  /** Every index block in order, reachable or not. Throws: if the index is not in the file; `io`. */
  async *indexBlocks(): AsyncGenerator<IndexBlock> {
    this.#throwIfClosed();
    yield* describeIndex(this.index, this.layout);
  }

  /** Counts, from the index alone. Throws: as `keys`. */
  async statistics(): Promise<LayerStatistics> {
    let entryCount = 0;
    let levelCount = 1;
    for await (const block of this.indexBlocks()) {
      if (block.kind === 'damaged') throw block.error;
      if (block.level === 0) entryCount += block.entryCount;
      levelCount = Math.max(levelCount, block.level + 1);
    }
    const indexBlockCount = this.index.rootBlock + 1;
    return {
      entryCount,
      indexBlockCount,
      levelCount,
      valuesSize: this.blobs.region.end - this.blobs.region.start,
      indexSize: indexBlockCount * BLOCK_SIZE,
    };
  }

  /** Gives the file back. Later reads throw `closed`. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const { cache, owner } = this.#cached;
    cache.removeOwner(owner);
    await this.#close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #salvaged(options: EntryOptions): SalvagedLayer {
    const walk = this.#walkOptions(options);
    const { summary } = this;
    return { source: this.#source, summary, limits: this.#limits, walk, scan: this.#scan(options) };
  }

  #scan({ keyRange, lsnRange, signal }: EntryOptions): EntryScan {
    return {
      layout: this.layout,
      blobs: this.blobs,
      wanted: keyRange === undefined && lsnRange === undefined ? 'all' : 'some',
      lsnRange,
      signal,
      maximumExpandedLength: this.#maximumExpandedLength,
    };
  }

  async *#entryGroups(options: EntryOptions): AsyncGenerator<ItemGroup<LayerEntry>> {
    for await (const batch of this.batches(options)) yield entriesOfBatch(batch);
  }

  async *#keyGroups(options: OrderedEntryOptions): AsyncGenerator<ItemGroup<IndexEntry>> {
    const walk = this.#walkOptions(options);
    const slices = options.reverse ? this.index.descend(walk) : this.index.ascend(walk);
    for await (const slice of slices) {
      throwIfAborted(options.signal, this.path);
      yield keysOfSlice(slice, { ...options, layout: this.layout });
    }
  }

  async *#descendEntries(
    options: EntryOptions,
    walk: () => WalkOptions,
  ): AsyncGenerator<LayerEntry> {
    yield* descendEntries({ ...this.#scan(options), slices: this.index.descend(walk()) });
  }

  /** What to search for; a copy. Undefined if an image layer is too new. */
  #wantedKey(key: Key, lsn: Lsn): Uint8Array | undefined {
    this.#throwIfClosed();
    checkKey(key);
    checkLsn(lsn);
    if (this.summary.kind === 'image' && lsn < this.summary.lsn) return undefined;
    return this.layout.entryKey(key, lsn);
  }

  #search(key: Key, lsn: Lsn): Search | undefined {
    const wanted = this.#wantedKey(key, lsn);
    return wanted === undefined ? undefined : this.index.search(wanted);
  }

  async #entriesOf(
    wanted: readonly (Uint8Array | undefined)[],
  ): Promise<(LayerEntry | undefined)[]> {
    const entries = new Array<LayerEntry | undefined>(wanted.length).fill(undefined);
    const missing: Search[] = [];
    const places: number[] = [];
    for (const [place, key] of wanted.entries()) {
      if (key === undefined) continue;
      const search = this.index.search(key);
      const position = search.isDone ? foundKey(search) : undefined;
      if (search.isDone && position === undefined) continue;
      const blob = position && this.blobs.readCached(this.#request(position));
      if (position !== undefined && blob !== undefined) {
        entries[place] = this.#entryOf(position, blob);
      } else {
        missing.push(search);
        places.push(place);
      }
    }
    if (missing.length === 0) return entries;
    const read = await this.#readEntries(missing);
    for (const [number, entry] of read.entries()) entries[places[number] as number] = entry;
    return entries;
  }

  async #readEntries(searches: readonly Search[]): Promise<(LayerEntry | undefined)[]> {
    if (searches.some(({ isDone }) => !isDone)) await this.index.finish(searches);
    const positions = searches.map(foundKey);
    const found = positions.filter((position) => position !== undefined);
    const requests = found.map((position) => this.#request(position));
    const blobs = (await this.blobs.readMany(requests)).values();
    return positions.map((position) => {
      if (position === undefined) return undefined;
      const { value: blob } = blobs.next();
      assert(blob !== undefined, 'as many blobs as positions');
      if (!isStorageError(blob)) return this.#entryOf(position, blob);
      throw located(blob, entryAt(this.layout, position.node, position.index));
    });
  }

  #entryOf({ node, index, key }: FoundEntry, blob: Blob): LayerEntry {
    return {
      key: keyOfEntry(key),
      lsn: this.layout.lsn(node, index),
      willInit: this.layout.willInit(node, index),
      offset: blob.offset,
      storedLength: blob.storedLength,
      compressed: blob.compressed,
      bytes: blob.bytes,
    };
  }

  /** A blob must end before the next one, unless that one is damaged and starts before it. */
  #request({ node, index }: EntryPosition): BlobRequest {
    const offset = this.layout.offset(node, index);
    const next = index + 1 < node.entryCount ? this.layout.offset(node, index + 1) : 0;
    const end = next > offset ? next : undefined;
    return { offset, end, limit: end };
  }

  #walkOptions({ keyRange, lsnRange }: EntryOptions): WalkOptions {
    this.#throwIfClosed();
    if (lsnRange !== undefined) checkWantedLsns(lsnRange);
    if (keyRange === undefined) return {};
    checkKey(keyRange.start);
    checkKey(keyRange.end);
    return {
      start: this.layout.entryKey(keyRange.start, 0n),
      end: this.layout.entryKey(keyRange.end, 0n),
    };
  }

  #walkOfKey(key: Key, lsnRange: LsnRange): WalkOptions {
    this.#throwIfClosed();
    checkKey(key);
    checkWantedLsns(lsnRange);
    const { start, end } = lsnRange;
    const first = this.layout.entryKey(key, start);
    const isEmpty = start >= end;
    return { start: first, end: isEmpty ? first : justAbove(this.layout.entryKey(key, end - 1n)) };
  }

  /** Also where the bytes are in memory, or the index is cached. */
  #throwIfClosed(): void {
    if (!this.#isClosed) return;
    throw new StorageError('closed', { what: 'layer reader is closed', path: this.path });
  }
}

/** What a search for an entry key has found, if that is of the wanted key. */
function foundKey(search: Search): FoundEntry | undefined {
  const { node, index, key } = search;
  return node !== undefined && search.hasFound(KEY_SIZE) ? { node, index, key } : undefined;
}

/**
 * Who lowers the limit of a blob wants a bounded cost, but 4 bytes can expand to 128 KiB. The pages
 * that compress best, of zeros, are 21 bytes each with their index entry: 390 times as much.
 */
function maximumExpandedLength({ maximumBlobLength }: ReadOptions, fileSize: number): number {
  if (maximumBlobLength === undefined) return Number.POSITIVE_INFINITY;
  return 8 * maximumBlobLength + 512 * fileSize;
}

function located(error: unknown, { key, lsn }: IndexEntry): unknown {
  if (!isStorageError(error)) return error;
  return error.with({ key: formatKey(key), lsn: formatLsn(lsn) });
}

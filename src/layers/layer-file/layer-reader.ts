/**
 * Reads a layer of either kind.
 *
 * A reader trusts nothing in the file, keeps no state between calls except its caches, and may be used
 * by any number of callers concurrently. `entries`, `keys`, `batches` and point reads are strict: they
 * throw at the first damage. `salvage` reports damage and continues.
 */
import { assert } from '../../assert.ts';
import type { Blob, BlobRequest } from '../../blob-writer/blob-location.ts';
import { BlobReader } from '../../blob-writer/blob-reader.ts';
import type { ByteSource } from '../../blob-writer/byte-source.ts';
import { cachedSource } from '../../blob-writer/value-cache.ts';
import { checkArray } from '../../check-options.ts';
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
import { checkKey, KEY_SIZE, type Key } from '../key.ts';
import { ALL_LSNS, checkLsn, type Lsn, type LsnRange, MAXIMUM_LSN } from '../lsn.ts';
import { descendEntries } from './descending-scan.ts';
import type { EntryBatch, LayerEntry } from './entry-batch.ts';
import {
  type EntryLayout,
  entryAt,
  type IndexEntry,
  keyOfEntry,
  keysOfSlice,
  layoutOf,
  withEntry,
} from './entry-layout.ts';
import {
  checkEntryOptions,
  checkOrderedOptions,
  type EntryOptions,
  type OrderedEntryOptions,
  type SalvageStreamOptions,
} from './entry-options.ts';
import { type EntryScan, expansionLimit, type LargeEntry, scanEntries } from './entry-scan.ts';
import { walkOfKey, walkOfRanges } from './entry-walk.ts';
import {
  describeIndex,
  type IndexBlock,
  type LayerStatistics,
  statisticsOf,
} from './index-listing.ts';
import { type ItemGroup, ItemIterator } from './item-iterator.ts';
import type { LocalFile, OpenedLayer, ReadOptions } from './open-file.ts';
import {
  type SalvagedLayer,
  type SalvagedScanItem,
  salvageStreamed,
  salvageWhole,
} from './salvage-scan.ts';
import type { LayerSummary } from './summary-format.ts';

/** Keys that are searched for together: their index blocks and values are all in memory. */
const MAXIMUM_GROUP = 1024;

/** An entry of the wanted key; `key` is the entry key that was searched for. */
interface FoundEntry extends EntryPosition {
  readonly key: Uint8Array;
}

/** What `DeltaLayerReader` and `ImageLayerReader` have in common. */
export class LayerReader<S extends LayerSummary = LayerSummary> {
  /** The summary of the file. */
  readonly summary: S;
  /** Path of the file; undefined for a source without one. */
  readonly path: string | undefined;
  /** Bytes of the file. */
  readonly size: number;
  /** The file, for another thread; undefined if it cannot open it. @internal */
  readonly localFile: LocalFile | undefined;
  /** @internal */
  readonly layout: EntryLayout;
  /** @internal */
  readonly blobs: BlobReader;
  /** @internal */
  readonly index: DiskBtreeReader;
  readonly #source: ByteSource;
  readonly #limits: DecompressionLimits;
  /** Blocks of the index and of values; reads in flight leave none there after `close`. */
  readonly #cached: CacheShare;
  readonly #close: () => Promise<void>;
  #isClosed = false;
  readonly #maximumExpandedLength: number;

  /** @internal For `DeltaLayerReader.open` and `ImageLayerReader.open`. */
  constructor({ source, summary, localFile, close }: OpenedLayer<S>, options: ReadOptions) {
    const { indexStartBlock: startBlock, indexRootBlock: rootBlock } = summary;
    this.summary = summary;
    ({ path: this.path, size: this.size } = source);
    this.localFile = localFile;
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
    this.#maximumExpandedLength = expansionLimit(options.maximumBlobLength, source.size);
    this.#close = close;
  }

  /**
   * Looks up the newest entry of a key at or before an LSN.
   *
   * @param lsn Default: the highest LSN.
   * @returns Undefined if there is none; else the entry, which is the caller's own. A small content may
   * share its `buffer` with other contents, which keep it alive.
   * @throws `corrupt`, `truncated`, `out-of-order`, `out-of-range`, `too-large`, `io`, `closed`,
   * `invalid-input`. Damage on the way to the key is never reported as absence.
   *
   * @example
   * const entry = await reader.get(key, lsn);
   * const value = entry && decodeValue(entry.bytes); // of a delta layer
   */
  async get(key: Key, lsn: Lsn = MAXIMUM_LSN): Promise<LayerEntry | undefined> {
    const search = this.#search(key, lsn);
    if (search?.isDone === false) await this.index.finish([search]);
    const position = search && foundKey(search);
    if (position === undefined) return undefined;
    const request = this.#request(position);
    try {
      return this.#entryOf(
        position,
        this.blobs.readCached(request) ?? (await this.blobs.read(request)),
      );
    } catch (error) {
      throw this.#located(error, position);
    }
  }

  /**
   * Like `get`, but synchronous: a slow device blocks the event loop. Requires a reader opened with
   * `readMode: 'sync'`, or from a source with `readSync`.
   *
   * @returns As `get`.
   * @throws As `get`; `invalid-input` if the reader was opened otherwise.
   */
  getSync(key: Key, lsn: Lsn = MAXIMUM_LSN): LayerEntry | undefined {
    const search = this.#search(key, lsn);
    if (search?.isDone === false) this.index.finishSync(search);
    const position = search && foundKey(search);
    if (position === undefined) return undefined;
    const request = this.#request(position);
    try {
      return this.#entryOf(
        position,
        this.blobs.readCached(request) ?? this.blobs.readSync(request),
      );
    } catch (error) {
      throw this.#located(error, position);
    }
  }

  /**
   * Like `get` for many keys, with few, concurrent reads.
   *
   * @param lsn Default: the highest LSN.
   * @returns The results in the order of the keys; do not change their contents, which may share memory.
   * @throws As `get`, for the first key that fails.
   */
  async getMany(keys: readonly Key[], lsn: Lsn = MAXIMUM_LSN): Promise<(LayerEntry | undefined)[]> {
    this.#throwIfClosed();
    checkArray('keys', keys);
    const wanted = keys.map((key) => this.#wantedKey(key, lsn));
    const entries: (LayerEntry | undefined)[] = [];
    for (let first = 0; first < wanted.length; first += MAXIMUM_GROUP) {
      const group = wanted.slice(first, first + MAXIMUM_GROUP);
      for (const entry of await this.#entriesOf(group)) entries.push(entry);
    }
    return entries;
  }

  /**
   * The entries of one key, newest first.
   *
   * @param lsnRange Default: all LSNs.
   * @returns Entries that are copies.
   * @throws As `get`.
   */
  versions(key: Key, lsnRange?: LsnRange): AsyncGenerator<LayerEntry> {
    return this.#descendEntries({ lsnRange }, () => this.#walkOfKey(key, lsnRange ?? ALL_LSNS));
  }

  /**
   * Entries in index order, or in reverse. A signal ends the scan.
   *
   * @returns Entries that are copies.
   * @throws As `get`, and `aborted`; at the first damage, after all entries before it.
   *
   * @example
   * for await (const { key, lsn, bytes } of reader.entries({ keyRange })) use(key, lsn, bytes);
   */
  entries(options: OrderedEntryOptions = {}): AsyncGenerator<LayerEntry> {
    checkOrderedOptions(options);
    return options.reverse
      ? this.#descendEntries(options, () => this.#walkOptions(options))
      : new ItemIterator(this.#batches(options));
  }

  /**
   * Entries in index order, in batches, without copies. A signal ends the scan.
   *
   * @returns Batches; all of a batch is a view, valid until the next one is requested or the scan ends.
   * @throws As `entries`.
   */
  batches(options: EntryOptions = {}): AsyncGenerator<EntryBatch> {
    checkEntryOptions(options);
    return this.#batches(options);
  }

  async *#batches(options: EntryOptions): AsyncGenerator<EntryBatch> {
    const slices = this.index.ascend(this.#walkOptions(options));
    for await (const item of scanEntries(slices, this.#scan(options))) {
      if (item.kind !== 'batch') throw item.error;
      yield item.batch;
    }
  }

  /**
   * Index entries without contents, in index order or in reverse; reads only the index.
   *
   * @returns Entries that are copies.
   * @throws As `entries`.
   */
  keys(options: OrderedEntryOptions = {}): AsyncGenerator<IndexEntry> {
    checkOrderedOptions(options);
    return new ItemIterator(this.#keyGroups(options));
  }

  /**
   * Everything that can be read of a damaged layer, in batches, and the damage between them. Leaves are
   * found even if nothing leads to them; if no leaf is left, returns blobs without keys.
   *
   * An entry is returned if its leaf is valid and consistent with the others, and its blob is valid and
   * in order. Nothing in the file has a checksum: an entry that was changed into another valid one is
   * returned as it is.
   *
   * @returns Items; a batch is valid until the next item is requested.
   * @throws What keeps the index from being read, if nothing can be read; `io`, `aborted`, `closed`.
   */
  async *salvageBatches(options: EntryOptions = {}): AsyncGenerator<SalvagedScanItem> {
    checkEntryOptions(options);
    yield* salvageWhole(this.#salvaged(options));
  }

  /**
   * Like `salvageBatches`, but holds nothing larger than 1 MiB: values that may be larger are returned
   * separately, to be streamed.
   *
   * @returns Items; a batch or a large entry is valid until the next item is requested.
   * @throws As `salvageBatches`. @internal
   */
  async *salvageStreamed(
    options: SalvageStreamOptions = {},
  ): AsyncGenerator<SalvagedScanItem | LargeEntry> {
    yield* salvageStreamed({ ...this.#salvaged(options), onLoosePiece: options.onLoosePiece });
  }

  /**
   * All blocks of the index in order, reachable or not.
   *
   * @throws `truncated` and `out-of-range` if the index is not in the file; `io`, `closed`.
   */
  async *indexBlocks(): AsyncGenerator<IndexBlock> {
    this.#throwIfClosed();
    yield* describeIndex(this.index, this.layout);
  }

  /**
   * Counts and sizes; reads only the index.
   *
   * @throws As `keys`.
   */
  async statistics(): Promise<LayerStatistics> {
    return statisticsOf(this.indexBlocks(), this.blobs.region);
  }

  /**
   * Closes the file. Later reads throw `closed`; a source of the caller's stays open. Idempotent.
   *
   * @throws `io`.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cached.cache.removeOwner(this.#cached.owner);
    await this.#close();
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #salvaged(options: EntryOptions): SalvagedLayer {
    const { rootError } = options;
    const [walk, scan] = [this.#walkOptions(options), this.#scan(options)];
    const [source, limits] = [this.#source, this.#limits];
    return { source, summary: this.summary, limits, walk, scan, rootError };
  }

  #scan({ keyRange, lsnRange, rootError, ...reading }: EntryOptions): EntryScan {
    return {
      ...reading,
      layout: this.layout,
      blobs: this.blobs,
      wanted: keyRange === undefined && lsnRange === undefined ? 'all' : 'some',
      lsnRange,
      maximumExpandedLength: this.#maximumExpandedLength,
    };
  }

  async *#keyGroups(options: OrderedEntryOptions): AsyncGenerator<ItemGroup<IndexEntry>> {
    const walk = this.#walkOptions(options);
    const slices = options.reverse ? this.index.descend(walk) : this.index.ascend(walk);
    for await (const slice of slices) {
      throwIfAborted(options.signal, this.path);
      yield keysOfSlice(slice, this.layout, options);
    }
  }

  async *#descendEntries(
    options: EntryOptions,
    walk: () => WalkOptions,
  ): AsyncGenerator<LayerEntry> {
    yield* descendEntries({ ...this.#scan(options), slices: this.index.descend(walk()) });
  }

  /** The entry key to search for, a copy; undefined if the LSN of an image layer is above `lsn`. */
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
      const entry = position && this.#cachedEntry(position);
      entries[place] = entry;
      if (entry !== undefined) continue;
      missing.push(search);
      places.push(place);
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
      throw this.#located(blob, position);
    });
  }

  /** Undefined unless the value is in memory. */
  #cachedEntry(position: FoundEntry): LayerEntry | undefined {
    try {
      const blob = this.blobs.readCached(this.#request(position));
      return blob && this.#entryOf(position, blob);
    } catch (error) {
      throw this.#located(error, position);
    }
  }

  #located(error: unknown, { node, index }: EntryPosition): unknown {
    return withEntry(error, entryAt(this.layout, node, index));
  }

  #entryOf({ node, index, key }: FoundEntry, blob: Blob): LayerEntry {
    const { offset, storedLength, compressed, bytes } = blob;
    const lsn = this.layout.lsn(node, index);
    const willInit = this.layout.willInit(node, index);
    return { key: keyOfEntry(key), lsn, willInit, offset, storedLength, compressed, bytes };
  }

  /** A blob must end before the next one starts, unless the next one is damaged and starts before it. */
  #request({ node, index }: EntryPosition): BlobRequest {
    const offset = this.layout.offset(node, index);
    const next = index + 1 < node.entryCount ? this.layout.offset(node, index + 1) : 0;
    const end = next > offset ? next : undefined;
    return { offset, end, limit: end };
  }

  #walkOptions(options: EntryOptions): WalkOptions {
    this.#throwIfClosed();
    return walkOfRanges(options, this.layout);
  }

  #walkOfKey(key: Key, lsnRange: LsnRange): WalkOptions {
    this.#throwIfClosed();
    return walkOfKey(key, lsnRange, this.layout);
  }

  /** Called even if no read is needed, because bytes or index are in memory. */
  #throwIfClosed(): void {
    if (!this.#isClosed) return;
    throw new StorageError('closed', { what: 'layer reader is closed', path: this.path });
  }
}

/** The result of a search, if it is an entry of the wanted key. */
function foundKey(search: Search): FoundEntry | undefined {
  const { node, index, key } = search;
  return node !== undefined && search.hasFound(KEY_SIZE) ? { node, index, key } : undefined;
}

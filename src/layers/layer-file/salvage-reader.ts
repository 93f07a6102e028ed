/** Reads a damaged layer, even one that does not open. */
import { basename } from 'node:path';

import type { ByteSource } from '../../blob-writer/byte-source.ts';
import { isStorageError, type StorageError } from '../../errors.ts';
import { isDamage } from '../damage.ts';
import { DeltaLayerReader } from '../delta-layer/reader.ts';
import { blockCountOf, type SweptBlock, sweepBlocks } from '../disk-btree/block-sweep.ts';
import { IndexBlocks, type IndexLocation } from '../disk-btree/index-blocks.ts';
import { IndexChecks } from '../disk-btree/index-checks.ts';
import { ImageLayerReader } from '../image-layer/reader.ts';
import { namedLayer } from '../unfinished-name.ts';
import type { EntryLayout } from './entry-layout.ts';
import type { EntryOptions, SalvageStreamOptions } from './entry-options.ts';
import type { LargeEntry } from './entry-scan.ts';
import { describeNode, type IndexBlock } from './index-listing.ts';
import { isPlausible, locateIndex, locationError, placeError } from './index-location.ts';
import type { LayerInput } from './layer-input.ts';
import { checkReadOptions, openSource, type ReadOptions } from './open-file.ts';
import { presumeSummary } from './presumed-summary.ts';
import type { SalvagedItem } from './salvage.ts';
import type { SalvagedScanItem } from './salvage-scan.ts';
import { claimedIndex, readSummaryBlock } from './summary.ts';
import { decodeSummary, type LayerSummary } from './summary-format.ts';

/** The summary is damaged. Precedes all other items. */
export interface DamagedSummary {
  /** Tells the items of a scan apart. */
  readonly kind: 'damaged-summary';
  /** What is wrong. */
  readonly error: StorageError;
}

/**
 * Reads a layer that may be damaged. If the summary cannot be read, or gives the place of an index of
 * the other kind of layer, then kind, ranges and place are presumed from the rest of the file.
 *
 * There is no `get`: an entry that is not found may still have been in the layer.
 *
 * @example
 * await using reader = await SalvageReader.open(path);
 * for await (const item of reader.salvage()) {
 *   if (item.kind === 'entry') keep(item.entry, item.value);
 *   else report(item);
 * }
 */
export class SalvageReader {
  /** The summary of the file, if it can be read. */
  readonly claimedSummary: LayerSummary | undefined;
  /** The summary of the file; presumed if there is a `summaryError`. */
  readonly summary: LayerSummary;
  /** What is wrong with the summary; undefined if it is valid. */
  readonly summaryError: StorageError | undefined;
  /** Why the index cannot be where the summary says; undefined if it can. */
  readonly placeError: StorageError | undefined;
  /** The `placeError`, or else what is wrong with the root; undefined if both are valid. */
  readonly indexError: StorageError | undefined;
  /** Path of the file; undefined for a source without one. */
  readonly path: string | undefined;
  /** Bytes of the file. */
  readonly size: number;
  readonly #source: ByteSource;
  readonly #reader: DeltaLayerReader | ImageLayerReader;

  private constructor(source: ByteSource, opened: Salvageable, options: ReadOptions, close: Close) {
    this.claimedSummary = opened.claimedSummary;
    this.summary = opened.summary;
    this.summaryError = opened.summaryError;
    this.placeError = opened.placeError;
    this.indexError = opened.indexError;
    this.path = source.path;
    this.size = source.size;
    this.#source = source;
    const { summary } = opened;
    const uncached = { ...options, blockCache: null };
    this.#reader =
      summary.kind === 'delta'
        ? DeltaLayerReader.from({ source, summary, close }, uncached)
        : ImageLayerReader.from({ source, summary, close }, uncached);
  }

  /**
   * Opens a file, whatever it contains; its name is not checked. A signal ends the waits of opening.
   *
   * @param from A path, or any source of the bytes of a layer file.
   * @returns The reader; close it when done.
   * @throws `truncated` for less than one block; `not-found`, `io`, `invalid-input`, `aborted`.
   */
  static async open(from: LayerInput, options: ReadOptions = {}): Promise<SalvageReader> {
    return SalvageReader.openAs(from, options, ({ summary }) => summary);
  }

  /**
   * As `open`, under the ranges of another summary than that of the file, which may be what is damaged.
   * @internal
   */
  static async openAs(
    from: LayerInput,
    options: ReadOptions,
    choose: (opened: Salvageable) => LayerSummary,
  ): Promise<SalvageReader> {
    checkReadOptions(options);
    const { source, close } = await openSource(from, options);
    try {
      const found = await examine(source, options);
      const opened = { ...found, summary: choose(found) };
      return new SalvageReader(source, opened, options, close);
    } catch (error) {
      // Report the first error.
      await Promise.allSettled([close()]);
      throw error;
    }
  }

  /**
   * Every entry that is left, with its decoded value, and all damage, that of the summary first. If no
   * leaf is left, returns blobs without keys; see `SalvagedItem`.
   *
   * @returns Items in index order; entries are copies.
   * @throws What is wrong with the file, if nothing of it can be read; `io`, `aborted`, `closed`.
   */
  salvage(options: EntryOptions = {}): AsyncGenerator<SalvagedItem | DamagedSummary> {
    return this.#afterSummary(this.#reader.salvage(options));
  }

  /**
   * Like `salvage`, in batches, without copies, and not decoded.
   *
   * @returns Items; a batch is valid until the next item is requested.
   * @throws As `salvage`.
   */
  salvageBatches(options: EntryOptions = {}): AsyncGenerator<SalvagedScanItem | DamagedSummary> {
    return this.#afterSummary(this.#reader.salvageBatches(options));
  }

  /**
   * Like `salvageBatches`, but holds nothing larger than 1 MiB: larger values are streamed.
   *
   * @returns Items; a batch or a large entry is valid until the next item is requested.
   * @throws As `salvage`.
   *
   * @internal
   */
  salvageStreamed(
    options: SalvageStreamOptions = {},
  ): AsyncGenerator<SalvagedScanItem | LargeEntry | DamagedSummary> {
    return this.#afterSummary(this.#reader.salvageStreamed(options));
  }

  /**
   * All blocks of the index that are in the file, in order, reachable or not; then, if there should be
   * more, the first missing one. Numbers count from the start of the index, where it was found.
   *
   * @throws What is wrong with the file, if there is no block; `io`, `closed`.
   */
  async *indexBlocks(): AsyncGenerator<IndexBlock> {
    const location = await this.indexLocation();
    const present = blockCountOf(this.#source);
    const { startBlock } = location;
    const error = this.summaryError ?? this.indexError;
    if (startBlock < 1 || startBlock >= present) {
      if (error !== undefined) throw error;
      return;
    }
    yield* this.#blocksOf(location);
  }

  /**
   * Where the index is, or was found.
   * @internal
   */
  async indexLocation(): Promise<IndexLocation> {
    const claimed = claimedIndex(this.summary);
    if (this.indexError === undefined) return claimed;
    return locateIndex(this.#source, claimed, this.summary.kind);
  }

  /** @internal */
  get source(): ByteSource {
    return this.#source;
  }

  /**
   * Closes the file. Later reads throw `closed`. Idempotent.
   *
   * @throws `io`.
   */
  async close(): Promise<void> {
    await this.#reader.close();
  }

  /** As `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async *#blocksOf({ startBlock, rootBlock }: IndexLocation): AsyncGenerator<IndexBlock> {
    const { layout } = this.#reader;
    const source = this.#source;
    const blocks = new IndexBlocks(source, { startBlock, rootBlock });
    const checks = new IndexChecks(blocks, layout);
    const present = blockCountOf(source);
    const claimedEnd = startBlock + rootBlock + 1;
    const error = this.summaryError ?? this.indexError;
    const to = error === undefined ? claimedEnd : present;
    let next = startBlock;
    let missing = error;
    try {
      for await (const swept of sweepBlocks(source, { from: startBlock, to, zeros: 'given' })) {
        next = swept.block + 1;
        yield describeBlock(swept, { blocks, checks, layout });
      }
    } catch (damage) {
      if (!isDamage(damage)) throw damage;
      missing = damage;
    }
    if (missing !== undefined && next < Math.max(to, claimedEnd)) {
      yield { kind: 'damaged', block: next - startBlock, error: missing };
    }
  }

  async *#afterSummary<T>(items: AsyncGenerator<T>): AsyncGenerator<T | DamagedSummary> {
    const { summaryError } = this;
    let isFirst = true;
    try {
      for await (const item of items) {
        if (isFirst && summaryError !== undefined) {
          yield { kind: 'damaged-summary', error: summaryError };
        }
        isFirst = false;
        yield item;
      }
    } catch (error) {
      throw isFirst && isDamage(error) ? (summaryError ?? error) : error;
    }
  }
}

function describeBlock(
  { block, bytes, presentSize }: SweptBlock,
  index: { blocks: IndexBlocks; checks: IndexChecks; layout: EntryLayout },
): IndexBlock {
  const { blocks, checks, layout } = index;
  const number = block - blocks.location.startBlock;
  const node = checks.decode(bytes, number);
  if (isStorageError(node)) return { kind: 'damaged', block: number, error: node };
  try {
    if (node.usedSize > presentSize) blocks.checkLocation();
    return describeNode(node, layout);
  } catch (error) {
    if (isDamage(error)) return { kind: 'damaged', block: number, error };
    throw error;
  }
}

type Close = () => Promise<void>;

/** What `open` has found in a file. */
export type Salvageable = Pick<
  SalvageReader,
  'claimedSummary' | 'summary' | 'summaryError' | 'placeError' | 'indexError'
>;

async function examine(source: ByteSource, { signal }: ReadOptions): Promise<Salvageable> {
  const block = await readSummaryBlock(source);
  const name = source.path === undefined ? undefined : namedLayer(basename(source.path));
  const valid = { summaryError: undefined, placeError: undefined, indexError: undefined };
  let summary: LayerSummary;
  try {
    summary = decodeSummary(block, source.path);
  } catch (summaryError) {
    if (!isDamage(summaryError)) throw summaryError;
    const presumed = await presumeSummary(source, block, { name, signal });
    return { ...valid, claimedSummary: undefined, summary: presumed, summaryError };
  }
  const { kind } = summary;
  const location = claimedIndex(summary);
  const errors = {
    placeError: await placeError(source, location, kind),
    indexError: await locationError(source, location, kind),
  };
  const asClaimed = { ...valid, ...errors, claimedSummary: summary, summary };
  if (errors.indexError === undefined || (await isPlausible(source, location, kind)))
    return asClaimed;
  const presumed = await presumeSummary(source, block, { name, signal });
  if (presumed.kind === kind) return asClaimed;
  return { ...asClaimed, summary: presumed, summaryError: errors.indexError };
}

/** Reads what is left of a layer that may not open any more. */
import type { ByteSource } from '../../blob-writer/byte-source.ts';
import type { StorageError } from '../../errors.ts';
import { isDamage } from '../damage.ts';
import { DeltaLayerReader } from '../delta-layer/reader.ts';
import { blockCountOf, type SweptBlock, sweepBlocks } from '../disk-btree/block-sweep.ts';
import { IndexBlocks, type IndexLocation } from '../disk-btree/index-blocks.ts';
import { IndexChecks } from '../disk-btree/index-checks.ts';
import { ImageLayerReader } from '../image-layer/reader.ts';
import type { EntryLayout } from './entry-layout.ts';
import type { LargeEntry } from './entry-scan.ts';
import { describeNode, type IndexBlock } from './index-listing.ts';
import { isPlausible, locateIndex, locationError, placeError } from './index-location.ts';
import type { EntryOptions, SalvageStreamOptions } from './layer-reader.ts';
import { checkReadOptions, layerNameOf, openSource, type ReadOptions } from './open-file.ts';
import { presumeSummary } from './presumed-summary.ts';
import type { SalvagedItem } from './salvage.ts';
import type { SalvagedScanItem } from './salvage-scan.ts';
import { claimedIndex, readSummaryBlock } from './summary.ts';
import { decodeSummary, type LayerSummary } from './summary-format.ts';

/** What is wrong with the first block; it comes before everything else. */
export interface DamagedSummary {
  readonly kind: 'damaged-summary';
  readonly error: StorageError;
}

/**
 * A layer as it is, damaged or not. Where its summary cannot be read, or names an index of the other
 * kind of layer, kind, ranges and the place of the index are made out from what is left.
 *
 * There is no `get`: what is not found here may still have been in the layer.
 */
export class SalvageReader {
  /** What the first block says, if that can be read. */
  readonly claimedSummary: LayerSummary | undefined;
  /** The same, or what was made out, where `summaryError` says why. */
  readonly summary: LayerSummary;
  /** What is wrong with the first block, if anything is. */
  readonly summaryError: StorageError | undefined;
  /** Why the index is not where the first block says, or goes on behind its root. */
  readonly placeError: StorageError | undefined;
  /** The same, or why the root cannot be one. */
  readonly indexError: StorageError | undefined;
  /** Undefined for a source that has none. */
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
   * Opens a file, or any source of its bytes, whatever it is; its name is not compared.
   *
   * Throws: `truncated` for less than one block; `not-found`, `io`, `invalid-input`.
   */
  static async open(from: string | ByteSource, options: ReadOptions = {}): Promise<SalvageReader> {
    checkReadOptions(options);
    const { source, close } = await openSource(from, options);
    try {
      return new SalvageReader(source, await examine(source), options, close);
    } catch (error) {
      // The first error counts.
      await Promise.allSettled([close()]);
      throw error;
    }
  }

  /**
   * Every entry that is left, with its value decoded, and what is damaged, the summary first.
   * Entries without their leaf are given as blobs; see `SalvagedItem`.
   *
   * Throws: what is wrong with the file, if nothing of it can be read; `io`, `aborted`.
   */
  salvage(options: EntryOptions = {}): AsyncGenerator<SalvagedItem | DamagedSummary> {
    return this.#afterSummary(this.#reader.salvage(options));
  }

  /** As `salvage`, many at a time, without a copy and not decoded. */
  salvageBatches(options: EntryOptions = {}): AsyncGenerator<SalvagedScanItem | DamagedSummary> {
    return this.#afterSummary(this.#reader.salvageBatches(options));
  }

  /** As `salvageBatches`, but nothing is held that is larger than 1 MiB. */
  salvageStreamed(
    options: SalvageStreamOptions = {},
  ): AsyncGenerator<SalvagedScanItem | LargeEntry | DamagedSummary> {
    return this.#afterSummary(this.#reader.salvageStreamed(options));
  }

  /**
   * The blocks of the index that are in the file, in order, whatever the root is; then, where there
   * should be more, the first that is missing. Numbers count from where the index was found to start.
   *
   * Throws: what is wrong with the file, if no block is there; `io`.
   */
  async *indexBlocks(): AsyncGenerator<IndexBlock> {
    const claimed = claimedIndex(this.summary);
    const location =
      this.indexError === undefined
        ? claimed
        : await locateIndex(this.#source, claimed, this.summary.kind);
    const present = blockCountOf(this.#source);
    const { startBlock } = location;
    const error = this.summaryError ?? this.indexError;
    if (startBlock < 1 || startBlock >= present) {
      if (error !== undefined) throw error;
      return;
    }
    yield* this.#blocksOf(location);
  }

  /** Gives the file back. Later reads throw `closed`. */
  async close(): Promise<void> {
    await this.#reader.close();
  }

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
  try {
    const node = checks.decode(bytes, number);
    if (node.usedSize > presentSize) blocks.checkLocation();
    return describeNode(node, layout);
  } catch (error) {
    if (isDamage(error)) return { kind: 'damaged', block: number, error };
    throw error;
  }
}

type Close = () => Promise<void>;

type Salvageable = Pick<
  SalvageReader,
  'claimedSummary' | 'summary' | 'summaryError' | 'placeError' | 'indexError'
>;

async function examine(source: ByteSource): Promise<Salvageable> {
  const block = await readSummaryBlock(source);
  const name = source.path === undefined ? undefined : layerNameOf(source.path);
  const sound = { summaryError: undefined, placeError: undefined, indexError: undefined };
  let summary: LayerSummary;
  try {
    summary = decodeSummary(block, source.path);
  } catch (summaryError) {
    if (!isDamage(summaryError)) throw summaryError;
    const presumed = await presumeSummary(source, block, name);
    return { ...sound, claimedSummary: undefined, summary: presumed, summaryError };
  }
  const { kind } = summary;
  const location = claimedIndex(summary);
  const errors = {
    placeError: await placeError(source, location, kind),
    indexError: await locationError(source, location, kind),
  };
  const asClaimed = { ...sound, ...errors, claimedSummary: summary, summary };
  if (errors.indexError === undefined || (await isPlausible(source, location, kind)))
    return asClaimed;
  const presumed = await presumeSummary(source, block, name);
  if (presumed.kind === kind) return asClaimed;
  return { ...asClaimed, summary: presumed, summaryError: errors.indexError };
}

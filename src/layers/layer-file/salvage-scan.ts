/**
 * Scans what is left of a layer: its entries, as far as leaves can be found; else its blobs.
 *
 * An entry is returned if its leaf decodes, lies in the index and is consistent with the others; if it
 * is in the ranges of the layer and above the entry before it; and if its blob lies in the values,
 * after the blob before it, and can be read. More cannot be proven, because nothing has a checksum: a
 * leaf or a blob that was changed into another valid one is returned as it is.
 */
import { BlobReader } from '../../blob-writer/blob-reader.ts';
import type { ByteSource } from '../../blob-writer/byte-source.ts';
import { isStorageError, type StorageError } from '../../errors.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { DecompressionLimits } from '../../zstd/decompression.ts';
import { isDamage } from '../damage.ts';
import { IndexBlocks, type IndexLocation } from '../disk-btree/index-blocks.ts';
import { DiskBtreeReader } from '../disk-btree/reader.ts';
import type { SalvagedSlice } from '../disk-btree/salvaged-leaves.ts';
import type { WalkOptions } from '../disk-btree/walk.ts';
import {
  type DamagedBlock,
  type EntryScan,
  type LargeEntry,
  type ScannedItem,
  scanEntries,
  streamEntries,
} from './entry-scan.ts';
import { locateIndex, placeError } from './index-location.ts';
import { type DamagedBlob, type LooseBlob, looseBlobs } from './loose-blobs.ts';
import { claimedIndex } from './summary.ts';
import type { LayerSummary } from './summary-format.ts';

export interface SalvagedLayer {
  /** Without a cache. */
  readonly source: ByteSource;
  readonly summary: LayerSummary;
  readonly limits: DecompressionLimits;
  /** Its region is that of the values according to the summary. */
  readonly scan: EntryScan;
  readonly walk: WalkOptions;
  /** See `EntryOptions`. */
  readonly rootError?: StorageError | undefined;
  /** See `LooseBlobOptions`. */
  readonly onLoosePiece?: ((offset: number, piece: Uint8Array) => void) | undefined;
}

/** An item of a salvaging scan: a batch of entries, or damage. */
export type SalvagedScanItem = ScannedItem | LooseBlob | DamagedBlob;

/**
 * Returns complete contents. Throws: the error of the root, if no blob can be read either; `io`,
 * `aborted`, `closed`.
 */
export function salvageWhole(layer: SalvagedLayer): AsyncGenerator<SalvagedScanItem> {
  return salvageWith(layer, { scanAs: scanEntries, contents: 'whole' });
}

/** Like `salvageWhole`, but holds nothing larger than 1 MiB. */
export function salvageStreamed(
  layer: SalvagedLayer,
): AsyncGenerator<SalvagedScanItem | LargeEntry> {
  return salvageWith(layer, { scanAs: streamEntries, contents: 'none' });
}

interface SalvageHow<L> {
  readonly scanAs: (
    slices: AsyncIterable<SalvagedSlice>,
    scan: EntryScan,
  ) => AsyncGenerator<ScannedItem | L>;
  readonly contents: 'whole' | 'none';
}

async function* salvageWith<L>(
  layer: SalvagedLayer,
  how: SalvageHow<L>,
): AsyncGenerator<SalvagedScanItem | L> {
  const { source, summary, scan } = layer;
  const claimed = claimedIndex(summary);
  const place = { location: claimed, scan, rootError: undefined };
  let rootError = (await placeError(source, claimed, summary.kind)) ?? layer.rootError;
  if (rootError === undefined) {
    rootError = yield* untilRootError(scanIndex(layer, place, how));
    if (rootError === undefined) return;
  }
  const location = await locateIndex(source, claimed, summary.kind, scan.signal);
  const isElsewhere = location.startBlock !== claimed.startBlock;
  const found = isElsewhere ? relocated(layer, location.startBlock) : scan;
  const again = scanIndex(layer, { location, scan: found, rootError }, how);
  const isNothingLeft = yield* untilRootError(again);
  if (isNothingLeft === undefined) return;
  // A blob without a key is in no range of keys.
  if (scan.wanted === 'some') throw rootError;
  const blobs = looseBlobs({
    kind: summary.kind,
    scan: withValuesOf(layer, found),
    contents: how.contents,
    onPiece: layer.onLoosePiece,
  });
  yield* afterRootError(blobs, {
    kind: 'damaged-block',
    block: location.rootBlock,
    error: rootError,
  });
}

interface PlacedIndex {
  readonly location: IndexLocation;
  readonly scan: EntryScan;
  readonly rootError: StorageError | undefined;
}

function scanIndex<L>(
  { source, walk }: SalvagedLayer,
  { location, scan, rootError }: PlacedIndex,
  { scanAs }: SalvageHow<L>,
): AsyncGenerator<ScannedItem | L> {
  const index = new DiskBtreeReader(new IndexBlocks(source, location), scan.layout, undefined);
  return scanAs(index.salvage({ ...walk, signal: scan.signal, rootError }), scan);
}

/** Returns: the damage that was thrown before any item; undefined if there were items. */
async function* untilRootError<T>(
  items: AsyncGenerator<T>,
): AsyncGenerator<T, StorageError | undefined> {
  let isFirst = true;
  try {
    for await (const item of items) {
      isFirst = false;
      yield item;
    }
  } catch (error) {
    if (isFirst && isDamage(error)) return error;
    throw error;
  }
  return undefined;
}

/** The blobs, after the damage of the root. Throws that damage if no blob can be read; `aborted`. */
async function* afterRootError(
  blobs: AsyncGenerator<LooseBlob | DamagedBlob>,
  root: DamagedBlock,
): AsyncGenerator<SalvagedScanItem> {
  // At most as many as `looseBlobs` returns consecutively.
  const damaged: DamagedBlob[] = [];
  let isFirst = true;
  try {
    for await (const blob of blobs) {
      if (isFirst && blob.kind === 'damaged-blob') {
        damaged.push(blob);
        continue;
      }
      if (isFirst) {
        isFirst = false;
        yield root;
        yield* damaged;
      }
      yield blob;
    }
  } catch (error) {
    if (!isFirst || !(isDamage(error) || isStorageError(error, 'io'))) throw error;
  }
  if (isFirst) throw root.error;
}

function relocated({ source, limits, scan }: SalvagedLayer, startBlock: number): EntryScan {
  const region = { start: BLOCK_SIZE, end: startBlock * BLOCK_SIZE };
  return { ...scan, blobs: new BlobReader(source, region, limits) };
}

/** If the summary places the index before the values, they may reach to the end of the file. */
function withValuesOf(layer: SalvagedLayer, scan: EntryScan): EntryScan {
  const { start, end } = scan.blobs.region;
  return end > start ? scan : relocated(layer, Math.ceil(layer.source.size / BLOCK_SIZE));
}

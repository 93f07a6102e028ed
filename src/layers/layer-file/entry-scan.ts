/**
 * Reads the contents of index entries, leaf by leaf, into batches, in one pass over the values.
 *
 * Blobs lie in index order: an entry that points back, or into another blob, is damaged. So a small
 * file cannot make a scan read the same bytes again and again.
 */
import { assert } from '../../assert.ts';
import type { BlobHeader } from '../../blob-writer/blob-format.ts';
import type { StoredBlob } from '../../blob-writer/blob-location.ts';
import type { BlobReader } from '../../blob-writer/blob-reader.ts';
import { BlobScanner } from '../../blob-writer/blob-scanner.ts';
import { StorageError, throwIfAborted, tooLarge, withPath } from '../../errors.ts';
import { Decompressor } from '../../zstd/decompression.ts';
import { isDamage } from '../damage.ts';
import { IndexNode } from '../disk-btree/index-node.ts';
import type { LeafSlice } from '../disk-btree/walk.ts';
import { formatKey, type Key } from '../key.ts';
import { formatLsn, isInLsnRange, type Lsn, type LsnRange } from '../lsn.ts';
import { BlobOrder } from './blob-order.ts';
import { BATCH_CAPACITY, EntryBatch } from './entry-batch.ts';
import { type EntryLayout, entryAt, type IndexEntry } from './entry-layout.ts';
import type { EntryOptions } from './entry-options.ts';
import {
  endOfBlobAt,
  firstOffsets,
  type NextOffsets,
  nextLeafOffset,
  nextOffsets,
} from './next-offsets.ts';
import { type ScannedSlice, SliceAhead } from './slice-ahead.ts';

/** An entry that cannot be read. */
export interface DamagedEntry {
  /** Tells the items of a scan apart. */
  readonly kind: 'damaged-entry';
  /** As in the index, which may be what is damaged. */
  readonly key: Key;
  /** As in the index. */
  readonly lsn: Lsn;
  /** File offset, as in the index. */
  readonly offset: number;
  /** What is wrong. */
  readonly error: StorageError;
}

/** An index block that cannot be used; entries below it may be missing. */
export interface DamagedBlock {
  /** Tells the items of a scan apart. */
  readonly kind: 'damaged-block';
  /** Number of the index block, relative to the start of the index. */
  readonly block: number;
  /** What is wrong. */
  readonly error: StorageError;
}

/** Entries of a scan, many at a time. */
export interface ScannedBatch {
  readonly kind: 'batch';
  /** Valid until the next item is requested. */
  readonly batch: EntryBatch;
}
/** A batch of entries, or damage between them. */
export type ScannedItem = ScannedBatch | DamagedEntry | DamagedBlock;

/**
 * An entry that is in no batch because it is large: its content may expand to more than 256 KiB, or
 * has 1 MiB of plain bytes.
 */
export interface LargeEntry extends IndexEntry {
  /** Tells the items of a scan apart. */
  readonly kind: 'large-entry';
  /** Bytes in the file, including the header. */
  readonly storedLength: number;
  /** Bytes of the blob header. */
  readonly headerSize: number;
  /** True if the blob is compressed in the file. */
  readonly compressed: boolean;
  /**
   * Passes the content to `onPiece` in pieces of at most 256 KiB, each a view that is valid until the
   * function returns. Requires: the next item of the scan has not been requested.
   *
   * @returns The length of the content, or the damage that was found.
   * @throws `io`, `aborted`, `closed`, and what `onPiece` throws.
   */
  readonly stream: (onPiece: (piece: Uint8Array) => void) => Promise<number | DamagedEntry>;
}

export interface EntryScan {
  readonly layout: EntryLayout;
  readonly blobs: BlobReader;
  /** If all entries are wanted, reading the values starts before the index has given their location. */
  readonly wanted: 'all' | 'some';
  /** LSNs of the wanted entries; all if absent. */
  readonly lsnRange?: LsnRange | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly contents?: EntryOptions['contents'];
  readonly pieceSize?: EntryOptions['pieceSize'];
  /** Total bytes that may be decompressed; compressed blobs after that are `too-large`. */
  readonly maximumExpandedLength: number;
}

/** Decompressed bytes after which a batch is returned. */
const MAXIMUM_DECOMPRESSED_BYTES = 256 * 1024;

/** Returns damage between the batches. Throws only `io`, `aborted` and `closed`. */
export function scanEntries(
  slices: AsyncIterable<ScannedSlice>,
  scan: EntryScan,
): AsyncGenerator<ScannedItem> {
  return scanSlices(slices, new ScanState<never>(scan, undefined));
}

/** Like `scanEntries`, but holds nothing larger than 1 MiB. */
export function streamEntries(
  slices: AsyncIterable<ScannedSlice>,
  scan: EntryScan,
): AsyncGenerator<ScannedItem | LargeEntry> {
  return scanSlices(slices, new ScanState(scan, largeEntry));
}

async function* scanSlices<L>(
  slices: AsyncIterable<ScannedSlice>,
  state: ScanState<L>,
): AsyncGenerator<ScannedItem | L> {
  const { batch, scan } = state;
  const ahead = new SliceAhead(slices);
  try {
    if (scan.wanted === 'all') state.scanner.begin();
    for await (const slice of ahead) {
      throwIfAborted(scan.signal, scan.blobs.source.path);
      if (slice.kind === 'slice') {
        // Most leaves need no more than this; a generator for each would cost more than the rest.
        if (beginSlice(slice, state) === slice.to) yield { kind: 'batch', batch };
        else yield* scanSlice(slice, state, ahead);
        continue;
      }
      state.order.doubtEnd();
      if (slice.kind === 'damaged-block') {
        yield slice;
        continue;
      }
      const { node, index, error } = slice;
      yield damagedEntry(entryAt(scan.layout, node, index), error);
    }
  } finally {
    await state.scanner.close();
  }
}

type ToItem<L> = (entry: IndexEntry, state: ScanState<L>) => L;

/** `L` is the item for an entry that is in no batch, because its content is large. */
class ScanState<L> {
  readonly scan: EntryScan;
  /** Absent if all contents are held, however large. */
  readonly toItem: ToItem<L> | undefined;
  readonly scanner: BlobScanner;
  readonly batch = new EntryBatch();
  /** Offsets of the entries of a slice, by their index in the leaf. */
  readonly offsets = new Float64Array(BATCH_CAPACITY + 1);
  readonly order: BlobOrder;
  /** Bytes decompressed so far. */
  expandedLength = 0;

  constructor(scan: EntryScan, toItem: ToItem<L> | undefined) {
    this.scan = scan;
    this.toItem = toItem;
    const largeBlobs = toItem === undefined ? 'load' : 'leave';
    const { signal, pieceSize } = scan;
    this.scanner = new BlobScanner(scan.blobs, { largeBlobs, signal, pieceSize });
    this.order = new BlobOrder(scan.blobs);
  }

  /** Header of the located blob. */
  get header(): BlobHeader {
    const { headerSize, payloadLength, compressed } = this.scanner;
    return { headerSize, storedLength: payloadLength, compressed };
  }
}

/** Starts a batch with the entries that are already in memory. Returns: the index of the next one. */
function beginSlice<L>(slice: LeafSlice, state: ScanState<L>): number {
  const { node, from, to } = slice;
  state.batch.clear();
  setOffsets(slice, state);
  return from + addPlainRow(node, from, to, state);
}

/** Continues a slice after `beginSlice`. */
async function* scanSlice<L>(
  slice: LeafSlice,
  state: ScanState<L>,
  ahead: SliceAhead,
): AsyncGenerator<ScannedItem | L> {
  const { batch, order, scan, scanner } = state;
  const { layout, lsnRange } = scan;
  const { from, to } = slice;
  let { node } = slice;
  for (let index = from + batch.count; index < to; index += 1) {
    index += addPlainRow(node, index, to, state);
    if (index === to) break;
    // An unwanted entry is not read, and its damage is not reported.
    if (lsnRange !== undefined && !isInLsnRange(layout.lsn(node, index), lsnRange)) continue;
    const offset = layout.offset(node, index);
    let next = index + 1 < node.entryCount ? layout.offset(node, index + 1) : undefined;
    let beyond: NextOffsets | undefined;
    // Only the next leaf shows whether the last offset of a leaf, or the length of its blob, is too high.
    if (next === undefined && (order.isAfterGap(offset) || !endsInTime(slice, offset, state))) {
      if (batch.count > 0) {
        yield { kind: 'batch', batch };
        batch.clear();
      }
      node = new IndexNode(node.bytes.slice(), node.block);
      beyond = firstOffsets(await ahead.look(), layout);
      next = beyond.next;
    }
    let special: DamagedEntry | L | undefined;
    try {
      if (!order.isInPlace(offset, next))
        order.checkStart(offset, beyond ?? nextOffsets(slice, index, layout));
      let readLength = 0;
      if (!scanner.locate(offset)) {
        if (batch.count > 0) {
          yield { kind: 'batch', batch };
          batch.clear();
        }
        order.checkUnread(offset, beyond ?? nextOffsets(slice, index, layout), scanner);
        order.noteLoad(offset);
        await scanner.load(offset);
        if (!scanner.locate(offset)) throw unreadable(offset, state);
        readLength = scanner.headerSize + scanner.payloadLength;
      }
      const end = offset + scanner.headerSize + scanner.payloadLength;
      if (next !== undefined && end > next) {
        const following = beyond ?? nextOffsets(slice, index, layout);
        const nextEnd = endOfBlobAt(next, scanner);
        order.checkEnd(offset, end, { ...following, nextEnd, readLength });
      }
      order.accept(offset, end);
      let isHeld = scanner.isWhole;
      if (isHeld && scanner.compressed && scan.contents !== 'stored') {
        const decompressor = Decompressor.loaded ?? (await Decompressor.load());
        // No promise for a content that is decompressed synchronously.
        const holding = decompressInto(batch, offset, { state, decompressor });
        isHeld = typeof holding === 'boolean' ? holding : await holding;
      }
      if (isHeld) addEntry(batch, node, index, offset, state);
      else special = leftOut(entryAt(layout, node, index), state);
    } catch (caught) {
      const error = damageOrThrow(withPath(caught, scan.blobs.source.path));
      special = damagedEntry(entryAt(layout, node, index), error);
    }
    const isFull = batch.decompressedBytes > MAXIMUM_DECOMPRESSED_BYTES;
    if (batch.count > 0 && (special !== undefined || isFull)) {
      yield { kind: 'batch', batch };
      batch.clear();
    }
    if (special !== undefined) yield special;
  }
  if (batch.count > 0) yield { kind: 'batch', batch };
}

/** Sets the offsets of the entries and of the next one, by index. */
function setOffsets<L>(slice: LeafSlice, { scan: { layout }, offsets }: ScanState<L>): void {
  const { node, from, to } = slice;
  layout.copyOffsets(node, from, to, offsets);
  const isLast = to === node.entryCount;
  // With 0, the last entry is checked by itself.
  offsets[to] = isLast ? (nextLeafOffset(slice, layout) ?? 0) : layout.offset(node, to);
}

/** Whether the last blob of a leaf is in memory, and ends before the next leaf's first one. */
function endsInTime<L>(slice: LeafSlice, offset: number, { scan, scanner }: ScanState<L>): boolean {
  const end = endOfBlobAt(offset, scanner);
  return typeof end === 'number' && end <= (nextLeafOffset(slice, scan.layout) ?? 0);
}

/**
 * Adds entries to the batch, from `from` on, up to the first one that needs a closer look or another
 * read. In a valid layer of plain blobs that is only the first one of each piece. Returns: how many.
 */
function addPlainRow<L>(node: IndexNode, from: number, to: number, state: ScanState<L>): number {
  const { batch, order, offsets, scan, scanner } = state;
  if (scan.lsnRange !== undefined) return 0;
  const row = { offsets, from, to, previousEnd: order.previousEnd };
  let count = scanner.locateRow(row, batch, batch.count);
  if (count === 0) return 0;
  let last = from + count - 1;
  if (last === node.entryCount - 1) {
    const before = batch.count + count - 2;
    const end =
      count === 1
        ? order.previousEnd
        : (offsets[last - 1] as number) + (batch.storedLengths[before] as number);
    // The next leaf may contradict it, so it is checked by itself.
    if ((offsets[last] as number) > end) {
      if (count === 1) return 0;
      count -= 1;
      last -= 1;
    }
  }
  const offset = offsets[last] as number;
  order.accept(offset, offset + (batch.storedLengths[batch.count + count - 1] as number));
  batch.offsets.set(offsets.subarray(from, from + count), batch.count);
  batch.compressed.fill(0, batch.count, batch.count + count);
  batch.buffer = scanner.bytes;
  batch.add(scan.layout, node, from, count);
  return count;
}

interface Decompressing<L> {
  readonly state: ScanState<L>;
  readonly decompressor: Decompressor;
}

/** False if the content is to be streamed. */
function decompressInto<L>(
  batch: EntryBatch,
  offset: number,
  { state, decompressor }: Decompressing<L>,
): boolean | Promise<boolean> {
  const { scan, scanner, header } = state;
  checkExpandedLength(offset, state);
  const { bytes, payloadStart, payloadLength } = scanner;
  const payload = bytes.subarray(payloadStart, payloadStart + payloadLength);
  const content = scan.blobs.smallContent(decompressor, { header, payload, offset });
  if (content !== undefined) {
    batch.setDecompressed(batch.count, content);
    state.expandedLength += content.length;
    return true;
  }
  if (state.toItem !== undefined) return false;
  return holdLarge(batch, { header, payload, offset }, state);
}

async function holdLarge<L>(
  batch: EntryBatch,
  { header, payload, offset }: StoredBlob,
  state: ScanState<L>,
): Promise<true> {
  const content = await state.scan.blobs.content(header, payload, offset);
  batch.setLargeDecompressed(batch.count, content);
  state.expandedLength += content.length;
  return true;
}

/**
 * A lowered limit of a blob bounds the cost of a scan, too, because 4 bytes can expand to 128 KiB. The
 * most compressible pages, of zeros, take 21 bytes each with their index entry, a factor of 390.
 */
export function expansionLimit(maximumBlobLength: number | undefined, fileSize: number): number {
  if (maximumBlobLength === undefined) return Number.POSITIVE_INFINITY;
  return 8 * maximumBlobLength + 512 * fileSize;
}

/** Throws `too-large` once too much was decompressed, so that a small file cannot cost much time. */
export function checkExpandedLength(
  offset: number,
  { scan, expandedLength }: { readonly scan: EntryScan; readonly expandedLength: number },
): void {
  const { maximumExpandedLength } = scan;
  if (expandedLength <= maximumExpandedLength) return;
  const { path } = scan.blobs.source;
  const excess = { maximum: maximumExpandedLength, offset, path };
  throw tooLarge('decompressed blobs of one scan', excess);
}

function leftOut<L>(entry: IndexEntry, state: ScanState<L>): L {
  assert(state.toItem !== undefined, 'else no entry is left out of the batches');
  return state.toItem(entry, state);
}

function largeEntry(entry: IndexEntry, state: ScanState<LargeEntry>): LargeEntry {
  const { scan, header } = state;
  const { headerSize, storedLength, compressed } = header;
  const { path } = scan.blobs.source;
  return {
    kind: 'large-entry',
    ...entry,
    storedLength: headerSize + storedLength,
    headerSize,
    compressed,
    stream: async (onPiece) => {
      try {
        if (compressed) checkExpandedLength(entry.offset, state);
        return await scan.blobs.stream(entry.offset, header, (piece) => {
          throwIfAborted(scan.signal, path);
          if (compressed) state.expandedLength += piece.length;
          onPiece(piece);
        });
      } catch (error) {
        return damagedEntry(entry, damageOrThrow(withPath(error, path)));
      }
    },
  };
}

function addEntry<L>(
  batch: EntryBatch,
  node: IndexNode,
  index: number,
  offset: number,
  { scan, scanner }: ScanState<L>,
): void {
  const at = batch.count;
  batch.offsets[at] = offset;
  batch.storedLengths[at] = scanner.headerSize + scanner.payloadLength;
  batch.compressed[at] = scanner.compressed ? 1 : 0;
  batch.buffer = scanner.bytes;
  batch.starts[at] = scanner.payloadStart;
  batch.lengths[at] = scanner.payloadLength;
  batch.add(scan.layout, node, index, 1);
}

function damagedEntry(
  { key, lsn, offset }: Pick<IndexEntry, 'key' | 'lsn' | 'offset'>,
  error: StorageError,
): DamagedEntry {
  return {
    kind: 'damaged-entry',
    key,
    lsn,
    offset,
    error: error.with({ key: formatKey(key), lsn: formatLsn(lsn) }),
  };
}

/** Returns damage, and rethrows any other error. */
function damageOrThrow(error: unknown): StorageError {
  if (isDamage(error)) return error;
  throw error;
}

function unreadable<L>(offset: number, { scan }: ScanState<L>): StorageError {
  return new StorageError('truncated', {
    what: 'blob reaches beyond the values',
    path: scan.blobs.source.path,
    offset,
  });
}

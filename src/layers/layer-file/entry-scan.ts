/**
 * From leaves of the index to batches of entries with their contents, in one pass over the values.
 *
 * Blobs lie in index order: what points back, or into another blob, is damage, and a small file
 * cannot make a scan read the same bytes again and again.
 */
import { assert } from '../../assert.ts';
import type { BlobHeader } from '../../blob-writer/blob-format.ts';
import type { StoredBlob } from '../../blob-writer/blob-location.ts';
import type { BlobReader } from '../../blob-writer/blob-reader.ts';
import { BlobScanner } from '../../blob-writer/blob-scanner.ts';
import { StorageError, throwIfAborted, withPath } from '../../errors.ts';
import { Decompressor } from '../../zstd/decompression.ts';
import { isDamage } from '../damage.ts';
import type { IndexNode } from '../disk-btree/index-node.ts';
import type { SalvagedSlice } from '../disk-btree/salvage-walk.ts';
import type { LeafSlice } from '../disk-btree/walk.ts';
import { formatKey, type Key } from '../key.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import { BlobOrder, type OffsetsBehind } from './blob-order.ts';
import { BATCH_CAPACITY, EntryBatch } from './entry-batch.ts';
import { type EntryLayout, entryAt, type IndexEntry } from './entry-layout.ts';

export interface DamagedEntry {
  readonly kind: 'damaged-entry';
  readonly key: Key;
  readonly lsn: Lsn;
  /** File offset that the index gives. */
  readonly offset: number;
  readonly error: StorageError;
}

export interface DamagedBlock {
  readonly kind: 'damaged-block';
  /** Number of the index block, relative to the index. */
  readonly block: number;
  readonly error: StorageError;
}

export type ScannedBatch = { readonly kind: 'batch'; readonly batch: EntryBatch };
export type ScannedItem = ScannedBatch | DamagedEntry | DamagedBlock;

/** An entry whose content may have more than 256 KiB, or is 1 MiB of plain bytes: in no batch. */
export interface LargeEntry extends IndexEntry {
  readonly kind: 'large-entry';
  /** Bytes in the file, header included. */
  readonly storedLength: number;
  readonly headerSize: number;
  readonly compressed: boolean;
  /**
   * Hands the content over in pieces of at most 256 KiB, each a view that is valid until the function
   * returns. Requires: the scan has not gone on.
   *
   * Returns: the length of the content, or the damage that it met.
   * Throws: `io`, `aborted`, `closed`, and what the function throws.
   */
  readonly stream: (onPiece: (piece: Uint8Array) => void) => Promise<number | DamagedEntry>;
}

export interface EntryScan {
  readonly layout: EntryLayout;
  readonly blobs: BlobReader;
  /** Where all entries are wanted, values are read before the index has told where they lie. */
  readonly wanted: 'all' | 'some';
  /** LSNs of the entries that are wanted; all if absent. */
  readonly lsnRange?: { readonly start: Lsn; readonly end: Lsn } | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes that may come out of compressed blobs altogether; what is behind is `too-large`. */
  readonly maximumExpandedLength: number;
}

type Slices = AsyncIterable<SalvagedSlice | LeafSlice>;

/** Decompressed bytes that one batch holds, at most, before it is handed out. */
const MAXIMUM_DECOMPRESSED_BYTES = 256 * 1024;

/** Damage is handed out between the batches. Throws only what keeps the scan from looking: `io`. */
export function scanEntries(slices: Slices, scan: EntryScan): AsyncGenerator<ScannedItem> {
  return scanSlices(slices, new ScanState<never>(scan, undefined));
}

/** As `scanEntries`, but nothing is held that is larger than 1 MiB. */
export function streamEntries(
  slices: Slices,
  scan: EntryScan,
): AsyncGenerator<ScannedItem | LargeEntry> {
  return scanSlices(slices, new ScanState(scan, largeEntry));
}

async function* scanSlices<L>(
  slices: Slices,
  state: ScanState<L>,
): AsyncGenerator<ScannedItem | L> {
  const { batch, scan } = state;
  try {
    if (scan.wanted === 'all') state.scanner.begin();
    for await (const slice of slices) {
      throwIfAborted(scan.signal, scan.blobs.source.path);
      if (slice.kind === 'slice') {
        // Most leaves take no more than this: a generator for each would cost more than the rest.
        if (beginSlice(slice, state) === slice.to) yield { kind: 'batch', batch };
        else yield* scanSlice(slice, state);
      } else if (slice.kind === 'damaged-entry') {
        const { node, index, error } = slice;
        yield damagedEntry(entryAt(scan.layout, node, index), error);
      } else {
        yield slice;
      }
    }
  } finally {
    await state.scanner.close();
  }
}

type ToItem<L> = (entry: IndexEntry, state: ScanState<L>) => L;

/** `L` is what becomes of an entry that is in no batch, because its content is large. */
class ScanState<L> {
  readonly scan: EntryScan;
  /** Absent if all contents are held, however large. */
  readonly toItem: ToItem<L> | undefined;
  readonly scanner: BlobScanner;
  readonly batch = new EntryBatch();
  /** Of the entries of a slice, by their index in the leaf. */
  readonly offsets = new Float64Array(BATCH_CAPACITY + 1);
  readonly order: BlobOrder;
  /** What came out of compressed blobs so far. */
  expandedLength = 0;

  constructor(scan: EntryScan, toItem: ToItem<L> | undefined) {
    this.scan = scan;
    this.toItem = toItem;
    const largeBlobs = toItem === undefined ? 'load' : 'leave';
    this.scanner = new BlobScanner(scan.blobs, { largeBlobs, signal: scan.signal });
    this.order = new BlobOrder(scan.blobs);
  }

  /** Header of the located blob. */
  get header(): BlobHeader {
    const { headerSize, payloadLength, compressed } = this.scanner;
    return { headerSize, storedLength: payloadLength, compressed };
  }
}

/** Makes a batch of as much of the slice as can be had at once. Returns: the index behind it. */
function beginSlice<L>({ node, from, to }: LeafSlice, state: ScanState<L>): number {
  state.batch.clear();
  setOffsets(node, from, to, state);
  return from + addPlainRow(node, from, to, state);
}

/** Goes on with a slice that was begun: the batch has what could be had at once. */
async function* scanSlice<L>(
  { node, from, to }: LeafSlice,
  state: ScanState<L>,
): AsyncGenerator<ScannedItem | L> {
  const { batch, order, scan, scanner } = state;
  const { layout } = scan;
  for (let index = from + batch.count; index < to; index += 1) {
    index += addPlainRow(node, index, to, state);
    if (index === to) break;
    // What is not wanted is not read, and its damage is not told.
    if (!isWanted(node, index, state)) continue;
    const offset = layout.offset(node, index);
    const next = index + 1 < node.entryCount ? layout.offset(node, index + 1) : undefined;
    let special: DamagedEntry | L | undefined;
    try {
      if (!order.isInPlace(offset, next)) order.checkStart(offset, behind(node, index, layout));
      if (!scanner.locate(offset)) {
        if (batch.count > 0) {
          yield { kind: 'batch', batch };
          batch.clear();
        }
        order.noteLoad(offset);
        await scanner.load(offset);
        if (!scanner.locate(offset)) throw unreadable(offset, state);
      }
      const end = offset + scanner.headerSize + scanner.payloadLength;
      if (next !== undefined && end > next) {
        const nextEnd = endOfBlobAt(next, scanner);
        order.checkEnd(offset, end, { ...behind(node, index, layout), nextEnd });
        scanner.locate(offset);
      }
      order.noteGood(end);
      let isHeld = scanner.isWhole;
      if (isHeld && scanner.compressed) {
        const decompressor = Decompressor.loaded ?? (await Decompressor.load());
        // Without a wait for each of a million contents.
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

/** The offsets of the entries, and of the one behind them, where they have their index. */
function setOffsets<L>(
  node: IndexNode,
  from: number,
  to: number,
  { scan, offsets }: ScanState<L>,
): void {
  scan.layout.copyOffsets(node, from, to, offsets);
  offsets[to] = to < node.entryCount ? scan.layout.offset(node, to) : Number.POSITIVE_INFINITY;
}

/**
 * Adds entries to the batch, from `from` on, as long as there is nothing to decide about them: all
 * of a sound layer of plain blobs, but for those that the next piece must be read for. Returns: how
 * many.
 */
function addPlainRow<L>(node: IndexNode, from: number, to: number, state: ScanState<L>): number {
  const { batch, order, offsets, scan, scanner } = state;
  if (scan.lsnRange !== undefined) return 0;
  const row = { offsets, from, to, previousEnd: order.previousEnd };
  const count = scanner.locateRow(row, batch, batch.count);
  if (count === 0) return 0;
  const last = from + count - 1;
  order.noteGood(
    (offsets[last] as number) + (batch.storedLengths[batch.count + count - 1] as number),
  );
  batch.offsets.set(offsets.subarray(from, from + count), batch.count);
  batch.compressed.fill(0, batch.count, batch.count + count);
  batch.buffer = scanner.bytes;
  batch.add(scan.layout, node, from, count);
  return count;
}

function isWanted<L>(node: IndexNode, index: number, { scan }: ScanState<L>): boolean {
  if (scan.lsnRange === undefined) return true;
  const lsn = scan.layout.lsn(node, index);
  return lsn >= scan.lsnRange.start && lsn < scan.lsnRange.end;
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

/** Throws `too-large` once so much has come out that a small file would cost much time. */
export function checkExpandedLength(
  offset: number,
  { scan, expandedLength }: { readonly scan: EntryScan; readonly expandedLength: number },
): void {
  const { maximumExpandedLength } = scan;
  if (expandedLength <= maximumExpandedLength) return;
  throw new StorageError('too-large', {
    what: 'decompressed blobs of one scan',
    path: scan.blobs.source.path,
    offset,
    expected: `at most ${maximumExpandedLength} bytes`,
    actual: 'more',
  });
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

/** Where the blob at `offset` ends, if it is one and lies in the bytes at hand. */
function endOfBlobAt(offset: number, scanner: BlobScanner): number | undefined {
  try {
    if (!scanner.locate(offset)) return undefined;
    return offset + scanner.headerSize + scanner.payloadLength;
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}

/** Offsets of the entries behind one, as far as its index block has them. */
function behind(node: IndexNode, index: number, layout: EntryLayout): OffsetsBehind {
  const [next, afterNext] = [index + 1, index + 2].map((at) =>
    at < node.entryCount ? layout.offset(node, at) : undefined,
  );
  return { next, afterNext };
}

export function damagedEntry(
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

/** What is wrong with the bytes is damage; what keeps us from reading them is not. */
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

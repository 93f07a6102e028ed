/**
 * From leaves of the index to batches of entries with their contents, in one pass over the values.
 *
 * Blobs lie in index order, so every blob must start at or behind the end of the one before: what
 * points back, or into another blob, is damage, and a small file cannot make a scan read the same
 * bytes again and again.
 */
import type { BlobReader } from '../../blob-writer/blob-reader.ts';
import { BlobScanner } from '../../blob-writer/blob-scanner.ts';
import { StorageError, throwIfAborted, withPath } from '../../errors.ts';
import { isDamage } from '../damage.ts';
import type { IndexNode } from '../disk-btree/node-format.ts';
import type { SalvagedSlice } from '../disk-btree/salvage-walk.ts';
import type { LeafSlice } from '../disk-btree/walk.ts';
import { formatKey, KEY_SIZE, type Key } from '../key.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import { EntryBatch } from './entry-batch.ts';
import { type EntryLayout, entryAt } from './entry-layout.ts';

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

export interface EntryScan {
  readonly layout: EntryLayout;
  readonly blobs: BlobReader;
  /** LSNs of the entries that are wanted; all if absent. */
  readonly lsnRange?: { readonly start: Lsn; readonly end: Lsn } | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Decompressed bytes that one batch holds, at most, before it is handed out. */
const MAXIMUM_DECOMPRESSED_BYTES = 4 * 1024 * 1024;

/** Damage is handed out between the batches. Throws only what keeps the scan from looking: `io`. */
export async function* scanEntries(
  slices: AsyncIterable<SalvagedSlice | LeafSlice>,
  scan: EntryScan,
): AsyncGenerator<ScannedItem> {
  const state = new ScanState(scan);
  try {
    for await (const slice of slices) {
      throwIfAborted(scan.signal, scan.blobs.source.path);
      if (slice.kind === 'slice') {
        yield* scanSlice(slice, state);
      } else if (slice.kind === 'damaged-entry') {
        const { node, index, error } = slice;
        yield damagedEntry(scan.layout, node, index, error);
      } else {
        yield slice;
      }
    }
  } finally {
    await state.scanner.close();
  }
}

class ScanState {
  readonly scan: EntryScan;
  readonly scanner: BlobScanner;
  readonly batch = new EntryBatch();
  /** End of the last good blob. */
  previousEnd: number;
  decompressedBytes = 0;

  constructor(scan: EntryScan) {
    this.scan = scan;
    this.scanner = new BlobScanner(scan.blobs);
    this.previousEnd = scan.blobs.region.start;
  }
}

async function* scanSlice(
  { node, from, to }: LeafSlice,
  state: ScanState,
): AsyncGenerator<ScannedItem> {
  const { batch, scan, scanner } = state;
  const { layout } = scan;
  batch.clear();
  state.decompressedBytes = 0;
  for (let index = from; index < to; index += 1) {
    const offset = layout.offset(node, index);
    let error: StorageError | undefined;
    try {
      checkNotBefore(offset, state);
      if (!scanner.locate(offset)) {
        if (batch.count > 0) {
          yield { kind: 'batch', batch };
          batch.clear();
          state.decompressedBytes = 0;
        }
        await scanner.load(offset);
        if (!scanner.locate(offset)) throw unreadable(offset, state);
      }
      state.previousEnd = offset + scanner.headerSize + scanner.payloadLength;
      if (isWanted(node, index, state)) {
        if (scanner.compressed) await decompressInto(batch, offset, state);
        addEntry(batch, node, index, offset, state);
      }
    } catch (caught) {
      error = damageOrThrow(withPath(caught, scan.blobs.source.path));
    }
    const isFull = state.decompressedBytes > MAXIMUM_DECOMPRESSED_BYTES;
    if (batch.count > 0 && (error !== undefined || isFull)) {
      yield { kind: 'batch', batch };
      batch.clear();
      state.decompressedBytes = 0;
    }
    if (error !== undefined) yield damagedEntry(layout, node, index, error);
  }
  if (batch.count > 0) yield { kind: 'batch', batch };
}

function isWanted(node: IndexNode, index: number, { scan }: ScanState): boolean {
  if (scan.lsnRange === undefined) return true;
  const lsn = scan.layout.lsn(node.key(index));
  return lsn >= scan.lsnRange.start && lsn < scan.lsnRange.end;
}

async function decompressInto(batch: EntryBatch, offset: number, state: ScanState): Promise<void> {
  const { headerSize, payloadLength, payloadStart, bytes } = state.scanner;
  const content = await state.scan.blobs.content(
    { headerSize, storedLength: payloadLength, compressed: true },
    bytes.subarray(payloadStart, payloadStart + payloadLength),
    offset,
  );
  batch.decompressed.set(batch.count, content);
  state.decompressedBytes += content.length;
}

function addEntry(
  batch: EntryBatch,
  node: IndexNode,
  index: number,
  offset: number,
  { scan, scanner }: ScanState,
): void {
  const at = batch.count;
  const { layout } = scan;
  node.copyKey(index, entryKey);
  for (let byte = 0; byte < KEY_SIZE; byte += 1) {
    batch.keys[at * KEY_SIZE + byte] = entryKey[byte] as number;
  }
  if (layout.fixedLsn === undefined) batch.setLsn(at, entryKey, KEY_SIZE);
  else batch.lsns[at] = layout.fixedLsn;
  batch.willInit[at] = layout.willInit(node, index) ? 1 : 0;
  batch.offsets[at] = offset;
  batch.storedLengths[at] = scanner.headerSize + scanner.payloadLength;
  batch.compressed[at] = scanner.compressed ? 1 : 0;
  batch.buffer = scanner.bytes;
  batch.starts[at] = scanner.payloadStart;
  batch.lengths[at] = scanner.payloadLength;
  batch.count = at + 1;
}

/** Room for one entry key of either kind; used within one call. */
const entryKey = new Uint8Array(64);

function checkNotBefore(offset: number, { previousEnd, scan }: ScanState): void {
  if (offset >= previousEnd || offset < scan.blobs.region.start) return;
  throw new StorageError('corrupt', {
    what: 'blob starts before the end of the one before it',
    path: scan.blobs.source.path,
    offset,
    expected: `at least ${previousEnd}`,
    actual: `${offset}`,
  });
}

function damagedEntry(
  layout: EntryLayout,
  node: IndexNode,
  index: number,
  error: StorageError,
): DamagedEntry {
  const { key, lsn, offset } = entryAt(layout, node, index);
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

function unreadable(offset: number, { scan }: ScanState): StorageError {
  return new StorageError('truncated', {
    what: 'blob reaches beyond the values',
    path: scan.blobs.source.path,
    offset,
  });
}

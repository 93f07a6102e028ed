/**
 * Reads from one layer what a read of keys needs: for each key, the values in an LSN range, newest first, down to the
 * first that needs no older one. Single keys are searched for together, so that a block of the index is read once for
 * all of them.
 */
import type { Blob, BlobRequest } from '../blob-writer/blob-location.ts';
import { isStorageError, StorageError, throwIfAborted } from '../errors.ts';
import type { DeltaLayerReader } from '../layers/delta-layer/reader.ts';
import type { IndexNode } from '../layers/disk-btree/index-node.ts';
import type { Search } from '../layers/disk-btree/search.ts';
import type { ImageLayerReader } from '../layers/image-layer/reader.ts';
import { compareKeys, formatKey, KEY_SIZE, type Key, type KeyRange } from '../layers/key.ts';
import type { LayerEntry } from '../layers/layer-file/entry-batch.ts';
import { entryAt, type IndexEntry, withEntry } from '../layers/layer-file/entry-layout.ts';
import type { LsnRange } from '../layers/lsn.ts';
import { isSingleKey, type KeySpace } from './key-space.ts';

export type AnyLayerReader = DeltaLayerReader | ImageLayerReader;

/** Which values of a layer are read. */
export interface WantedVersions {
  readonly keys: KeySpace;
  readonly lsnRange: LsnRange;
  readonly signal?: AbortSignal | undefined;
  /** Called with the bytes of each content; throws if they are too many. */
  readonly onBytes: (length: number) => void;
}

interface PickedEntry {
  readonly entry: IndexEntry;
  readonly request: BlobRequest;
}

/** Keys that are searched for together: their index blocks are in memory at the same time. */
const MAXIMUM_GROUP = 1024;
/** Entries whose contents are read together. */
const MAXIMUM_READ = 1024;

/**
 * The wanted values of a layer: by key, within a key newest first.
 *
 * @throws As `LayerReader.get`; `aborted`.
 */
export async function readVersions(
  reader: AnyLayerReader,
  wanted: WantedVersions,
): Promise<LayerEntry[]> {
  const picked = await pickEntries(reader, wanted);
  const entries: LayerEntry[] = [];
  for (let first = 0; first < picked.length; first += MAXIMUM_READ) {
    throwIfAborted(wanted.signal, reader.path);
    const group = picked.slice(first, first + MAXIMUM_READ);
    const blobs = await reader.blobs.readMany(group.map(({ request }) => request));
    for (const [index, { entry }] of group.entries()) {
      entries.push(entryOf(entry, blobs[index] as Blob | StorageError));
      wanted.onBytes(entries.at(-1)?.bytes.length ?? 0);
    }
  }
  return entries;
}

function entryOf(entry: IndexEntry, blob: Blob | StorageError): LayerEntry {
  if (isStorageError(blob)) throw withEntry(blob, entry);
  const { key, lsn, willInit, offset } = entry;
  const { storedLength, compressed, bytes } = blob;
  // A spread takes several times as long, and a read may have 10,000 records.
  return { key, lsn, willInit, offset, storedLength, compressed, bytes };
}

async function pickEntries(reader: AnyLayerReader, wanted: WantedVersions): Promise<PickedEntry[]> {
  const { start, end } = wanted.lsnRange;
  const { summary } = reader;
  if (start >= end) return [];
  // An image layer's LSN is not in its index.
  if (summary.kind === 'image' && (summary.lsn < start || summary.lsn >= end)) return [];
  const groups: PickedEntry[][] = [];
  let singles: Key[] = [];
  for (const range of wanted.keys) {
    const isSingle = isSingleKey(range);
    if (isSingle) singles.push(range.start);
    if (singles.length > 0 && (!isSingle || singles.length === MAXIMUM_GROUP)) {
      groups.push(await pickOfKeys(reader, singles, wanted));
      singles = [];
    }
    if (!isSingle) groups.push(await pickOfRange(reader, range, wanted));
  }
  if (singles.length > 0) groups.push(await pickOfKeys(reader, singles, wanted));
  const [only] = groups;
  return groups.length === 1 && only !== undefined ? only : groups.flat();
}

/** A key whose versions are being collected. */
interface KeyCursor {
  readonly key: Key;
  /** A copy, shared by all its entries. */
  readonly ownKey: Key;
  readonly picked: PickedEntry[];
  /** Undefined once nothing older is wanted. */
  search: Search | undefined;
}

async function pickOfKeys(
  reader: AnyLayerReader,
  keys: readonly Key[],
  { lsnRange, signal }: WantedVersions,
): Promise<PickedEntry[]> {
  const { index, layout } = reader;
  const newest = lsnRange.end - 1n;
  const cursors = keys.map((key): KeyCursor => {
    return {
      key,
      ownKey: key.slice(),
      picked: [],
      search: index.search(layout.entryKey(key, newest)),
    };
  });
  for (let open: KeyCursor[] = cursors; open.length > 0; ) {
    throwIfAborted(signal, reader.path);
    const searches = open.flatMap(({ search }) => (search === undefined ? [] : [search]));
    if (searches.some(({ isDone }) => !isDone)) await index.finish(searches);
    for (const cursor of open) advance(cursor, reader, lsnRange);
    open = open.filter(({ search }) => search !== undefined);
  }
  const [only] = cursors;
  return cursors.length === 1 && only !== undefined
    ? only.picked
    : cursors.flatMap(({ picked }) => picked);
}

/** Takes the versions in the leaf that was found. Older ones may be in the leaf before it. */
function advance(cursor: KeyCursor, reader: AnyLayerReader, lsnRange: LsnRange): void {
  const { key, search } = cursor;
  cursor.search = undefined;
  if (search?.node === undefined || !search.hasFound(KEY_SIZE)) return;
  const { node } = search;
  for (let at = search.index; at >= 0; at -= 1) {
    if (!node.hasPrefix(at, key, KEY_SIZE)) return;
    const entry = entryAt(reader.layout, node, at, cursor.ownKey);
    if (entry.lsn < lsnRange.start) return;
    cursor.picked.push({ entry, request: requestOf(reader, node, at) });
    if (entry.willInit) return;
  }
  const oldest = cursor.picked.at(-1)?.entry.lsn ?? 0n;
  if (oldest === lsnRange.start) return;
  cursor.search = reader.index.search(reader.layout.entryKey(key, oldest - 1n));
}

/** Walks down the index over the range: of each key, the newest version comes first. */
async function pickOfRange(
  reader: AnyLayerReader,
  { start, end }: KeyRange,
  { lsnRange, signal }: WantedVersions,
): Promise<PickedEntry[]> {
  const { index, layout } = reader;
  const byKey: PickedEntry[][] = [];
  let key: Key | undefined;
  let isComplete = false;
  const walk = { start: layout.entryKey(start, 0n), end: layout.entryKey(end, 0n) };
  for await (const { node, from, to } of index.descend(walk)) {
    throwIfAborted(signal, reader.path);
    for (let at = to - 1; at >= from; at -= 1) {
      const entry = entryAt(layout, node, at);
      if (key === undefined || compareKeys(entry.key, key) !== 0) {
        checkDescent(entry, key, reader);
        key = entry.key;
        isComplete = false;
        byKey.push([]);
      }
      if (isComplete || entry.lsn < lsnRange.start || entry.lsn >= lsnRange.end) continue;
      isComplete = entry.willInit;
      byKey.at(-1)?.push({ entry, request: requestOf(reader, node, at) });
    }
  }
  return byKey.reverse().flat();
}

/** A walk down checks each block, but not that its entries continue those of the block after it. */
function checkDescent(entry: IndexEntry, key: Key | undefined, { path }: AnyLayerReader): void {
  if (key === undefined || compareKeys(entry.key, key) < 0) return;
  throw new StorageError('out-of-order', {
    what: 'keys of the index',
    path,
    key: formatKey(entry.key),
    expected: `below ${formatKey(key)}`,
  });
}

/** A blob must end before the next one starts, unless the next one starts before it. */
function requestOf({ layout }: AnyLayerReader, node: IndexNode, at: number): BlobRequest {
  const offset = layout.offset(node, at);
  const next = at + 1 < node.entryCount ? layout.offset(node, at + 1) : 0;
  const end = next > offset ? next : undefined;
  return { offset, end, limit: end };
}

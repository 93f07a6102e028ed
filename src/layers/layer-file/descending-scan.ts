/**
 * Scans entries from the last to the first, in groups that are read together.
 *
 * As in an ascending scan, blobs lie in index order: each must end at or before the start of the next
 * one. So a small file cannot make a scan read the same bytes again and again, and a group takes as
 * many bytes as its blobs span.
 */
import { assert } from '../../assert.ts';
import type { StoredBlob } from '../../blob-writer/blob-location.ts';
import { isStorageError, StorageError, throwIfAborted } from '../../errors.ts';
import type { IndexNode } from '../disk-btree/index-node.ts';
import type { LeafSlice } from '../disk-btree/walk.ts';
import { formatKey } from '../key.ts';
import { checkWantedLsns, formatLsn, isInLsnRange } from '../lsn.ts';
import type { LayerEntry } from './entry-batch.ts';
import { entryAt, type IndexEntry, withEntry } from './entry-layout.ts';
import { checkExpandedLength, type EntryScan } from './entry-scan.ts';

/** Maximum entries, and bytes of the file, that are read together. */
const MAXIMUM_GROUP = 64;
const MAXIMUM_GROUP_BYTES = 1024 * 1024;

export interface DescendingScan extends EntryScan {
  /** Each is read from its end. */
  readonly slices: AsyncIterable<LeafSlice>;
}

/** Throws at the first damage, after all entries before it. */
export async function* descendEntries(scan: DescendingScan): AsyncGenerator<LayerEntry> {
  if (scan.lsnRange !== undefined) checkWantedLsns(scan.lsnRange);
  const state: DescentState = { scan, nextOffset: undefined, expandedLength: 0 };
  for await (const { node, from, to } of scan.slices) {
    for (let last = to; last > from; ) {
      throwIfAborted(scan.signal, scan.blobs.source.path);
      const group = takeGroup(node, { from, last }, state);
      yield* readGroup(group.requests, state);
      if (group.error !== undefined) throw group.error;
      last = group.first;
    }
  }
}

interface DescentState {
  readonly scan: DescendingScan;
  /** Where the next blob in the file starts; unknown for the last one. */
  nextOffset: number | undefined;
  /** Bytes decompressed so far. */
  expandedLength: number;
}

interface EntryRequest {
  readonly entry: IndexEntry;
  readonly offset: number;
  readonly end: number | undefined;
  readonly limit: number | undefined;
}

interface Group {
  readonly requests: readonly EntryRequest[];
  /** The entry that was taken last. */
  readonly first: number;
  readonly error: StorageError | undefined;
}

function takeGroup(
  node: IndexNode,
  { from, last }: { readonly from: number; readonly last: number },
  state: DescentState,
): Group {
  const { layout, lsnRange } = state.scan;
  const requests: EntryRequest[] = [];
  let bytes = 0;
  let index = last;
  while (index > from && requests.length < MAXIMUM_GROUP && bytes < MAXIMUM_GROUP_BYTES) {
    index -= 1;
    const entry = entryAt(layout, node, index);
    const { offset, lsn } = entry;
    const limit = state.nextOffset;
    if (limit !== undefined && offset >= limit) {
      return { requests, first: index, error: notBefore(entry, limit, state) };
    }
    state.nextOffset = offset;
    if (!isInLsnRange(lsn, lsnRange)) continue;
    requests.push({ entry, offset, end: limit, limit });
    bytes += limit === undefined ? 0 : limit - offset;
  }
  return { requests, first: index, error: undefined };
}

async function* readGroup(
  requests: readonly EntryRequest[],
  state: DescentState,
): AsyncGenerator<LayerEntry> {
  const stored = (
    await state.scan.blobs.readManyStored(requests, { signal: state.scan.signal })
  ).values();
  for (const { entry } of requests) yield await decodeEntry(entry, stored.next().value, state);
}

async function decodeEntry(
  entry: IndexEntry,
  stored: StoredBlob | StorageError | undefined,
  state: DescentState,
): Promise<LayerEntry> {
  assert(stored !== undefined, 'every request has a result');
  const { blobs } = state.scan;
  try {
    if (isStorageError(stored)) throw stored;
    const { offset, header, payload } = stored;
    const { headerSize, storedLength, compressed } = header;
    if (compressed) checkExpandedLength(offset, state);
    const bytes = await blobs.content(header, payload, offset);
    if (compressed) state.expandedLength += bytes.length;
    return { ...entry, storedLength: headerSize + storedLength, compressed, bytes };
  } catch (error) {
    throw withEntry(error, entry);
  }
}

function notBefore(
  { key, lsn, offset }: IndexEntry,
  limit: number,
  { scan }: DescentState,
): StorageError {
  return new StorageError('corrupt', {
    what: 'blob does not start before the next one',
    path: scan.blobs.source.path,
    offset,
    key: formatKey(key),
    lsn: formatLsn(lsn),
    expected: `below ${limit}`,
    actual: `${offset}`,
  });
}

/**
 * Pages of transaction logs (SLRU): 32 a segment. They are on shard 0 only.
 *
 * A page that a record initializes creates and extends its segment, as a block does with a fork. Neon's own records
 * about a page do neither. A dropped segment is removed from the directory; its pages stay, unreachable.
 */
import {
  type SlruName,
  slruBlockKey,
  slruBlockOfPage,
  slruDirectoryKey,
  slruSizeKey,
} from '../../postgres/key-mapping.ts';
import type { NeonRecord } from '../../postgres/neon-records.ts';
import { PAGE_SIZE } from '../../postgres/page.ts';
import { decodeRelationSize, encodeRelationSize } from '../../postgres/relation-size.ts';
import {
  findItem,
  itemAt,
  itemCount,
  SLRU_DIRECTORY,
  withItem,
  withoutItems,
} from './directory-items.ts';
import { type IngestState, lacking } from './ingest-state.ts';
import type { Asking } from './metadata.ts';

/** Puts a record about a page. */
export function putSlruRecord(
  state: IngestState,
  slru: SlruName,
  page: number,
  record: NeonRecord,
): void {
  if (state.isFirstShard) state.putValue(slruPageKey(slru, page), record);
}

/** Puts a page of zeros, and creates or extends its segment as necessary. */
export function* putZeroSlruPage(state: IngestState, slru: SlruName, page: number): Asking<void> {
  if (!state.isFirstShard) return;
  const { blkno, ...segment } = slruBlockOfPage(slru, page);
  const size = yield* segmentSize(state, segment);
  if (blkno >= size) {
    state.metadata.put(slruSizeKey(segment), encodeRelationSize(blkno + 1));
    for (let gap = size; gap < blkno; gap += 1)
      putZeros(state, slruBlockKey({ ...segment, blkno: gap }));
  }
  putZeros(state, slruBlockKey({ ...segment, blkno }));
}

/** Removes segments from the directory. A directory is put even if none was in it. */
export function* dropSlruSegments(
  state: IngestState,
  slru: SlruName,
  segments: readonly number[],
): Asking<void> {
  if (!state.isFirstShard || segments.length === 0) return;
  const directory = yield* slruDirectory(state, slru);
  const found = segments
    .map((segno) => findItem(directory, SLRU_DIRECTORY, segmentItem(segno)))
    .filter((index) => index >= 0);
  const left = withoutItems(directory, SLRU_DIRECTORY, new Set(found));
  state.metadata.put(slruDirectoryKey(slru), left);
}

/** Numbers of the segments, ascending. */
export function* slruSegments(state: IngestState, slru: SlruName): Asking<number[]> {
  const directory = yield* slruDirectory(state, slru);
  return Array.from({ length: itemCount(directory, SLRU_DIRECTORY) }, (_, index) => {
    const item = itemAt(directory, SLRU_DIRECTORY, index);
    return new DataView(item.buffer, item.byteOffset, item.length).getUint32(0);
  });
}

/** Pages of a segment, which is created if it does not exist. */
function* segmentSize(
  state: IngestState,
  segment: { readonly slru: SlruName; readonly segno: number },
): Asking<number> {
  const { slru, segno } = segment;
  const directory = yield* slruDirectory(state, slru);
  const item = segmentItem(segno);
  if (findItem(directory, SLRU_DIRECTORY, item) < 0) {
    state.metadata.put(slruDirectoryKey(slru), withItem(directory, SLRU_DIRECTORY, item));
    state.metadata.put(slruSizeKey(segment), encodeRelationSize(0));
    return 0;
  }
  const bytes = yield* state.metadata.read(slruSizeKey(segment));
  if (bytes === undefined) throw lacking(`size of segment ${segno} of ${slru}`, 'a size');
  return decodeRelationSize(bytes);
}

function* slruDirectory(state: IngestState, slru: SlruName): Asking<Uint8Array> {
  const directory = yield* state.metadata.read(slruDirectoryKey(slru), SLRU_DIRECTORY.sorted);
  if (directory === undefined) throw lacking(`directory of ${slru}`, 'a directory');
  return directory;
}

function segmentItem(segno: number): Uint8Array {
  const item = new Uint8Array(SLRU_DIRECTORY.itemSize);
  new DataView(item.buffer).setUint32(0, segno);
  return item;
}

/** Key of a page of an SLRU. */
export function slruPageKey(slru: SlruName, page: number): Uint8Array {
  return slruBlockKey(slruBlockOfPage(slru, page));
}

function putZeros(state: IngestState, key: Uint8Array): void {
  state.putValue(key, { type: 'image', bytes: new Uint8Array(PAGE_SIZE) });
}

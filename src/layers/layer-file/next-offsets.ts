/** What the index and the values say about the blobs after one of a scan. */
import type { BlobScanner } from '../../blob-writer/blob-scanner.ts';
import { isDamage } from '../damage.ts';
import type { LeafSlice } from '../disk-btree/walk.ts';
import type { EntryLayout } from './entry-layout.ts';
import type { ScannedSlice } from './slice-ahead.ts';

/** File offsets of the next two entries, if they are known. */
export interface NextOffsets {
  readonly next: number | undefined;
  readonly afterNext: number | undefined;
}

/** After an entry that is not the last of its leaf; both are unknown for the last one. */
export function nextOffsets(slice: LeafSlice, index: number, layout: EntryLayout): NextOffsets {
  const next = index + 1;
  if (next === slice.node.entryCount) return { next: undefined, afterNext: undefined };
  return offsetsFrom(slice, next, layout);
}

/** Of the leaf that comes next; unknown if damage comes next. */
export function firstOffsets(slice: ScannedSlice | undefined, layout: EntryLayout): NextOffsets {
  if (slice?.kind !== 'slice') return { next: undefined, afterNext: undefined };
  return offsetsFrom(slice, slice.from, layout);
}

/** The first offset of the leaf after a slice, if that leaf is in memory. */
export function nextLeafOffset({ nextLeaf }: LeafSlice, layout: EntryLayout): number | undefined {
  const leaf = nextLeaf?.();
  return leaf && layout.offset(leaf, 0);
}

/** Of an entry of the leaf, and of the entry after it. */
function offsetsFrom(slice: LeafSlice, index: number, layout: EntryLayout): NextOffsets {
  const { node } = slice;
  const isLast = index + 1 === node.entryCount;
  const afterNext = isLast ? nextLeafOffset(slice, layout) : layout.offset(node, index + 1);
  return { next: layout.offset(node, index), afterNext };
}

/** Where a blob ends; `unknown` if its header is not in memory. */
export type BlobEnd = number | 'unreadable' | 'unknown';

/** According to the header of the blob at `offset`. */
export function endOfBlobAt(offset: number, scanner: BlobScanner): BlobEnd {
  try {
    return scanner.endAt(offset) ?? 'unknown';
  } catch (error) {
    if (isDamage(error)) return 'unreadable';
    throw error;
  }
}

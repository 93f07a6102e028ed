/** Entries of a batch, and index entries of a leaf, as groups for `ItemIterator`. */
import type { LeafSlice } from '../disk-btree/walk.ts';
import type { LsnRange } from '../lsn.ts';
import type { EntryBatch, LayerEntry } from './entry-batch.ts';
import { type EntryLayout, entryAt, type IndexEntry } from './entry-layout.ts';
import type { ItemGroup } from './item-iterator.ts';

export function entriesOfBatch(batch: EntryBatch): ItemGroup<LayerEntry> {
  let index = 0;
  return {
    next: () => {
      if (index === batch.count) return undefined;
      index += 1;
      return batch.entry(index - 1);
    },
  };
}

export interface WantedKeys {
  readonly layout: EntryLayout;
  readonly lsnRange?: LsnRange | undefined;
  readonly reverse?: boolean | undefined;
}

export function keysOfSlice(
  { node, from, to }: LeafSlice,
  { layout, lsnRange, reverse }: WantedKeys,
): ItemGroup<IndexEntry> {
  let step = 0;
  return {
    next: () => {
      while (step < to - from) {
        step += 1;
        const entry = entryAt(layout, node, reverse ? to - step : from + step - 1);
        const { lsn } = entry;
        if (lsnRange === undefined || (lsn >= lsnRange.start && lsn < lsnRange.end)) return entry;
      }
      return undefined;
    },
  };
}

/**
 * Bits of the visibility map that a heap record clears without naming the block of the map.
 *
 * A page of the map has the bits of 32,672 heap blocks. If the map does not have the page, there is nothing to clear;
 * the map is never extended. The bits of two heap blocks on one page of the map are one value, otherwise two. Source:
 * Neon pageserver/src/walingest.rs, ingest_clear_vm_bits.
 */
import { forkNumberOf } from '../../postgres/fork.ts';
import { type DatabaseId, relationBlockKey } from '../../postgres/key-mapping.ts';
import { HEAP_BLOCKS_PER_MAP_PAGE } from '../../postgres/neon-records.ts';
import type { IngestState } from './ingest-state.ts';
import type { Asking } from './metadata.ts';
import { forkSize } from './relations.ts';

/** Which bits are cleared, for one heap block or two. */
export interface ClearedBits {
  readonly newHeapBlock: number | null;
  readonly oldHeapBlock: number | null;
  readonly flags: number;
}

/** Number of the fork with the map. */
export const MAP_FORK = forkNumberOf('vm');

/** Bits of a heap block. */
export const ALL_BITS = 0x03;
/** One of them. */
export const ALL_FROZEN = 0x02;

type MappedRelation = DatabaseId & { readonly relnode: number };

export function* clearVisibility(
  state: IngestState,
  relation: MappedRelation,
  bits: ClearedBits,
): Asking<void> {
  const size = yield* forkSize(state, { ...relation, forkNumber: MAP_FORK });
  if (size !== undefined) putClearedBits(state, relation, size, bits);
}

/** `size`: pages of the map. */
export function putClearedBits(
  state: IngestState,
  relation: MappedRelation,
  size: number,
  { newHeapBlock, oldHeapBlock, flags }: ClearedBits,
): void {
  const newHalf = halfOn(newHeapBlock, size);
  const oldHalf = halfOn(oldHeapBlock, size);
  const put = (blkno: number, bits: ClearedBits): void => {
    const { spcnode, dbnode, relnode } = relation;
    const key = relationBlockKey({ spcnode, dbnode, relnode, fork: 'vm', blkno });
    if (state.owns(key)) state.putValue(key, { type: 'clear_vm', ...bits });
  };
  if (newHalf !== undefined && oldHalf !== undefined && newHalf.page === oldHalf.page) {
    put(newHalf.page, { newHeapBlock, oldHeapBlock, flags });
    return;
  }
  if (newHalf !== undefined) put(newHalf.page, { newHeapBlock, oldHeapBlock: null, flags });
  if (oldHalf !== undefined) put(oldHalf.page, { newHeapBlock: null, oldHeapBlock, flags });
}

/** The page of the map that has the bits of a heap block; undefined if the map is too short. */
function halfOn(heapBlock: number | null, size: number): { readonly page: number } | undefined {
  if (heapBlock === null) return undefined;
  const page = Math.floor(heapBlock / HEAP_BLOCKS_PER_MAP_PAGE);
  return page < size ? { page } : undefined;
}

/**
 * Chooses how to read a damaged file so that most of it is found: with which ranges, and through the root or through
 * every leaf in the index.
 *
 * A root that was replaced by another node of the index is valid in itself, but leads only to some of the leaves. This
 * shows in values that no entry refers to. Wrong ranges show in entries outside them.
 */
import { StorageError } from '../../errors.ts';
import { isDamage } from '../../layers/damage.ts';
import type { SalvageReader } from '../../layers/layer-file/salvage-reader.ts';
import { BLOCK_SIZE } from '../../virtual-file/block.ts';
import type { LayerOrigin, ReadRanges } from './layer-origin.ts';

export interface Approach {
  readonly ranges: ReadRanges;
  /** Why the root is not used; undefined if it is used. */
  readonly rootError: StorageError | undefined;
}

interface Surveying {
  readonly open: (ranges: ReadRanges) => Promise<SalvageReader>;
  readonly signal: AbortSignal | undefined;
}

/** What a scan would find. */
interface Survey {
  readonly count: number;
  /** Entries outside the ranges. */
  readonly outside: number;
  /** `damaged`: some of it; `lost`: no leaf is left. */
  readonly index: 'valid' | 'damaged' | 'lost';
}

/** Throws: `io`, `aborted`. */
export async function chooseApproach(
  { path }: SalvageReader,
  { ranges: candidates }: LayerOrigin,
  surveying: Surveying,
): Promise<Approach> {
  const [first] = candidates;
  if (first === undefined) throw new TypeError('there are always ranges that exclude nothing');
  let best: Approach = { ranges: first, rootError: undefined };
  let bestCount = -1;
  for (const ranges of candidates) {
    const byRoot = await survey(surveying, { ranges, rootError: undefined });
    if (byRoot.index === 'lost') return best;
    if (byRoot.count > bestCount) {
      best = { ranges, rootError: undefined };
      bestCount = byRoot.count;
    }
    if (byRoot.index === 'valid') return best;
    const rootError = new StorageError('corrupt', {
      what: 'root of the index does not lead to all leaves',
      path,
    });
    const byLeaves = await survey(surveying, { ranges, rootError });
    if (byLeaves.count > bestCount) {
      best = { ranges, rootError };
      bestCount = byLeaves.count;
    }
    if (byRoot.outside === 0 && byLeaves.outside === 0) return best;
  }
  return best;
}

/** Reads the values, but decompresses and decodes none. */
async function survey(
  { open, signal }: Surveying,
  { ranges, rootError }: Approach,
): Promise<Survey> {
  let count = 0;
  let outside = 0;
  let isValid = true;
  let end = BLOCK_SIZE;
  await using reader = await open(ranges);
  try {
    const scan = { signal, contents: 'stored', rootError } as const;
    for await (const item of reader.salvageBatches(scan)) {
      if (item.kind === 'loose-blob' || item.kind === 'damaged-blob') {
        return { count, outside, index: 'lost' };
      }
      if (item.kind !== 'batch') {
        isValid = false;
        if (item.kind === 'damaged-entry' && item.error.code === 'out-of-range') outside += 1;
        continue;
      }
      const { batch } = item;
      for (let row = 0; row < batch.count; row += 1) {
        const offset = batch.offsets[row] as number;
        if (offset !== end) isValid = false;
        end = offset + (batch.storedLengths[row] as number);
      }
      count += batch.count;
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    return { count, outside, index: count === 0 ? 'lost' : 'damaged' };
  }
  const { startBlock } = await reader.indexLocation();
  if (startBlock * BLOCK_SIZE - end >= BLOCK_SIZE) isValid = false;
  return { count, outside, index: isValid ? 'valid' : 'damaged' };
}

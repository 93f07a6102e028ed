/**
 * Chooses the L0s that are compacted together.
 *
 *   in the order of their LSNs: the first, and each next one that starts where the previous one ends, until
 *   the sizes of those after the first reach max(upper limit, threshold) * max(checkpoint distance, 256 MiB)
 *
 * Source: Neon pageserver/src/tenant/timeline/compaction.rs.
 */
import {
  checkCount,
  checkedItems,
  checkObject,
  checkOptions,
  type KnownOptions,
} from '../check-options.ts';
import type { MapLayer } from '../timeline/layer-map/layer-map.ts';

/** 256 MiB: what a pageserver keeps in memory before it writes an L0. */
export const DEFAULT_CHECKPOINT_DISTANCE = 256 * 1024 * 1024;

/** When L0s are compacted, and how many of them. */
export interface Level0Options {
  /** Fewer L0s than this are left alone. Default: 10. */
  readonly threshold?: number | undefined;
  /** Maximum number of full-size L0s that are compacted together. Default: 10. */
  readonly upperLimit?: number | undefined;
  /** Bytes of the layers that are made. Default: 256 MiB. */
  readonly checkpointDistance?: number | undefined;
}

export const LEVEL0_OPTIONS: KnownOptions<Level0Options> = {
  threshold: true,
  upperLimit: true,
  checkpointDistance: true,
};

/**
 * Chooses the L0s of a timeline that a pageserver would compact next.
 *
 * @param layers Of any level. A layer without a size counts as 0.
 * @returns L0s whose LSN ranges follow each other; none if there are fewer than the threshold.
 * @throws `invalid-input` for options that are not valid.
 */
export function chooseLevel0(
  layers: Iterable<MapLayer>,
  options: Level0Options = {},
): readonly MapLayer[] {
  checkOptions(options, LEVEL0_OPTIONS);
  const { threshold = 10, upperLimit = 10 } = options;
  const { checkpointDistance = DEFAULT_CHECKPOINT_DISTANCE } = options;
  checkCount('threshold', threshold, { from: 1 });
  checkCount('upperLimit', upperLimit, { from: 1 });
  checkCount('checkpointDistance', checkpointDistance, { from: 1 });
  const all = checkedItems('layers', layers, (layer) => checkObject('layer', layer));
  const level0 = all.filter(({ level }) => level === 'L0').sort(byLsns);
  if (level0.length < threshold) return [];
  const usual = Math.max(checkpointDistance, DEFAULT_CHECKPOINT_DISTANCE);
  const limit = BigInt(Math.max(upperLimit, threshold)) * BigInt(usual);
  const chosen = level0.slice(0, 1);
  let size = 0n;
  for (const layer of level0.slice(1)) {
    if (layer.lsnRange.start !== chosen.at(-1)?.lsnRange.end) break;
    chosen.push(layer);
    size += layer.size ?? 0n;
    if (size >= limit) break;
  }
  return chosen;
}

function byLsns({ lsnRange: one }: MapLayer, { lsnRange: other }: MapLayer): number {
  if (one.start !== other.start) return one.start < other.start ? -1 : 1;
  if (one.end === other.end) return 0;
  return one.end < other.end ? -1 : 1;
}

/**
 * Reads several shards of a timeline as one: the value of a key is that of the shard that owns it. Single keys are read
 * from their owner only; ranges are read from all shards.
 *
 * After a split, a shard's layers may still have keys of other shards. These values no longer belong to the timeline,
 * and are left out.
 */
import { formatKey, type KeyRange } from '../layers/key.ts';
import { intersect, isSingleKey, type KeySpace, normalized, singleKey } from './key-space.ts';
import {
  type Reconstruction,
  type WalkedTimeline,
  type WalkRequest,
  type WalkResult,
  walk,
} from './reconstruct.ts';
import { type Sharding, shardOfKey } from './shard-owner.ts';

/** Shards of one timeline. */
export interface WalkedShards {
  readonly sharding: Sharding;
  /** Throws `not-found` for a shard that is not in the source. */
  readonly shardAt: (shardNumber: number) => WalkedTimeline;
}

/** Reads the keys, one shard after the other. Throws as `walk`, and as `shardAt` before anything is read. */
export async function walkShards(
  { sharding, shardAt }: WalkedShards,
  request: WalkRequest,
): Promise<WalkResult> {
  const parts = partsOf(request.keys, sharding);
  const walks = parts.map((part) => ({ ...part, timeline: shardAt(part.shardNumber) }));
  const results: ShardResult[] = [];
  let byteCount = 0;
  for (const { timeline, shardNumber, keys, singles } of walks) {
    const result = await walk(timeline, { ...request, keys, bytesBefore: byteCount });
    byteCount = result.byteCount;
    results.push({ shardNumber, singles, result });
  }
  return merged(results, sharding);
}

/** What is requested from one shard. */
interface ShardPart {
  readonly shardNumber: number;
  /** Keys that it owns. */
  readonly singles: KeySpace;
  /** These, and the ranges that are requested from all shards. */
  readonly keys: KeySpace;
}

/** Shards without a key are skipped. */
function partsOf(keys: KeySpace, sharding: Sharding): ShardPart[] {
  const ranges = keys.filter((range) => !isSingleKey(range));
  const singles = new Map<number, KeyRange[]>();
  for (const range of keys.filter(isSingleKey)) {
    listOf(singles, shardOfKey(range.start, sharding)).push(range);
  }
  const parts: ShardPart[] = [];
  for (let shardNumber = 0; shardNumber < sharding.count; shardNumber += 1) {
    const own = singles.get(shardNumber) ?? [];
    if (own.length + ranges.length === 0) continue;
    parts.push({ shardNumber, singles: own, keys: [...own, ...ranges] });
  }
  return parts;
}

interface ShardResult {
  readonly shardNumber: number;
  readonly singles: KeySpace;
  readonly result: WalkResult;
}

function merged(results: readonly ShardResult[], sharding: Sharding): WalkResult {
  const found = new Map<string, Reconstruction>();
  /** By owner: keys that another shard has. */
  const misplaced = new Map<number, KeyRange[]>();
  for (const { shardNumber, result } of results) {
    for (const one of result.found.values()) {
      const owner = shardOfKey(one.key, sharding);
      if (owner === shardNumber) found.set(formatKey(one.key), one);
      else if (one.outcome !== 'missing') listOf(misplaced, owner).push(singleKey(one.key));
    }
  }
  return {
    found,
    missing: missingKeys(results, misplaced),
    visitCount: results.reduce((sum, { result }) => sum + result.visitCount, 0),
    byteCount: results.at(-1)?.result.byteCount ?? 0,
  };
}

/**
 * Keys that their owner lacks: those that no shard has, and those that only other shards have. So ranges are not cut at
 * each of their stripes.
 */
function missingKeys(
  results: readonly ShardResult[],
  misplaced: ReadonlyMap<number, KeyRange[]>,
): KeySpace {
  let missing: KeySpace | undefined;
  const ofOwners: KeyRange[] = [];
  for (const { shardNumber, singles, result } of results) {
    missing = missing === undefined ? result.missing : intersect(missing, result.missing);
    const own = normalized([...singles, ...(misplaced.get(shardNumber) ?? [])]);
    ofOwners.push(...intersect(own, result.missing));
  }
  return normalized([...(missing ?? []), ...ofOwners]);
}

function listOf<K, V>(lists: Map<K, V[]>, key: K): V[] {
  const list = lists.get(key) ?? [];
  lists.set(key, list);
  return list;
}

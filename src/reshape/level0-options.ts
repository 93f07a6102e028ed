/** The options and the result of compacting L0s. */

import { checkCount, checkObject, type KnownOptions } from '../check-options.ts';
import type { DeltaWriteOptions } from '../layers/delta-layer/writer.ts';
import type { KeyRange } from '../layers/key.ts';
import type { LayerReader } from '../layers/layer-file/layer-reader.ts';
import type { FinishedLayer } from '../layers/layer-file/layer-writer.ts';
import { WRITE_OPTIONS } from '../layers/layer-file/layer-writer.ts';
import type { Lsn } from '../layers/lsn.ts';
import type { LayerMap } from '../timeline/layer-map/layer-map.ts';
import { checkSharding, type Sharding } from '../timeline/shard-owner.ts';
import type { OnLayer } from './finished-pieces.ts';

/** Which keys a shard keeps. */
export interface ShardFilter {
  /** How the tenant is sharded. */
  readonly sharding: Sharding;
  /** The number of the shard. */
  readonly shardNumber: number;
}

/** Throws `invalid-input`. */
export function checkShardFilter(shard: ShardFilter | undefined): void {
  if (shard === undefined) return;
  checkObject('shard', shard);
  checkSharding(shard.sharding);
  checkCount('shardNumber', shard.shardNumber);
}

/** Options of `compactLevel0`. */
export interface CompactLevel0Options extends Omit<DeltaWriteOptions, 'keyRange' | 'lsnRange'> {
  /** Delta layers whose LSN ranges follow each other, as `chooseLevel0` chooses them, the oldest first. */
  readonly readers: readonly LayerReader[];
  /** All layers of the timeline, for the holes. */
  readonly map: LayerMap;
  /** The last LSN of the timeline, from which image layers are seen. Default: the highest. */
  readonly lastRecordLsn?: Lsn | undefined;
  /** Bytes of the layers that are made: the checkpoint distance. Default: 256 MiB. */
  readonly targetSize?: number | undefined;
  /** Keys of other shards are left out. Default: none are. */
  readonly shard?: ShardFilter | undefined;
  /**
   * Number of threads that merge in addition to the caller's, which then only writes. None are started
   * unless all layers are files that were opened by their paths. Default: 0.
   */
  readonly threadCount?: number | undefined;
  /** Called with each layer once it is durable, in order; the next one waits for its promise. */
  readonly onLayer?: OnLayer | undefined;
  /** Called from time to time with the number of entries merged so far, and the bytes of the inputs that they take. */
  readonly onProgress?: ((entries: number, bytes: number) => void) | undefined;
}

export const COMPACT_LEVEL0_OPTIONS: KnownOptions<CompactLevel0Options> = {
  ...WRITE_OPTIONS,
  readers: true,
  map: true,
  lastRecordLsn: true,
  targetSize: true,
  shard: true,
  threadCount: true,
  onLayer: 'function',
  onProgress: 'function',
};

/** The result of a compaction. */
export interface CompactedLevel0 {
  /** In the order of keys and LSNs, all durable. */
  readonly layers: readonly FinishedLayer[];
  /** Entries of the inputs. */
  readonly entries: number;
  /** Of these, entries of keys that belong to other shards. */
  readonly droppedEntries: number;
  /** Key ranges that no layer spans. */
  readonly holes: readonly KeyRange[];
}

/**
 * An entry of `layer_metadata` in an index, also used in heatmaps.
 *
 *   {"file_size":24576,"generation":1,"shard":"0104"}
 *
 *   file_size   bytes, u64
 *   generation  u32; missing: none
 *   shard       4 hex digits, number and count; missing: not sharded
 */
import type { JsonObject, JsonValue } from '../exact-json.ts';
import { type Generation, MAXIMUM_GENERATION } from '../generation.ts';
import type { JsonField } from '../json-fields.ts';
import {
  formatShardIndex,
  isUnsharded,
  parseShardIndex,
  type ShardIndex,
  UNSHARDED,
} from '../tenant-shard.ts';
import { mergeFields } from './merge-fields.ts';

/** What an index says about a layer. */
export interface IndexLayer {
  /** Bytes. */
  readonly fileSize: bigint;
  /** The generation in the name of the object. */
  readonly generation: Generation;
  /** The shard in the path of the object: the one that wrote it. */
  readonly shard: ShardIndex;
}

/** Decodes an entry; unknown fields are ignored. */
export function decodeLayerEntry(field: JsonField): IndexLayer {
  const generation = field.field('generation');
  const shard = field.field('shard');
  return {
    fileSize: field.field('file_size').u64(),
    generation: generation.value === undefined ? undefined : generation.count(MAXIMUM_GENERATION),
    shard:
      shard.value === undefined ? UNSHARDED : shard.parsed(() => parseShardIndex(shard.text())),
  };
}

/** Encodes an entry, with the unknown fields of the one that it replaces. */
export function encodeLayerEntry(layer: IndexLayer, old: JsonObject = {}): JsonValue {
  return mergeFields(old, [
    ['file_size', isExact(layer.fileSize) ? Number(layer.fileSize) : layer.fileSize],
    ['generation', layer.generation],
    ['shard', isUnsharded(layer.shard) ? undefined : formatShardIndex(layer.shard)],
  ]);
}

/** Whether the size is the same as a JavaScript number. */
function isExact(size: bigint): boolean {
  return size <= BigInt(Number.MAX_SAFE_INTEGER);
}

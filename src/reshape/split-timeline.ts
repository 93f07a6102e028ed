/**
 * Splits a timeline, or one shard of it, into shards: each gets layers with the keys that it keeps, and an index that
 * names them.
 *
 *   child n of N   from the parent n mod (number of parents)
 *   layer          under its name, with unchanged blobs; omitted if it has no key of the child
 *   index          like that of the parent, with the child's layers
 *   manifest       the stripe size, which determines the shard of a page
 *
 * A pageserver first names the parent's layers in the indices of the children, and rewrites image layers later. Here
 * all layers are rewritten, so that a child does not need the layers of its parent.
 */
import {
  checkCount,
  checkMethod,
  checkOptions,
  checkSignal,
  checkText,
  type KnownOptions,
} from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { inOrder } from '../timeline/in-order.ts';
import { DEFAULT_STRIPE_SIZE } from '../timeline/shard-owner.ts';
import type { Timeline } from '../timeline/timeline.ts';
import { indexOf } from './compact-timeline.ts';
import { type CopiedLayer, copyLayer } from './copy-layer.ts';
import { type LayerOutput, type ReshapedLayer, StoredLayers } from './layer-output.ts';

/** Options of `writeShard`. */
export interface WriteShardOptions {
  /** Where layers and index of the shard go. */
  readonly output: LayerOutput;
  /** 0 to count - 1. */
  readonly shardNumber: number;
  /** How many shards there will be: 2 to 255, and a multiple of the present number. */
  readonly count: number;
  /** Pages of a stripe. Default: 2,048. */
  readonly stripeSize?: number | undefined;
  /** Number of layers at a time. Default: 1. */
  readonly concurrency?: number | undefined;
  /** Called with each layer once it is stored. */
  readonly onLayer?: ((layer: ReshapedLayer) => void | Promise<void>) | undefined;
  /** Ends the work with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

const OPTIONS: KnownOptions<WriteShardOptions> = {
  output: true,
  shardNumber: true,
  count: true,
  stripeSize: true,
  concurrency: true,
  onLayer: 'function',
  signal: true,
};

/** A shard that was written. */
export interface WrittenShard {
  /** In the order of their names. */
  readonly layers: readonly ReshapedLayer[];
  /** Entries of the parent that the shard does not keep. */
  readonly droppedEntries: number;
  /** Path of the index. */
  readonly indexPath: string;
  /** Path of the shard's manifest, which has the stripe size; undefined if the output does not accept one. */
  readonly manifestPath: string | undefined;
}

/**
 * Writes one shard of a timeline that is being split.
 *
 * @throws `invalid-input` for a count that is not valid; `not-found` without an index, or without the parent;
 * as `copyLayer` and the output.
 *
 * Durability: once this resolves, the layers and the index survive a crash. Until then, the index does not
 * exist.
 */
export async function writeShard(
  timeline: Timeline,
  options: WriteShardOptions,
): Promise<WrittenShard> {
  checkMethod('timeline', timeline, 'acquireLayer');
  checkOptions(options, OPTIONS);
  checkSignal(options.signal);
  const { output, shardNumber, count, concurrency = 1, onLayer, signal } = options;
  checkCount('concurrency', concurrency, { from: 1 });
  const stripeSize = options.stripeSize ?? timeline.sharding?.stripeSize ?? DEFAULT_STRIPE_SIZE;
  checkCount('shard count', count, { from: 2, to: 0xff });
  checkCount('shard number', shardNumber, { to: count - 1 });
  const parent = parentOf(timeline, shardNumber, count);
  const index = indexOf(parent);
  const shard = { sharding: { count, stripeSize }, shardNumber };
  const stored = new StoredLayers(output, onLayer);
  let droppedEntries = 0;
  const names = [...parent.map.layers()].map(({ name }) => name);
  const copyOf = async (name: string): Promise<CopiedLayer> => {
    const held = await parent.acquireLayer(name, signal);
    try {
      const directory = output.stagingDirectory;
      return await copyLayer(held.reader, { directory, shard, signal });
    } finally {
      held.release();
    }
  };
  for await (const { layer, ...copied } of inOrder(names.sort(), concurrency, copyOf)) {
    droppedEntries += copied.droppedEntries;
    if (layer !== undefined) await stored.add(layer);
  }
  const manifestPath = await output.putTenantManifest?.({ stripeSize, offloadedTimelines: [] });
  if (manifestPath !== undefined) checkText('result of putTenantManifest', manifestPath);
  const indexPath = await stored.putIndex(index.with({ layers: output.layers }));
  return { layers: stored.list, droppedEntries, indexPath, manifestPath };
}

function parentOf(timeline: Timeline, shardNumber: number, count: number): Timeline {
  const { sharding, shards, facts } = timeline;
  if (sharding === undefined) {
    if (facts.shard === undefined) return timeline;
    throw new StorageError('invalid-input', {
      what: 'timeline to split',
      expected: 'one that is not sharded, or all shards of one',
      actual: `shard ${facts.shard}`,
    });
  }
  if (count % sharding.count !== 0 || count === sharding.count) {
    throw new StorageError('invalid-input', {
      what: 'shard count',
      expected: `a multiple of ${sharding.count}`,
      actual: `${count}`,
    });
  }
  const number = shardNumber % sharding.count;
  const parent = shards.find(
    ({ facts: { shard } }) => Number.parseInt(shard?.slice(0, 2) ?? '0', 16) === number,
  );
  if (parent !== undefined) return parent;
  throw new StorageError('not-found', { what: `shard ${number} is not in the source` });
}

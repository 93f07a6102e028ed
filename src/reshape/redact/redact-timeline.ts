/**
 * Makes a timeline of the same shape without data: all of its layers, redacted, and an index that names them. The index
 * keeps the metadata of the old one, and how relation sizes are stored, but no texts, times or unknown fields.
 */
import { checkMethod, checkOptions, checkSignal, type KnownOptions } from '../../check-options.ts';
import { IndexPart } from '../../timeline/index-part/index-part.ts';
import type { Timeline } from '../../timeline/timeline.ts';
import { indexOf } from '../compact-timeline.ts';
import { type LayerOutput, type ReshapedLayer, StoredLayers } from '../layer-output.ts';
import { redactLayer } from './redact-layer.ts';

/** Options of `redactTimeline`. */
export interface RedactTimelineOptions {
  /** Where layers and index go. */
  readonly output: LayerOutput;
  /** Seed of the noise, u32. Default: 0. */
  readonly seed?: number | undefined;
  /** Called with each layer once it is stored. */
  readonly onLayer?: ((layer: ReshapedLayer) => void | Promise<void>) | undefined;
  /** Ends the work with `aborted`. */
  readonly signal?: AbortSignal | undefined;
}

const OPTIONS: KnownOptions<RedactTimelineOptions> = {
  output: true,
  seed: true,
  onLayer: 'function',
  signal: true,
};

/** A timeline that was redacted. */
export interface RedactedTimeline {
  /** In the order of their names. */
  readonly layers: readonly ReshapedLayer[];
  /** Path of the index. */
  readonly indexPath: string;
}

/**
 * Makes a timeline of the same shape without data.
 *
 * @param timeline A timeline with an index; of a sharded tenant, one shard.
 * @throws `not-found` without an index; as `redactLayer` and the output.
 *
 * Durability: once this resolves, the layers and the index survive a crash. Until then, the index does not
 * exist.
 */
export async function redactTimeline(
  timeline: Timeline,
  options: RedactTimelineOptions,
): Promise<RedactedTimeline> {
  checkMethod('timeline', timeline, 'acquireLayer');
  checkOptions(options, OPTIONS);
  checkSignal(options.signal);
  const { output, seed, onLayer, signal } = options;
  const { metadata, relSizeMigration, relSizeMigratedAt } = indexOf(timeline).fields;
  const stored = new StoredLayers(output, onLayer);
  const names = [...timeline.map.layers()].map(({ name }) => name);
  for (const name of names.sort()) {
    const held = await timeline.acquireLayer(name, signal);
    try {
      const directory = output.stagingDirectory;
      await stored.add(await redactLayer(held.reader, { directory, seed, signal }));
    } finally {
      held.release();
    }
  }
  const index = IndexPart.create({ layers: output.layers, metadata });
  const indexPath = await stored.putIndex(index.with({ relSizeMigration, relSizeMigratedAt }));
  return { layers: stored.list, indexPath };
}

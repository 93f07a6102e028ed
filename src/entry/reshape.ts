/** Layers in another shape: merged, split, filtered, copied and compacted. */
export {
  type CompactedLevel0,
  type CompactLevel0Options,
  compactLevel0,
  type ShardFilter,
} from '../reshape/compact-level0.ts';
export {
  type CompactedTimeline,
  type CompactTimelineOptions,
  compactTimeline,
} from '../reshape/compact-timeline.ts';
export { type CopiedLayer, type CopyLayerOptions, copyLayer } from '../reshape/copy-layer.ts';
export type { OnLayer } from '../reshape/finished-pieces.ts';
export type { LayerOutput, ReshapedLayer } from '../reshape/layer-output.ts';
export {
  chooseLevel0,
  DEFAULT_CHECKPOINT_DISTANCE,
  type Level0Options,
} from '../reshape/level0.ts';
export {
  DEFAULT_TARGET_SIZE,
  type SplitDeltaOptions,
  SplitDeltaWriter,
} from '../reshape/split-delta-writer.ts';
export { type SplitImageOptions, SplitImageWriter } from '../reshape/split-image-writer.ts';
export {
  type WriteShardOptions,
  type WrittenShard,
  writeShard,
} from '../reshape/split-timeline.ts';

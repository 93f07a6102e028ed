/**
 * `layerfile/timeline`: the layers of a timeline together, and its index.
 *
 *   import { LayerMap } from 'layerfile/timeline';
 *
 *   const map = LayerMap.fromNames(names);
 *   const next = map.search(key, lsn + 1n);      // the layer that a pageserver would read first
 */

export {
  type ImageSegment,
  type KeyHole,
  LayerMap,
  type LayerMapOptions,
  type LayerVisibility,
  type MapLayer,
  type RangeSearchResult,
  type SearchResult,
} from '../timeline/layer-map/layer-map.ts';
export type { LayerLevel } from '../timeline/layer-map/layer-table.ts';
export type { MemoryLayer } from '../timeline/layer-map/memory-layers.ts';
export type { MaterializeOptions, NeededRedo, RedoRunner } from '../timeline/materialize.ts';
export {
  listTimelines,
  type OpenTimelineOptions,
  openTimeline,
  type TimelineSource,
} from '../timeline/open-timeline.ts';
export type { PageResult } from '../timeline/read-page.ts';
export type {
  LayerVisit,
  Reconstruction,
  TimelineEntry,
} from '../timeline/reconstruct.ts';
export {
  type HistoryOptions,
  type RangeReconstruction,
  type ReadPageOptions,
  Timeline,
  type TimelineAncestor,
  type TimelineFacts,
  type TimelineReadOptions,
} from '../timeline/timeline.ts';
export type { TimelineLocation } from '../timeline/timeline-layout.ts';
export {
  encodeRedoMessages,
  type RedoRecord,
  type RedoRequest,
} from '../timeline/wal-redo/messages.ts';
export { RedoProcess, type RedoProcessOptions } from '../timeline/wal-redo/redo-process.ts';

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

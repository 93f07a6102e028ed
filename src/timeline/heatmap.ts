/**
 * heatmap-v1.json: the layers that a pageserver has on its disk and a read can reach, for a
 * secondary location that keeps copies.
 *
 *   {"generation":3,"timelines":[{"timeline_id":…,"layers":[
 *     {"name":…,"metadata":{"file_size":24576,"generation":1},"access_time":1710000000,"cold":false}]}],
 *    "upload_period_ms":60000}
 *
 *   access_time       seconds since 1970
 *   cold              missing: false
 *   upload_period_ms  missing or null: not known
 *
 * The order of the layers is that in which they are to be downloaded.
 * Source: Neon pageserver/src/tenant/secondary/heatmap.rs.
 */
import { checkText } from '../check-options.ts';
import { parseExactJson } from './exact-json.ts';
import { type Generation, MAXIMUM_GENERATION } from './generation.ts';
import { canonicalLayerName } from './index-part/index-fields.ts';
import { decodeLayerEntry, type IndexLayer } from './index-part/layer-entry.ts';
import { JsonField } from './json-fields.ts';

/** A layer of a heatmap. */
export interface HeatmapLayer extends IndexLayer {
  /** Canonical, without a generation. */
  readonly name: string;
  /** Seconds since 1970. */
  readonly accessTime: number;
  /** True if the secondary location need not keep it. */
  readonly isCold: boolean;
}

/** A timeline of a heatmap. */
export interface HeatmapTimeline {
  /** 32 lower-case hex digits. */
  readonly timelineId: string;
  /** In the order of the downloads. */
  readonly layers: readonly HeatmapLayer[];
}

/** The heatmap of a tenant. */
export interface Heatmap {
  /** Of the pageserver that wrote it. */
  readonly generation: Generation;
  /** In the order of the file. */
  readonly timelines: readonly HeatmapTimeline[];
  /** How often it is uploaded, if known. */
  readonly uploadPeriodMs: number | undefined;
}

const MAXIMUM_HEATMAP_SIZE = 256 * 1024 * 1024;

/**
 * Parses a heatmap; unknown fields are ignored.
 *
 * @throws `corrupt`, with the place; `too-large` above 256 MiB.
 */
export function parseHeatmap(content: Uint8Array | string, path?: string): Heatmap {
  if (path !== undefined) checkText('path', path);
  const source = { what: 'heatmap', path, maximumSize: MAXIMUM_HEATMAP_SIZE };
  const root = new JsonField(parseExactJson(content, source), '', path);
  return {
    generation: root.field('generation').optional((value) => value.count(MAXIMUM_GENERATION)),
    timelines: root
      .field('timelines')
      .array()
      .map((timeline) => ({
        timelineId: timeline.field('timeline_id').identifier(),
        layers: timeline.field('layers').array().map(parseLayer),
      })),
    uploadPeriodMs: root.field('upload_period_ms').optional((value) => value.count()),
  };
}

function parseLayer(field: JsonField): HeatmapLayer {
  const name = field.field('name');
  const cold = field.field('cold');
  return {
    name: name.parsed(() => canonicalLayerName(name.text())),
    ...decodeLayerEntry(field.field('metadata')),
    accessTime: field.field('access_time').count(),
    isCold: cold.value === undefined ? false : cold.boolean(),
  };
}

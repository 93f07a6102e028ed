/**
 * All versions of a key in the layers of a timeline, newest first.
 *
 * Layers are opened when their LSN range is reached, so that a caller who takes only the newest versions reads few
 * layers. Layers may overlap: a version is returned once for each layer that has it.
 */
import { compareKeys, type Key } from '../layers/key.ts';
import type { LayerEntry } from '../layers/layer-file/entry-batch.ts';
import type { Lsn, LsnRange } from '../layers/lsn.ts';
import type { HeldLayer } from './layer-files.ts';
import type { LayerMap, MapLayer } from './layer-map/layer-map.ts';
import { type TimelineEntry, timelineEntry } from './reconstruct.ts';

export interface HistorySource {
  readonly timelineId: string | undefined;
  readonly map: LayerMap;
  readonly acquire: (name: string, signal: AbortSignal | undefined) => Promise<HeldLayer>;
}

export interface HistoryRequest {
  readonly key: Key;
  readonly lsnRange: LsnRange;
  readonly signal?: AbortSignal | undefined;
}

/** A layer that is being read: its next version, and those after it. */
interface Cursor {
  readonly layer: string;
  readonly held: HeldLayer;
  readonly versions: AsyncGenerator<LayerEntry>;
  next: LayerEntry;
}

/** Versions of the key in the layers of one timeline. Throws as `LayerReader.versions`, and as `acquire`. */
export async function* historyOf(
  source: HistorySource,
  request: HistoryRequest,
): AsyncGenerator<TimelineEntry> {
  const waiting = layersOf(source.map, request);
  const cursors: Cursor[] = [];
  try {
    for (;;) {
      for (let layer = waiting.at(-1); layer !== undefined; layer = waiting.at(-1)) {
        const newest = newestOf(cursors);
        // All its versions are older.
        if (newest !== undefined && layer.lsnRange.end <= newest.next.lsn) break;
        waiting.pop();
        const cursor = await openCursor(source, layer, request);
        if (cursor !== undefined) cursors.push(cursor);
      }
      const cursor = newestOf(cursors);
      if (cursor === undefined) return;
      const { layer, next } = cursor;
      yield timelineEntry(next, { reader: cursor.held.reader, layer, timeline: source });
      const following = await cursor.versions.next();
      if (following.done !== true) {
        cursor.next = following.value;
        continue;
      }
      cursors.splice(cursors.indexOf(cursor), 1);
      cursor.held.release();
    }
  } finally {
    for (const { versions, held } of cursors) {
      await versions.return(undefined);
      held.release();
    }
  }
}

/** Layers that may have a version, in the order of their ends. */
function layersOf(map: LayerMap, { key, lsnRange }: HistoryRequest): MapLayer[] {
  const layers: MapLayer[] = [];
  for (const layer of map.layers()) {
    const { keyRange, lsnRange: range } = layer;
    if (range.end <= lsnRange.start || range.start >= lsnRange.end) continue;
    const isInside = compareKeys(keyRange.start, key) <= 0 && compareKeys(key, keyRange.end) < 0;
    if (isInside) layers.push(layer);
  }
  return layers.sort((left, right) => compareLsns(left.lsnRange.end, right.lsnRange.end));
}

/** Undefined if the layer has no version of the key. */
async function openCursor(
  source: HistorySource,
  { name }: MapLayer,
  { key, lsnRange, signal }: HistoryRequest,
): Promise<Cursor | undefined> {
  const held = await source.acquire(name, signal);
  try {
    const versions = held.reader.versions(key, lsnRange);
    const first = await versions.next();
    if (first.done !== true) return { layer: name, held, versions, next: first.value };
  } catch (error) {
    held.release();
    throw error;
  }
  held.release();
  return undefined;
}

/** Among equal LSNs, the cursor that was opened first. */
function newestOf(cursors: readonly Cursor[]): Cursor | undefined {
  let newest: Cursor | undefined;
  for (const cursor of cursors) {
    if (newest === undefined || cursor.next.lsn > newest.next.lsn) newest = cursor;
  }
  return newest;
}

function compareLsns(left: Lsn, right: Lsn): number {
  return left < right ? -1 : Number(left > right);
}

/**
 * Finds what a page is built from, visiting the layers of a timeline and its ancestors as a pageserver's read does.
 *
 * On one timeline, from the LSN down:
 *
 *   1. The layer map gives the next layer for each key, and down to which LSN it is read.
 *   2. The visit with the highest end is read. A delta completes the keys for which it has a value that needs no older
 *      one; an image layer completes the keys that it contains, and covers its key range: keys that it lacks do not
 *      exist.
 *   3. Keys of the visit that are neither complete nor covered continue below it.
 *
 * When no layer is left, keys that are not complete continue in the ancestor at the branch point, unless an
 * image layer covered them. Keys of aux files and origins (62, 63) and 03…02 are not inherited. Sparse keys
 * (60 to 7E) are never complete before an image layer covers them; their newest image counts.
 *
 * Source: Neon pageserver/src/tenant/timeline.rs, get_vectored_reconstruct_data.
 */
import { isStorageError, StorageError, throwIfAborted, tooLarge } from '../errors.ts';
import { compareKeys, formatKey, type Key, type KeyRange, keyFromFields } from '../layers/key.ts';
import type { LayerEntry } from '../layers/layer-file/entry-batch.ts';
import { locateValueError } from '../layers/layer-file/salvage.ts';
import type { Lsn, LsnRange } from '../layers/lsn.ts';
import type { ValueType } from '../layers/value-format.ts';
import { outlineOfValue } from '../layers/value-outline.ts';
import { Fringe } from './fringe.ts';
import { isSingleKey, type KeySpace, normalized, singleKey, subtract } from './key-space.ts';
import type { LayerMap } from './layer-map/layer-map.ts';
import { type AnyLayerReader, readVersions } from './layer-versions.ts';

/** An entry of a layer of a timeline. */
export interface TimelineEntry extends LayerEntry {
  /** Timeline of the layer; undefined if unknown. */
  readonly timelineId: string | undefined;
  /** Name of the layer, without a generation. */
  readonly layer: string;
  /** Kind of the value; that of an image layer's entry is `image`. */
  readonly type: ValueType;
  /** Whether the layer is an image layer, whose bytes are the page itself. */
  readonly layerKind: 'delta' | 'image';
}

/** A layer that a read visited for a key. */
export interface LayerVisit {
  /** Timeline of the layer; undefined if unknown. */
  readonly timelineId: string | undefined;
  /** Name of the layer, without a generation. */
  readonly layer: string;
  /** LSNs that were read from it. */
  readonly lsnRange: LsnRange;
  /** Values of the key that it had there, newest first, down to one that needs no older one. */
  readonly entries: readonly TimelineEntry[];
}

/** What the value of a key at an LSN is built from. */
export interface Reconstruction {
  /** The key. */
  readonly key: Key;
  /** LSN of the read, inclusive. */
  readonly lsn: Lsn;
  /** Layers in the order of reading; empty for a key that was found by a read of ranges. */
  readonly visits: readonly LayerVisit[];
  /** The image to start from; undefined if the first record does not need one, or if there is none. */
  readonly base: TimelineEntry | undefined;
  /** Records to apply, oldest first. */
  readonly records: readonly TimelineEntry[];
  /**
   * `complete`: base or first record, and what follows. `missing`: no value at all. `no-base`: records, but
   * neither an image nor a record that needs none below them.
   */
  readonly outcome: 'complete' | 'missing' | 'no-base';
}

/** A timeline as the walk sees it. */
export interface WalkedTimeline {
  readonly timelineId: string | undefined;
  readonly map: LayerMap;
  /** Opens a layer, and passes the reader to `use` until that has ended. */
  readonly withLayer: <T>(
    name: string,
    use: (reader: AnyLayerReader) => Promise<T>,
    signal: AbortSignal | undefined,
  ) => Promise<T>;
  /** Undefined for a timeline without an ancestor. `open` throws if the ancestor is not in the source. */
  readonly ancestor: { readonly lsn: Lsn; open(): Promise<WalkedTimeline> } | undefined;
}

export interface WalkRequest {
  readonly keys: KeySpace;
  /** Inclusive. */
  readonly lsn: Lsn;
  readonly signal?: AbortSignal | undefined;
  /** Limit for all values together. */
  readonly maximumBytes: number;
  /** Bytes that already count towards the limit. Default: 0. */
  readonly bytesBefore?: number | undefined;
}

export interface WalkResult {
  /** By key. Contains every single key of the request, and the keys in its ranges that have a value. */
  readonly found: ReadonlyMap<string, Reconstruction>;
  /** Keys of the request without any value that are not sparse: a pageserver fails for them. */
  readonly missing: KeySpace;
  /** Number of visits. */
  readonly visitCount: number;
  /** Bytes of all values, including those that counted before. */
  readonly byteCount: number;
}

/** Maximum length of a chain of ancestors. A pageserver has no limit, but longer chains do not occur. */
const MAXIMUM_ANCESTORS = 1000;

/** Reads the keys, each layer once for each LSN range. Throws as `readVersions`, and as `open` of an ancestor. */
export async function walk(start: WalkedTimeline, request: WalkRequest): Promise<WalkResult> {
  const state = new WalkState(request);
  let timeline = start;
  let { lsn } = request;
  let keys = normalized(request.keys) as KeySpace;
  const missing: KeyRange[] = [];
  for (let depth = 0; ; depth += 1) {
    const covered = await walkTimeline(timeline, { keys, endLsn: lsn + 1n, state });
    keys = subtract(subtract(keys, state.completeKeys()), NOT_INHERITED);
    if (keys.length === 0) break;
    if (timeline.ancestor === undefined) {
      missing.push(...keys);
      break;
    }
    const open = subtract(keys, covered);
    missing.push(...subtract(keys, open));
    keys = open;
    if (keys.length === 0) break;
    if (depth === MAXIMUM_ANCESTORS) throw tooManyAncestors(timeline);
    if (timeline.ancestor.lsn < lsn) lsn = timeline.ancestor.lsn;
    timeline = await timeline.ancestor.open();
  }
  return state.result(subtract(normalized(missing), SPARSE));
}

interface TimelineWalk {
  readonly keys: KeySpace;
  readonly endLsn: Lsn;
  readonly state: WalkState;
}

/** Returns: the key ranges of the image layers that were visited. */
async function walkTimeline(
  timeline: WalkedTimeline,
  { keys, endLsn, state }: TimelineWalk,
): Promise<KeySpace> {
  const fringe = new Fringe();
  const covered: KeyRange[] = [];
  plan(fringe, timeline.map, keys, endLsn);
  for (let visit = fringe.next(); visit !== undefined; visit = fringe.next()) {
    const { layer, lsnRange } = visit;
    throwIfAborted(state.signal);
    const { entries, coverage } = await timeline.withLayer(
      layer,
      async (reader) => {
        const entries = await readVersions(reader, { ...visit, ...state.reading });
        const { summary } = reader;
        const coverage = summary.kind === 'image' ? [summary.keyRange] : [];
        return { entries: typed(entries, { reader, layer, timeline }), coverage };
      },
      state.signal,
    );
    covered.push(...coverage);
    const complete = state.visited({ ...visit, timelineId: timeline.timelineId, entries });
    const below = subtract(subtract(visit.keys, complete), coverage);
    plan(fringe, timeline.map, below, lsnRange.start);
  }
  return normalized(covered);
}

function plan(fringe: Fringe, map: LayerMap, keys: KeySpace, endLsn: Lsn): void {
  if (endLsn === 0n) return;
  for (const range of keys) {
    if (isSingleKey(range)) {
      const found = map.search(range.start, endLsn);
      if (found !== undefined)
        fringe.add(found.name, { start: found.lsnFloor, end: endLsn }, [range]);
      continue;
    }
    for (const { name, lsnFloor, keyRanges } of map.rangeSearch(range, endLsn)) {
      fringe.add(name, { start: lsnFloor, end: endLsn }, keyRanges);
    }
  }
}

function typed(
  entries: readonly LayerEntry[],
  about: { reader: AnyLayerReader; layer: string; timeline: WalkedTimeline },
): TimelineEntry[] {
  return entries.map((entry) => timelineEntry(entry, about));
}

/** An entry with its place in the timeline. Throws `corrupt` and others if it is not a value. */
export function timelineEntry(
  entry: LayerEntry,
  about: {
    readonly reader: AnyLayerReader;
    readonly layer: string;
    readonly timeline: Pick<WalkedTimeline, 'timelineId'>;
  },
): TimelineEntry {
  const { reader, layer, timeline } = about;
  const layerKind = reader.summary.kind;
  const type = layerKind === 'image' ? 'image' : typeOf(entry, reader.path);
  const { key, lsn, willInit, offset, storedLength, compressed, bytes } = entry;
  return {
    key,
    lsn,
    willInit,
    offset,
    storedLength,
    compressed,
    bytes,
    timelineId: timeline.timelineId,
    layer,
    type,
    layerKind,
  };
}

function typeOf(entry: LayerEntry, path: string | undefined): ValueType {
  try {
    return outlineOfValue(entry.bytes).type;
  } catch (error) {
    throw isStorageError(error) ? locateValueError(error, entry, path) : error;
  }
}

/** Keys that are read from a timeline itself and never from its ancestor: 03…02, and 62 and 63. */
const NOT_INHERITED: KeySpace = [
  singleKey(keyWith(3, 2)),
  { start: keyWith(0x62), end: keyWith(0x64) },
];

const SPARSE_FIRST = 0x60;
const SPARSE_END = 0x7f;
const SPARSE: KeySpace = [{ start: keyWith(SPARSE_FIRST), end: keyWith(SPARSE_END) }];

function keyWith(field1: number, field6 = 0): Key {
  return keyFromFields({ field1, field2: 0, field3: 0, field4: 0, field5: 0, field6 });
}

/** Whether a timeline reads the key from its ancestor, too. */
export function isInherited(key: Key): boolean {
  return NOT_INHERITED.every(({ start, end }) => {
    return compareKeys(key, start) < 0 || compareKeys(key, end) >= 0;
  });
}

/** Whether a key is one of those that may be absent: 60 to 7E. */
export function isSparseKey(key: Key): boolean {
  const field1 = key[0] as number;
  return field1 >= SPARSE_FIRST && field1 < SPARSE_END;
}

interface KeyState {
  readonly key: Key;
  readonly visits: LayerVisit[];
  /** Newest first; the last one may be the base. */
  readonly entries: TimelineEntry[];
  isComplete: boolean;
}

/** The entries found so far, over all timelines. */
class WalkState {
  readonly signal: AbortSignal | undefined;
  readonly reading: { signal: AbortSignal | undefined; onBytes: (length: number) => void };
  readonly #lsn: Lsn;
  readonly #maximumBytes: number;
  readonly #states = new Map<string, KeyState>();
  /** Keys that were requested singly, ascending; the walk may join them into ranges. */
  readonly #singles: readonly Key[];
  #complete: KeyRange[] = [];
  #visitCount = 0;
  #byteCount: number;

  constructor({ keys, lsn, signal, maximumBytes, bytesBefore = 0 }: WalkRequest) {
    this.#byteCount = bytesBefore;
    this.signal = signal;
    this.reading = { signal, onBytes: (length) => this.#countBytes(length) };
    this.#lsn = lsn;
    this.#maximumBytes = maximumBytes;
    this.#singles = keys
      .filter(isSingleKey)
      .map(({ start }) => start)
      .sort(compareKeys);
    for (const key of this.#singles) this.#stateOf(key);
  }

  /** Keys, other than sparse ones, that need nothing older. */
  completeKeys(): KeySpace {
    this.#complete = normalized(this.#complete);
    return this.#complete;
  }

  /** Records the results of a visit. Returns: the keys that it completed. */
  visited(visit: {
    timelineId: string | undefined;
    layer: string;
    lsnRange: LsnRange;
    keys: KeySpace;
    entries: readonly TimelineEntry[];
  }): KeySpace {
    this.#visitCount += 1;
    const completed: KeyRange[] = [];
    const byKey = groupedByKey(visit.entries);
    for (const entries of byKey.values()) {
      const { key } = entries[0] as TimelineEntry;
      const state = this.#stateOf(key);
      if (state.isComplete) continue;
      state.entries.push(...entries);
      state.isComplete = entries.at(-1)?.willInit === true;
      if (state.isComplete && !isSparseKey(key)) completed.push(singleKey(key));
    }
    const { timelineId, layer, lsnRange } = visit;
    for (const key of this.#singlesIn(visit.keys)) {
      const name = formatKey(key);
      const entries = byKey.get(name) ?? [];
      this.#states.get(name)?.visits.push({ timelineId, layer, lsnRange, entries });
    }
    const complete = normalized(completed);
    this.#complete.push(...complete);
    return complete;
  }

  result(missing: KeySpace): WalkResult {
    const found = new Map<string, Reconstruction>();
    for (const [name, state] of this.#states) found.set(name, reconstructionOf(state, this.#lsn));
    return { found, missing, visitCount: this.#visitCount, byteCount: this.#byteCount };
  }

  #stateOf(key: Key): KeyState {
    const name = formatKey(key);
    const known = this.#states.get(name);
    if (known !== undefined) return known;
    const state = { key, visits: [], entries: [], isComplete: false };
    this.#states.set(name, state);
    return state;
  }

  *#singlesIn(ranges: KeySpace): Generator<Key> {
    for (const { start, end } of ranges) {
      for (let at = this.#firstSingleFrom(start); at < this.#singles.length; at += 1) {
        const key = this.#singles[at] as Key;
        if (compareKeys(key, end) >= 0) break;
        // A key may be requested twice.
        if (at === 0 || compareKeys(key, this.#singles[at - 1] as Key) !== 0) yield key;
      }
    }
  }

  #firstSingleFrom(start: Key): number {
    let low = 0;
    let high = this.#singles.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareKeys(this.#singles[middle] as Key, start) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #countBytes(length: number): void {
    this.#byteCount += length;
    if (this.#byteCount <= this.#maximumBytes) return;
    throw tooLarge('values of a read', { maximum: this.#maximumBytes, actual: this.#byteCount });
  }
}

/** Entries of one key mostly follow each other, and share its array. */
function groupedByKey(entries: readonly TimelineEntry[]): Map<string, TimelineEntry[]> {
  const groups = new Map<string, TimelineEntry[]>();
  let key: Key | undefined;
  let group: TimelineEntry[] = [];
  for (const entry of entries) {
    if (entry.key !== key) {
      ({ key } = entry);
      const name = formatKey(key);
      group = groups.get(name) ?? [];
      groups.set(name, group);
    }
    group.push(entry);
  }
  return groups;
}

function reconstructionOf(state: KeyState, lsn: Lsn): Reconstruction {
  const { key, visits, entries, isComplete } = state;
  const last = entries.at(-1);
  const base = isComplete && last?.type === 'image' ? last : undefined;
  const records = (base === undefined ? entries : entries.slice(0, -1)).toReversed();
  const outcome = entries.length === 0 ? 'missing' : isComplete ? 'complete' : 'no-base';
  return { key, lsn, visits, base, records, outcome };
}

function tooManyAncestors({ timelineId }: WalkedTimeline): StorageError {
  return new StorageError('corrupt', {
    what: `ancestors of timeline ${timelineId}`,
    expected: `at most ${MAXIMUM_ANCESTORS}`,
    actual: 'more',
  });
}

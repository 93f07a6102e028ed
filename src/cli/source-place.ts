/**
 * The one place that decides what an argument SOURCE is: files, objects, an index, or a place with timelines below it.
 */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { StorageError } from '../errors.ts';
import type { ObjectStore } from '../object-store/object-store.ts';
import { placeOfSource, type SourcePlace } from '../timeline/open-timeline.ts';
import { chooseShards } from '../timeline/shard-set.ts';
import {
  findTimelines,
  formatLocation,
  isIndexName,
  isLayerKey,
  type TimelineLocation,
} from '../timeline/timeline-layout.ts';
import { fromNodeError } from '../virtual-file/system-error.ts';
import { isPrefix, isUrl, type RemoteOptions, remotePlace } from './remote-source.ts';

/** The kind of a source, before anything is read. */
export type ArgumentPlace =
  /** A place to list; `indexName` if one index of it is named. */
  | ({ readonly kind: 'timelines' } & SourcePlace)
  /** An index in a store that cannot list. */
  | { readonly kind: 'lone-index'; readonly store: ObjectStore; readonly key: string }
  /** Any other single object. */
  | { readonly kind: 'object'; readonly store: ObjectStore; readonly key: string }
  /** A file that is not named like an index. */
  | { readonly kind: 'file'; readonly path: string };

/** Which timeline of a source is meant. */
export interface TimelineChoice {
  readonly tenant?: string | undefined;
  readonly timeline?: string | undefined;
}

/** For a timeline about which nothing is known except that its files are here. */
export function unknownLocation(prefix: string): TimelineLocation {
  return { tenantId: undefined, shard: undefined, timelineId: undefined, prefix };
}

/** Maximum number of timelines that an error lists. */
const LISTED_TIMELINES = 20;

/** Throws `not-found` and `io` for a path, `usage` for a URL without a bucket. No request is made. */
export async function placeOfArgument(
  source: string,
  options: RemoteOptions,
): Promise<ArgumentPlace> {
  if (!isUrl(source)) {
    if (await isOtherFile(source)) return { kind: 'file', path: source };
    return { kind: 'timelines', ...(await placeOfSource(source)) };
  }
  const { store, key, canList } = await remotePlace(source, options);
  const slash = key.lastIndexOf('/') + 1;
  const name = key.slice(slash);
  if (!canList) return { kind: isIndexName(name) ? 'lone-index' : 'object', store, key };
  if (isLayerKey(name)) return { kind: 'object', store, key };
  const place = isIndexName(name)
    ? { store, prefix: key.slice(0, slash), indexName: name }
    : { store, prefix: key };
  return { kind: 'timelines', ...(await placeOfSource(place)) };
}

/**
 * The shards of the one timeline that is chosen, by number; none if there is no timeline. For a tenant that was split,
 * they are chosen by `chooseShards`. Throws `usage` if several timelines are left.
 */
export async function shardsOfTimeline(
  { root, prefix }: SourcePlace,
  { source, tenant, timeline }: TimelineChoice & { readonly source: string },
  signal: AbortSignal,
): Promise<TimelineLocation[]> {
  const found: TimelineLocation[] = [];
  const names = new Set<string>();
  for await (const location of findTimelines(root.store, prefix, { tenant, timeline, signal })) {
    if (tenant !== undefined && (location.tenantId ?? tenant) !== tenant) continue;
    if (timeline !== undefined && (location.timelineId ?? timeline) !== timeline) continue;
    found.push(location);
    names.add(formatLocation({ ...location, shard: undefined }));
    // There may be any number.
    if (names.size > LISTED_TIMELINES) break;
  }
  if (names.size < 2) return [...(chooseShards(found)?.locations.values() ?? found)];
  throw severalError('several timelines: choose with --tenant and --timeline', source, found);
}

/** The error for a choice that the caller must make. */
export function severalError(
  what: string,
  path: string,
  found: readonly TimelineLocation[],
): StorageError {
  const listed = found.slice(0, LISTED_TIMELINES).map(formatLocation).join(', ');
  const more = found.length > LISTED_TIMELINES ? ', ...' : '';
  return new StorageError('usage', { what: `${what} from ${listed}${more}`, path });
}

/**
 * Whether a source of `get` or `dump` is a timeline, where an object under any name may be a layer. Throws as the
 * store that a URL names.
 */
export async function isTimelineArgument(
  source: string,
  options: RemoteOptions & { readonly signal: AbortSignal },
): Promise<boolean> {
  if (isUrl(source)) {
    const place = await remotePlace(source, options);
    const name = place.key.slice(place.key.lastIndexOf('/') + 1);
    return isIndexName(name) || isPrefix(place, options.signal);
  }
  try {
    return (await stat(source)).isDirectory() || isIndexName(basename(source));
  } catch {
    // Opening the file will report what is wrong with it.
    return false;
  }
}

async function isOtherFile(path: string): Promise<boolean> {
  try {
    return !(await stat(path)).isDirectory() && !isIndexName(basename(path));
  } catch (error) {
    throw fromNodeError('look up source', path, error);
  }
}

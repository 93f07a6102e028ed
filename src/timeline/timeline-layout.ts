/**
 * Where timelines are below a prefix of an object store, or in a pageserver's directory:
 *
 *   tenants/{tenant}[-{shard}]/timelines/{timeline}/index_part.json[-{generation}]
 *   tenants/{tenant}[-{shard}]/timelines/{timeline}/{layer}-{generation}          remote
 *   tenants/{tenant}[-{shard}]/timelines/{timeline}/{layer}-v1-{generation}       local, without an index
 *
 * A shard has 4 hex digits: number, count. A prefix may also be that of a tenant, or that of a timeline, with the files
 * directly below it.
 */
import { StorageError } from '../errors.ts';
import { isCommonPrefix, type ObjectStore, pathOfObject } from '../object-store/object-store.ts';

/** A timeline of one tenant, or of one shard of a tenant. */
export interface TimelineLocation {
  /** 32 hex digits; undefined if the layout does not contain it. */
  readonly tenantId: string | undefined;
  /** Shard number and count, as 4 hex digits; undefined for a tenant that is not sharded. */
  readonly shard: string | undefined;
  /** 32 hex digits; undefined if the layout does not contain it. */
  readonly timelineId: string | undefined;
  /** What the keys of its objects begin with: empty, or ending in `/`. */
  readonly prefix: string;
}

/** Which timelines to find. */
export interface TimelineFilter {
  readonly tenant?: string | undefined;
  readonly timeline?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

const TENANT = /^(?<tenant>[0-9a-f]{32})(?:-(?<shard>[0-9a-f]{4}))?$/;
const TIMELINE = /^[0-9a-f]{32}$/;
const PREFIX_OF_TIMELINE =
  /^(?<root>(?:.*\/)?)tenants\/(?<tenant>[0-9a-f]{32}(?:-[0-9a-f]{4})?)\/timelines\/(?<timeline>[0-9a-f]{32})\/$/;
const INDEX_NAME = /^index_part\.json(?:-.*)?$/;
const LAYER_NAME = /^[0-9a-fA-F]{36}-[0-9a-fA-F]{36}__/;

/** Whether the last part of a key is the name of an index. */
export function isIndexName(name: string): boolean {
  return INDEX_NAME.test(name);
}

/** Whether the last part of a key begins like the name of a layer. */
export function isLayerKey(name: string): boolean {
  return LAYER_NAME.test(name);
}

/** The timelines below a prefix, in the order of the listing. Throws as `ObjectStore.list`. */
export async function* findTimelines(
  store: ObjectStore,
  prefix: string,
  filter: TimelineFilter = {},
): AsyncGenerator<TimelineLocation> {
  const alone = locationOfPrefix(prefix);
  if (alone !== undefined) {
    yield alone.location;
    return;
  }
  let isTimeline = false;
  for await (const item of store.list(prefix, { delimiter: '/', signal: filter.signal })) {
    if (!isCommonPrefix(item)) {
      const name = item.key.slice(prefix.length);
      isTimeline ||= isIndexName(name) || LAYER_NAME.test(name);
    } else if (item.prefix === `${prefix}tenants/`) {
      yield* timelinesOfTenants(store, item.prefix, filter);
    } else if (item.prefix === `${prefix}timelines/`) {
      const tenant = TENANT.exec(lastPart(prefix))?.groups;
      yield* timelinesBelow(store, item.prefix, { ...filter, ...tenantOf(tenant) });
    }
  }
  if (isTimeline) yield { tenantId: undefined, shard: undefined, timelineId: undefined, prefix };
}

/** The location of a prefix that is a timeline's, and the prefix above all tenants. */
export function locationOfPrefix(
  prefix: string,
): { readonly root: string; readonly location: TimelineLocation } | undefined {
  const groups = PREFIX_OF_TIMELINE.exec(prefix)?.groups;
  if (groups === undefined) return undefined;
  const { tenantId, shard } = tenantOf(TENANT.exec(groups['tenant'] ?? '')?.groups);
  const location = { tenantId, shard, timelineId: groups['timeline'], prefix };
  return { root: groups['root'] ?? '', location };
}

/** The place of another timeline of the same tenant and shard; undefined if the layout has no others. */
export function siblingPrefix(location: TimelineLocation, timelineId: string): string | undefined {
  if (location.timelineId === undefined) return undefined;
  return `${location.prefix.slice(0, -(location.timelineId.length + 1))}${timelineId}/`;
}

/** The same timeline below another shard of the tenant, such as `0104`, or `0000` for none. */
export function shardPrefix(location: TimelineLocation, shard: string): string | undefined {
  const { tenantId, timelineId, prefix } = location;
  if (tenantId === undefined || timelineId === undefined) return undefined;
  const end = `${tenantDirectory(location)}/timelines/${timelineId}/`;
  if (!prefix.endsWith(end)) return undefined;
  const directory = tenantDirectory({ tenantId, shard: shard === '0000' ? undefined : shard });
  return `${prefix.slice(0, -end.length)}${directory}/timelines/${timelineId}/`;
}

/** What the keys of a tenant, or of its shard, begin with; undefined if the layout has no tenants. */
export function tenantPrefix({ timelineId, prefix }: TimelineLocation): string | undefined {
  const end = `timelines/${timelineId}/`;
  return prefix.endsWith(end) ? prefix.slice(0, -end.length) : undefined;
}

/** `{tenant}[-{shard}]/{timeline}`, for messages. */
export function formatLocation(location: TimelineLocation): string {
  return `${tenantDirectory(location)}/${location.timelineId ?? '(no id)'}`;
}

function tenantDirectory({
  tenantId,
  shard,
}: Pick<TimelineLocation, 'tenantId' | 'shard'>): string {
  return `${tenantId ?? '(no id)'}${shard === undefined ? '' : `-${shard}`}`;
}

async function* timelinesOfTenants(
  store: ObjectStore,
  prefix: string,
  filter: TimelineFilter,
): AsyncGenerator<TimelineLocation> {
  const { tenant, signal } = filter;
  const narrowed = prefix + (tenant ?? '');
  for await (const item of store.list(narrowed, { delimiter: '/', signal })) {
    const groups = isCommonPrefix(item) ? TENANT.exec(lastPart(item.prefix))?.groups : undefined;
    if (groups === undefined || !isCommonPrefix(item)) continue;
    const about = { ...filter, ...tenantOf(groups) };
    yield* timelinesBelow(store, `${item.prefix}timelines/`, about);
  }
}

async function* timelinesBelow(
  store: ObjectStore,
  prefix: string,
  about: TimelineFilter & Pick<TimelineLocation, 'tenantId' | 'shard'>,
): AsyncGenerator<TimelineLocation> {
  const { tenantId, shard, timeline, signal } = about;
  const narrowed = prefix + (timeline ?? '');
  for await (const item of store.list(narrowed, { delimiter: '/', signal })) {
    if (!isCommonPrefix(item)) continue;
    const timelineId = lastPart(item.prefix);
    if (TIMELINE.test(timelineId)) yield { tenantId, shard, timelineId, prefix: item.prefix };
  }
}

function tenantOf(
  groups: Record<string, string> | undefined,
): Pick<TimelineLocation, 'tenantId' | 'shard'> {
  return { tenantId: groups?.['tenant'], shard: groups?.['shard'] };
}

function lastPart(prefix: string): string {
  return prefix.split('/').at(-2) ?? '';
}

/** The error for a source without a timeline. */
export function noTimelineError(store: ObjectStore, prefix: string): StorageError {
  return new StorageError('not-found', {
    what: 'no timeline',
    path: pathOfObject(store, prefix),
    expected:
      'a pageserver directory, a prefix with tenants/ below it, or the layers of a timeline',
  });
}

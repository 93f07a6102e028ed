/**
 * tenant-manifest.json: which timelines of a tenant are offloaded.
 *
 *   {"version":2,"stripe_size":2048,"offloaded_timelines":[
 *     {"timeline_id":…,"ancestor_timeline_id":…,"ancestor_retain_lsn":…,"archived_at":…}]}
 *
 *   version               2; 1 had no stripe_size
 *   stripe_size           pages, advisory; missing: 32768
 *   offloaded_timelines   by id; an entry may be of a timeline that is gone: only an index proves one
 *
 * Source: Neon pageserver/src/tenant/remote_timeline_client/manifest.rs.
 */
import { checkArray, checkCount, checkObject, checkText } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { formatIdentifier, parseIdentifier } from '../layers/identifier.ts';
import { formatPgLsn, type Lsn } from '../layers/lsn.ts';
import { formatExactJson, parseExactJson } from './exact-json.ts';
import { JsonField } from './json-fields.ts';
import { normalizeJsonTime } from './json-time.ts';
import { OLD_STRIPE_SIZE } from './shard-owner.ts';

/** A timeline that is archived, and not loaded. */
export interface OffloadedTimeline {
  /** 32 lower-case hex digits. */
  readonly timelineId: string;
  /** Its ancestor, if it has one. */
  readonly ancestorTimelineId: string | undefined;
  /** Where it branched off; garbage collection of the ancestor keeps that LSN. */
  readonly ancestorRetainLsn: Lsn | undefined;
  /** A time in UTC, without a zone. */
  readonly archivedAt: string;
}

/** The manifest of a tenant. */
export interface TenantManifest {
  /** 1 or 2 so far; 2 is written. */
  readonly version: number;
  /** Pages of a stripe. */
  readonly stripeSize: number;
  /** By id. */
  readonly offloadedTimelines: readonly OffloadedTimeline[];
}

const MANIFEST_VERSION = 2;
const MAXIMUM_MANIFEST_SIZE = 64 * 1024 * 1024;

/**
 * Parses a manifest; unknown fields are ignored.
 *
 * @throws `corrupt`, with the place; `too-large` above 64 MiB.
 */
export function parseTenantManifest(content: Uint8Array | string, path?: string): TenantManifest {
  if (path !== undefined) checkText('path', path);
  const source = { what: 'tenant manifest', path, maximumSize: MAXIMUM_MANIFEST_SIZE };
  const root = new JsonField(parseExactJson(content, source), '', path);
  const offloaded = root.field('offloaded_timelines');
  const stripeSize = root.field('stripe_size');
  return {
    version: root.field('version').count(),
    stripeSize: stripeSize.optional((value) => value.count(0xffff_ffff)) ?? OLD_STRIPE_SIZE,
    offloadedTimelines:
      offloaded.value === undefined ? [] : offloaded.array().map(parseOffloadedTimeline),
  };
}

function parseOffloadedTimeline(field: JsonField): OffloadedTimeline {
  const ancestor = field.field('ancestor_timeline_id');
  return {
    timelineId: field.field('timeline_id').identifier(),
    ancestorTimelineId: ancestor.optional((value) => value.identifier()),
    ancestorRetainLsn: field.field('ancestor_retain_lsn').optional((value) => value.lsn()),
    archivedAt: field.field('archived_at').time(),
  };
}

/**
 * The text of a manifest of version 2, as a pageserver writes it: without white space, timelines by id.
 *
 * @throws `invalid-input` or `out-of-range` for values that it cannot hold.
 */
export function formatTenantManifest(manifest: Omit<TenantManifest, 'version'>): string {
  checkObject('tenant manifest', manifest);
  checkCount('stripeSize', manifest.stripeSize, { from: 1, to: 0xffff_ffff });
  checkArray('offloadedTimelines', manifest.offloadedTimelines);
  const timelines = manifest.offloadedTimelines.map(formatOffloadedTimeline);
  return formatExactJson({
    version: MANIFEST_VERSION,
    stripe_size: manifest.stripeSize,
    offloaded_timelines: timelines.sort((a, b) => (a.timeline_id < b.timeline_id ? -1 : 1)),
  });
}

function formatOffloadedTimeline(timeline: OffloadedTimeline) {
  checkObject('offloaded timeline', timeline);
  const id = (text: string): string => formatIdentifier(parseIdentifier(text, 'timeline id'));
  const { ancestorTimelineId: ancestor, ancestorRetainLsn: retained } = timeline;
  checkText('archivedAt', timeline.archivedAt);
  const archivedAt = normalizeJsonTime(timeline.archivedAt);
  if (archivedAt === undefined) {
    throw new StorageError('invalid-input', {
      what: 'archivedAt',
      expected: 'a time as 2026-03-25T10:00:00.123',
      actual: timeline.archivedAt,
    });
  }
  return {
    timeline_id: id(timeline.timelineId),
    ancestor_timeline_id: ancestor === undefined ? null : id(ancestor),
    ancestor_retain_lsn: retained === undefined ? null : formatPgLsn(retained),
    archived_at: archivedAt,
  };
}

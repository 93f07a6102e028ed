/**
 * Which shards make up a timeline, and how wide their stripes are.
 *
 * A tenant that was split has directories of both shard counts. The highest count of which all shards are present is
 * used; if no count is complete, the highest. The stripe size is in the manifest of a tenant in a bucket, and in the
 * configuration in a pageserver's directory.
 */
import { assert } from '../assert.ts';
import { StorageError } from '../errors.ts';
import type { Lsn } from '../layers/lsn.ts';
import { type ObjectStore, pathOfObject } from '../object-store/object-store.ts';
import { readWhole } from '../object-store/read-whole.ts';
import { parseTenantConfig } from '../write-once/tenant-config.ts';
import { chooseManifest } from './chosen-generation.ts';
import { listFiles } from './list-files.ts';
import { DEFAULT_STRIPE_SIZE } from './shard-owner.ts';
import { parseTenantManifest } from './tenant-manifest.ts';
import { parseShardIndex, type ShardIndex, UNSHARDED } from './tenant-shard.ts';
import type { TimelineFacts } from './timeline.ts';
import { type TimelineLocation, tenantPrefix } from './timeline-layout.ts';

/** Locations of shards of one timeline. */
export interface ShardSet {
  /** How many shards there should be; 0 and 1 mean not sharded. */
  readonly count: number;
  /** By number, ascending; some may be missing. */
  readonly locations: ReadonlyMap<number, TimelineLocation>;
}

/** The shards to use; undefined if no location is that of a shard. */
export function chooseShards(locations: readonly TimelineLocation[]): ShardSet | undefined {
  const sets = new Map<number, Map<number, TimelineLocation>>();
  for (const location of locations) {
    const { number, count } = shardIndexOf(location);
    if (number >= Math.max(count, 1)) continue;
    const set = sets.get(count) ?? new Map<number, TimelineLocation>();
    sets.set(count, set.set(number, location));
  }
  const descending = [...sets].sort(([left], [right]) => right - left);
  const complete = descending.find(([count, set]) => set.size === Math.max(count, 1));
  const chosen = complete ?? descending[0];
  if (chosen === undefined) return undefined;
  const [count, set] = chosen;
  return { count, locations: new Map([...set].sort(([left], [right]) => left - right)) };
}

function shardIndexOf({ shard }: TimelineLocation): ShardIndex {
  return shard === undefined ? UNSHARDED : parseShardIndex(shard);
}

export interface StripeSizeRequest {
  readonly store: ObjectStore;
  readonly shards: ShardSet;
  /** Generation of the pageserver: newer manifests are ignored. Default: the newest manifest is used. */
  readonly generation?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const CONFIG_NAME = 'config-v1';
const MAXIMUM_FILE_SIZE = 64 * 1024 * 1024;

/** Pages of a stripe; if none is stored, the default of new tenants. Throws as the store; `corrupt`. */
export async function readStripeSize(request: StripeSizeRequest): Promise<number> {
  for (const location of request.shards.locations.values()) {
    const prefix = tenantPrefix(location);
    if (prefix === undefined) continue;
    const stripeSize = await stripeSizeBelow(request, prefix);
    if (stripeSize !== undefined) return stripeSize;
  }
  return DEFAULT_STRIPE_SIZE;
}

async function stripeSizeBelow(
  { store, generation, signal }: StripeSizeRequest,
  prefix: string,
): Promise<number | undefined> {
  const files = await listFiles(store, prefix, { signal });
  const names = files.map(({ key }) => key.slice(prefix.length));
  const manifest = chooseManifest(names, generation)?.name;
  const name = manifest ?? names.find((found) => found === CONFIG_NAME);
  if (name === undefined) return undefined;
  const key = prefix + name;
  const path = pathOfObject(store, key);
  const { bytes } = await readWhole(store, key, { maximumLength: MAXIMUM_FILE_SIZE, signal });
  const stored =
    manifest === undefined
      ? stripeSizeOfConfig(bytes)
      : parseTenantManifest(bytes, path).stripeSize;
  if (stored === undefined) return undefined;
  if (stored >= 1 && stored <= MAXIMUM_STRIPE_SIZE) return Number(stored);
  const expected = `1 to ${MAXIMUM_STRIPE_SIZE}`;
  throw new StorageError('corrupt', { what: 'stripe size', path, expected, actual: `${stored}` });
}

const MAXIMUM_STRIPE_SIZE = 0xffff_ffff;

function stripeSizeOfConfig(bytes: Uint8Array): number | bigint | undefined {
  const config = parseTenantConfig(new TextDecoder().decode(bytes));
  const stripeSize = config.form === 'location' ? config.shard?.['stripe_size'] : undefined;
  return typeof stripeSize === 'bigint' || typeof stripeSize === 'number' ? stripeSize : undefined;
}

/** What is known about a timeline all of whose shards are read. */
export function factsOfShards(shards: readonly TimelineFacts[]): TimelineFacts {
  const [first] = shards;
  assert(first !== undefined, 'there is a shard');
  return {
    ...first,
    shard: undefined,
    diskConsistentLsn: extremeOf(shards, 'diskConsistentLsn', (left, right) => left < right),
    latestGcCutoffLsn: extremeOf(shards, 'latestGcCutoffLsn', (left, right) => left > right),
  };
}

/** Undefined if one of them is. */
function extremeOf(
  shards: readonly TimelineFacts[],
  field: 'diskConsistentLsn' | 'latestGcCutoffLsn',
  isBetter: (left: Lsn, right: Lsn) => boolean,
): Lsn | undefined {
  let extreme: Lsn | undefined;
  for (const { [field]: lsn } of shards) {
    if (lsn === undefined) return undefined;
    if (extreme === undefined || isBetter(lsn, extreme)) extreme = lsn;
  }
  return extreme;
}

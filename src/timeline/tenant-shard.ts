/**
 * Tenant-shard ids, as in paths.
 *
 *   {tenant}         32 hex digits: not sharded
 *   {tenant}-{NNCC}  shard number and count, 2 hex digits each
 *
 * A count of 0 means "not sharded". A count of 1 differs from it in the name only.
 * Source: Neon libs/utils/src/shard.rs.
 */
import { checkCount, checkObject, checkText } from '../check-options.ts';
import { StorageError } from '../errors.ts';
import { formatIdentifier, parseIdentifier } from '../layers/identifier.ts';

/** One shard of a tenant. */
export interface ShardIndex {
  /** 0 to count - 1. */
  readonly number: number;
  /** How many shards there are; 0: not sharded. */
  readonly count: number;
}

/** A tenant, or a shard of one. */
export interface TenantShard {
  /** 32 lower-case hex digits. */
  readonly tenantId: string;
  /** `UNSHARDED` if the tenant is not sharded. */
  readonly shard: ShardIndex;
}

/** Of a tenant that is not sharded. */
export const UNSHARDED: ShardIndex = { number: 0, count: 0 };

/** Four hex digits, the number and then the count; `0000` if not sharded. */
export function formatShardIndex(shard: ShardIndex): string {
  checkObject('shard', shard);
  checkCount('shard number', shard.number, { to: 0xff });
  checkCount('shard count', shard.count, { to: 0xff });
  return twoDigits(shard.number) + twoDigits(shard.count);
}

/**
 * Parses four hex digits of either case.
 *
 * @throws `invalid-input`.
 */
export function parseShardIndex(text: string): ShardIndex {
  checkText('shard index', text);
  if (!/^[0-9a-fA-F]{4}$/.test(text)) {
    throw new StorageError('invalid-input', {
      what: 'shard index',
      expected: '4 hex digits',
      actual: JSON.stringify(text),
    });
  }
  return {
    number: Number.parseInt(text.slice(0, 2), 16),
    count: Number.parseInt(text.slice(2), 16),
  };
}

/** `{tenant}` or `{tenant}-{NNCC}`. */
export function formatTenantShard(tenantShard: TenantShard): string {
  checkObject('tenant shard', tenantShard);
  const { tenantId, shard } = tenantShard;
  const tenant = formatIdentifier(parseIdentifier(tenantId, 'tenant id'));
  return isUnsharded(shard) ? tenant : `${tenant}-${formatShardIndex(shard)}`;
}

/**
 * Parses `{tenant}` or `{tenant}-{NNCC}`.
 *
 * @throws `invalid-input`.
 */
export function parseTenantShard(text: string): TenantShard {
  checkText('tenant-shard id', text);
  const match = /^([0-9a-fA-F]{32})(?:-([0-9a-fA-F]{4}))?$/.exec(text);
  if (match?.[1] === undefined) {
    throw new StorageError('invalid-input', {
      what: 'tenant-shard id',
      expected: '32 hex digits, or these, - and 4 hex digits',
      actual: JSON.stringify(text),
    });
  }
  const shard = match[2] === undefined ? UNSHARDED : parseShardIndex(match[2]);
  return { tenantId: match[1].toLowerCase(), shard };
}

/** Whether the shard is that of a tenant that is not sharded. */
export function isUnsharded(shard: ShardIndex): boolean {
  checkObject('shard', shard);
  return shard.number === 0 && shard.count === 0;
}

function twoDigits(value: number): string {
  return value.toString(16).padStart(2, '0');
}

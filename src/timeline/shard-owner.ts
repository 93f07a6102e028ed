/**
 * Decides which shard of a tenant owns a key.
 *
 *   relation blocks                                    the owner, by relation and stripe of blocks
 *   blocks of init forks, all of SLRUs, keys 62…       shard 0
 *   everything else                                    every shard
 *
 * The owner of a block, in u32 arithmetic:
 *
 *   mix(h):     h ^= h >> 16; h *= 85EBCA6B; h ^= h >> 13; h *= C2B2AE35; h ^= h >> 16
 *   comb(a, b)  a ^ (b + 9E3779B9 + (a << 6) + (a >> 2))
 *   owner       comb(mix(relation), mix(block / stripe size)) mod count
 *
 * Database, tablespace and fork are ignored. Source: Neon libs/pageserver_api/src/shard.rs.
 */
import { checkCount, checkObject } from '../check-options.ts';
import { type Key, type KeyFields, keyFields } from '../layers/key.ts';

/** How a tenant is sharded. */
export interface Sharding {
  /** Number of shards; 0 and 1 mean not sharded. */
  readonly count: number;
  /** Pages of a stripe; 1 to 2^32 - 1. */
  readonly stripeSize: number;
}

/** Stripe size of a new tenant, in pages: 16 MiB. */
export const DEFAULT_STRIPE_SIZE = 2048;
/** Stripe size where none is stored, in pages. */
export const OLD_STRIPE_SIZE = 32_768;

const INIT_FORK = 3;
const SLRU_FIELD1 = 1;
const AUX_FIELD1 = 0x62;
const NOT_A_BLOCK = 0xffff_ffff;

/**
 * The number of the shard that owns a key; 0 for a key that every shard has.
 *
 * @throws `invalid-input` for a key or a sharding that is not valid.
 */
export function shardOfKey(key: Key, sharding: Sharding): number {
  checkSharding(sharding);
  const fields = keyFields(key);
  if (sharding.count < 2 || !isRelationBlock(fields) || fields.field5 === INIT_FORK) return 0;
  const stripe = Math.floor(fields.field6 / sharding.stripeSize);
  return combine(mix(fields.field4), mix(stripe)) % sharding.count;
}

/**
 * Whether every shard has the key, if there are several.
 *
 * @throws `invalid-input` unless the key has 18 bytes.
 */
export function isOnEveryShard(key: Key): boolean {
  const fields = keyFields(key);
  const isOfShard0 = fields.field1 === SLRU_FIELD1 || fields.field1 === AUX_FIELD1;
  return !isOfShard0 && !isRelationBlock(fields);
}

/**
 * Whether a shard keeps the key when it rewrites its layers.
 *
 * @throws As `shardOfKey`.
 */
export function shardKeeps(key: Key, sharding: Sharding, shardNumber: number): boolean {
  const owner = shardOfKey(key, sharding);
  return sharding.count < 2 || owner === shardNumber || isOnEveryShard(key);
}

/**
 * Whether a shard keeps all keys from one to another, or none of them. Undefined if the two keys do not decide it, that
 * is, unless they are of one kind without owners, or blocks of one stripe.
 *
 * @throws As `shardOfKey`.
 */
export function shardKeepsRange(
  { first, last }: { readonly first: Key; readonly last: Key },
  sharding: Sharding,
  shardNumber: number,
): boolean | undefined {
  const keeps = shardKeeps(first, sharding, shardNumber);
  return sharding.count < 2 || haveOneOwner(keyFields(first), keyFields(last), sharding)
    ? keeps
    : undefined;
}

function haveOneOwner(first: KeyFields, last: KeyFields, { stripeSize }: Sharding): boolean {
  if (first.field1 !== last.field1) return false;
  if (first.field1 !== 0) return true;
  const areOfOneFork =
    first.field2 === last.field2 &&
    first.field3 === last.field3 &&
    first.field4 === last.field4 &&
    first.field5 === last.field5;
  if (!areOfOneFork || !isRelationBlock(first) || !isRelationBlock(last)) return false;
  return Math.floor(first.field6 / stripeSize) === Math.floor(last.field6 / stripeSize);
}

/** Init forks are blocks too. */
function isRelationBlock({ field1, field4, field6 }: KeyFields): boolean {
  return field1 === 0 && field4 !== 0 && field6 !== NOT_A_BLOCK;
}

function mix(value: number): number {
  let hash = value;
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85eb_ca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2_ae35);
  hash ^= hash >>> 16;
  return hash >>> 0;
}

function combine(left: number, right: number): number {
  return (left ^ (right + 0x9e37_79b9 + (left << 6) + (left >>> 2))) >>> 0;
}

/** Throws `invalid-input` for a sharding that is not valid. */
export function checkSharding(sharding: Sharding): void {
  checkObject('sharding', sharding);
  checkCount('shard count', sharding.count, { to: 0xff });
  checkCount('stripe size', sharding.stripeSize, { from: 1, to: 0xffff_ffff });
}

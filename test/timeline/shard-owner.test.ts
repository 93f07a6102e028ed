/** Owners of keys, against 2,000 keys of Neon's own code and the vectors of its tests. */
import { readFileSync } from 'node:fs';
import { brotliDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keyFromFields, parseKey } from '../../src/layers/key.ts';
import {
  isOnEveryShard,
  shardKeeps,
  shardKeepsRange,
  shardOfKey,
} from '../../src/timeline/shard-owner.ts';
import { storageErrorThrownBy } from '../support/storage-errors.ts';

interface GoldenKey {
  readonly key: string;
  readonly count: number;
  readonly stripe: number;
  readonly shard: number;
  readonly kept: 'all' | readonly number[];
  readonly global: boolean;
}

const block = (relation: number, number: number, fork = 0): Uint8Array =>
  keyFromFields({
    field1: 0,
    field2: 1663,
    field3: 5,
    field4: relation,
    field5: fork,
    field6: number,
  });

describe('the shard of a key', () => {
  test('the shard of a key is the one that Neon says, for 2,000 keys', () => {
    const file = new URL('../golden/shards.ndjson.br', import.meta.url);
    const lines = brotliDecompressSync(readFileSync(file)).toString().trimEnd().split('\n');
    expect(lines.length).toBe(2000);
    for (const line of lines) {
      const { key: text, count, stripe, shard, kept, global }: GoldenKey = JSON.parse(line);
      const key = parseKey(text);
      const sharding = { count, stripeSize: stripe };
      expect(shardOfKey(key, sharding), line).toBe(shard);
      expect(isOnEveryShard(key), line).toBe(global);
      const shards = Array.from({ length: Math.max(1, count) }, (_, number) => number);
      const keepers = shards.filter((number) => shardKeeps(key, sharding, number));
      expect(keepers, line).toEqual(kept === 'all' ? shards : kept);
    }
  });

  test.each([
    [16396, 32006, 10, 32768, 8],
    [16396, 100_000, 10, 32768, 9],
    [16384, 0, 2, 2048, 0],
    [16384, 2047, 2, 2048, 0],
    [16384, 2048, 2, 2048, 1],
    [16384, 2048, 4, 2048, 3],
    [16384, 4096, 4, 2048, 2],
    [16384, 6144, 8, 2048, 7],
    [1259, 0, 4, 2048, 2],
    [1259, 0, 8, 2048, 2],
    [4_294_967_295, 4_294_967_294, 255, 1, 133],
  ])(
    'the shard of a key of relation %i, block %i, over %i shards with stripes of %i pages is %i',
    (relation, number, count, stripeSize, owner) => {
      expect(shardOfKey(block(relation, number), { count, stripeSize })).toBe(owner);
    },
  );

  test.each([
    ['of the init fork is 0', block(16384, 2048, 3), 0, false],
    ['of the size of a relation is any', block(16384, 0xffff_ffff), 0, true],
    ['of a relation directory is any', block(0, 1), 0, true],
    ['of an SLRU page is 0', parseKey('010000000000000000000000010000000007'), 0, false],
    ['of an auxiliary file is 0', parseKey('620000000000000000000000000000000001'), 0, false],
    ['of a replication origin is any', parseKey('630000000000000000000000000000000001'), 0, true],
  ])('the shard of a key %s', (_, key, owner, everywhere) => {
    expect(shardOfKey(key, { count: 8, stripeSize: 2048 })).toBe(owner);
    expect(isOnEveryShard(key)).toBe(everywhere);
  });

  test('a shard that keeps all keys of a range, or none, keeps all or none of them', () => {
    const field = fc.constantFrom(0, 1, 2, 0xffff_ffff);
    const someKey = fc
      .record({
        field1: fc.constantFrom(0, 0, 0, 1, 0x62, 0x63),
        field2: fc.constantFrom(0, 1),
        field3: fc.constantFrom(0, 1),
        field4: field,
        field5: fc.constantFrom(0, 3, 4),
        field6: fc.oneof(fc.nat(40), fc.constant(0xffff_ffff)),
      })
      .map(keyFromFields);
    const sharding = fc.record({
      count: fc.nat(4),
      stripeSize: fc.constantFrom(1, 3, 10, 0xffff_ffff),
    });
    const known = new Set<boolean | undefined>();
    fc.assert(
      fc.property(
        fc.array(someKey, { minLength: 2, maxLength: 60 }),
        sharding,
        fc.nat(3),
        (someKeys, cut, shardNumber) => {
          const keys = someKeys.sort(Buffer.compare);
          const keeps = keys.map((key) => shardKeeps(key, cut, shardNumber));
          for (const [from, first] of keys.entries()) {
            for (let to = from; to < keys.length; to += 1) {
              const range = { first, last: keys[to] as Uint8Array };
              const all = shardKeepsRange(range, cut, shardNumber);
              known.add(all);
              if (all === undefined) continue;
              expect(new Set(keeps.slice(from, to + 1))).toEqual(new Set([all]));
            }
          }
        },
      ),
    );
    expect(known).toEqual(new Set([true, false, undefined]));
  });

  test.each([
    [{ count: 256, stripeSize: 2048 }],
    [{ count: -1, stripeSize: 2048 }],
    [{ count: 2, stripeSize: 0 }],
    [{ count: 2, stripeSize: 2 ** 32 }],
  ])('a sharding of %o is refused', (sharding) => {
    const error = storageErrorThrownBy(() => shardOfKey(block(1, 1), sharding));
    expect(error.code).toBe('invalid-input');
  });
});

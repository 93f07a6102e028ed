/** WAL over the base of each shard of a tenant, all the way into layers: together they have what one without shards has. */
import { beforeAll, describe, expect, it } from 'vitest';
import { parseKey } from '../../../src/layers/key.ts';
import { encodeValue } from '../../../src/layers/value-format.ts';
import { describeKey, relationBlockKey } from '../../../src/postgres/key-mapping.ts';
import type { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import { isOnEveryShard, shardKeeps } from '../../../src/timeline/shard-owner.ts';
import {
  COPY,
  continuedCluster,
  type Entries,
  entriesOn,
  entryText,
  ingestWal,
  placeOn,
} from '../../support/continued-cluster.ts';
import { differences } from '../../support/ingested-timelines.ts';

const SHARDING = { count: 3, stripeSize: 1 };
const NUMBERS = [0, 1, 2];

const ZERO_PAGE = entryText(true, encodeValue({ type: 'image', bytes: new Uint8Array(8192) }));

const keyOf = (name: string) => parseKey(name.slice(0, 36));
const isGlobal = (name: string): boolean => isOnEveryShard(keyOf(name));

function only(entries: Entries, isWanted: (name: string) => boolean): Entries {
  return new Map([...entries].filter(([name]) => isWanted(name)));
}

describe('WAL over the bases of three shards', () => {
  let whole: Entries = new Map();
  const shards: Entries[] = [];
  let disk: MemoryFileSystem;
  let endLsn = 0n;

  beforeAll(async () => {
    const alone = await continuedCluster();
    const result = await ingestWal(alone);
    endLsn = result.endLsn;
    whole = await entriesOn(alone, result.layers);
    disk = await continuedCluster(SHARDING.count);
    for (const number of NUMBERS) {
      const { layers } = await ingestWal(disk, { number, shardCount: SHARDING.count });
      shards.push(await entriesOn(disk, layers));
    }
  });

  it.each(NUMBERS)(
    'WAL over the bases of three shards gives shard %d no key that it does not have',
    (number) => {
      const names = [...(shards[number]?.keys() ?? [])];
      expect(names.length).toBeGreaterThan(10);
      expect(names.filter((name) => !shardKeeps(keyOf(name), SHARDING, number))).toEqual([]);
    },
  );

  it('WAL over the bases of three shards gives all shards together the blocks, transaction logs and files of one, each once', () => {
    const isOfOne = (name: string) => !isGlobal(name);
    const together: Entries = new Map();
    for (const shard of shards) {
      for (const [name, value] of only(shard, isOfOne)) {
        expect(together.has(name)).toBe(false);
        together.set(name, value);
      }
    }
    // A shard fills only gaps before blocks of its own: the others stay missing until one comes.
    const missing = only(whole, (name) => isOfOne(name) && !together.has(name));
    expect([...new Set(missing.values())]).toEqual([ZERO_PAGE]);
    const expected = only(whole, (name) => isOfOne(name) && !missing.has(name));
    expect(differences(together, expected)).toEqual([]);
    for (const shard of shards) {
      const blocks = only(shard, (name) => describeKey(keyOf(name)).kind === 'rel_block');
      expect(blocks.size).toBeGreaterThan(5);
    }
  });

  it('WAL over the bases of three shards gives the first shard the sizes, lists and checkpoints of one, exactly', () => {
    const first = only(shards[0] as Entries, isGlobal);
    expect(differences(first, only(whole, isGlobal))).toEqual([]);
  });

  it('WAL over the bases of three shards gives the other shards the lists of relations of one, and no key besides', () => {
    const isList = (name: string) => describeKey(keyOf(name)).kind === 'rel_dir';
    const keys = new Set([...whole.keys()].map((name) => name.slice(0, 36)));
    for (const shard of shards.slice(1)) {
      expect(differences(only(shard, isList), only(whole, isList))).toEqual([]);
      expect([...shard.keys()].filter((name) => !keys.has(name.slice(0, 36)))).toEqual([]);
    }
  });

  it('WAL over the bases of three shards makes a timeline of them that is read as one', async () => {
    await using timeline = await openTimeline(placeOn(disk, COPY));
    expect(timeline.lastLsn).toBe(endLsn);
    // Blocks of a relation that exists at the end, on three shards: the manifest of the copy tells which.
    const blocks = [0, 1, 2, 3].map((blkno) =>
      relationBlockKey({ spcnode: 1663, dbnode: 5, relnode: 16_384, fork: 'main', blkno }),
    );
    for (const found of await timeline.reconstructMany(blocks, endLsn)) {
      expect(found.records.length).toBeGreaterThan(0);
    }
  });
});

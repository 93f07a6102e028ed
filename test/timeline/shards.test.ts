/** Timelines of several shards: a read finds what it finds in the timeline that was cut. */
import { mkdtempSync, rmSync } from 'node:fs';
import { cp, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatKey, parseKey } from '../../src/layers/key.ts';
import { parseLsn } from '../../src/layers/lsn.ts';
import { directoryStore } from '../../src/object-store/directory-store.ts';
import { intersect, normalized, singleKey } from '../../src/timeline/key-space.ts';
import { openTimeline } from '../../src/timeline/open-timeline.ts';
import { imageBytes } from '../../src/timeline/read-page.ts';
import type { Reconstruction } from '../../src/timeline/reconstruct.ts';
import { type Sharding, shardOfKey } from '../../src/timeline/shard-owner.ts';
import { chooseShards } from '../../src/timeline/shard-set.ts';
import type { Timeline } from '../../src/timeline/timeline.ts';
import { readLines, unpackTimelines } from '../support/golden-timelines.ts';
import { HAS_ALL_ROUNDS } from '../support/rounds.ts';
import { copySharded } from '../support/sharded-timelines.ts';
import { storageErrorOf } from '../support/storage-errors.ts';

const root = mkdtempSync(join(tmpdir(), 'layerfile-test-'));
const whole = join(root, 'whole');
const cut = join(root, 'cut');
const TENANT = 'c0ffee00000000000000000000000001';
const TIMELINES = ['1', '2', '3'].map((digit) => digit.repeat(32));
const SHARDING: Sharding = { count: 3, stripeSize: 4 };

interface Read {
  readonly timeline: string;
  readonly key: string;
  readonly ranges?: readonly [string, string][];
  readonly lsn: string;
}

const reads = readLines<Read>('branches-reads.ndjson.br');
const singleReads = reads.filter(({ ranges }) => ranges === undefined);

beforeAll(async () => {
  await unpackTimelines('branches', whole);
  await copySharded({ source: whole, target: cut, tenantId: TENANT, sharding: SHARDING });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function shardDirectory(shard: string): string {
  return join(cut, 'tenants', `${TENANT}-${shard}`);
}

function describeFound({ key, base, records, outcome, ...found }: Reconstruction) {
  const bytes = imageBytes({ key, base, records, outcome, ...found });
  return {
    key: formatKey(key),
    outcome,
    base: base && { lsn: base.lsn, bytes: Buffer.from(bytes ?? []).toString('hex') },
    records: records.map(({ lsn, bytes }) => `${lsn} ${Buffer.from(bytes).toString('hex')}`),
  };
}

function rangesOf({ ranges = [] }: Read) {
  return ranges.map(([start, end]) => ({ start: parseKey(start), end: parseKey(end) }));
}

describe('three timelines, cut into three shards with stripes of four pages', () => {
  const timelines = new Map<string, readonly [Timeline, Timeline]>();

  beforeAll(async () => {
    for (const timeline of TIMELINES) {
      const opened = [whole, cut].map((directory) => openTimeline(directory, { timeline }));
      timelines.set(timeline, (await Promise.all(opened)) as [Timeline, Timeline]);
    }
    return async () => {
      for (const [one, other] of timelines.values())
        await Promise.all([one.close(), other.close()]);
    };
  });

  function opened(timeline: string): readonly [Timeline, Timeline] {
    return timelines.get(timeline) as [Timeline, Timeline];
  }

  test('three timelines, cut into three shards with stripes of four pages are one timeline each, with known facts and shards', () => {
    const [uncut, sharded] = opened(TIMELINES[2] as string);
    expect(sharded.facts).toEqual(uncut.facts);
    expect(sharded.shards.map(({ facts }) => facts.shard)).toEqual(['0003', '0103', '0203']);
    expect(sharded.shards.every(({ map }) => map.layerCount > 0)).toBe(true);
    expect(uncut.shards).toEqual([]);
  });

  test('three timelines, cut into three shards with stripes of four pages have no layer map together, but one for each key', async () => {
    const [uncut, sharded] = opened(TIMELINES[0] as string);
    expect(() => sharded.map).toThrow(expect.objectContaining({ code: 'invalid-input' }));
    for (const { key } of singleReads.slice(0, 50)) {
      const parsed = parseKey(key);
      expect(sharded.mapOf(parsed)).toBe(sharded.shards[shardOfKey(parsed, SHARDING)]?.map);
      expect(uncut.mapOf(parsed)).toBe(uncut.map);
    }
  });

  test('each of the single reads finds the same, in the shard that owns the key', async () => {
    const groups = new Map<string, Read[]>();
    for (const [at, read] of singleReads.entries()) {
      if (!HAS_ALL_ROUNDS && at % 4 !== 0) continue;
      const name = `${read.timeline} ${read.lsn}`;
      groups.set(name, [...(groups.get(name) ?? []), read]);
    }
    const owners = new Set<number>();
    for (const group of groups.values()) {
      const { timeline, lsn } = group[0] as Read;
      const keys = group.map(({ key }) => parseKey(key));
      for (const key of keys) owners.add(shardOfKey(key, SHARDING));
      const [uncut, sharded] = opened(timeline);
      const expected = await uncut.reconstructMany(keys, parseLsn(lsn));
      const found = await sharded.reconstructMany(keys, parseLsn(lsn));
      expect(found.map(describeFound)).toEqual(expected.map(describeFound));
    }
    expect([...owners].sort()).toEqual([0, 1, 2]);
  });

  test('each read of ranges finds the same keys, and misses the same', async () => {
    const ofRanges = reads.filter(({ ranges }) => ranges !== undefined);
    let missed = 0;
    for (const read of ofRanges) {
      const [uncut, sharded] = opened(read.timeline);
      const ranges = rangesOf(read);
      const expected = await uncut.reconstructRanges(ranges, parseLsn(read.lsn));
      const found = await sharded.reconstructRanges(ranges, parseLsn(read.lsn));
      expect(found.found.map(describeFound)).toEqual(expected.found.map(describeFound));
      expect(found.missing.map(rangeName)).toEqual(expected.missing.map(rangeName));
      missed += found.missing.length;
    }
    expect(missed).toBeGreaterThan(10);
  });

  test('the history of a key is that of its owner, through all ancestors', async () => {
    const [uncut, sharded] = opened(TIMELINES[2] as string);
    for (const block of ['00', '04', '08', '0C']) {
      const key = parseKey(`000000067F000000050000400000000000${block}`);
      const [expected, found] = await Promise.all(
        [uncut, sharded].map(async (timeline) => {
          const lsns: bigint[] = [];
          for await (const { lsn } of timeline.history(key)) lsns.push(lsn);
          return lsns;
        }),
      );
      expect(found).toEqual(expected);
    }
  });

  test('values of all shards together are bounded', async () => {
    const timeline = TIMELINES[0] as string;
    const everything = [{ start: parseKey('0'.repeat(36)), end: parseKey(`01${'0'.repeat(34)}`) }];
    const [uncut] = opened(timeline);
    const { found } = await uncut.reconstructRanges(everything, 0x8000n);
    let length = 0;
    for (const { base, records } of found) {
      for (const entry of base === undefined ? records : [base, ...records])
        length += entry.bytes.length;
    }
    // Each shard alone has less.
    await using limited = await openTimeline(cut, { timeline, maximumBytes: length - 1 });
    const error = await storageErrorOf(limited.reconstructRanges(everything, 0x8000n));
    expect(error.code).toBe('too-large');
  });
});

function rangeName({
  start,
  end,
}: {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
}): string {
  return `${formatKey(start)}-${formatKey(end)}`;
}

describe('keys that only another shard than their owner has', () => {
  test('keys that only another shard than their owner has are missing, alone and in a range', async () => {
    const target = join(root, 'misplaced');
    const timeline = TIMELINES[0] as string;
    await cp(cut, target, { recursive: true });
    const [owner, other] = ['0103', '0203'].map((shard) =>
      join(target, 'tenants', `${TENANT}-${shard}`, 'timelines', timeline),
    ) as [string, string];
    await rm(other, { recursive: true });
    await rename(owner, other);
    // Without their index, which has the layers elsewhere, they are what lies there.
    await rm(join(other, 'index_part.json-00000003'));
    await mkdir(owner);
    await writeFile(join(owner, LAYER_OF_NOTHING), '');
    await using uncut = await openTimeline(whole, { timeline });
    await using sharded = await openTimeline(target, { timeline });
    const start = parseKey(`000000067F000000050000400000${'0'.repeat(8)}`);
    const end = parseKey(`000000067F000000050000400000${'0'.repeat(6)}10`);
    const isOwn = ({ key }: { readonly key: Uint8Array }) => shardOfKey(key, SHARDING) === 1;
    const own = (await uncut.reconstructRanges([{ start, end }], 0x8000n)).found.filter(isOwn);
    const blocks = own.map(({ key }) => formatKey(key).slice(-2));
    expect(blocks).toEqual(['00', '01', '02', '03', '0D', '0E', '0F']);
    for (const { key } of own) {
      expect((await sharded.shards[2]?.reconstruct(key, 0x8000n))?.outcome).toBe('complete');
      expect((await sharded.reconstruct(key, 0x8000n)).outcome).toBe('missing');
    }
    const { found, missing } = await sharded.reconstructRanges([{ start, end }], 0x8000n);
    expect(found.some(isOwn)).toBe(false);
    const space = own.map(({ key }) => singleKey(key));
    expect(intersect(missing, normalized(space))).toEqual(normalized(space));
  });
});

/** A key range that the test does not read, so that the layer is never opened. */
const LAYER_OF_NOTHING = `61${'0'.repeat(34)}-62${'0'.repeat(34)}__0000000000001000-00000001`;

describe('a source that lacks a shard', () => {
  test('a source that lacks a shard has the keys of the others; a read of its keys, or of a range, is not-found', async () => {
    const moved = join(root, 'moved');
    const timeline = TIMELINES[0] as string;
    await rename(shardDirectory('0103'), moved);
    try {
      await using sharded = await openTimeline(cut, { timeline });
      const keys = singleReads.map(({ key }) => parseKey(key));
      const ownedBy = (shard: number) => keys.filter((key) => shardOfKey(key, SHARDING) === shard);
      expect(await sharded.reconstructMany(ownedBy(2).slice(0, 5), 0x8000n)).toHaveLength(5);
      const [absent] = ownedBy(1);
      const expected = { code: 'not-found', message: expect.stringContaining('shard 0103') };
      const key = absent as Uint8Array;
      expect(await storageErrorOf(sharded.reconstruct(key, 0x8000n))).toMatchObject(expected);
      const range = { start: parseKey('0'.repeat(36)), end: key };
      const ofRange = sharded.reconstructRanges([range], 0x8000n);
      expect(await storageErrorOf(ofRange)).toMatchObject(expected);
      expect(await storageErrorOf(sharded.history(key).next())).toMatchObject(expected);
    } finally {
      await rename(moved, shardDirectory('0103'));
    }
  });
});

describe('the stripe size', () => {
  const timeline = TIMELINES[0] as string;

  test('the stripe size of the caller goes before that of the manifest', async () => {
    await using sharded = await openTimeline(cut, { timeline, stripeSize: 2048 });
    const keys = singleReads.map(({ key }) => parseKey(key));
    const moved = keys.find(
      (key) =>
        shardOfKey(key, SHARDING) !== 0 && shardOfKey(key, { ...SHARDING, stripeSize: 2048 }) === 0,
    );
    const { visits } = await sharded.reconstruct(moved as Uint8Array, 0x8000n);
    const ofShard0 = await sharded.shards[0]?.reconstruct(moved as Uint8Array, 0x8000n);
    expect(visits).toEqual(ofShard0?.visits);
  });

  test('the stripe size of a pageserver is in its configuration', async () => {
    const target = join(root, 'local');
    await cp(cut, target, { recursive: true });
    for (const shard of ['0003', '0103', '0203']) {
      const directory = join(target, 'tenants', `${TENANT}-${shard}`);
      await rm(join(directory, 'tenant-manifest-00000001.json'));
      await writeFile(
        join(directory, 'config-v1'),
        '[mode.Attached]\ngeneration = 1\n[shard]\nnumber = 0\ncount = 3\nstripe_size = 4\n[tenant_conf]\n',
      );
    }
    await using uncut = await openTimeline(whole, { timeline });
    await using sharded = await openTimeline(target, { timeline });
    const keys = singleReads.slice(0, 100).map(({ key }) => parseKey(key));
    const expected = await uncut.reconstructMany(keys, 0x8000n);
    const found = await sharded.reconstructMany(keys, 0x8000n);
    expect(found.map(describeFound)).toEqual(expected.map(describeFound));
  });

  test('the stripe size of 0 is corrupt', async () => {
    const target = join(root, 'no-stripe');
    await cp(cut, target, { recursive: true });
    const path = join(target, 'tenants', `${TENANT}-0003`, 'tenant-manifest-00000002.json');
    await writeFile(path, '{"version":2,"stripe_size":0,"offloaded_timelines":[]}');
    const source = { store: directoryStore(target) };
    const error = await storageErrorOf(openTimeline(source, { timeline }));
    expect(error).toMatchObject({ code: 'corrupt', actual: '0' });
    expect(error.path).toContain('tenant-manifest-00000002.json');
  });
});

describe('the shards that count of a tenant that was split', () => {
  const at = (shard: string | undefined) => ({
    tenantId: TENANT,
    shard,
    timelineId: TIMELINES[0],
    prefix: `${shard}/`,
  });

  test.each([
    ['both counts complete', [undefined, '0002', '0102'], 2, [0, 1]],
    ['the children incomplete', [undefined, '0002'], 0, [0]],
    ['no count complete', ['0002', '0104', '0304'], 4, [1, 3]],
    ['shards in another order', ['0102', '0002'], 2, [0, 1]],
    ['a number beyond the count', ['0001', '0202'], 1, [0]],
  ])(
    'of a tenant that was split, with %s, the shards of one count are chosen',
    (_, shards, count, numbers) => {
      const chosen = chooseShards(shards.map(at));
      expect([chosen?.count, [...(chosen?.locations.keys() ?? [])]]).toEqual([count, numbers]);
    },
  );

  test('a tenant that was split has no shards if none has a number below its count', () => {
    expect(chooseShards([at('0201'), at('0500')])).toBeUndefined();
  });
});

/** A database that is copied by file, all the way into layers. */
import { describe, expect, test } from 'vitest';
import { TimelineOutput } from '../../../src/ingest/output/timeline-output.ts';
import type { WalIngestOptions } from '../../../src/ingest/pipeline/wal-ingest-options.ts';
import { maximumKey, minimumKey } from '../../../src/layers/key.ts';
import type { FinishedLayer } from '../../../src/layers/layer-file/layer-writer.ts';
import { parseLayerName } from '../../../src/layers/layer-name.ts';
import { formatLsn } from '../../../src/layers/lsn.ts';
import { relationBlockKey, relationSizeKey } from '../../../src/postgres/key-mapping.ts';
import { decodeRelationSize } from '../../../src/postgres/relation-size.ts';
import { compactTimeline } from '../../../src/reshape/compact-timeline.ts';
import type { MemoryFileSystem } from '../../../src/testing/memory-file-system.ts';
import { openTimeline } from '../../../src/timeline/open-timeline.ts';
import { shardOfKey } from '../../../src/timeline/shard-owner.ts';
import { UNSHARDED } from '../../../src/timeline/tenant-shard.ts';
import type { RedoRequest } from '../../../src/timeline/wal-redo/messages.ts';
import { OpenFiles } from '../../../src/virtual-file/open-files.ts';
import { pages } from '../../postgres/fabricated-cluster.ts';
import {
  COPY,
  continuedCluster,
  databaseCopy,
  entriesOn,
  imageOn,
  ingestWal,
  placeOn,
  STAGING,
  TABLE,
  timelineDirectory,
  walAfterBase,
} from '../../support/continued-cluster.ts';
import { differences } from '../../support/ingested-timelines.ts';
import { storageErrorOf } from '../../support/storage-errors.ts';
import { words } from '../../support/wal-records.ts';

const insertInto = (blkno: number) => ({
  ...{ resourceManager: 10, info: 0, xid: 700, mainData: Uint8Array.of(1, 0, 0) },
  blocks: [{ relation: [1663, 5, TABLE] as const, blkno, data: new Uint8Array(40) }],
});
const dropDatabase = (dbnode: number) => ({
  ...{ resourceManager: 4, info: 0x20, mainData: words(dbnode, 1, 1663) },
});
/** Builds any page that needs it. */
const redo = { apply: async () => pages(1, 77) };

async function pageOf(disk: MemoryFileSystem, dbnode: number, blkno: number) {
  await using timeline = await openTimeline(placeOn(disk, COPY));
  const place = { spcnode: 1663, dbnode, relnode: TABLE, fork: 'main', blkno } as const;
  const page = await timeline.readPage(relationBlockKey(place), timeline.lastLsn);
  return page.kind === 'page' ? page.bytes : page.kind;
}

describe('a database is copied by file', () => {
  test('a database is copied by file with the pages of its base', async () => {
    const disk = await continuedCluster();
    await ingestWal(disk, { wal: walAfterBase([databaseCopy(6, 5)]) });
    for (const blkno of [0, 5])
      expect(await pageOf(disk, 6, blkno)).toEqual(await pageOf(disk, 5, blkno));
  });

  test('a database is copied by file and needs redo if a page has changed, with the LSN of the record', async () => {
    const wal = walAfterBase([insertInto(3), databaseCopy(6, 5), insertInto(1)]);
    const disk = await continuedCluster();
    const error = await storageErrorOf(ingestWal(disk, { wal }));
    expect(error.code).toBe('needs-redo');
    expect(BigInt(`0x${error.lsn}`)).toBe(wal.records[2]?.endLsn);
    await using timeline = await openTimeline(placeOn(disk, COPY));
    expect(timeline.lastLsn).toBe(wal.records[1]?.endLsn);
  });

  test('a database is copied by file with pages that a redo program makes, and everything after it follows', async () => {
    const wal = walAfterBase([insertInto(3), databaseCopy(6, 5), insertInto(1)]);
    const made = pages(1, 77);
    const requests: RedoRequest[] = [];
    const noting = {
      apply: async (request: RedoRequest) => {
        requests.push(request);
        return made;
      },
    };
    const disk = await continuedCluster();
    const { endLsn } = await ingestWal(disk, { wal, redo: noting });
    expect(endLsn).toBe(wal.records.at(-1)?.endLsn);
    expect(requests.map(({ records }) => records.map(({ lsn }) => lsn))).toEqual([
      [wal.records[1]?.endLsn],
    ]);
    expect(await pageOf(disk, 6, 3)).toEqual(made);
    expect(await pageOf(disk, 6, 2)).toEqual(await pageOf(disk, 5, 2));
  });

  test('a database is copied by file without a redo program', async () => {
    const disk = await continuedCluster();
    const redo = {} as { apply: (request: RedoRequest) => Promise<Uint8Array> };
    expect((await storageErrorOf(ingestWal(disk, { redo }))).code).toBe('invalid-input');
  });
});

/** A record of more than a page has a layer of its own, and a layer has two pages. */
const SMALL = { recordSize: 10_000, checkpointDistance: 16_384 } as const;
/** Both have room for everything. */
const LARGE = { recordSize: 2 ** 30, checkpointDistance: 2 ** 30 } as const;

/** The layers in the copy, whether or not an index names them. */
function storedLayers(disk: MemoryFileSystem): { readonly path: string; readonly name: string }[] {
  const directory = `${COPY}/${timelineDirectory()}/`;
  return [...disk.contents().keys()]
    .filter((path) => path.startsWith(directory) && path.includes('__'))
    .map((path) => ({ path, name: path.slice(directory.length) }));
}

/** Delta layers, which the base has none of. */
function ingestedLayers(disk: MemoryFileSystem) {
  return storedLayers(disk).filter(({ name }) => parseLayerName(name).kind === 'delta');
}

/** Keys and LSNs of delta layers. */
function rangesOf(layers: readonly Pick<FinishedLayer, 'name'>[]) {
  return layers.map(({ name }) => {
    const layer = parseLayerName(name);
    if (layer.kind !== 'delta') throw new Error(`${name}: not a delta layer`);
    return layer;
  });
}

function endLsnsOf(wal: { readonly records: readonly { readonly endLsn: bigint }[] }) {
  return wal.records.map(({ endLsn }) => endLsn);
}

async function entriesAtOnce(
  wal: ReturnType<typeof walAfterBase>,
  options: Partial<WalIngestOptions> = {},
) {
  const disk = await continuedCluster();
  const { layers } = await ingestWal(disk, { wal, ...LARGE, ...options });
  return entriesOn(disk, layers);
}

describe('a database with more pages than a layer holds', () => {
  const WAL = walAfterBase([
    imageOn(5, 2, 50),
    imageOn(5, 4, 51),
    databaseCopy(6, 5),
    imageOn(6, 1, 52),
    imageOn(6, 5, 53),
  ]);

  test('a database with more pages than a layer holds goes to layers of the same LSNs and disjoint keys, between L0s', async () => {
    const disk = await continuedCluster();
    const { layers, startLsn } = await ingestWal(disk, { wal: WAL, ...SMALL });
    const [, , before, copied] = endLsnsOf(WAL) as [bigint, bigint, bigint, bigint];
    const ranges = rangesOf(layers);
    const ofCopy = ranges.filter(({ lsnRange }) => lsnRange.end === copied + 1n);
    expect(ofCopy.length).toBeGreaterThanOrEqual(3);
    expect(ofCopy.map(({ lsnRange }) => lsnRange.start)).toEqual(ofCopy.map(() => before + 1n));
    const starts = ofCopy.map(({ keyRange }) => keyRange.start);
    const ends = ofCopy.map(({ keyRange }) => keyRange.end);
    expect(starts).toEqual([minimumKey(), ...ends.slice(0, -1)]);
    expect(ends.at(-1)).toEqual(maximumKey());
    const others = ranges.filter((range) => !ofCopy.includes(range));
    for (const { keyRange } of others) {
      expect(keyRange).toEqual({ start: minimumKey(), end: maximumKey() });
    }
    const borders = [...others, ofCopy[0]].map((range) => range?.lsnRange);
    const ascending = borders.sort((left, right) =>
      Number((left?.start ?? 0n) - (right?.start ?? 0n)),
    );
    expect(ascending[0]?.start).toBe(startLsn + 1n);
    expect(ascending.slice(1).map((range) => range?.start)).toEqual(
      ascending.slice(0, -1).map((range) => range?.end),
    );
    await using timeline = await openTimeline(placeOn(disk, COPY));
    expect(timeline.map.violation()).toBeUndefined();
  });

  test.each([10_000, 20_000, 45_000])(
    'a database with more pages than a layer holds has the same entries if its record has a layer from %d bytes on',
    async (recordSize) => {
      const expected = await entriesAtOnce(WAL);
      for (const checkpointDistance of [8192, 16_384, 30_000, 2 ** 20]) {
        const disk = await continuedCluster();
        const sizes = { recordSize, checkpointDistance };
        const { layers } = await ingestWal(disk, { wal: WAL, ...sizes });
        expect(differences(await entriesOn(disk, layers), expected)).toEqual([]);
        expect(await pageOf(disk, 6, 3)).toEqual(await pageOf(disk, 5, 3));
        expect(await pageOf(disk, 6, 4)).toEqual(await pageOf(disk, 5, 4));
        expect(await pageOf(disk, 6, 1)).not.toEqual(await pageOf(disk, 5, 1));
      }
    },
  );

  test('a database with more pages than a layer holds fits one separate layer, which later records share', async () => {
    const disk = await continuedCluster();
    const sizes = { recordSize: 10_000, checkpointDistance: 2 ** 20 };
    const { layers, startLsn, endLsn } = await ingestWal(disk, { wal: WAL, ...sizes });
    const [, , before] = endLsnsOf(WAL) as [bigint, bigint, bigint];
    expect(rangesOf(layers).map(({ lsnRange }) => lsnRange)).toEqual([
      { start: startLsn + 1n, end: before + 1n },
      { start: before + 1n, end: endLsn + 1n },
    ]);
  });

  test('a database with more pages than a layer holds is copied, dropped and copied again from its copy', async () => {
    const wal = walAfterBase([
      databaseCopy(6, 5),
      imageOn(6, 7, 60),
      databaseCopy(7, 6),
      dropDatabase(6),
      databaseCopy(6, 7),
      imageOn(6, 0, 61),
    ]);
    const disk = await continuedCluster();
    const { layers } = await ingestWal(disk, { wal, ...SMALL });
    expect(differences(await entriesOn(disk, layers), await entriesAtOnce(wal))).toEqual([]);
    await using timeline = await openTimeline(placeOn(disk, COPY));
    for (const dbnode of [6, 7]) {
      const key = relationSizeKey({ spcnode: 1663, dbnode, relnode: TABLE, fork: 'main' });
      const size = await timeline.readPage(key, timeline.lastLsn);
      if (size.kind !== 'page') throw new Error(size.kind);
      expect(decodeRelationSize(size.bytes)).toBe(8);
    }
    expect(await pageOf(disk, 6, 7)).toEqual(await pageOf(disk, 7, 7));
    expect(await pageOf(disk, 6, 6)).toEqual(new Uint8Array(8192));
  });

  test('a database with more pages than a layer holds leaves nothing if a page in the middle cannot be read', async () => {
    const wal = walAfterBase([
      imageOn(5, 0, 9),
      insertInto(3),
      databaseCopy(6, 5),
      imageOn(6, 0, 8),
    ]);
    const [, , before, copied] = endLsnsOf(wal) as [bigint, bigint, bigint, bigint];
    const disk = await continuedCluster();
    const error = await storageErrorOf(ingestWal(disk, { wal, ...SMALL }));
    expect(error).toMatchObject({ code: 'needs-redo', lsn: formatLsn(copied) });
    const kept = ingestedLayers(disk);
    const expected = await entriesAtOnce(wal, { redo });
    const upTo = new Map([...expected].filter(([name]) => name.slice(-16) <= formatLsn(before)));
    expect(upTo.size).toBeGreaterThan(1);
    expect(differences(await entriesOn(disk, kept), upTo)).toEqual([]);
    {
      await using timeline = await openTimeline(placeOn(disk, COPY));
      expect(timeline.lastLsn).toBe(before);
    }
    // What was not passed on lies in the staging directory until the ingest is closed.
    for (const path of disk.paths()) if (path.startsWith(`${STAGING}/`)) void disk.unlink(path);
    await ingestWal(disk, { wal, ...SMALL, redo });
    expect(differences(await entriesOn(disk, ingestedLayers(disk)), expected)).toEqual([]);
  });

  test('a database with more pages than a layer holds is on each shard with its own pages', async () => {
    const sharding = { count: 3, stripeSize: 1 };
    const whole = await entriesAtOnce(WAL);
    const disk = await continuedCluster(sharding.count);
    const found = new Set<string>();
    for (const number of [0, 1, 2]) {
      const sizes = { recordSize: 4096, checkpointDistance: 8192 };
      const shard = { number, shardCount: sharding.count };
      const { layers } = await ingestWal(disk, { wal: WAL, ...sizes, ...shard });
      for (const [name, value] of await entriesOn(disk, layers)) {
        const block = /^00(.{8})(.{8})(.{8})(00|02)(.{8}) /.exec(name);
        if (block === null || block[3] === '00000000' || block[5] === 'FFFFFFFF') continue;
        expect(value).toBe(whole.get(name));
        const fork = block[4] === '02' ? 'vm' : 'main';
        const place = { spcnode: 1663, dbnode: 5, relnode: TABLE, fork } as const;
        const key = relationBlockKey({ ...place, blkno: Number(`0x${block[5]}`) });
        expect(shardOfKey(key, sharding)).toBe(number);
        found.add(name);
      }
    }
    const copied = formatLsn(endLsnsOf(WAL)[3] ?? 0n);
    expect([...found].filter((name) => name.endsWith(copied))).toHaveLength(7);
    await using timeline = await openTimeline(placeOn(disk, COPY));
    const place = { spcnode: 1663, dbnode: 6, relnode: TABLE, fork: 'main' } as const;
    for (const blkno of [0, 1, 2, 3, 4, 5]) {
      const page = await timeline.readPage(relationBlockKey({ ...place, blkno }), timeline.lastLsn);
      expect(page.kind).toBe('page');
    }
  });

  test('a database with more pages than a layer holds is refused with blocks that its record names besides', async () => {
    const wal = walAfterBase([
      imageOn(5, 0, 9),
      { ...databaseCopy(6, 5), blocks: [{ relation: [1663, 5, TABLE], blkno: 0 }] },
    ]);
    const [, before, copied] = endLsnsOf(wal) as [bigint, bigint, bigint];
    const disk = await continuedCluster();
    const error = await storageErrorOf(ingestWal(disk, { wal, ...SMALL }));
    expect(error).toMatchObject({ code: 'too-large', lsn: formatLsn(copied) });
    await using timeline = await openTimeline(placeOn(disk, COPY));
    expect(timeline.lastLsn).toBe(before);
    expect(ingestedLayers(disk)).toHaveLength(1);
    const other = await continuedCluster();
    const { endLsn } = await ingestWal(other, { wal, ...LARGE });
    expect(endLsn).toBe(copied);
  });

  test('a database with more pages than a layer holds reads the same after its timeline is compacted', async () => {
    const disk = await continuedCluster();
    await ingestWal(disk, { wal: WAL, ...SMALL });
    const before = await Promise.all([0, 1, 2, 3, 4, 5].map((blkno) => pageOf(disk, 6, blkno)));
    const openFiles = new OpenFiles({ fileSystem: disk });
    {
      await using timeline = await openTimeline(placeOn(disk, COPY));
      const { tenantId, timelineId } = timeline.facts;
      if (tenantId === undefined || timelineId === undefined) throw new Error('no names');
      await using output = await TimelineOutput.open({
        ...{ tenantId, timelineId, shard: UNSHARDED, generation: 2 },
        ...{ target: placeOn(disk, COPY), stagingDirectory: STAGING, openFiles },
      });
      const { layers } = await compactTimeline(timeline, {
        ...{ output, openFiles, threshold: 1, checkpointDistance: 30_000 },
        isStored: (name, layer) => output.hasLayer(name, layer),
      });
      expect(layers.length).toBeGreaterThan(0);
    }
    const after = await Promise.all([0, 1, 2, 3, 4, 5].map((blkno) => pageOf(disk, 6, blkno)));
    expect(after).toEqual(before);
    await using timeline = await openTimeline(placeOn(disk, COPY), { generation: 2 });
    expect(timeline.map.violation()).toBeUndefined();
  });
});

test('a gap of more pages than a layer holds is filled in one separate layer', async () => {
  const wal = walAfterBase([imageOn(5, 2, 50), imageOn(5, 40, 51), imageOn(5, 41, 52)]);
  const disk = await continuedCluster();
  const { layers } = await ingestWal(disk, { wal, ...SMALL });
  expect(differences(await entriesOn(disk, layers), await entriesAtOnce(wal))).toEqual([]);
  const ends = endLsnsOf(wal).map((lsn) => lsn + 1n);
  expect(rangesOf(layers).map(({ lsnRange }) => lsnRange.end)).toEqual(ends.slice(1));
  expect(layers[1]?.size).toBeGreaterThan(34 * 8192);
});

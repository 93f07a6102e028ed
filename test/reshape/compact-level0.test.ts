import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { bytesSource, fillRanges } from '../../src/blob-writer/byte-source.ts';
import type { ReadRange } from '../../src/blob-writer/read-range.ts';
import { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import { compactLevel0 } from '../../src/reshape/compact-level0.ts';
import { chooseLevel0 } from '../../src/reshape/level0.ts';
import { LayerMerge } from '../../src/reshape/merge.ts';
import { LayerMap, type MapLayer } from '../../src/timeline/layer-map/layer-map.ts';
import { shardKeeps } from '../../src/timeline/shard-owner.ts';
import { blockKey, DIRECTORY, hex, IDS, memoryDisk, namesOn } from '../support/layers.ts';
import {
  byPlace,
  EVERYTHING,
  linesOf,
  type ModelEntry,
  modelEntries,
  timelineOn,
  writeModelDelta,
} from '../support/random-layers.ts';
import { rounds } from '../support/rounds.ts';

const LSNS = { min: 16, max: 55 };

afterEach(() => {
  vi.restoreAllMocks();
});

/** L0s of 8 LSNs each; those without entries are left out at the end. */
async function level0(entries: readonly ModelEntry[]) {
  const disk = memoryDisk();
  const readers: DeltaLayerReader[] = [];
  let start = 16;
  for (let end = 24; end <= 56; end += 8) {
    const own = entries.filter(({ lsn }) => lsn >= start && lsn < end);
    if (own.length === 0) continue;
    const lsnRange = { start: BigInt(start), end: BigInt(end) };
    readers.push(await writeModelDelta(disk, own, lsnRange));
    start = end;
  }
  return { disk, readers, names: namesOn(disk) };
}

describe('a compaction', () => {
  test('a compaction keeps every entry, and what a read of each key at each LSN is made of', async () => {
    const target = fc.integer({ min: 1, max: 20_000 });
    await fc.assert(
      fc.asyncProperty(modelEntries(LSNS, 2000), target, async (entries, targetSize) => {
        const { disk, readers, names } = await level0(entries);
        const { openFiles } = disk;
        const { layers, entries: count } = await compactLevel0({
          ...{ directory: DIRECTORY, openFiles, ...IDS, readers, targetSize },
          map: LayerMap.fromNames(names),
        });
        expect(count).toBe(entries.length);
        const lines: string[] = [];
        for (const { path } of layers) {
          await using reader = await DeltaLayerReader.open(path, { openFiles });
          lines.push(...(await linesOf(reader)));
        }
        const before: string[] = [];
        for (const reader of readers) before.push(...(await linesOf(reader)));
        expect(lines).toEqual(before.sort());
        await using old = timelineOn(disk, names);
        await using compacted = timelineOn(
          disk,
          layers.map(({ name }) => name),
        );
        expect(compacted.map.violation()).toBeUndefined();
        const keys = Array.from({ length: 13 }, (_, block) => blockKey(block));
        for (const lsn of [17n, 23n, 24n, 30n, 41n, 55n, 60n]) {
          const wanted = await old.reconstructMany(keys, lsn);
          const found = await compacted.reconstructMany(keys, lsn);
          const valuesOf = (all: typeof found) =>
            all.map(({ outcome, base, records }) => [
              outcome,
              [base, ...records].map((entry) => entry && [entry.lsn, hex(entry.bytes)]),
            ]);
          expect(valuesOf(found)).toEqual(valuesOf(wanted));
        }
      }),
      { numRuns: rounds(12) },
    );
  });

  test('a compaction makes the same layers whether sizes of keys are looked up or only bounded', async () => {
    const entries = Array.from({ length: 6000 }, (_, at): ModelEntry => {
      const [block, lsn] = [Math.floor(at / 4), 16 + 8 * (at % 4)];
      return { block, lsn, kind: 'rec', length: 40 + ((at * 37) % 160) };
    });
    const { disk, readers: local, names } = await level0(entries);
    // Layers of a store are read entry by entry.
    const readers: DeltaLayerReader[] = [];
    for (const { path = '' } of local) {
      const bytes = Uint8Array.from(disk.fileSystem.contentOf(path) ?? []);
      const source = bytesSource(bytes, path);
      const readRanges = async (ranges: readonly ReadRange[]) =>
        void (await fillRanges(source, ranges));
      readers.push(await DeltaLayerReader.open({ ...source, readRanges }));
    }
    const bytesOfLayers = async (): Promise<Map<string, string>> => {
      const { fileSystem, openFiles } = memoryDisk();
      const { layers } = await compactLevel0({
        ...{ directory: DIRECTORY, openFiles, ...IDS, readers, targetSize: 400_000 },
        map: LayerMap.fromNames(names),
      });
      expect(layers.length).toBeGreaterThan(1);
      return new Map(layers.map(({ path, name }) => [name, hex(fileSystem.contentOf(path)) ?? '']));
    };
    const lookUps = vi.spyOn(LayerMerge.prototype, 'keySize');
    const bounded = await bytesOfLayers();
    // Not one a key.
    expect(lookUps.mock.calls.length).toBeLessThan(1200);
    vi.spyOn(LayerMerge.prototype, 'keySizeBound', 'get').mockReturnValue(Number.POSITIVE_INFINITY);
    expect(await bytesOfLayers()).toEqual(bounded);
  });

  test('a compaction leaves out keys of other shards, and counts them', async () => {
    const entries = Array.from({ length: 1500 }, (_, at): ModelEntry => {
      return { block: Math.floor(at / 2), lsn: 16 + 8 * (at % 2), kind: 'rec', length: 60 };
    }).sort(byPlace);
    const { disk, readers, names } = await level0(entries);
    const sharding = { count: 2, stripeSize: 1 };
    const { layers, droppedEntries } = await compactLevel0({
      ...{ directory: DIRECTORY, openFiles: disk.openFiles, ...IDS, readers, targetSize: 30_000 },
      map: LayerMap.fromNames(names),
      shard: { sharding, shardNumber: 1 },
    });
    const kept = entries.filter(({ block }) => shardKeeps(blockKey(block), sharding, 1));
    expect(layers.length).toBeGreaterThan(1);
    expect(layers.reduce((sum, { entryCount }) => sum + entryCount, 0)).toBe(kept.length);
    expect(droppedEntries).toBe(entries.length - kept.length);
  });

  test('a compaction of two inputs with one key and LSN is refused, and leaves nothing', async () => {
    const disk = memoryDisk();
    const entry = { block: 1, lsn: 20, kind: 'rec', length: 9 } as const;
    const one = await writeModelDelta(disk, [entry], { start: 16n, end: 24n });
    const map = LayerMap.fromNames(namesOn(disk));
    const target = memoryDisk();
    const { openFiles } = target;
    const options = { directory: DIRECTORY, openFiles, ...IDS, map };
    await expect(compactLevel0({ ...options, readers: [one, one] })).rejects.toMatchObject({
      code: 'invalid-input',
    });
    expect(namesOn(target)).toEqual([]);
  });

  test('a compaction ends with the signal, and leaves nothing', async () => {
    const { disk, readers, names } = await level0(
      Array.from({ length: 3000 }, (_, at) => ({ block: at, lsn: 20, kind: 'rec', length: 9 })),
    );
    const signal = AbortSignal.abort();
    await expect(
      compactLevel0({
        ...{ directory: DIRECTORY, openFiles: disk.openFiles, ...IDS, readers, signal },
        map: LayerMap.fromNames(names),
      }),
    ).rejects.toMatchObject({ code: 'aborted' });
    expect(namesOn(disk)).toEqual(names);
  });

  test('a compaction without layers is refused', async () => {
    const map = LayerMap.fromNames([]);
    await expect(
      compactLevel0({ directory: DIRECTORY, ...IDS, map, readers: [] }),
    ).rejects.toMatchObject({ code: 'empty' });
  });
});

describe('the choice of L0s', () => {
  const layer = (start: number, end: number, size = 1n): MapLayer => ({
    name: `${start}`,
    level: 'L0',
    keyRange: EVERYTHING,
    lsnRange: { start: BigInt(start), end: BigInt(end) },
    size,
  });
  const ten = Array.from({ length: 10 }, (_, at) => layer(10 * at + 10, 10 * at + 20));

  test.each<[string, MapLayer[], number]>([
    ['below the threshold is empty', ten.slice(1), 0],
    ['at the threshold takes all', ten, 10],
    ['is in the order of LSNs', [...ten].reverse(), 10],
    ['ends at a gap', [...ten.slice(0, 4), ...ten.slice(5), layer(110, 120)], 4],
    ['leaves L1s alone', [...ten, { ...layer(20, 30), level: 'L1' }], 10],
    [
      'ends when the layers after the first have the size of ten usual ones',
      ten.map((one, at) => ({ ...one, size: at === 0 ? 1n << 40n : 5n * (256n << 20n) })),
      3,
    ],
  ])('the choice of L0s %s', (_, layers, count) => {
    expect(chooseLevel0(layers).map(({ name }) => name)).toEqual(
      ten.slice(0, count).map(({ name }) => name),
    );
  });
});

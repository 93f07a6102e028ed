import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { encodeZstdBlobHeader } from '../../src/blob-writer/blob-format.ts';
import { bytesSource, fillRanges } from '../../src/blob-writer/byte-source.ts';
import { DeltaLayerReader } from '../../src/layers/delta-layer/reader.ts';
import { DeltaLayerWriter } from '../../src/layers/delta-layer/writer.ts';
import { type Key, parseKey } from '../../src/layers/key.ts';
import { encodeValue } from '../../src/layers/value-format.ts';
import { compactLevel0Tuned, type MergeTuning } from '../../src/reshape/compact-level0.ts';
import type { ShardFilter } from '../../src/reshape/level0-options.ts';
import { LayerMerge } from '../../src/reshape/merge.ts';
import { LayerMap } from '../../src/timeline/layer-map/layer-map.ts';
import { loadCompressor } from '../../src/zstd/compression.ts';
import { DIRECTORY, hex, IDS, memoryDisk, noise } from '../support/layers.ts';
import { type BundledProgram, bundleProgram } from '../support/programs.ts';
import { EVERYTHING } from '../support/random-layers.ts';
import { rounds } from '../support/rounds.ts';

/** An entry of an L0. */
interface Entry {
  readonly relation: number;
  readonly block: number;
  readonly lsn: number;
  readonly length: number;
  readonly isCompressed?: boolean | undefined;
}

const LAYERS = 4;
const LSNS = 100;

/** Relations differ in bytes that no code of blocks has. */
function keyOf({ relation, block }: Entry): Key {
  const digits = (value: number, length: number) => value.toString(16).padStart(length, '0');
  return parseKey(
    `00${digits(1664 - (relation >> 1), 8)}00000005${digits(relation, 8)}00${digits(block, 8)}`,
  );
}

/** Entries with their keys, in the order of a layer. */
function inOrder(entries: readonly Entry[]): { readonly key: Key; readonly entry: Entry }[] {
  return entries
    .map((entry) => ({ key: keyOf(entry), entry }))
    .sort((one, other) => Buffer.compare(one.key, other.key) || one.entry.lsn - other.entry.lsn);
}

/** Writes an L0 for each 100 LSNs; returns their contents, the oldest first. */
async function contentsOf(
  entries: readonly Entry[],
): Promise<{ name: string; bytes: Uint8Array }[]> {
  const { fileSystem, openFiles } = memoryDisk();
  const compressor = await loadCompressor(1);
  const contents: { name: string; bytes: Uint8Array }[] = [];
  let start = 0;
  for (let end = LSNS; end <= LAYERS * LSNS; end += LSNS) {
    const own = inOrder(entries.filter(({ lsn }) => lsn >= start && lsn < end));
    if (own.length === 0) continue;
    const lsnRange = { start: BigInt(start), end: BigInt(end) };
    const options = { directory: DIRECTORY, ...IDS, openFiles, keyRange: EVERYTHING, lsnRange };
    await using writer = await DeltaLayerWriter.create(options);
    for (const { key, entry } of own) {
      const bytes = noise(entry.length, entry.block * 31 + entry.lsn);
      const value = encodeValue({ type: 'wal', willInit: false, bytes });
      const lsn = BigInt(entry.lsn);
      if (entry.isCompressed !== true) await writer.putSerialized(key, lsn, value, false);
      else {
        const record = noise(300, entry.block);
        const content = encodeValue({ type: 'wal', willInit: false, bytes: record });
        const frame = await compressor.compress(content);
        const blob = new Uint8Array(4 + frame.length);
        encodeZstdBlobHeader(blob, 0, frame.length);
        blob.set(frame, 4);
        await writer.putBlob(key, lsn, blob, false);
      }
    }
    const { path, name } = await writer.finish();
    contents.push({ name, bytes: Uint8Array.from(fileSystem.contentOf(path) ?? []) });
    start = end;
  }
  return contents;
}

type Contents = Awaited<ReturnType<typeof contentsOf>>;

/** The layers that a compaction makes, by name. */
async function compacted(
  contents: Contents,
  targetSize: number,
  tuning: MergeTuning | 'streamed',
  shard?: ShardFilter,
): Promise<{ readonly layers: Map<string, string>; readonly positions: number[] }> {
  const { fileSystem, openFiles } = memoryDisk();
  const readers: DeltaLayerReader[] = [];
  for (const { bytes } of contents) {
    const source = bytesSource(bytes);
    // As a store has it, whose layers are not merged in memory.
    const remote = {
      ...source,
      readRanges: async (ranges: Parameters<typeof fillRanges>[1]) => {
        await fillRanges(source, ranges);
      },
    };
    readers.push(await DeltaLayerReader.open(tuning === 'streamed' ? remote : source));
  }
  const positions: number[] = [];
  const { layers, entries, droppedEntries } = await compactLevel0Tuned(
    {
      ...{ directory: DIRECTORY, openFiles, ...IDS, readers, targetSize, shard },
      map: LayerMap.fromNames(contents.map(({ name }) => name)),
      onProgress: (_entries, bytes) => positions.push(bytes),
    },
    tuning === 'streamed' ? {} : tuning,
  );
  expect(entries - droppedEntries).toBe(
    layers.reduce((sum, { entryCount }) => sum + entryCount, 0),
  );
  return {
    layers: new Map(layers.map(({ name, path }) => [name, hex(fileSystem.contentOf(path)) ?? ''])),
    positions,
  };
}

const entry = fc.record({
  relation: fc.nat(3),
  block: fc.nat(400),
  lsn: fc.nat(LAYERS * LSNS - 1),
  length: fc.oneof(fc.nat(60), fc.constantFrom(93, 94, 95, 96, 97, 98, 99, 100, 101, 3000)),
  isCompressed: fc.oneof({ weight: 200, arbitrary: fc.constant(false) }, fc.constant(true)),
});
const placeOf = ({ relation, block, lsn }: Entry): string => `${relation} ${block} ${lsn}`;

/** Up to a few thousand entries: leaves hold some hundreds. */
const someEntries = fc
  .tuple(fc.array(entry, { minLength: 1, maxLength: 40 }), fc.nat(60))
  .map(([drawn, copies]): Entry[] => {
    const all = new Map<string, Entry>();
    for (let copy = 0; copy <= copies; copy += 1) {
      for (const [at, one] of drawn.entries()) {
        const block = (one.block + copy * (at % 7)) % 4096;
        const isCompressed = one.isCompressed && copy === 0;
        const lsn = (one.lsn + copy * 3) % (LAYERS * LSNS);
        const moved = { ...one, block, lsn, isCompressed };
        all.set(placeOf(moved), moved);
      }
    }
    return [...all.values()];
  });

describe('a compaction of ranges that are merged in memory', () => {
  test('a compaction of ranges that are merged in memory makes the layers of one that reads entry by entry, of random layers, ranges and targets', async () => {
    const size = fc.integer({ min: 1, max: 60_000 });
    await fc.assert(
      fc.asyncProperty(someEntries, size, size, async (entries, targetSize, rangeSize) => {
        const contents = await contentsOf(entries);
        const { layers } = await compacted(contents, targetSize, 'streamed');
        expect((await compacted(contents, targetSize, { rangeSize })).layers).toEqual(layers);
      }),
      { numRuns: rounds(8) },
    );
  });

  test('a compaction of ranges that are merged in memory makes the layers of a shard that one makes that reads entry by entry', async () => {
    const size = fc.integer({ min: 1, max: 60_000 });
    const sharding = fc.record({
      count: fc.integer({ min: 1, max: 3 }),
      stripeSize: fc.constantFrom(1, 3, 64, 1000),
    });
    await fc.assert(
      fc.asyncProperty(
        ...[someEntries, size, size, sharding, fc.nat(2)],
        async (entries, targetSize, rangeSize, cut, number) => {
          const shard = { sharding: cut, shardNumber: number % cut.count };
          const contents = await contentsOf(entries);
          const { layers } = await compacted(contents, targetSize, 'streamed', shard);
          expect((await compacted(contents, targetSize, { rangeSize }, shard)).layers).toEqual(
            layers,
          );
        },
      ),
      { numRuns: rounds(8) },
    );
  });

  test('a compaction of a shard merges its ranges in memory, too', async () => {
    const entries = Array.from({ length: 3000 }, (_, block): Entry => {
      return { relation: 2, block, lsn: block % (LAYERS * LSNS), length: 60 };
    });
    const contents = await contentsOf(entries);
    const begin = vi.spyOn(LayerMerge, 'begin');
    const shard = { sharding: { count: 2, stripeSize: 100 }, shardNumber: 1 };
    const { layers } = await compacted(contents, 50_000, { rangeSize: 60_000 }, shard);
    expect(begin).not.toHaveBeenCalled();
    begin.mockRestore();
    expect(layers.size).toBeGreaterThan(1);
  });

  test('a compaction of ranges that are merged in memory cuts a key with more versions than the target along the LSN, as one that reads entry by entry', async () => {
    const entries = Array.from({ length: LAYERS * LSNS }, (_, lsn): Entry[] => [
      { relation: 1, block: 7, lsn, length: 50 + (lsn % 60) },
      ...(lsn % 5 === 0 ? [{ relation: 1, block: lsn, lsn, length: 20 }] : []),
    ]).flat();
    const contents = await contentsOf(entries.filter(({ block, lsn }) => block === 7 || lsn !== 7));
    const { layers } = await compacted(contents, 9000, 'streamed');
    expect(layers.size).toBeGreaterThan(3);
    expect((await compacted(contents, 9000, {})).layers).toEqual(layers);
  });

  test('a compaction of ranges that are merged in memory reads entry by entry only the ranges that have a compressed blob', async () => {
    const entries = Array.from({ length: 6000 }, (_, at): Entry => {
      return {
        relation: 0,
        block: at,
        lsn: (at * 7) % (LAYERS * LSNS),
        length: 60,
        isCompressed: at === 3000,
      };
    });
    const contents = await contentsOf(entries);
    const begin = vi.spyOn(LayerMerge, 'begin');
    const { layers, positions } = await compacted(contents, 200_000, { rangeSize: 60_000 });
    expect(begin).toHaveBeenCalledTimes(1);
    begin.mockRestore();
    expect(layers).toEqual((await compacted(contents, 200_000, 'streamed')).layers);
    // Progress ends with all bytes of the inputs.
    expect(positions).toEqual([...positions].sort((one, other) => one - other));
    expect(positions.at(-1)).toBe(contents.reduce((sum, { bytes }) => sum + bytes.length, 0));
  });

  test('a compaction of ranges that are merged in memory reports a damaged blob like one that reads entry by entry', async () => {
    const entries = Array.from({ length: 2000 }, (_, block): Entry => {
      return { relation: 0, block, lsn: block % (LAYERS * LSNS), length: 30 };
    });
    const contents = await contentsOf(entries);
    // The header of the first blob.
    (contents[1] as Contents[number]).bytes[8192] = 0xff;
    const failure = (tuning: MergeTuning | 'streamed') =>
      compacted(contents, 200_000, tuning).then(
        () => 'none',
        ({ code, message }: { code: string; message: string }) => `${code} ${message}`,
      );
    expect(await failure({})).toBe(await failure('streamed'));
    expect(await failure({})).toMatch(/^corrupt /);
  });

  test('a compaction of ranges that are merged in memory of a file with a changed byte makes the same layers, or fails in the same way', async () => {
    const entries = Array.from({ length: 1500 }, (_, at): Entry => {
      return {
        relation: at % 2,
        block: at >> 1,
        lsn: (at * 7) % (LAYERS * LSNS),
        length: at % 130,
      };
    });
    const contents = await contentsOf(entries);
    const change = fc.record({
      layer: fc.nat(contents.length - 1),
      // From the front, where values are, or from the end, where the index is.
      place: fc.integer({ min: -3 * 8192, max: 3 * 8192 }),
      mask: fc.integer({ min: 1, max: 255 }),
      rangeSize: fc.constantFrom(20_000, 1 << 24),
    });
    let failures = 0;
    await fc.assert(
      fc.asyncProperty(change, async ({ layer, place, mask, rangeSize }) => {
        const changed = contents.map(({ name, bytes }) => ({ name, bytes: bytes.slice() }));
        const { bytes } = changed[layer] as Contents[number];
        const at = place < 0 ? bytes.length + place : 8192 + place;
        bytes[at] = (bytes[at] as number) ^ mask;
        const outcome = (tuning: MergeTuning | 'streamed') =>
          compacted(changed, 40_000, tuning).then(
            ({ layers }) => layers,
            ({ code, message }: { code: string; message: string }) => `${code} ${message}`,
          );
        const streamed = await outcome('streamed');
        if (typeof streamed === 'string') failures += 1;
        expect(await outcome({ rangeSize })).toEqual(streamed);
      }),
      // This one surely fails: it changes the level of the root.
      {
        numRuns: rounds(40),
        examples: [[{ layer: 0, place: 2 - 8192, mask: 255, rangeSize: 20_000 }]],
      },
    );
    expect(failures).toBeGreaterThan(0);
  });
});

describe('on threads', () => {
  let program: BundledProgram;
  let directory: string;
  let names: readonly string[];
  beforeAll(async () => {
    program = await bundleProgram(new URL('../../src/entry/merge-thread.ts', import.meta.url));
    directory = mkdtempSync(join(tmpdir(), 'layerfile-'));
    names = await writeLayers(directory);
  });
  afterAll(() => {
    program.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  /** L0s in files, one range of which a thread leaves because of a compressed blob. */
  async function writeLayers(target: string): Promise<string[]> {
    const entries = Array.from({ length: 12_000 }, (_, at): Entry => {
      const block = (at * 7919) % 12_000;
      const lsn = at % (LAYERS * LSNS);
      return { relation: at % 3, block, lsn, length: 50 + (at % 70), isCompressed: at === 6000 };
    });
    const contents = await contentsOf(entries);
    for (const { name, bytes } of contents) writeFileSync(join(target, name), bytes);
    return contents.map(({ name }) => name);
  }

  async function layersOf(
    threadCount: number,
    url: URL,
    opened?: readonly DeltaLayerReader[],
  ): Promise<Map<string, string>> {
    const out = mkdtempSync(join(directory, 'out-'));
    const readers = opened ?? (await Promise.all(names.map(openNamed)));
    try {
      const { layers } = await compactLevel0Tuned(
        {
          ...{ directory: out, ...IDS, readers, targetSize: 300_000, threadCount },
          map: LayerMap.fromNames(names),
        },
        { rangeSize: 80_000, program: url },
      );
      return new Map(layers.map(({ name, path }) => [name, hex(readFileSync(path)) ?? '']));
    } finally {
      for (const reader of readers) await reader.close();
      rmSync(out, { recursive: true });
    }
  }

  function openNamed(name: string): Promise<DeltaLayerReader> {
    return DeltaLayerReader.open(join(directory, name));
  }

  test('a compaction makes the same layers', async () => {
    const url = pathToFileURL(program.path);
    const alone = await layersOf(0, url);
    expect(alone.size).toBeGreaterThan(3);
    const begin = vi.spyOn(LayerMerge, 'begin');
    expect(await layersOf(2, url)).toEqual(alone);
    expect(begin).toHaveBeenCalledTimes(1);
    begin.mockRestore();
  });

  test('a compaction reads the files that were opened, even if other files have their names by now', async () => {
    const url = pathToFileURL(program.path);
    const own = mkdtempSync(join(directory, 'replaced-'));
    for (const name of names) copyFileSync(join(directory, name), join(own, name));
    const readers: DeltaLayerReader[] = [];
    for (const name of names) readers.push(await DeltaLayerReader.open(join(own, name)));
    const [name = ''] = names;
    // A value is another; size and index are the same.
    const bytes = readFileSync(join(own, name));
    bytes[8192 + 40] = (bytes[8192 + 40] as number) ^ 1;
    const { atime, mtime } = statSync(join(own, name));
    writeFileSync(join(own, 'other'), bytes);
    utimesSync(join(own, 'other'), atime, mtime);
    renameSync(join(own, 'other'), join(own, name));
    expect(await layersOf(2, url, readers)).toEqual(await layersOf(0, url));
  });

  test('a compaction whose threads cannot load their program makes the same layers alone', async () => {
    const url = pathToFileURL(program.path);
    const missing = new URL('missing.mjs', url);
    expect(await layersOf(2, missing)).toEqual(await layersOf(0, url));
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DeltaLayerReader } from '../../../src/layers/delta-layer/reader.ts';
import { DeltaLayerWriter } from '../../../src/layers/delta-layer/writer.ts';
import { ImageLayerReader } from '../../../src/layers/image-layer/reader.ts';
import { formatKey } from '../../../src/layers/key.ts';
import type { LayerReader } from '../../../src/layers/layer-file/layer-reader.ts';
import type { ReadOptions } from '../../../src/layers/layer-file/open-file.ts';
import { SalvageReader } from '../../../src/layers/layer-file/salvage-reader.ts';
import { parseLayerName } from '../../../src/layers/layer-name.ts';
import { formatLsn } from '../../../src/layers/lsn.ts';
import { encodeValue, type Value } from '../../../src/layers/value-format.ts';
import {
  type DiffOptions,
  type DiffSummary,
  diffLayers,
} from '../../../src/reshape/diff/diff-layers.ts';
import type { ComparedLayers } from '../../../src/reshape/diff/side.ts';
import {
  blockKey,
  type DeltaEntry,
  deltaOptions,
  diskWith,
  hex,
  memoryDisk,
  noise,
  type WrittenLayer,
  writeDelta,
  writeImages,
} from '../../support/layers.ts';
import {
  imageOf,
  type ModelEntry,
  modelEntries,
  modelValue,
  writeModelDelta,
  writeModelImages,
} from '../../support/random-layers.ts';
import { rounds } from '../../support/rounds.ts';

const RUNS = Number(process.env['LAYERFILE_DIFF_RUNS'] ?? rounds(20));
const LSNS = { min: 16, max: 24 };
const NONE = {
  same: 0,
  onlyA: 0,
  onlyB: 0,
  differ: 0,
  unreadable: 0,
  storedOtherwise: 0,
  damage: 0,
};

interface Compared {
  readonly lines: string[];
  readonly damage: string[];
  readonly summary: DiffSummary;
}

async function compared(
  a: ComparedLayers,
  b: ComparedLayers,
  options: DiffOptions = {},
): Promise<Compared> {
  const lines: string[] = [];
  const damage: string[] = [];
  const summary = await diffLayers(a, b, {
    ...options,
    onDifference: (difference) => {
      const { key, lsn } = difference;
      const what = difference.kind === 'only' ? `only ${difference.side}` : difference.what;
      lines.push(`${formatKey(key)} ${formatLsn(lsn)} ${what}`);
      return lines.length % 2 === 0 ? Promise.resolve() : undefined;
    },
    onDamage: (error, side) => damage.push(`${side} ${error.code} ${error.offset}`),
  });
  return { lines, damage, summary };
}

/** A delta layer as its entries, or an image layer as its blocks. */
type ModelLayer = ModelEntry[] | { readonly lsn: number; readonly blocks: number[] };

async function write(layer: ModelLayer): Promise<LayerReader> {
  // Layers of the same ranges have the same name.
  const disk = memoryDisk();
  if (Array.isArray(layer)) return writeModelDelta(disk, layer, { start: 16n, end: 25n });
  const blocks = [...layer.blocks].sort((one, other) => one - other);
  return writeModelImages(disk, blocks, BigInt(layer.lsn));
}

/** What counts at each key and LSN: images first, then the order of the layers. */
function modelOf(layers: readonly ModelLayer[]): Map<string, string> {
  const all = layers.flatMap((layer, index) =>
    Array.isArray(layer)
      ? layer.map((entry) => ({
          place: placeOf(entry.block, entry.lsn),
          rank: entry.kind === 'image' ? index : index + 100,
          content: contentOf(modelValue(entry)),
        }))
      : layer.blocks.map((block) => ({
          place: placeOf(block, layer.lsn),
          rank: index,
          content: contentOf({ type: 'image', bytes: imageOf(block) }),
        })),
  );
  const sorted = all.sort((one, other) => other.rank - one.rank);
  return new Map(sorted.map(({ place, content }) => [place, content]));
}

function contentOf(value: Value): string {
  return hex(encodeValue(value)) ?? '';
}

function placeOf(block: number, lsn: number): string {
  return `${formatKey(blockKey(block))} ${formatLsn(BigInt(lsn))}`;
}

function expectedOf(a: Map<string, string>, b: Map<string, string>): Omit<Compared, 'damage'> {
  const lines: string[] = [];
  const summary = { ...NONE };
  for (const place of [...new Set([...a.keys(), ...b.keys()])].sort()) {
    if (!b.has(place)) lines.push(`${place} only a`);
    else if (!a.has(place)) lines.push(`${place} only b`);
    else if (a.get(place) !== b.get(place)) lines.push(`${place} value`);
    else summary.same += 1;
  }
  summary.onlyA = lines.filter((line) => line.endsWith('only a')).length;
  summary.onlyB = lines.filter((line) => line.endsWith('only b')).length;
  summary.differ = lines.length - summary.onlyA - summary.onlyB;
  return { lines, summary };
}

describe('a comparison of random sides', () => {
  const images = fc.record({
    lsn: fc.integer(LSNS),
    blocks: fc.uniqueArray(fc.nat(12), { minLength: 1 }),
  });
  const layers = fc.array(fc.oneof(modelEntries(LSNS, 3), images), { maxLength: 5 });

  test('a comparison of random sides finds what a plain comparison of their entries finds', async () => {
    await fc.assert(
      fc.asyncProperty(layers, layers, async (left, right) => {
        const [a, b] = [await Promise.all(left.map(write)), await Promise.all(right.map(write))];
        const found = await compared({ layers: a }, { layers: b });
        const expected = expectedOf(modelOf(left), modelOf(right));
        const { storedOtherwise: _, ...counts } = found.summary;
        expect(found.lines).toEqual(expected.lines);
        expect(counts).toEqual({ ...counts, ...expected.summary, storedOtherwise: undefined });
      }),
      { numRuns: RUNS },
    );
  });

  test('a comparison of random sides of one timeline cut into layers in two ways finds nothing', async () => {
    await fc.assert(
      fc.asyncProperty(modelEntries(LSNS), fc.nat(12), async (entries, border) => {
        const whole = await write(entries);
        const parts = [
          entries.filter(({ block }) => block < border),
          entries.filter(({ block }) => block >= border),
        ].filter((part) => part.length > 0);
        const pieces = await Promise.all(parts.map(write));
        const { summary } = await compared({ layers: [whole] }, { layers: pieces });
        expect(summary).toEqual({ ...NONE, same: entries.length });
      }),
      { numRuns: RUNS },
    );
  });
});

const ENTRIES: DeltaEntry[] = Array.from({ length: 3000 }, (_, block) => ({
  key: blockKey(block),
  lsn: 0x1100n,
  value: { type: 'wal', willInit: false, bytes: noise(30 + (block % 40), block) },
}));

/** The bytes under the name of a layer, on a disk of their own. */
function on(path: string, bytes: Uint8Array): Pick<ReadOptions, 'openFiles'> {
  return { openFiles: diskWith(path, bytes).openFiles };
}

function opened({ finished: { path }, bytes }: WrittenLayer): Promise<DeltaLayerReader> {
  return DeltaLayerReader.open(path, on(path, bytes));
}

describe('a comparison of two layers', () => {
  test('a comparison of two layers of many leaves finds the one value that differs', async () => {
    const changed = ENTRIES.map(
      (entry, at): DeltaEntry =>
        at === 1777 ? { ...entry, value: { type: 'image', bytes: noise(20, 1) } } : entry,
    );
    const [a, b] = [
      await opened(await writeDelta(ENTRIES)),
      await opened(await writeDelta(changed)),
    ];
    const { lines, summary } = await compared({ layers: [a] }, { layers: [b] });
    expect(lines).toEqual([`${placeOf(1777, 0x1100)} value`]);
    expect(summary).toEqual({ ...NONE, same: 2999, differ: 1 });
  });

  test('a comparison of two layers in which only the marks of the index differ says so', async () => {
    const bytes = encodeValue({ type: 'wal', willInit: false, bytes: noise(30, 1) });
    const readers: DeltaLayerReader[] = [];
    for (const willInit of [true, false]) {
      const disk = memoryDisk();
      await using writer = await DeltaLayerWriter.create(deltaOptions(disk));
      await writer.putSerialized(blockKey(1), 0x1100n, bytes, willInit);
      // With those after it a run, which is compared as a whole.
      for (let block = 2; block < 10; block += 1) {
        await writer.putSerialized(blockKey(block), 0x1100n, bytes, true);
      }
      const { path } = await writer.finish();
      readers.push(await DeltaLayerReader.open(path, { openFiles: disk.openFiles }));
    }
    const [a, b] = readers.map((reader) => ({ layers: [reader] }));
    expect(await compared(a ?? NOTHING, b ?? NOTHING)).toEqual({
      lines: [`${placeOf(1, 0x1100)} will_init`],
      damage: [],
      summary: { ...NONE, same: 8, differ: 1 },
    });
  });

  test('a comparison of two layers with other compression has the same entries, stored otherwise', async () => {
    const entries = [1, 2, 3].map((block) => ({ key: blockKey(block), image: imageOf(block) }));
    const plain = await writeImages(entries);
    const packed = await writeImages(entries, { compression: { kind: 'zstd', level: 1 } });
    const [a, b] = await Promise.all(
      [plain, packed].map(({ finished: { path }, bytes }) =>
        ImageLayerReader.open(path, on(path, bytes)),
      ),
    );
    const { summary } = await compared(
      { layers: [a as LayerReader] },
      { layers: [b as LayerReader] },
    );
    expect(summary).toEqual({ ...NONE, same: 3, storedOtherwise: 3 });
  });

  test('a comparison of two layers compares values of more than 1 MiB without holding them', async () => {
    const large = noise(3_000_000, 7);
    const changed = large.with(2_999_999, 1 ^ (large.at(-1) ?? 0));
    const of = async (bytes: Uint8Array): Promise<ComparedLayers> => ({
      layers: [
        await opened(
          await writeDelta([{ key: blockKey(1), lsn: 0x1100n, value: { type: 'image', bytes } }]),
        ),
      ],
    });
    const asImage = await writeImages([{ key: blockKey(1), image: large }], { lsn: 0x1100n });
    const { path } = asImage.finished;
    const image = await ImageLayerReader.open(path, on(path, asImage.bytes));
    expect((await compared(await of(large), await of(large))).summary.same).toBe(1);
    expect((await compared(await of(large), await of(changed))).summary.differ).toBe(1);
    expect((await compared(await of(large), { layers: [image] })).summary.same).toBe(1);
    expect((await compared({ layers: [image] }, await of(changed))).summary.differ).toBe(1);
  });

  test('a comparison of two layers within ranges of keys and LSNs sees no others', async () => {
    const a = await opened(await writeDelta(ENTRIES));
    const b = await opened(await writeDelta(ENTRIES.slice(0, 1000)));
    const keyRange = { start: blockKey(998), end: blockKey(1002) };
    const found = await compared({ layers: [a] }, { layers: [b] }, { keyRange });
    expect(found.summary).toEqual({ ...NONE, same: 2, onlyA: 2 });
    const lsnRange = { start: 0x1101n, end: 0x1200n };
    const none = await compared({ layers: [a] }, { layers: [b] }, { lsnRange });
    expect(none.summary).toEqual(NONE);
  });

  test('a comparison of two layers ends with the signal', async () => {
    const a = await opened(await writeDelta(ENTRIES));
    const b = await opened(await writeDelta(ENTRIES.slice(0, 1000)));
    const abort = new AbortController();
    const run = diffLayers(
      { layers: [a] },
      { layers: [b] },
      { signal: abort.signal, onDifference: () => abort.abort() },
    );
    await expect(run).rejects.toMatchObject({ code: 'aborted' });
  });

  test('a comparison of two layers refuses what is not two sides of layers', async () => {
    const refused = diffLayers(JSON.parse('{"layers":1}'), NOTHING);
    await expect(refused).rejects.toMatchObject({ code: 'invalid-input' });
    const wrong = diffLayers(NOTHING, NOTHING, JSON.parse('{"keyrange":1}'));
    await expect(wrong).rejects.toMatchObject({ code: 'invalid-input' });
  });
});

const NOTHING: ComparedLayers = { layers: [] };

describe('a comparison with a damaged layer', () => {
  const damaged = async (damage: (bytes: Uint8Array, rootBlock: number) => void) => {
    const written = await writeDelta(ENTRIES);
    const bytes = Uint8Array.from(written.bytes);
    const { indexStartBlock, indexRootBlock, path } = written.finished;
    damage(bytes, indexStartBlock + indexRootBlock);
    const reader = await SalvageReader.open(path, on(path, bytes));
    return { side: { layers: [reader] }, indexStartBlock };
  };

  test('a comparison with a damaged layer calls nothing missing that was in a leaf which is lost', async () => {
    const good = { layers: [await opened(await writeDelta(ENTRIES))] };
    const { side } = await damaged((bytes, root) => {
      // The third leaf.
      const leaf = (root - 3) * 8192;
      bytes.fill(0xff, leaf, leaf + 8192);
    });
    for (const found of [await compared(side, good), await compared(good, side)]) {
      expect(found.lines).toEqual([]);
      expect(found.damage.length).toBeGreaterThan(0);
      expect(found.summary).toMatchObject({ onlyA: 0, onlyB: 0, differ: 0 });
      expect(found.summary.unreadable).toBeGreaterThan(100);
      expect(found.summary.same + found.summary.unreadable).toBe(3000);
    }
  });

  test('a comparison with a damaged layer calls nothing missing if the root is lost, or the summary, or the end of the file', async () => {
    const good = { layers: [await opened(await writeDelta(ENTRIES))] };
    const damages: ((bytes: Uint8Array, root: number) => void)[] = [
      (bytes, root) => bytes.fill(0xff, root * 8192),
      (bytes) => bytes.fill(0, 0, 100),
      (bytes) => bytes.fill(0xff, 54, 80),
      (bytes, root) => bytes.fill(0, (root - 4) * 8192),
    ];
    for (const damage of damages) {
      const { side } = await damaged(damage);
      const found = await compared(good, side);
      expect(found.lines).toEqual([]);
      expect(found.summary.same + found.summary.unreadable).toBe(3000);
    }
  });

  test('a comparison with a damaged layer calls nothing missing after random cuts, and blocks that are lost or swapped', async () => {
    const good = { layers: [await opened(await writeDelta(ENTRIES))] };
    const written = await writeDelta(ENTRIES);
    const { path, size } = written.finished;
    const blocks = size / 8192;
    const damage = fc.record({
      kind: fc.constantFrom('cut', 'zeros', 'ones', 'swap'),
      at: fc.integer({ min: 1, max: size - 1 }),
      block: fc.nat(blocks - 1),
      other: fc.nat(blocks - 1),
    });
    await fc.assert(
      fc.asyncProperty(damage, async ({ kind, at, block, other }) => {
        let bytes = Uint8Array.from(written.bytes);
        const [from, to] = [block * 8192, other * 8192];
        if (kind === 'cut') bytes = bytes.slice(0, Math.max(at, 8192));
        else if (kind === 'swap') {
          bytes.set(written.bytes.subarray(from, from + 8192), to);
          bytes.set(written.bytes.subarray(to, to + 8192), from);
        } else bytes.fill(kind === 'zeros' ? 0 : 0xff, from, from + 8192);
        await using reader = await SalvageReader.open(path, on(path, bytes));
        const found = await compared(good, { layers: [reader] });
        const missing = found.lines.filter((line) => line.includes('only'));
        expect(missing).toEqual([]);
        const { same, differ, unreadable } = found.summary;
        expect(same + differ + unreadable).toBe(ENTRIES.length);
      }),
      { numRuns: RUNS },
    );
  });

  test('a comparison with a damaged layer still finds what differs elsewhere', async () => {
    const more = [...ENTRIES, { ...(ENTRIES[0] as DeltaEntry), key: blockKey(9000) }];
    const fewer = ENTRIES.filter((_, at) => at !== 20);
    const other = await writeDelta(more.filter((_, at) => at !== 30));
    const written = await writeDelta(fewer);
    const bytes = Uint8Array.from(written.bytes);
    const { indexStartBlock, path } = written.finished;
    const leaf = (indexStartBlock + 2) * 8192;
    bytes.fill(0xff, leaf, leaf + 8192);
    const reader = await SalvageReader.open(path, on(path, bytes));
    const found = await compared({ layers: [reader] }, { layers: [await opened(other)] });
    expect(found.lines).toEqual([`${placeOf(20, 0x1100)} only b`, `${placeOf(30, 0x1100)} only a`]);
    // Leaves may be missing after the last one, too.
    expect(found.summary.unreadable).toBeGreaterThan(1);
  });

  test('a comparison with a damaged layer reports a value that cannot be read, and compares the others', async () => {
    const good = { layers: [await opened(await writeDelta(ENTRIES))] };
    const { side } = await damaged((bytes) => {
      // The header of the first blob: an unknown compression.
      bytes[8192] = 0xf0;
    });
    const found = await compared(side, good);
    expect(found.lines).toEqual([]);
    expect(found.summary).toEqual({ ...NONE, same: 2999, unreadable: 1, damage: 1 });
  });

  test('a comparison with a damaged layer reports a value that differs and does not decode', async () => {
    const good = { layers: [await opened(await writeDelta(ENTRIES))] };
    const { side } = await damaged((bytes) => {
      bytes[8192 + 4] = 9;
    });
    const found = await compared(side, good);
    expect(found.lines).toEqual([`${placeOf(0, 0x1100)} value`]);
    expect(found.damage).toEqual(['a corrupt 8193']);
  });

  test('a comparison with a damaged layer counts what may be in a layer that could not be opened as unreadable', async () => {
    const written = await writeDelta(ENTRIES.slice(0, 5));
    const good = { layers: [await opened(written)] };
    const unopened = [parseLayerName(written.finished.name)];
    const found = await compared(good, { layers: [], unopened });
    expect(found).toMatchObject({ lines: [], summary: { ...NONE, unreadable: 5 } });
  });
});
